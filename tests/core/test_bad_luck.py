"""Things that go wrong at the worst moment, one at a time: none of them loses, doubles, silences or hides anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agent import wire
from orchestrator import events as ev
from orchestrator.errors import Broken, Busy
from orchestrator.nouns import Conversation, Letter, Message, RunId
from orchestrator.ports import Change, Receive
from tests.core.world import BOB, LOBBY, THERE, World, asking
from tests.fakes.store import MemoryStore

pytestmark = pytest.mark.looptime


# --- pages and dashboards ---------------------------------------------------------------------------------------------


async def test_a_dashboard_of_which_nobody_knew_whether_it_was_stored_is_kept_up_to_date() -> None:
    class Unsure(MemoryStore):
        armed = False

        async def write(self, change: Change) -> bool:
            done = await super().write(change)
            if self.armed and any(letter.message.board for letter in change.letters):
                self.armed = False
                raise Broken("the disk failed", unsure=True)
            return done

    store = Unsure()
    world = World(behave=asking, store=store)
    async with world.life():
        await world.say("/runs")
        await world.until(lambda: world.looks(LOBBY))
        store.armed = True
        with pytest.raises(Broken):
            await world.say("/runs", key="again")
        await world.say("/runs", key="again")
        await world.launch()
        await world.until(lambda: "moved" in world.looks(LOBBY)[0].status)
        await world.until(lambda: world.looks(LOBBY)[1].rows)


async def test_a_run_that_could_not_even_end_in_order_leaves_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(behave=asking)
    async with world.life():
        run, _ = await world.launch()
        await asyncio.sleep(5)

        def broken(*_: object) -> list[Letter]:
            raise ZeroDivisionError

        monkeypatch.setattr("orchestrator.letters._run_end", broken)
        await world.say("/stop", world.place(run))
        await asyncio.sleep(600)
        assert not any(clerk.place.pages for clerk in world.office._clerks.values())


# --- defects ----------------------------------------------------------------------------------------------------------


async def test_a_run_that_cannot_be_read_silences_no_chat() -> None:
    store, bad, dead = MemoryStore(), RunId("rbad"), Conversation("fake", "hall", "dead")
    entries = [
        ev.Entry(bad, "launched", 1.0, wire.Other("launched")),
        ev.Entry(bad, "opened", 1.0, ev.Opened(dead)),
        ev.Entry(bad, "lost/e2", 2.0, ev.StateLost("e2")),
    ]
    await store.write(Change(entries=entries, letters=[Letter("rbad/x", dead, Message(text="x"), run=bad)]))
    world = World(store=store)
    world.chat.delete(dead)
    async with world.life():
        await world.say("/help")
        await world.until(lambda: world.posts(LOBBY))


async def test_a_chat_that_is_cancelled_by_nobody_is_heard_again() -> None:
    world = World()
    real: Callable[[Receive], Awaitable[None]] = world.chat.serve

    async def serve(_: Receive) -> None:
        world.chat.serve = real  # type: ignore[method-assign, assignment]
        raise asyncio.CancelledError

    world.chat.serve = serve  # type: ignore[method-assign, assignment]
    async with world.life():
        await world.until(lambda: world.chat.pulse().heard)


async def test_a_defect_in_opening_a_further_place_ends_no_run() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod = await world.launch()
        real = world.other.open

        async def broken(*_: object, **__: object) -> Conversation:
            raise KeyError("a new field")

        world.other.open = broken  # type: ignore[method-assign]
        await world.press(f"watch:{run}", THERE, person=BOB)
        await asyncio.sleep(60)
        world.other.open = real  # type: ignore[method-assign]
        await world.until(lambda: world.other.threads)
        pod.report(wire.TurnEnded("done", text="first"))
        await world.until(lambda: "first" in world.words(world.place(run)))


# --- people -----------------------------------------------------------------------------------------------------------


async def test_a_run_is_stopped_from_its_chat_before_it_has_a_thread() -> None:
    world = World(behave=asking)
    async with world.life():
        world.chat.fail("open", Busy("slow", seconds=300))
        await world.say("/launch echo x")
        await asyncio.sleep(5)
        await world.say("/stop")
        await world.until(lambda: not world.roster.live)


async def test_a_thumb_that_trembles_launches_once() -> None:
    world = World(behave=asking)
    async with world.life():
        run = await world.launch_and_stop()
        for pause in (0.5, 0.5, 10.0, 0.0):
            await world.press(f"again:{run}", world.place(run))
            await asyncio.sleep(pause)
        launched = [entry for entry in world.store.entries if isinstance(entry.event, ev.Launched)]
        assert len(launched) == 1 + 2, "the third tap came much later, and was meant"


async def test_a_tap_that_could_not_be_stored_is_no_second_tap_when_it_is_brought_again() -> None:
    world = World()
    async with world.life():
        world.store.fails = "the disk is full"
        with pytest.raises(Broken):
            await world.press("launch:echo", key="fake/tap")
        world.store.fails = ""
        await world.press("launch:echo", key="fake/tap")
        await world.until(lambda: world.roster.live)
