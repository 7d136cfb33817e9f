"""A pod that forgot everything: what was said is said again in order, and what was asked before may be asked again."""

from __future__ import annotations

import base64
import hashlib

import pytest

from agent import wire
from agent.wire import Command
from orchestrator import events as ev
from orchestrator.core import Rules
from orchestrator.fold import fold
from orchestrator.nouns import Conversation, RunId
from orchestrator.run import State
from tests.core.test_run import LAUNCHED, ME, RUN
from tests.core.world import World
from tests.fakes.runtime import FakePod

pytestmark = pytest.mark.looptime


def asking(pod: FakePod, command: Command) -> None:
    """An agent that asks the same, by the same name, in each of its lives."""
    if isinstance(command.order, wire.Start):
        pod.report(wire.CliStarted("asking", command.order.session))
        pod.report(wire.TurnStarted())
        pod.report(wire.Asked("q1", "question", "Which colour?", (wire.Choice("red"), wire.Choice("blue"))))
    elif isinstance(command.order, wire.Answer):
        pod.report(wire.TurnEnded("done", text=f"picked {command.order.picks}", cost_usd=0.4))


def questions(world: World, run: RunId) -> list[str]:
    return [look.status for look in world.looks(world.place(run)) if look.text == "Which colour?"]


async def forgetful(world: World) -> tuple[RunId, FakePod, Conversation]:
    """A run whose pod has forgotten everything after its question was answered with red."""
    run, pod = await world.launch()
    where = world.place(run)
    await world.until(lambda: questions(world, run))
    await world.say("red", where)
    await world.until(lambda: "picked (0,)" in world.texts(where))
    pod.lose_state()
    return run, pod, where


async def test_the_same_question_of_another_life_is_asked_and_answered_again() -> None:
    world = World(behave=asking)
    async with world.life():
        run, _, where = await forgetful(world)
        await world.until(lambda: len(questions(world, run)) == 2)
        await world.say("blue", where)
        await world.until(lambda: "picked (1,)" in world.texts(where))
        await world.until(lambda: questions(world, run) == ["answered · red (Ada)", "answered · blue (Ada)"])


async def test_a_question_asked_again_after_it_was_withdrawn_is_a_new_message() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod = await world.launch()
        pod.report(wire.AskWithdrawn("q1"))
        pod.report(wire.Asked("q1", "question", "Which colour?", (wire.Choice("red"),)))
        await world.until(lambda: len(questions(world, run)) == 2)
        await world.say("red", world.place(run))
        await world.until(lambda: questions(world, run)[1] == "answered · red (Ada)")


async def test_an_unanswered_question_of_two_lives_is_given_up_twice() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod = await world.launch()
        await world.until(lambda: "picked ()" in world.texts(world.place(run)), seconds=900, step=1.0)
        pod.lose_state()
        await world.until(lambda: world.texts(world.place(run)).count("picked ()") == 2, seconds=900, step=1.0)


async def test_a_file_of_the_same_name_in_another_life_arrives_too() -> None:
    def hand_over(pod: FakePod, command: Command) -> None:
        if isinstance(command.order, wire.Start):
            data = pod.epoch.encode()
            piece = base64.b64encode(data).decode()
            pod.report(
                wire.FilePiece("f1", "out.txt", len(data), hashlib.sha256(data).hexdigest(), 0, piece, last=True)
            )

    world = World(behave=hand_over)
    async with world.life():
        run, pod = await world.launch()
        where = world.place(run)
        await world.until(lambda: any(look.files for look in world.looks(where)))
        pod.lose_state()
        await world.until(lambda: len({look.files for look in world.looks(where) if look.files}) == 2)


async def test_the_budget_is_the_runs_and_not_each_lifes() -> None:
    world = World(behave=asking, rules=Rules(budget_usd=0.5))
    async with world.life():
        _, pod, _ = await forgetful(world)
        start = (await pod.wait_heard(wire.Start, times=2)).order
        assert isinstance(start, wire.Start)
        assert start.budget_usd == pytest.approx(0.1)


async def test_a_pod_that_forgets_again_and_again_is_given_up() -> None:
    world = World()
    async with world.life():
        run, pod = await world.launch()
        where = world.place(run)
        for _ in range(20):
            if run not in world.roster.live:
                break
            pod.lose_state()
            lives = len(pod.said)
            await world.until(lambda lives=lives: len(pod.said) > lives or run in world.runtime.graves)  # type: ignore[misc]
        await world.until(lambda: "ended · lost" in world.texts(where)[-1])
    assert len(pod.said) < 10


def test_what_was_said_is_said_again_in_its_order_also_where_some_was_not_heard_yet() -> None:
    one, two = ev.Said("s1", "one", ME), ev.Said("s2", "two", ME)
    state = State(RUN)
    story: list[tuple[str, ev.Event]] = [
        ("launched", LAUNCHED),
        ("in/s1", one),
        ("f/e1/1", wire.Heard("s1")),
        ("in/s2", two),
        ("lost/e2", ev.StateLost("e2")),
        ("again/e2/s1", one),
        ("again/e2/s2", two),
    ]
    for key, event in story:
        fold(state, ev.Entry(RUN, key, 1.0, event))
    orders = [command.order for command in state.pending.values()]
    assert [order.text for order in orders if isinstance(order, wire.Say)] == ["one", "two"]
    assert isinstance(orders[0], wire.Start)
