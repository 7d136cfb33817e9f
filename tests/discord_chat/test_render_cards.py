"""Dashboards and questions as cards, and the buttons under plain messages: within Discord's limits, whatever comes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import discord
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.discord.cards import Link, buttons, card, custom_id, is_card, token_of
from orchestrator.nouns import ArtifactId, Button, Conversation, File, Message, Phase, Row, RunId, Style
from tests.discord_chat.oracle import troubles

HERE = Conversation("discord", "1", "2")
WORDS = st.text(max_size=200) | st.sampled_from(
    ["**", "@everyone", "<@1>", "x" * 500, "😀" * 250, "\u202e", "||", "[a](b)"]
)
BUTTONS = st.builds(
    Button,
    WORDS,
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60),
    st.sampled_from(Style),
)
ROWS = st.builds(
    Row,
    run=st.just(RunId("r1")),
    title=WORDS,
    agent=WORDS,
    phase=st.sampled_from(Phase),
    since=st.sampled_from([0.0, 1.5e9]),
    cost_usd=st.sampled_from([0.0, 0.25, 1e6]),
    where=st.sampled_from([None, HERE]),
    words=WORDS,
    buttons=st.lists(BUTTONS, max_size=7).map(tuple),
)


def link(where: Conversation) -> str | None:
    return f"https://discord.com/channels/9/{where.thread}"


def nowhere(_where: Conversation) -> str | None:
    return None


def row(number: int, phase: Phase = Phase.WORKING) -> Row:
    taps = (Button("Interrupt", f"interrupt:r{number}"), Button("Stop", f"stop:r{number}", Style.DANGER))
    return Row(RunId(f"r{number}"), f"Run *{number}*", "claude", phase, 1.7e9, 0.25, HERE, "its words", taps)


def parts_of(message: Message, *, link: Link = link) -> list[dict[str, Any]]:
    return list(card(message, link=link).to_components())  # type: ignore[no-untyped-call]


def walk(parts: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for part in parts:
        yield part
        yield from walk(part.get("components", []))


def check(parts: Sequence[Mapping[str, Any]]) -> None:
    """What Discord would refuse."""
    every = list(walk(parts))
    texts = [str(part["content"]) for part in every if part["type"] == 10]
    taps = [part for part in every if part["type"] == 2]
    assert len(parts) >= 1
    assert len(every) <= 40
    assert sum(len(text.encode("utf-16-le")) // 2 for text in texts) <= 4000
    assert not list(troubles([re.sub("<t:1[57]00000000:R>", "ago", text) for text in texts], limit=4000))
    ids = [part["custom_id"] for part in taps]
    assert len(set(ids)) == len(ids)
    assert all(1 <= len(found) <= 100 for found in ids)
    assert all(1 <= len(str(part["label"]).encode("utf-16-le")) // 2 <= 80 for part in taps)
    assert all(1 <= len(part["components"]) <= 5 for part in every if part["type"] == 1)
    json.dumps(parts)


def test_a_token_comes_back() -> None:
    assert custom_id("a:1:0") == "army:a:1:0"
    assert token_of(custom_id("army:x")) == "army:x"
    assert token_of("other:a") is None


def test_which_messages_are_cards() -> None:
    yes = Button("Yes", "y")
    assert is_card(Message(board=True))
    assert is_card(Message(rows=(row(1),)))
    assert is_card(Message(text="Sure?", buttons=(yes,), rings=True))
    assert not is_card(Message(text="Sure?", buttons=(yes,)))
    assert not is_card(Message(text="words " * 900, buttons=(yes,), rings=True))
    assert not is_card(Message(text="a", buttons=(yes,), rings=True, files=(File(ArtifactId("0"), "a", 1),)))


async def test_a_run_is_a_section_of_its_phase() -> None:
    made = parts_of(Message(status="2 runs", board=True, rows=(row(1), row(2, Phase.ASKING))))
    status, first, second = made
    assert status["content"] == "**2 runs**"
    assert first["type"] == second["type"] == 17
    assert first["accent_color"] != second["accent_color"]
    words, taps = first["components"]
    assert words["content"] == (
        "**[Run \\*1\\*](<https://discord.com/channels/9/2>)**\n"
        "working · claude · <t:1700000000:R> · $0.25\n"
        "-# its words"
    )
    assert [(tap["label"], tap["style"], tap["custom_id"]) for tap in taps["components"]] == [
        ("Interrupt", discord.ButtonStyle.secondary.value, "army:interrupt:r1"),
        ("Stop", discord.ButtonStyle.danger.value, "army:stop:r1"),
    ]
    check(made)


def test_a_title_without_an_address_is_words() -> None:
    (first,) = parts_of(Message(rows=(row(1),)), link=nowhere)
    assert first["components"][0]["content"].startswith("**Run \\*1\\***\n")


def test_many_runs_become_lines() -> None:
    parts = parts_of(Message(board=True, rows=tuple(map(row, range(60)))))
    check(parts)
    lines = parts[-1]["content"].split("\n")
    assert lines[0].startswith("- **[Run \\*7\\*](")
    assert [part["type"] for part in parts] == [17] * 7 + [10]
    assert len(parts) - 1 + len(lines) - 1 + int(lines[-1].split()[3]) == 60


def test_an_empty_dashboard_says_so() -> None:
    (text,) = parts_of(Message(board=True))
    assert text["content"] == "Nothing is running."


def test_a_question_has_its_words_and_its_buttons() -> None:
    taps = tuple(Button(f"Choice {number}", f"a:1:{number}", Style.GOOD) for number in range(7))
    made = parts_of(Message(text="May I run `rm -r build`?", buttons=taps, rings=True))
    text, first, second = made
    assert text["content"] == "May I run `rm -r build`?"
    assert [len(part["components"]) for part in (first, second)] == [5, 2]
    assert first["components"][0]["style"] == discord.ButtonStyle.success.value
    check(made)


def test_buttons_under_a_message() -> None:
    assert buttons(Message(text="a")) is None
    taps = tuple(Button(f"{number}", f"t:{number % 28}") for number in range(40))
    view = buttons(Message(text="a", buttons=taps))
    assert view is not None
    assert [len(part["components"]) for part in view.to_components()] == [5] * 5
    check(view.to_components())


async def test_discord_py_keeps_no_card() -> None:
    view = buttons(Message(buttons=(Button("a", "t"),)))
    assert view is not None
    for made in (view, card(Message(rows=(row(1),)), link=link)):
        assert made.is_finished()
        assert made.timeout is None


@settings(max_examples=150, deadline=None, print_blob=True)
@given(
    st.text(max_size=3000) | WORDS,
    WORDS,
    st.lists(WORDS, max_size=12),
    st.lists(ROWS, max_size=30),
    st.lists(BUTTONS, max_size=30),
    st.sampled_from([link, nowhere]),
    st.booleans(),
)
def test_any_card_is_within_limits(
    text: str,
    status: str,
    log: list[str],
    rows: list[Row],
    taps: list[Button],
    to: Link,
    board: bool,  # noqa: FBT001
) -> None:
    message = Message(
        text=text, status=status, log=tuple(log), rows=tuple(rows), buttons=tuple(taps), board=board, since=1.5e9
    )
    check(parts_of(message, link=to))
    under = buttons(message)
    if under is not None:
        check(under.to_components())


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_a_colour(phase: Phase) -> None:
    (first,) = parts_of(Message(rows=(row(1, phase),)))
    assert first["accent_color"] is not None
