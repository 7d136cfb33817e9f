"""What an agent or a person may throw at us, and what becomes of it: one line stays one line, memory stays bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import wire
from agent.wire import Command
from orchestrator import events as ev
from orchestrator.fold import fold
from orchestrator.nouns import Button, Message, Phase, Row, RunId
from orchestrator.run import LOG_LINES, State
from tests.core.test_run import LAUNCHED, RUN
from tests.core.world import World
from tests.fakes.runtime import FakePod


@given(st.text(max_size=600))
def test_a_line_is_one_line_whoever_wrote_it(text: str) -> None:
    text = text * 3
    message = Message(status=text, log=(text,), buttons=(Button(text, "t"),))
    row = Row(RunId("r"), text, "a", Phase.WORKING, 0.0, 0.0, None, words=text)
    for line in (message.status, *message.log, message.buttons[0].label, row.title, row.words):
        assert len(line.splitlines()) <= 1
        assert len(line) <= 500
    assert message.buttons[0].label, "a button without a word on it cannot be shown"


def test_what_is_one_line_already_stays_as_it_is() -> None:
    line = "working · Bash: pytest  -q 👨‍👩‍👧"
    assert Message(status=line).status == line


def test_a_state_is_bounded_whatever_the_agent_leaves_open() -> None:
    state = State(RUN)
    fold(state, ev.Entry(RUN, "launched", 1.0, LAUNCHED))
    for n in range(5_000):
        fold(state, ev.Entry(RUN, f"t{n}", 1.0, wire.ToolCalled(f"c{n}", "Bash", "x" * 1000)))
        fold(state, ev.Entry(RUN, f"w{n}", 1.0, wire.Wrote(" \n")))
    assert len(state.tools) <= LOG_LINES
    assert list(state.tools)[-1] == "c4999", "the newest are kept"
    assert not state.blocks


@pytest.mark.looptime
async def test_an_agent_that_says_100_kilobytes_where_a_line_belongs() -> None:
    flood = "evil\nstatus " * 10_000

    def say(pod: FakePod, command: Command) -> None:
        if isinstance(command.order, wire.Start):
            pod.report(wire.CliStarted("x", "s"))
            pod.report(wire.TurnStarted())
            choices = (
                wire.Choice(flood),
                wire.Choice(""),
                wire.Choice(" \n "),
                *[wire.Choice(str(n)) for n in range(90)],
            )
            pod.report(wire.Asked("q", "question", "?", choices))
        elif isinstance(command.order, wire.Answer):
            pod.report(wire.ToolCalled("c", "Bash", flood))
            pod.report(wire.TurnEnded("failed", error=flood))
            pod.report(wire.Noticed("error", "x", flood))
            pod.report(wire.Finished("failed", flood))

    world = World(behave=say)
    async with world.life():
        run, _ = await world.launch()
        where = world.place(run)
        await world.until(lambda: any(look.rings for look in world.looks(where)))
        question = next(look for look in world.looks(where) if look.rings)
        assert len(question.buttons) <= 24
        assert "89" in question.text, "those that got no button are listed"
        await world.press(question.buttons[0].token, where)
        await world.until(lambda: "ended" in world.looks(where)[-1].status)
        for look in world.looks(where):
            assert "\n" not in look.status
            assert len(look.status) <= 500


@pytest.mark.looptime
async def test_a_command_that_the_agent_refuses_is_told() -> None:
    world = World()
    async with world.life():
        _, pod, where = await world.converse("one")
        hear = pod.hear

        def refuse(sent: Command | wire.Resume) -> None:
            if isinstance(sent, Command):
                pod.report(wire.Heard(sent.id, error="unknown command 'say'"))
            else:
                hear(sent)

        pod.hear = refuse  # type: ignore[method-assign]
        await world.say("more", where)
        await world.until(lambda: "⚠ the agent did not take this: unknown command 'say'" in world.texts(where))


@pytest.mark.looptime
async def test_a_person_cannot_pile_up_words_without_bound() -> None:
    world = World()
    async with world.life():
        run, pod, where = await world.converse("one")
        pod.die()
        pod.busy = "it does not come back"
        for n in range(300):
            await world.say(f"m{n}", where)
        assert len(world.roster.live[run].state.pending) <= 200
        await world.until(lambda: any("has not heard" in look.text for look in world.looks(where)))
        pod.busy = ""
        await pod.until(lambda: pod.said[-1] == "m199", seconds=600)
