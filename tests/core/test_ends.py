"""How runs begin and end at the edges: nothing that a person did goes without a word."""

from __future__ import annotations

import asyncio

import pytest

from agent import wire
from agent.wire import Command
from orchestrator.core import Rules
from orchestrator.nouns import Conversation, File, RunId
from orchestrator.run import run_id
from orchestrator.runs import LiveRun
from tests.core.world import LOBBY, World
from tests.fakes.chat import FakeChat
from tests.fakes.runtime import FakePod

pytestmark = pytest.mark.looptime


async def test_a_defect_before_there_is_a_thread_is_seen_where_it_was_launched() -> None:
    class Bad(FakeChat):
        async def open(self, origin: Conversation, title: str, *, key: str) -> Conversation:
            raise ZeroDivisionError

    world = World(chat=Bad("fake"))
    async with world.life():
        await world.say("/launch echo hi")
        await world.until(lambda: any("a defect in the bot ended this run" in text for text in world.texts(LOBBY)))


async def test_what_the_agent_did_not_hear_any_more_is_said_to_be_so() -> None:
    world = World(rules=Rules(max_runs=1))
    async with world.life():
        await world.launch("one")
        _, where = await world.begin("two")
        await world.say("first this", where)
        await world.say("then that", where)
        await world.say("/stop", where)
        await world.until(lambda: "your last 2 messages did not reach it" in world.texts(where)[-1])


async def test_a_double_tap_on_an_offer_starts_one_run() -> None:
    world = World()
    async with world.life():
        await world.say("fix the flaky test")
        await world.until(lambda: world.posts(LOBBY))
        token = world.looks(LOBBY)[0].buttons[0].token
        await asyncio.gather(*(world.press(token) for _ in range(3)))
        await world.until(lambda: len(world.runtime.runs) == 1)
        await asyncio.sleep(60)
        assert len(world.runtime.runs) == 1
        (run,) = world.runtime.runs
        await world.say("/stop", world.place(run))
        await world.until(lambda: run in world.runtime.graves)
        await world.press(token)
        await world.until(lambda: "was started" in world.looks(LOBBY)[-1].text)
        await asyncio.sleep(60)
        assert not world.runtime.runs


async def test_launched_again_with_its_files() -> None:
    world = World()
    async with world.life():
        await world.artifacts.piece("up", 0, b"picture")
        artifact = await world.artifacts.complete("up")
        run = run_id(await world.say("/launch echo look at it", files=(File(artifact, "a.png", 7),)))
        await world.until(lambda: world.thread(run))
        await world.until(lambda: world.texts(world.place(run)))
        await world.say("/stop", world.place(run))
        await world.until(lambda: world.looks(world.place(run))[-1].buttons)
        again = run_id(await world.press(world.looks(world.place(run))[-1].buttons[0].token, world.place(run)))
        pod = await world.runtime.wait_pod(again)
        start = (await pod.wait_heard(wire.Start)).order
        assert isinstance(start, wire.Start)
        assert len(start.files) == 1


async def test_half_a_text_does_not_outlive_the_agent_that_wrote_it() -> None:
    def quiet(pod: FakePod, command: Command) -> None:
        if isinstance(command.order, wire.Start):
            pod.report(wire.TurnStarted())

    world = World(behave=quiet)
    async with world.life():
        run, pod = await world.launch()
        where = world.place(run)
        pod.live(wire.TextSoFar("half a sen"))
        await world.until(lambda: "half a sen" in world.looks(where)[0].text)
        pod.report(wire.CliDied("killed"))
        await world.until(lambda: "half a sen" not in world.looks(where)[0].text)


async def test_a_state_lost_late_is_not_a_late_start() -> None:
    world = World()
    async with world.life():
        run, pod = await world.launch("one")
        where = world.place(run)
        await asyncio.sleep(1000)  # longer than a start may take
        pod.behave = None
        deaf = pod.hear

        def break_off(sent: Command | wire.Resume) -> None:
            deaf(sent)
            if isinstance(sent, Command):
                pod.hear = deaf  # type: ignore[method-assign]
                pod.lose_state()

        pod.hear = break_off  # type: ignore[method-assign]
        pod.lose_state()
        await asyncio.sleep(100)
        assert run in world.roster.live, world.texts(where)


async def test_a_defect_in_one_run_keeps_no_other_from_its_slot() -> None:
    world = World(rules=Rules(max_runs=0))
    async with world.life():
        bad, good = [run_id(await world.say(f"/launch echo {task}")) for task in ("bad", "good")]
        await world.until(lambda: world.thread(bad) and world.thread(good))
        roster = world.roster

        async def raises(*_: object, **__: object) -> bool:
            raise ZeroDivisionError

        live: dict[RunId, LiveRun] = roster.live
        live[bad].write = raises  # type: ignore[method-assign]
        roster._max_runs = 2  # the operator cannot do this, and a test need not wait
        await world.until(lambda: good in world.runtime.runs, seconds=600)
