"""What people read where a story has no eye for it: ends, choices, the log."""

from __future__ import annotations

import pytest
import structlog

from orchestrator.core import Rules
from orchestrator.nouns import Agent, Phase
from orchestrator.view import closed, newest
from tests.core.world import LOBBY, World


async def test_an_end_says_its_reason_once() -> None:
    world = World()
    async with world.life():
        run, _ = await world.launch("hello")
        where = world.place(run)
        await world.say("/stop", where)
        await world.until(lambda: world.looks(where)[-1].buttons)
        assert world.looks(where)[-1].status.startswith("ended · stopped by Ada · 1 turn · $0.0")


async def test_the_line_of_an_ended_run_says_how_long_it_took_and_has_no_clock() -> None:
    world = World()
    async with world.life():
        run, _ = await world.launch("hello")
        await world.say("/runs")
        await world.until(lambda: world.looks(LOBBY)[-1].board)
        await world.say("/stop", world.place(run))
        await world.until(lambda: world.looks(LOBBY)[-1].rows[0].phase is Phase.ENDED)
        (row,) = world.looks(LOBBY)[-1].rows
    assert row.since == 0
    assert row.words.startswith("stopped by Ada · after ")


async def test_an_agent_that_cannot_start_is_shown_with_the_reason_and_without_a_button() -> None:
    world = World(rules=Rules(unavailable={"claude": "no credential is set."}))
    async with world.life():
        await world.store.keep_agent(Agent("claude", "claude", about="a real one."))
        for words in ("/launch", "/help", "do something"):
            await world.say(words)
            await world.until(lambda: world.looks(LOBBY)[-1].buttons)
            assert ["echo" in button.label for button in world.looks(LOBBY)[-1].buttons] == [True]
        assert "**claude**: a real one. *It cannot start yet: no credential is set.*" in world.looks(LOBBY)[0].text


async def test_clearing_up_after_a_run_is_no_matter_of_warning() -> None:
    world = World()
    with structlog.testing.capture_logs() as logs:
        async with world.life():
            run, _ = await world.launch("hello")
            await world.say("/stop", world.place(run))
            await world.until(lambda: run in world.runtime.graves)
    assert [entry for entry in logs if entry["log_level"] != "info"] == []


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("**This is a ", "**This is a**"),
        ("it **is** done", "it **is** done"),
        ("call `greet(", "call `greet(`"),
        ("a **b `c", "a **b `c`"),
        ("and **", "and **"),
        ("```python\na ** b", "```python\na ** b"),
        ("```python", "```python"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_a_mark_that_is_open_while_it_is_written_is_closed(written: str, shown: str) -> None:
    assert closed(written) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("short", "short"),
        ("one two three four five six seven eight nine ten", "…n eight nine ten"),
        ("first line\nsecond line\nthird line", "…third line"),
        ("```python\na = 1\nb = 2\nc = 3\nd = 4", "…\n\n```python\nc = 3\nd = 4"),
        ("````\n```\na = 1\nb = 2\nc = 3", "…\n\n````\nb = 2\nc = 3"),
        ("```\na\n```\nthis is text of words\nand more", "…and more"),
    ],
)
def test_the_end_of_a_text_begins_with_a_line_and_keeps_its_code(text: str, shown: str) -> None:
    assert newest(text, 16) == shown
