"""One that is gone before anybody heard of it is made anew; what it really is, and that it died, is told when there."""

from __future__ import annotations

import asyncio

import pytest

from agent.wire import Command
from orchestrator.errors import Gone
from orchestrator.events import Housed, Restarted
from orchestrator.nouns import RunId
from orchestrator.ports import Restarts
from orchestrator.run import run_id
from tests.core.world import World
from tests.fakes.runtime import FakePod

pytestmark = pytest.mark.looptime

NO_ROOM = "The pod was ended: its node had no room for it."


async def test_one_that_is_lost_while_it_comes_is_made_anew() -> None:
    world = World()
    world.runtime.fail("attach", *[Gone(NO_ROOM)] * 4)
    async with world.life():
        run = run_id(await world.say("/launch echo hi"))
        await world.until(lambda: world.thread(run) and world.texts(world.place(run)) == ["hi"])
    assert world.runtime.started == [run] * 5


async def test_one_that_is_lost_again_and_again_is_given_up_with_what_was_said_last() -> None:
    world = World()
    world.runtime.fail("attach", *[Gone(NO_ROOM)] * 99)
    async with world.life():
        run, place = await world.begin("hi")
        await world.until(lambda: world.texts(place))
        assert f"could not be started in time: {NO_ROOM}" in world.texts(place)[-1]
        await world.until(lambda: run in world.runtime.graves)


async def test_one_that_was_heard_of_is_lost() -> None:
    world = World()
    async with world.life():
        run, pod = await world.launch("hi")
        world.runtime.fail("attach", Gone(NO_ROOM))
        pod.cut()
        await world.until(lambda: f"its process is gone: {NO_ROOM}" in world.texts(world.place(run))[-1])


def told(world: World) -> list[str]:
    """Every isolation that was written down after a run was admitted."""
    return [entry.event.isolation for entry in world.store.entries if isinstance(entry.event, Housed)]


async def test_a_run_is_shown_as_what_it_really_is() -> None:
    """Between its turn and its start the settings have changed."""
    world = World(behave=silent)
    world.runtime.wall = "microVM"
    world.runtime.busy = "no node yet"
    async with world.life():
        run, place = await world.begin("hi")
        await world.until(lambda: "microVM" in world.looks(place)[0].status)
        world.runtime.pod(run).isolation = "gVisor"
        assert told(world) == []
        world.runtime.pod(run).busy = ""
        await world.until(lambda: "gVisor" in world.looks(place)[0].status)
        assert "microVM" not in world.looks(place)[0].status
        world.runtime.pod(run).cut()
        await world.runtime.pod(run).until(lambda: world.runtime.pod(run).attached == 2)
    async with world.life():
        await world.runtime.pod(run).until(lambda: world.runtime.pod(run).attached == 3)
        await world.until(lambda: "gVisor" in world.looks(place)[0].status)
        assert told(world) == ["gVisor"], "once"
        world.runtime.pod(run).isolation = "microVM"
        world.runtime.pod(run).cut()
        await world.until(lambda: "microVM" in world.looks(place)[0].status)
    assert told(world) == ["gVisor", "microVM"]


async def test_a_process_that_was_started_again_is_told_once_with_what_ended_it() -> None:
    world = World(behave=silent)
    async with world.life():
        run, pod = await world.launch("hi")
        for times in (1, 1, 2):
            world.runtime.died[run] = Restarts(times, f"out of memory, {times}")
            pod.cut()
            await asyncio.sleep(1)
            assert f"it was started again: out of memory, {times}" in status(world, run)
    assert [e.event.times for e in world.store.entries if isinstance(e.event, Restarted)] == [1, 2]


async def test_a_cluster_that_says_so_later_than_the_new_process_is_believed_all_the_same() -> None:
    world = World(behave=silent)
    async with world.life():
        run, pod = await world.launch("hi")
        pod.cut()
        await pod.until(lambda: pod.attached == 2)
        world.runtime.died[run] = Restarts(1, "out of memory")
        await asyncio.sleep(60)
        assert "it was started again: out of memory" in status(world, run)
        assert pod.attached == 2, "it is told on the connection that there is"


def status(world: World, run: RunId) -> str:
    return world.looks(world.place(run))[0].status


async def test_a_run_that_nobody_heard_of_is_stopped_at_once() -> None:
    """It has no last words: its image cannot be had, or no node takes it."""
    world = World()
    world.runtime.busy = "its image cannot be had"
    async with world.life():
        run, place = await world.begin("hi")
        await world.until(lambda: "its image cannot be had" in world.looks(place)[0].status)
        asked = asyncio.get_running_loop().time()
        await world.say("/stop", place)
        await world.until(lambda: world.texts(place) and "stopped by" in world.texts(place)[-1])
        await world.until(lambda: run in world.runtime.graves)
        assert asyncio.get_running_loop().time() - asked < 5


async def test_a_run_that_is_what_it_was_to_be_says_nothing_of_it() -> None:
    world = World()
    async with world.life():
        await world.launch("hi")
    assert told(world) == []


def silent(pod: FakePod, command: Command) -> None:
    """An agent that works and says nothing."""
