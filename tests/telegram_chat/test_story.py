"""The whole room behind Telegram, in virtual time: launch, talk and end a run by what a phone can do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from orchestrator.core import Orchestrator, Rules
from orchestrator.gate import Gate, Rule
from tests.botapi import Limits
from tests.botapi.world import Chat, Standing
from tests.core.world import ECHO
from tests.fakes.runtime import FakeRuntime, echo
from tests.fakes.store import MemoryStore
from tests.telegram_chat.scene import ANN, GROUP, Scene, scene, until

pytestmark = pytest.mark.looptime


@asynccontextmanager
async def room(s: Scene) -> AsyncIterator[None]:
    store, runtime = MemoryStore(), FakeRuntime()
    runtime.behave = echo
    await store.keep_agent(ECHO)
    loop = asyncio.get_running_loop()
    async with s.chat(allowed_users=[ANN], allowed_chats=[GROUP]) as chat:
        core = Orchestrator(
            store=store,
            notes=s.notes,
            artifacts=s.artifacts,
            chats={"telegram": chat},
            runtime=runtime,
            rules=Rules(),
            gate=Gate({"telegram": Rule(people=frozenset({str(ANN)}), chats=frozenset({str(GROUP)}))}),
            clock=lambda: 1_700_000_000.0 + loop.time(),
        )
        task = asyncio.create_task(core.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()):
                raise error


async def shown(s: Scene, chat: Chat, words: str) -> Standing:
    """The bot's message with these words, as soon as it stands."""
    found: list[Standing] = []

    def look() -> bool:
        found[:] = [one for one in s.api.messages(chat.id) if one.own and words in one.text]
        return bool(found)

    await until(look, seconds=120)
    return found[-1]


@pytest.mark.parametrize(("forum", "topics"), [(True, False), (False, True), (False, False)])
async def test_a_run_from_its_launch_to_its_end(*, forum: bool, topics: bool) -> None:
    async with scene(Limits(), forum=forum, topics=topics) as s, room(s):
        chat = s.home if topics else s.group
        await s.ann.says(chat, "/launch echo count the lines")
        answer = await shown(s, chat, "count the lines")
        await shown(s, chat, "done")
        thread = next(iter(chat.topics), 0)
        assert bool(thread) is (forum or topics)
        for words, wanted in (("once more please", "once more please"), ("/stop", "stopped by Ann")):
            await s.ann.says(chat, words, thread=thread, reply_to=None if thread else answer)
            await shown(s, chat, wanted)
        assert s.api.told_to_wait == 0
