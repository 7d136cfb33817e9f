"""A process that is gone before anybody heard of it: it is made anew, for as long as a start may take."""

from __future__ import annotations

import pytest

from orchestrator.errors import Gone
from orchestrator.run import run_id
from tests.core.world import World

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
        run = run_id(await world.say("/launch echo hi"))
        await world.until(lambda: world.thread(run))
        place = world.place(run)
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


async def test_one_that_is_to_stop_is_not_made_anew() -> None:
    world = World()
    world.runtime.busy = "no node yet"
    async with world.life():
        run = run_id(await world.say("/launch echo hi"))
        await world.until(lambda: world.thread(run))
        await world.until(lambda: world.runtime.started)
        await world.say("/stop", world.place(run))
        world.runtime.fail("attach", *[Gone(NO_ROOM)] * 99)
        await world.until(lambda: world.texts(world.place(run)))
        assert "its process is gone" in world.texts(world.place(run))[-1]
