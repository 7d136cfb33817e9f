"""Threads that are deleted at bad moments: what the run says last is read elsewhere, once, whatever fails meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from agent import wire
from orchestrator import events as ev
from orchestrator.errors import Broken, Gone
from orchestrator.nouns import Conversation, RunId
from orchestrator.ports import Change, Sent
from orchestrator.runs import LiveRun, load
from tests.core.world import BOB, LOBBY, THERE, World, asking
from tests.fakes.runtime import FakePod
from tests.fakes.store import MemoryStore

pytestmark = pytest.mark.looptime

ANSWER = "THE ANSWER"


class Moody(MemoryStore):
    """Fails the next times somebody writes that a place is lost, or reads what became of a letter."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0
        self.unreadable = 0
        self.slow = 0.0

    async def write(self, change: Change) -> bool:
        if self.lost and any(isinstance(entry.event, ev.PlaceLost) for entry in change.entries):
            self.lost -= 1
            raise Broken("the disk is full for a second")
        return await super().write(change)

    async def sent(self, key: str) -> Sent | None:
        if self.unreadable:
            self.unreadable -= 1
            raise Broken("the store is locked")
        return await super().sent(key)

    async def journal(self, run: RunId) -> AsyncIterator[Sequence[ev.Entry]]:
        await asyncio.sleep(self.slow)
        async for entries in super().journal(run):
            yield entries


def everything(world: World) -> list[str]:
    return [post.message.text for post in world.chat.posts]


async def begun(world: World) -> tuple[RunId, FakePod]:
    run, pod = await world.launch()
    await world.until(lambda: world.looks(world.place(run)))
    return run, pod


async def followed(world: World) -> tuple[RunId, FakePod, Conversation, Conversation]:
    """A run whose page stands in both of its places: its id, pod, home and further place."""
    run, pod, home, there = await world.watch()
    await world.until(lambda: len(world.other.seen(there)) == 2)
    return run, pod, home, there


async def bereft(world: World, run: RunId) -> LiveRun:
    """The run as it lives on, a minute after it has lost every place."""
    await asyncio.sleep(60)
    live = world.roster.live[run]
    assert not live.state.seats
    return live


async def test_a_store_that_fails_for_a_moment_loses_no_answer() -> None:
    store = Moody()
    world = World(behave=asking, store=store)
    async with world.life():
        run, pod = await begun(world)
        store.lost, store.unreadable = 3, 3
        world.chat.fail("post", Gone("thread not found"))
        pod.report(wire.TurnEnded("done", text=ANSWER))
        await world.until(lambda: ANSWER in world.words(LOBBY))
        await asyncio.sleep(300)
        assert everything(world).count(ANSWER) == 1
        assert (store.lost, store.unreadable) == (0, 0)
        assert list((await load(store, run)).seats.values()) == [LOBBY]


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_bot_that_is_killed_while_a_letter_is_given_up_loses_it_not(moment: str) -> None:
    world = World(behave=asking)
    real, killed = world.store.given_up, asyncio.Event()

    async def given_up(key: str, why: str) -> None:
        if moment == "after":
            await real(key, why)
        killed.set()
        await asyncio.Event().wait()

    async with world.life():
        _, pod = await begun(world)
        world.store.given_up = given_up  # type: ignore[method-assign]
        world.chat.fail("post", Gone("thread not found"))
        pod.report(wire.TurnEnded("done", text=ANSWER))
        await killed.wait()
    world.store.given_up = real  # type: ignore[method-assign]
    if moment == "before":
        world.chat.fail("post", Gone("thread not found"))  # it is as gone as it was
    async with world.life():
        await asyncio.sleep(300)
        assert everything(world).count(ANSWER) == 1
        assert not await world.store.unsent()


async def test_a_thread_that_was_deleted_while_the_bot_was_down_is_found_missing_after_the_start() -> None:
    store = Moody()
    world = World(behave=asking, store=store)
    async with world.life():
        _, pod = await begun(world)
        world.chat.fail("post", *[Broken("down")] * 3)
        pod.report(wire.TurnEnded("done", text=ANSWER))
        await asyncio.sleep(2)
        assert ANSWER not in everything(world)
    world.chat.recover()
    world.chat.fail("post", Gone("thread not found"))
    store.slow = 0.5  # many runs with long journals: the outbox is taken up before them
    async with world.life():
        await world.until(lambda: ANSWER in world.words(LOBBY))


async def test_the_last_words_of_a_run_that_has_ended_are_read_where_it_was_launched() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod = await begun(world)
        world.chat.fail("post", *[Broken("down")] * 4)
        pod.report(wire.TurnEnded("done", text=ANSWER))
        pod.report(wire.Finished("completed", "bye"))
        await world.until(lambda: run not in world.roster.live)
        thread = world.place(run)
        world.chat.recover()
        world.chat.delete(thread)
        await world.until(lambda: ANSWER in world.words(LOBBY))
        await world.until(lambda: "ended · completed" in world.looks(LOBBY)[-1].status)
        assert not [entry for entry in world.store.entries if isinstance(entry.event, ev.PlaceLost)]


async def test_a_question_whose_thread_is_gone_is_asked_once_and_closed() -> None:
    world = World(behave=asking)
    async with world.life():
        run, _ = await begun(world)
        world.chat.fail("post", Gone("thread not found"))
        await world.say("ask", world.place(run))
        await world.until(lambda: "Which colour?" in world.words(LOBBY))
        await asyncio.sleep(5)
        (question,) = [look for look in world.looks(LOBBY) if look.text == "Which colour?"]
        await world.press(question.buttons[0].token)
        await asyncio.sleep(20)
        (question,) = [look for look in world.looks(LOBBY) if look.text == "Which colour?"]
        assert question.status == "answered · red (Ada)"
        assert not question.buttons


async def test_a_page_whose_thread_is_gone_leaves_none_behind_that_says_working() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod = await begun(world)
        pod.report(wire.TurnEnded("done", text="first"))
        await world.until(lambda: world.texts(world.place(run)) == ["first"])
        world.chat.fail("post", Gone("thread not found"))
        pod.report(wire.TurnStarted())
        await asyncio.sleep(5)
        pod.report(wire.TurnEnded("done", text="second"))
        await asyncio.sleep(20)
        assert "second" in world.words(LOBBY)
        assert not [look for look in world.looks(LOBBY) if look.status.startswith("working")]


async def test_a_run_that_lost_every_place_has_in_memory_what_the_journal_says() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod = await begun(world)
        world.chat.fail("post", *[Gone("put out")] * 8)
        pod.report(wire.TurnEnded("done", text="first"))
        live = await bereft(world, run)
        world.chat.recover()
        await world.press(f"stop:{run}", THERE, person=BOB)
        await world.until(lambda: run not in world.roster.live)
        assert live.state.seats == (await load(world.store, run)).seats
        await world.until(lambda: "ended · stopped by Bob" in world.looks(LOBBY)[-1].status)


async def test_a_further_place_that_was_deleted_can_be_had_again() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod, home, there = await followed(world)
        world.other.delete(there)
        pod.report(wire.TurnEnded("done", text="first"))
        live = world.roster.live[run]
        await world.until(lambda: list(live.state.seats.values()) == [home])
        await world.press(f"watch:{run}", THERE, person=BOB)
        await world.until(lambda: len(live.state.seats) == 2)
        again = next(where for where in live.state.seats.values() if where.platform == "other")
        await world.until(lambda: world.other.seen(again))


async def test_what_a_thread_was_told_is_not_moved_when_it_stands_in_another_place() -> None:
    world = World(behave=asking)
    async with world.life():
        _, pod, home, there = await followed(world)
        world.chat.delete(home)
        pod.report(wire.TurnEnded("done", text=ANSWER))
        await world.until(lambda: ANSWER in [look.text for look in world.other.seen(there)])
        await asyncio.sleep(60)
        assert ANSWER not in everything(world)
        assert [look.text for look in world.other.seen(there)].count(ANSWER) == 1


@pytest.mark.parametrize("down", [False, True])
async def test_an_answer_whose_two_places_are_gone_is_read_where_the_run_was_launched(*, down: bool) -> None:
    world = World(behave=asking)
    async with world.life():
        _, pod, home, there = await followed(world)
        await asyncio.sleep(5)
        if not down:
            world.chat.delete(home)
            world.other.delete(there)
            pod.report(wire.TurnEnded("done", text="the answer"))
            await world.until(lambda: "the answer" in world.words(LOBBY))
    if down:
        world.chat.delete(home)
        world.other.delete(there)
        pod.report(wire.TurnEnded("done", text="the answer"))
        async with world.life():
            await world.until(lambda: "the answer" in world.words(LOBBY))
    await asyncio.sleep(1)
    assert world.words(LOBBY).count("the answer") == 1


async def test_a_run_that_lost_every_place_can_be_watched_from_elsewhere() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod = await world.launch()
        world.chat.delete(world.place(run))
        world.chat.delete(LOBBY)
        pod.report(wire.TurnEnded("done", text="answer"))
        live = await bereft(world, run)
        await world.say("/runs", THERE, person=BOB)
        await world.until(lambda: world.other.seen(THERE)[0].rows)
        (watch,) = [b for row in world.other.seen(THERE)[0].rows for b in row.buttons if b.label == "Watch here"]
        await world.press(watch.token, THERE, person=BOB)
        await world.until(lambda: live.state.seats)
