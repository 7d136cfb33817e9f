"""A Telegram chat in front of the tests' own Bot API, and somebody in it: what the adapter's tests begin with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from adapters.telegram.chat import TelegramChat
from orchestrator.errors import Broken, Refused, Trouble
from orchestrator.nouns import Conversation, Inbound, Message
from tests.botapi import ROOMY, BotApi, Kind, Limits, Person
from tests.botapi.world import Chat, Standing
from tests.fakes.artifacts import MemoryArtifacts
from tests.fakes.notes import MemoryNotes

GROUP = -1001000000007
ANN = 7
HELLO = Message(text="hello")
LOST = [Kind.CUT_AFTER, Kind.MALFORMED, Kind.CUT_BEFORE, Kind.PROXY]
"""After these nobody knows whether the request was done."""


class Core:
    """Hears, and answers with what it was told to: `troubles` come one by one; `door` may be held shut for these texts,
    or for all."""

    def __init__(self) -> None:
        self.heard: list[Inbound] = []
        self.asked: list[Inbound] = []
        self.troubles: list[Exception] = []
        self.stuck: set[str] = set()
        self.door = asyncio.Event()
        self.door.set()

    async def __call__(self, inbound: Inbound) -> None:
        self.asked.append(inbound)
        if not self.stuck or inbound.text in self.stuck:
            await self.door.wait()
        if self.troubles:
            raise self.troubles.pop(0)
        if inbound.key not in {known.key for known in self.heard}:
            self.heard.append(inbound)

    @property
    def texts(self) -> list[str]:
        return [inbound.text for inbound in self.heard]


@dataclass
class Scene:
    """What outlives the bot: the platform, its people, the notes."""

    api: BotApi
    ann: Person
    home: Chat
    group: Chat
    notes: MemoryNotes = field(default_factory=MemoryNotes)
    artifacts: MemoryArtifacts = field(default_factory=MemoryArtifacts)
    core: Core = field(default_factory=Core)

    @property
    def here(self) -> Conversation:
        return Conversation("telegram", str(self.home.id))

    @property
    def there(self) -> Conversation:
        return Conversation("telegram", str(self.group.id))

    def chat(self, **options: Any) -> TelegramChat:
        """A bot on the same notes."""
        given = {"token": self.api.token, "api_base": self.api.url} | options
        return TelegramChat(self.notes, self.artifacts, **given)

    @asynccontextmanager
    async def life(self, **options: Any) -> AsyncIterator[TelegramChat]:
        """One life of the bot, from its first poll on; leaving it is being cancelled."""
        polls = len(self.api.called("getUpdates"))
        async with self.serving(self.chat(**options)) as (chat, task):
            await until(lambda: task.done() or len(self.api.called("getUpdates")) > polls)
            yield chat

    @asynccontextmanager
    async def serving(self, chat: TelegramChat) -> AsyncIterator[tuple[TelegramChat, asyncio.Task[None]]]:
        """The bot, hearing, and what it hears with."""
        async with chat:
            task = asyncio.create_task(chat.serve(self.core))
            try:
                yield chat, task
            finally:
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled() and (error := task.exception()):
                    raise error

    def words(self, chat: Chat, thread: int | None = None) -> list[str]:
        """What the bot said there, in order."""
        return [message.text for message in self.api.messages(chat.id, thread) if message.own and not message.service]

    async def hears(self, count: int = 1) -> list[Inbound]:
        """What the core heard, as soon as it is so much and nothing is left to do."""
        await until(lambda: len(self.core.heard) >= count)
        await self.rest()
        return self.core.heard

    async def rest(self) -> None:
        """Everything that came in is done."""
        await until(lambda: not self.api.world.updates.waiting or self.api.world.updates.polled)
        await until(lambda: not any(name.startswith("in/") for name in self.notes.texts))


@asynccontextmanager
async def scene(limits: Limits = ROOMY, *, forum: bool = False, topics: bool = False) -> AsyncIterator[Scene]:
    """A private chat with Ann and a group that she is in."""
    async with BotApi(limits=limits, private_topics=topics) as api:
        ann = api.person(ANN, "Ann")
        group = api.group(GROUP, forum=forum)
        api.street.member(group, ann)
        yield Scene(api, ann, api.private(ann), group)


async def until(condition: Callable[[], object], *, seconds: float = 20.0) -> None:
    """As soon as it is so. What takes long is waited for in virtual time, in large steps."""
    step = 0.005 if seconds <= 20 else 0.5
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(step)


def last(messages: Sequence[Standing]) -> Standing:
    return messages[-1]


async def quietly(trouble: type[Trouble], request: Any) -> None:
    """The request ends in this trouble."""
    try:
        await request
    except trouble:
        return
    raise AssertionError(f"no {trouble.__name__}")


async def broken(request: Awaitable[object], *, unsure: bool = True) -> None:
    """It fails, and says whether it may have been done all the same."""
    with pytest.raises(Broken) as caught:
        await request
    assert caught.value.unsure is unsure


__all__ = ["ANN", "GROUP", "HELLO", "LOST", "Core", "Refused", "Scene", "broken", "last", "quietly", "scene", "until"]
