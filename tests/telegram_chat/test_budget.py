"""The post office in front of Telegram, in virtual time: a chat that is told to wait waits alone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.telegram.chat import TelegramChat
from orchestrator.nouns import Button, Conversation, Letter, Message
from orchestrator.ports import Change
from orchestrator.post import PostOffice
from tests.botapi import Fault, Kind, Limits
from tests.fakes.store import MemoryStore
from tests.telegram_chat.scene import Scene, scene, until

pytestmark = pytest.mark.looptime


class Office:
    """The core's own post office over this chat."""

    def __init__(self, chat: TelegramChat, group: asyncio.TaskGroup, store: MemoryStore) -> None:
        self.store = store
        self.office = PostOffice({"telegram": chat}, self.store, group)

    async def send(self, key: str, where: Conversation, message: Message) -> None:
        letter = Letter(key, where, message)
        await self.store.write(Change(letters=[letter]))
        self.office.take([letter])

    async def landed(self) -> None:
        async with asyncio.timeout(3600):
            while self.office.waiting():  # noqa: ASYNC110 - it has no event to wait for
                await asyncio.sleep(0.05)


@asynccontextmanager
async def office(scene: Scene, store: MemoryStore | None = None) -> AsyncIterator[Office]:
    async with scene.life() as chat, asyncio.TaskGroup() as group:
        ready: asyncio.Future[Office] = asyncio.get_running_loop().create_future()

        async def live() -> None:
            async with asyncio.TaskGroup() as places:
                ready.set_result(Office(chat, places, store or MemoryStore()))
                await asyncio.Event().wait()

        life = group.create_task(live())
        yield await ready
        life.cancel()


async def test_a_flooded_chat_delays_neither_another_one_nor_a_button() -> None:
    async with scene() as s, office(s) as post:
        loop = asyncio.get_running_loop()
        await post.send("first", s.here, Message(text="first", buttons=(Button("Stop", "stop:x"),)))
        await post.landed()
        (message,) = s.api.messages(s.home.id)
        s.api.fail("sendMessage", Fault(Kind.WAIT, seconds=30), chat=s.home.id)
        await post.send("late", s.here, Message(text="late"))
        await until(lambda: s.api.told_to_wait)
        told = loop.time()
        await post.send("other", s.there, Message(text="other"))
        await until(lambda: s.words(s.group) == ["other"])
        assert loop.time() < told + 2
        assert await s.ann.presses(message, "Stop") is not None
        assert loop.time() < told + 4
        await post.landed()
        assert loop.time() >= told + 30
        assert s.words(s.home) == ["first", "late"]
        assert s.api.into_penalty == 0


async def test_a_letter_whose_answer_is_lost_stands_once() -> None:
    async with scene() as s, office(s) as post:
        for number, kind in enumerate((Kind.CUT_AFTER, Kind.CUT_BEFORE, Kind.MALFORMED, Kind.HANGS_AFTER)):
            s.api.fail("sendMessage", Fault(kind), chat=s.home.id)
            await post.send(f"k{number}", s.here, Message(text=f"words {number}"))
            await post.landed()
        assert s.words(s.home) == [f"words {number}" for number in range(4)]


async def test_a_real_budget_is_never_exceeded() -> None:
    async with scene(Limits()) as s, office(s) as post:
        for number in range(30):
            await post.send(f"h{number}", s.here, Message(text=f"{number}"))
            await post.send(f"g{number}", s.there, Message(text=f"{number}"))
        await post.landed()
        assert s.words(s.home) == s.words(s.group) == [f"{number}" for number in range(30)]
        assert s.api.told_to_wait == 0


LOST = (Kind.CUT_AFTER, Kind.CUT_BEFORE, Kind.MALFORMED, Kind.PROXY, Kind.HANGS_AFTER, Kind.HALF_OPEN)


@pytest.mark.parametrize("seed", range(6))
async def test_every_letter_stands_once_and_in_order_through_everything(seed: int) -> None:
    """Answers are lost, the bot dies at any moment, people talk in between."""
    dice = random.Random(seed)
    store = MemoryStore()
    async with scene(Limits()) as s:
        for _ in range(20):
            for place in (s.home.id, s.group.id):
                s.api.faults.plan("sendMessage", Fault(dice.choice(LOST)), chat=place, times=1)
        wanted = [f"letter {number}" for number in range(8)]
        for life in range(12):
            async with office(s, store) as post:
                post.office.take([sent.letter for sent in await store.unsent()])
                if life < len(wanted):
                    for where in (s.here, s.there):
                        await post.send(f"{where}/{life}", where, Message(text=wanted[life]))
                await asyncio.sleep(dice.uniform(0.001, 30))
                await s.ann.says(dice.choice((s.home, s.group)), "meanwhile")
        s.api.faults.clear()
        async with office(s, store) as post:
            post.office.take([sent.letter for sent in await store.unsent()])
            await post.landed()
        assert s.words(s.home) == s.words(s.group) == wanted
