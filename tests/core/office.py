"""A post office by itself: one chat, a store, and nobody else in the house."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from orchestrator.nouns import Conversation, Letter, Message
from orchestrator.ports import Change
from orchestrator.post import PostOffice
from tests.fakes.chat import FakeChat
from tests.fakes.store import MemoryStore

HERE = Conversation("fake", "hall")


class Post:
    """A post office with what is around it."""

    def __init__(self, *, chat: FakeChat | None = None, store: MemoryStore | None = None) -> None:
        self.chat = chat or FakeChat("fake")
        self.store = store or MemoryStore()
        self.office: PostOffice

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Post]:
        async with asyncio.TaskGroup() as group:
            life = group.create_task(self._live())
            await until(lambda: hasattr(self, "office"))
            yield self
            life.cancel()

    async def _live(self) -> None:
        async with asyncio.TaskGroup() as group:
            self.office = PostOffice({"fake": self.chat}, self.store, group)
            await asyncio.Event().wait()

    async def send(self, *letters: Letter) -> None:
        await self.store.write(Change(letters=letters))
        self.office.take(letters)

    async def send_text(self, key: str) -> None:
        await self.send(Letter(key, HERE, Message(text=key)))

    def requests(self, method: str = "") -> list[float]:
        return [call.at for call in self.chat.calls if not method or call.method == method]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(600):
        while not condition():  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0.01)


def now() -> float:
    return asyncio.get_running_loop().time()


def said(chat: FakeChat, where: Conversation = HERE) -> list[str]:
    return [message.text or message.status for message in chat.seen(where)]
