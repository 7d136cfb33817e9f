"""The fold and what is seen of it: any order is survived, memory is bounded, one journal is one state."""

from __future__ import annotations

import copy
from dataclasses import fields
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent import wire
from orchestrator import events as ev
from orchestrator.fold import fold
from orchestrator.letters import fenced, plain, speak
from orchestrator.nouns import Agent, Conversation, File, Person, Phase, RunId
from orchestrator.run import LOG_LINES, TEXT_KEPT, State, start_of, upload_name
from orchestrator.view import Moment, dollars, page, row, span

RUN = RunId("rabc")
ME = Person("web", "7", "Ada")
HERE = Conversation("web", "lobby", "t1")
ELSEWHERE = Conversation("discord", "1/2")
LAUNCHED = ev.Launched(Agent("a", "rehearsal"), "the task", ME, Conversation("web", "lobby"), "the task")

_ids = st.sampled_from(["a", "b", "c"])
_words = st.text(max_size=40)


def _event(cls: type) -> st.SearchStrategy[Any]:
    """Any event of this kind, with ids from a few so that they meet."""
    made: dict[str, st.SearchStrategy[Any]] = {}
    for field in fields(cls):
        if field.name in {"id", "call", "ask", "file", "epoch"}:
            made[field.name] = _ids
        elif field.type == "str":
            made[field.name] = _words
    return st.builds(cls, **made)


EVENTS: st.SearchStrategy[ev.Event] = st.one_of(
    *(_event(cls) for kind, cls in ev.CLASSES.items() if kind not in {"launched", "opened"}),
    st.just(ev.Opened(HERE)),
)


def entries(events: list[ev.Event]) -> list[ev.Entry]:
    rows = [ev.Entry(RUN, "launched", 1.0, LAUNCHED)]
    rows += [ev.Entry(RUN, f"e{at}", 2.0 + at, event) for at, event in enumerate(events)]
    return rows


@settings(max_examples=200)
@given(st.lists(EVENTS, max_size=60))
def test_any_order_of_events_is_survived_and_told(events: list[ev.Event]) -> None:
    state, keys = State(RUN), []
    for entry in entries(events):
        keys += [letter.key for letter in speak(state, entry)]
        fold(state, entry)
        page(state, Moment(text="x"))
        row(state, Moment(), seen_from=ELSEWHERE)
        again = ev.read(*ev.write(entry.event))
        assert ev.write(again) == ev.write(entry.event)
    assert state.phase in Phase
    assert all(key.startswith(RUN) for key in keys)


@given(st.lists(EVENTS, max_size=40))
def test_the_same_journal_is_the_same_state(events: list[ev.Event]) -> None:
    first, second = State(RUN), State(RUN)
    rows = entries(events)
    for entry in rows:
        fold(first, entry)
    for entry in copy.deepcopy(rows):
        fold(second, entry)
    assert first == second


def test_a_state_does_not_grow() -> None:
    state = State(RUN)
    for entry in entries([ev.Opened(HERE), ev.Admitted(), wire.TurnStarted()]):
        fold(state, entry)
    for n in range(20_000):
        for event in (
            wire.ToolCalled(f"c{n}", "Bash", "x" * 500),
            wire.ToolReturned(f"c{n}"),
            wire.Wrote("word " * 20),
            ev.Said(f"s{n}", "hello", ME),
            wire.Heard(f"s{n}"),
        ):
            fold(state, ev.Entry(RUN, f"k{n}", 1.0, event))
    assert len(state.done) <= LOG_LINES
    assert len(state.written) <= TEXT_KEPT + 2 * len(state.blocks)
    assert list(state.pending) == list(state.files) == [start_of(state).id], "nobody has heard the start yet"
    assert not state.tools


def test_commands_are_pending_until_they_are_heard_in_their_order() -> None:
    state = State(RUN)
    for entry in entries([ev.Said("s1", "one", ME), ev.Said("s2", "two", ME, quoted=True)]):
        fold(state, entry)
    orders = [command.order for command in state.pending.values()]
    assert orders[1:] == [wire.Say("one"), wire.Say("two", quoted=True)]
    assert isinstance(orders[0], wire.Start)
    fold(state, ev.Entry(RUN, "f/e/1", 9.0, wire.Heard(start_of(state).id)))
    fold(state, ev.Entry(RUN, "f/e/2", 9.0, wire.Heard("s1", error="no")))
    assert list(state.pending) == ["s2"]
    assert (state.epoch, state.n) == ("e", 2)


def test_phases() -> None:
    state = State(RUN)
    seen: list[Phase] = []
    story: list[ev.Event] = [
        ev.Opened(HERE),
        ev.Admitted(),
        wire.CliStarted("x", "s"),
        wire.TurnStarted(),
        wire.Asked("q", "question", "?"),
        ev.Answered("i", "q", "yes", ME),
        wire.TurnEnded("done", "fine"),
        ev.StopAsked("z", "stopped", ME),
        ev.Ended("stopped", "stopped"),
    ]
    for entry in entries(story)[1:]:
        if not seen:
            fold(state, entries([])[0])
        fold(state, entry)
        seen.append(state.phase)
    assert seen == [
        Phase.QUEUED, Phase.STARTING, Phase.STARTING, Phase.WORKING, Phase.ASKING,
        Phase.WORKING, Phase.IDLE, Phase.STOPPING, Phase.ENDED,
    ]  # fmt: skip


def test_two_files_of_one_name_stay_two() -> None:
    one, two = File("aaaaaaaa", "x.png", 1), File("bbbbbbbb", "x.png", 1)  # type: ignore[arg-type]  # plain texts do
    assert upload_name(one) != upload_name(two)


@given(st.text())
def test_a_fence_holds_whatever_is_in_it(text: str) -> None:
    block = fenced(text)
    fence = block.partition("\n")[0]
    assert fence not in text
    assert block == f"{fence}\n{text}\n{fence}"


@given(st.text())
def test_plain_text_has_no_markup_left(text: str) -> None:
    assert "\n" not in plain(text)
    unescaped = plain(text).replace("\\\\", "").replace("\\*", "").replace("\\`", "").replace("\\[", "")
    assert not set("*`[") & set(unescaped)


def test_money_and_time_in_few_characters() -> None:
    assert [dollars(x) for x in (0, 0.00012, 0.05, 0.1, 12.345)] == ["$0.00", "$0.0001", "$0.05", "$0.10", "$12.35"]
    assert [span(x) for x in (0.4, 59, 61, 600, 3599, 3600, 7500)] == [
        "0 s", "59 s", "1 min 1 s", "10 min", "59 min", "1 h", "2 h 5 min",
    ]  # fmt: skip
