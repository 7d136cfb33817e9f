"""Limits and deadlines: what may take long, what may not, and what somebody else's numbers may do to us."""

from __future__ import annotations

import asyncio
import math

import pytest

from agent import wire
from orchestrator.core import Rules
from orchestrator.errors import Broken, Busy
from orchestrator.nouns import ArtifactId, File
from orchestrator.run import run_id
from tests.core.world import LOBBY, World

pytestmark = pytest.mark.looptime


async def test_waiting_for_a_slot_is_not_starting_slowly() -> None:
    """Its limit of 60 s for a start is for the start, not for the queue before it."""
    world = World(rules=Rules(max_runs=1))
    async with world.life():
        first, _ = await world.launch("one")
        second = run_id(await world.say("/launch echo two"))
        await asyncio.sleep(3000)
        await world.say("more", world.place(first))  # or its silence would end it
        await asyncio.sleep(3000)
        await world.say("/stop", world.place(first))
        await world.until(lambda: "two" in world.texts(world.place(second)))


async def test_a_bot_that_was_down_for_long_still_starts_what_was_asked_for() -> None:
    world = World()
    world.runtime.busy = "no node yet"
    async with world.life():
        run, _ = await world.begin("hi")
    await asyncio.sleep(600)
    world.runtime.pod(run).busy = ""
    async with world.life():
        await world.until(lambda: world.texts(world.place(run)) == ["hi"])


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -5.0, 0.0, 1e-9, 1e12])
async def test_an_absurd_wish_for_patience_is_not_taken_literally(seconds: float) -> None:
    busy = Busy("later", seconds=seconds)
    assert 0 <= busy.seconds <= 3600
    world = World()
    world.chat.fail("open", busy)
    world.chat.fail("post", busy)
    world.runtime.fail("attach", *[Busy("later", seconds=seconds)] * 3)
    async with world.life():
        run = run_id(await world.say("/launch echo hi"))
        await asyncio.sleep(12_000)
        assert "hi" in world.texts(world.place(run))
        assert len(world.runtime.started) < 10


async def test_a_run_whose_thread_cannot_be_opened_can_be_stopped() -> None:
    world = World()
    world.chat.fail("open", *[Broken("the platform is down")] * 1000)
    async with world.life():
        run = run_id(await world.say("/launch echo hi"))
        await asyncio.sleep(10)
        await world.press(f"stop:{run}")
        await world.until(lambda: not world.roster.live)
        await world.until(lambda: any("ended · stopped" in look.status for look in world.looks(LOBBY)))


async def test_a_file_that_vanished_costs_the_file_and_not_the_run() -> None:
    world = World()
    async with world.life():
        run, pod = await world.launch("hello")
        where = world.place(run)
        await world.say("look at this", where, files=(File(ArtifactId("0" * 64), "gone.png", 7),))
        await pod.until(lambda: pod.said == ["hello", "look at this"])
        await world.until(lambda: world.texts(where) == ["hello", "look at this"])


@pytest.mark.parametrize("claimed", [0, 7])
async def test_an_empty_file_arrives_whatever_its_size_was_said_to_be(claimed: int) -> None:
    world = World()
    async with world.life():
        run, pod = await world.launch("hello")
        await world.artifacts.piece("up", 0, b"")
        artifact = await world.artifacts.complete("up")
        await world.say("look at this", world.place(run), files=(File(artifact, "empty.txt", claimed),))
        put = (await pod.wait_heard(wire.Put)).order
        assert isinstance(put, wire.Put)
        assert put.last
        assert put.data == ""
