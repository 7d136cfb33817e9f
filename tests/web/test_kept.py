"""What the page keeps: which looks are on the disk and when, and that memory is bounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import pytest

from adapters.web.drawer import Drawer
from adapters.web.posts import Kept, Posts
from adapters.web.talk import Talk
from orchestrator.errors import Broken
from orchestrator.nouns import Message
from tests.fakes.notes import MemoryNotes
from tests.web.stage import LOBBY


async def test_a_resting_look_is_durable_at_once_and_a_moving_one_within_a_second() -> None:
    notes = MemoryNotes()
    talk = Talk(notes, commands=(), login=False)
    message = await talk.post(LOBBY, Message(text="posted", since=5.0), key="k")
    await talk.edit(LOBBY, message, Message(text="moving", since=5.0))
    assert not any("moving" in text for text in notes.texts.values())
    await talk.edit(LOBBY, message, Message(text="at rest"))
    assert any("at rest" in text for text in notes.texts.values())


@pytest.mark.looptime
async def test_moving_looks_are_saved_once_a_second_and_a_full_disk_is_waited_for() -> None:
    notes = MemoryNotes()
    talk = Talk(notes, commands=(), login=False)
    ids = [await talk.post(LOBBY, Message(text="0", since=1.0), key=f"{i}") for i in range(3)]
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(talk.serve(_deaf))
        await asyncio.sleep(0.1)
        for id_ in ids:
            await talk.edit(LOBBY, id_, Message(text="moved", since=1.0))
        notes.fails = "The disk is full."
        await asyncio.sleep(3)
        assert not any("moved" in text for text in notes.texts.values())
        with pytest.raises(Broken):
            await talk.edit(LOBBY, ids[0], Message(text="at rest"))
        notes.fails = ""
        await asyncio.sleep(1.1)
        assert sum("moved" in text for text in notes.texts.values()) == 2
        assert sum("at rest" in text for text in notes.texts.values()) == 1
        await talk.edit(LOBBY, ids[1], Message(text="last", since=1.0))
        serving.cancel()
    assert any("last" in text for text in notes.texts.values())


async def test_many_resting_looks_at_once_wait_for_a_few_writings_and_for_no_moving_look() -> None:
    """Where they let each other through one by one, hundreds of runs that end their turns stand in line for seconds."""
    notes = SlowNotes()
    talk = Talk(notes, commands=(), login=False)
    ids = [await talk.post(LOBBY, Message(text="0", since=1.0), key=f"{i}") for i in range(101)]
    await talk.edit(LOBBY, ids[0], Message(text="moved", since=1.0))
    notes.puts.clear()
    notes.turns = 0
    async with asyncio.TaskGroup() as tasks:
        for id_ in ids[1:]:
            tasks.create_task(talk.edit(LOBBY, id_, Message(text="at rest")))
    assert sum(map(len, notes.puts)) == 100
    assert len(notes.puts) <= 2
    assert notes.turns < 20
    assert sum("at rest" in text for text in notes.texts.values()) == 100
    await talk.posts.save()
    assert any("moved" in text for text in notes.texts.values())


class SlowNotes(MemoryNotes):
    """Notes that take a few turns of the loop to be put down."""

    def __init__(self) -> None:
        super().__init__()
        self.puts: list[list[str]] = []
        self.turns = 0
        asyncio.get_running_loop().call_soon(self._turn)

    async def put(self, notes: Mapping[str, str | None]) -> None:
        self.puts.append(list(notes))
        for _ in range(3):
            await asyncio.sleep(0)
        await super().put(notes)

    def _turn(self) -> None:
        self.turns += 1
        asyncio.get_running_loop().call_soon(self._turn)


async def _deaf(_inbound: object) -> None:
    return


async def test_memory_is_bounded_and_forgotten_messages_can_still_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.web.posts._MEMORY", 20_000)
    posts = Posts(Drawer(MemoryNotes()))
    first = await posts.add("lobby", _kept("first"), key="first")
    rev = posts.rev
    for i in range(100):
        await posts.add("lobby", _kept(f"{i}" * 100), key=f"{i}")
    assert len(posts._recent) < 40
    assert posts.since("lobby", rev) is None  # too long ago: the viewer begins anew
    assert posts.since("lobby", posts.rev) == []
    await posts.change("lobby", first.id, Message(text="changed"))
    assert (await posts.newest("lobby", 200))[0].kept.message.text == "changed"
    assert [post.id for post in posts.since("lobby", posts.rev - 1) or ()] == [first.id]


def _kept(text: str) -> Kept:
    return Kept(author="agent", at=time.time(), message=Message(text=text))


async def test_a_clock_that_was_set_back_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = MemoryNotes()
    posts = Posts(Drawer(notes))
    await posts.add("lobby", _kept("before"), key="1")
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)
    again = Posts(Drawer(notes))
    await again.newest("lobby", 10)
    await again.add("lobby", _kept("after"), key="2")
    assert [post.kept.message.text for post in await again.newest("lobby", 10)] == ["before", "after"]


async def test_edits_are_cheap_when_nobody_looks() -> None:
    """A thousand live edits a second over a hundred conversations must leave the processor almost idle."""
    talk = Talk(MemoryNotes(), commands=(), login=False)
    threads = [await talk.open(LOBBY, f"Run {i}", key=f"{i}") for i in range(100)]
    ids = [await talk.post(thread, Message(text="x", since=1.0), key="page") for thread in threads]
    text = "Words of an agent.\n\n" * 500
    started = time.process_time()
    for i in range(1000):
        await talk.edit(threads[i % 100], ids[i % 100], Message(text=f"{text}{i}", since=1.0))
    assert time.process_time() - started < 0.5
