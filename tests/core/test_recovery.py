"""The moments between "write" and "act" in which a store is slow, unsure or full, or somebody is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from agent import wire
from orchestrator import events as ev
from orchestrator.errors import Broken
from orchestrator.nouns import Phase, RunId
from orchestrator.ports import Change
from tests.core.world import LOBBY, World
from tests.fakes.chat import FakeChat
from tests.fakes.runtime import FakePod
from tests.fakes.store import MemoryStore

pytestmark = pytest.mark.looptime


@dataclass
class SlowStore(MemoryStore):
    """A store that takes its time: to write, and to read the journals of some runs."""

    seconds: float = 0.0
    slow: set[RunId] = field(default_factory=set)
    before: Callable[[Change], None] = lambda _: None
    after: Callable[[Change], None] = lambda _: None

    def __post_init__(self) -> None:
        super().__init__()

    async def write(self, change: Change) -> bool:
        self.before(change)
        await asyncio.sleep(self.seconds)
        done = await super().write(change)
        self.after(change)
        return done

    async def journal(self, run: RunId) -> AsyncIterator[Sequence[ev.Entry]]:
        if run in self.slow:
            await asyncio.sleep(1)
        async for entries in super().journal(run):
            yield entries


def silent(pod: FakePod, command: wire.Command) -> None:
    """An agent that the test makes speak."""


def ended(text: str) -> wire.TurnEnded:
    return wire.TurnEnded("done", text=text)


def frames(world: World, run: RunId) -> list[int]:
    return [int(entry.key.split("/")[2]) for entry in world.store.entries
            if entry.run == run and entry.key.startswith("f/")]  # fmt: skip


async def test_what_was_on_its_way_comes_before_what_is_said_next() -> None:
    """A run that is taken up speaks while the others are still being read."""
    store = SlowStore()
    world = World(behave=silent, store=store, chat=FakeChat("fake", remembers=False))
    async with world.life():
        run, pod = await world.launch("one")
        where = world.place(run)
        other, _ = await world.launch("two")
        await world.until(lambda: all(one.message_id for one in store.outbox.values()))
        world.chat.hold()
        pod.report(ended("first"))
        await world.until(lambda: any("first" in one.letter.message.text for one in store.outbox.values()))
    store.slow.add(other)
    pod.report(ended("second"))
    world.chat.release()
    async with world.life():
        await world.until(lambda: "second" in world.texts(where))
        await asyncio.sleep(5)
    assert world.texts(where) == ["first", "second"]


async def test_a_connection_that_breaks_while_the_store_writes_leaves_no_gap() -> None:
    store = SlowStore()
    world = World(behave=silent, store=store)

    def speak(change: Change) -> None:
        if any(isinstance(entry.event, ev.Said) for entry in change.entries):
            pod.unsure = 1  # the command is sent, and the connection breaks over it,
            pod.report(ended("first"))  # while this is being stored

    async with world.life():
        run, pod = await world.launch("one")
        where = world.place(run)
        store.seconds, store.after = 0.05, speak
        await world.say("something", where)
        await world.until(lambda: pod.attached > 1)
        store.seconds = 0.0
        pod.report(ended("second"))
        await world.until(lambda: "second" in world.texts(where))
        await world.until(lambda: len(frames(world, run)) == len(pod.frames))
        await asyncio.sleep(60)
    assert world.texts(where) == ["first", "second"]
    assert frames(world, run) == list(range(1, len(pod.frames) + 1))


async def test_a_store_that_is_full_leaves_no_gap_behind() -> None:
    store = SlowStore()
    world = World(behave=silent, store=store)
    async with world.life():
        run, pod = await world.launch("one")
        where = world.place(run)
        store.fails = "The disk is full."
        pod.report(ended("first"))
        await asyncio.sleep(1)
        store.fails = ""
        pod.report(ended("second"))
        await world.until(lambda: "second" in world.texts(where))
    assert world.texts(where) == ["first", "second"]
    assert frames(world, run) == list(range(1, len(pod.frames) + 1))


async def test_an_end_that_could_not_be_stored_is_stored_later() -> None:
    world = World(behave=silent)
    async with world.life():
        run, _ = await world.launch("one")
        await world.until(lambda: frames(world, run))
        world.store.fails = "The disk is full."
        await world.runtime.stop(run)
        await asyncio.sleep(5)
        assert run in world.roster.live
        world.store.fails = ""
        await world.until(lambda: "ended · lost" in world.texts(world.place(run))[-1])
    assert await world.store.live() == []


@pytest.mark.parametrize("stored", [True, False])
async def test_a_store_that_does_not_know_whether_it_wrote_is_asked_again(*, stored: bool) -> None:
    store = SlowStore()
    world = World(behave=silent, store=store)

    def doubt(change: Change) -> None:
        if any(isinstance(entry.event, wire.TurnEnded) for entry in change.entries):
            store.before = store.after = lambda _: None
            raise Broken("The disk did not answer.", unsure=True)

    async with world.life():
        run, pod = await world.launch("one")
        where = world.place(run)
        if stored:
            store.after = doubt
        else:
            store.before = doubt
        pod.report(ended("first"))
        await world.until(lambda: "first" in world.texts(where))
        pod.report(ended("second"))
        await world.until(lambda: "second" in world.texts(where))
        await asyncio.sleep(5)
    assert world.texts(where) == ["first", "second"]
    assert frames(world, run) == list(range(1, len(pod.frames) + 1))


async def test_who_hangs_up_while_his_words_are_stored_is_served_all_the_same() -> None:
    store = SlowStore()
    world = World(store=store)
    async with world.life():
        run, pod = await world.launch("one")
        where = world.place(run)
        store.seconds = 0.5
        for text in ("/launch echo two", "/help"):
            saying = asyncio.create_task(world.say(text))
            await asyncio.sleep(0.1)
            saying.cancel()
            await asyncio.wait([saying])
        saying = asyncio.create_task(world.say("three", where))
        await asyncio.sleep(0.1)
        saying.cancel()
        await asyncio.wait([saying])
        store.seconds = 0.0
        await world.until(lambda: len(world.runtime.runs) == 2)
        await world.until(lambda: any("/launch" in look.text for look in world.looks(LOBBY)))
        await pod.until(lambda: pod.said == ["one", "three"])


@pytest.mark.parametrize("dies_after", [1, 2, 3])
async def test_a_dashboard_whose_making_was_cut_off_is_made_and_kept_up_to_date(dies_after: int) -> None:
    store, stored = SlowStore(), 0
    world = World(store=store)
    keep = world.notes.put

    async def put(notes: Mapping[str, str | None]) -> None:
        nonlocal stored
        if stored >= dies_after:
            await asyncio.sleep(1000)  # dead already
        await keep(notes)
        stored += 1

    def wrote(_: Change) -> None:
        nonlocal stored
        stored += 1
        store.seconds = 1000.0 if stored >= dies_after else 0.0

    async with world.life():
        await world.say("/runs", key="fake/first")
        await world.until(lambda: len(world.looks(LOBBY)) == 1)
        world.notes.put, store.after = put, wrote  # type: ignore[method-assign]
        dying = asyncio.create_task(world.say("/runs", key="fake/second"))
        await asyncio.sleep(1)
    dying.cancel()
    world.notes.put, store.after, store.seconds = keep, lambda _: None, 0.0  # type: ignore[method-assign]
    async with world.life():
        await world.say("/runs", key="fake/second")
        await world.launch("hello")
        await world.until(lambda: [row.phase for row in world.looks(LOBBY)[-1].rows] == [Phase.IDLE])
        assert [look.board for look in world.looks(LOBBY)] == [False, True]
    assert len(await world.notes.scan("board/")) == 1
