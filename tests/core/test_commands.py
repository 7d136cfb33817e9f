"""What people type after a slash, and what they get for a slip."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import commands
from orchestrator.commands import Typed, Wish
from orchestrator.errors import Refused

AGENTS = ["claude", "rehearsal"]


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("/launch claude fix it", Typed("launch", "claude fix it")),
        ("/Launch@army_bot  fix it ", Typed("launch", "fix it")),
        ("/launch\nfix\nit", Typed("launch", "fix\nit")),
        ("/runs", Typed("runs", "")),
        ("/", Typed("", "")),
    ],
)
def test_reads_a_command(text: str, typed: Typed) -> None:
    assert commands.read(text) == typed


@pytest.mark.parametrize(
    ("rest", "wish"),
    [
        ("", Wish("", "")),
        ("claude", Wish("claude", "")),
        ("claude fix it", Wish("claude", "fix it")),
        ("@claude: fix it", Wish("claude", "fix it")),
        ("claude\nfix\n  it", Wish("claude", "fix\n  it")),
        ("fix the flaky test", Wish("", "fix the flaky test")),
    ],
)
def test_reads_a_wish(rest: str, wish: Wish) -> None:
    assert commands.wish(rest, AGENTS) == wish


@pytest.mark.parametrize("rest", ["nosuch", "@nosuch do it", "nosuch: do it", "rehersal show me", "claud fix it"])
def test_an_unknown_agent_gets_a_sentence_with_the_known_ones(rest: str) -> None:
    with pytest.raises(Refused, match=r"There is no agent .*claude.*rehearsal"):
        commands.wish(rest, AGENTS)


def test_a_slip_gets_a_suggestion() -> None:
    with pytest.raises(Refused, match="Did you mean `rehearsal`"):
        commands.wish("rehersal show me", AGENTS)
    assert "Did you mean `/launch`" in commands.unknown("lanch")


@pytest.mark.parametrize(
    ("text", "several", "picks"),
    [
        ("Blue", False, (1,)),
        (" 2 ", False, (1,)),
        ("1 2", False, ()),
        ("1, 2", True, (0, 1)),
        ("2;2", True, (1,)),
        ("4", False, ()),
        ("0", False, ()),
        ("something else", False, ()),
        ("²", False, ()),
    ],
)
def test_a_typed_answer_names_choices(text: str, several: bool, picks: tuple[int, ...]) -> None:  # noqa: FBT001 - a table
    assert commands.picks(text, ["red", "blue", "green"], several=several) == picks


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    typed = commands.read("/" + text)
    assert commands.unknown(typed.word)
    try:
        wish = commands.wish(typed.rest, AGENTS)
    except Refused:
        return
    assert wish.agent in ("", *AGENTS)
