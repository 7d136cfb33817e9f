"""The real CLI as a person has it in the chat: the bot, agentd and the CLI as processes, the API from the stub."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.local.folder import Folder
from tests.agent.claude_cli import claude_bin, needs_cli
from tests.agent.test_claude_live import png
from tests.product import Look, Person, Product
from tests.stub_api import StubApi

pytestmark = [pytest.mark.cli, needs_cli]

KEY = "stub-key-of-this-story"
TOOL = "[[bash: for i in 1 2 3 4 5 6; do sleep 0.2; done; echo ready]]"
LONG = "[[bash: for i in $(seq 100); do sleep 0.2; done]]"
ASK = "[[tool: AskUserQuestion " + json.dumps({"questions": [{
    "question": "Which database?", "header": "DB", "multiSelect": False,
    "options": [{"label": "Postgres", "description": "a server"}, {"label": "SQLite", "description": "a file"}],
}]}) + "]]"  # fmt: skip


@pytest.fixture
async def api() -> AsyncIterator[StubApi]:
    async with StubApi() as api:
        yield api


@pytest.fixture
async def bot(tmp_path: Path, api: StubApi) -> AsyncIterator[Product]:
    env = {
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_BASE_URL": api.url,
        "CLAUDE_BIN": str(claude_bin()),
        "CLAUDE_CODE_MAX_RETRIES": "2",
        "NO_PROXY": "*",
        "MAX_BUDGET_USD": "0.5",
    }
    async with Product(tmp_path / "var", env=env) as bot:
        yield bot
        assert KEY not in bot.words()


def rings(looks: list[Look]) -> list[str]:
    return [look.text for look in looks if look.rings]


def folder(bot: Product) -> Folder:
    (path,) = bot.runs()
    return Folder(path)


async def turn_ends(me: Person, run: str, words: str, *, count: int = 1) -> list[Look]:
    """Wait for the last word of a turn; it stands there this often and rings."""
    return await me.sees(run, lambda looks: sum(words in text for text in rings(looks)) == count)


async def tool_runs(me: Person, run: str, words: str) -> None:
    """Wait until a tool is at work, and a moment more: the CLI tells of a call before it begins."""
    await me.sees(run, lambda looks: any(look.raw["live"] and words in look.text for look in looks))
    await asyncio.sleep(0.3)


async def test_a_day_with_claude(bot: Product, api: StubApi) -> None:
    me = bot.person()
    run = await me.launch("claude", "[[say: I look around.]] [[bash: echo found it]]")
    await turn_ends(me, run, "done: found it")
    looks = await me.sees(run, lambda looks: re.search(r"^done · \d+ s · 1 tool · \$0\.\d+", looks[0].text))
    assert "I look around." in looks[0].text

    outbox = folder(bot).state / "outbox"
    await me.say(run, f"[[write: {outbox}/notes.txt made by the agent]]")
    looks = await me.sees(run, lambda looks: any("/files/" in look.html for look in looks))
    (address,) = re.findall(r'href="(/files/[^"]+/notes\.txt)"', "".join(look.html for look in looks))
    async with me.http.get(bot.url + address) as answer:
        assert (answer.status, await answer.text()) == (200, "made by the agent")

    await me.say(run, f"A question. {ASK}")
    looks = await me.sees(run, lambda looks: looks[-1].rings and "Which database?" in looks[-1].text)
    await me.press(run, looks[-1], "SQLite")
    looks = await turn_ends(me, run, '"Which database?"="SQLite"')
    assert sum("answered · SQLite (you)" in look.text for look in looks) == 1

    await me.say(run, f"A slow one. {TOOL}")
    await tool_runs(me, run, "for i in 1 2 3")
    await me.say(run, "and mind the tests")
    request = await api.seen(lambda request: "and mind the tests" in request.text())
    assert "ready" in request.text(), "it came with the tool's result, in the same turn"
    await turn_ends(me, run, "done: ready")

    dot = await me.upload("dot.png", png())
    await me.say(run, "look at this", files=[dot])
    await turn_ends(me, run, "echo: [Image")
    assert any(list(request.blocks("image")) for request in api.requests)

    await me.say(run, LONG)
    await tool_runs(me, run, "seq 100")
    await me.say(run, "/interrupt")
    await me.sees(run, lambda looks: any(look.text.startswith("interrupted · ") for look in looks))
    await me.say(run, "still there?")
    await turn_ends(me, run, "echo: still there?")
    await me.say(run, LONG)
    await tool_runs(me, run, "seq 100")
    await me.say(run, "/stop")
    looks = await me.sees(run, lambda looks: "Launch again" in looks[-1].html, seconds=15)
    assert re.search(r"^ended · stopped by you · \d+ turns · \$\d\.\d+ · ", looks[-1].text)
    finals = [text for text in rings(looks) if not text.startswith(("Which", "ended"))]
    assert len(finals) == len(set(finals)) == 6, finals
    async with asyncio.timeout(10):
        while bot.runs():  # noqa: ASYNC110 - seen on disk only
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "The model's API refuses the credential (401). Check ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN."),
        (529, "The model's API is overloaded (529). It was tried several times; say something to try again."),
    ],
)
async def test_an_api_that_fails_is_one_sentence(bot: Product, status: int, sentence: str) -> None:
    me = bot.person()
    run = await me.launch("claude", f"[[error: {status}]]")
    looks = await me.sees(run, rings)
    assert rings(looks) == [f"⚠ failed · {sentence}"]
    everything = " ".join(look.text.replace(f"[[error: {status}]]", "") for look in looks)
    assert not set('{}"') & set(everything), everything
    assert "_error" not in everything
    await me.say(run, "[[say: better]]")
    assert rings(await turn_ends(me, run, "better")) == [f"⚠ failed · {sentence}", "better"]


async def test_kills_lose_and_double_nothing(bot: Product, api: StubApi) -> None:
    me = bot.person()
    run = await me.launch("claude", f"First. {TOOL}")
    await tool_runs(me, run, "for i in 1 2 3")
    os.kill(json.loads((folder(bot).state / "cli").read_bytes())["pid"], signal.SIGKILL)
    await turn_ends(me, run, "done: ")
    await me.say(run, f"Second. {TOOL.replace('ready', 'ready again')}")
    await tool_runs(me, run, "ready again")
    holder = folder(bot).holder()
    assert holder
    os.kill(holder, signal.SIGKILL)
    await turn_ends(me, run, "done: ", count=2)
    await me.say(run, "[[say: third]]")
    looks = await turn_ends(me, run, "third")
    assert len(rings(looks)) == 3, rings(looks)
    asked = api.requests[-1].text()
    assert [asked.count(words) for words in ("First. ", "Second. ", "[[say: third]]")] == [1, 1, 1]


async def test_a_spent_budget_is_told(bot: Product) -> None:
    me = bot.person()
    run = await me.launch("claude", "[[tokens: 2000000 500]] [[bash: echo hi]]")
    looks = await me.sees(run, rings)
    (words,) = rings(looks)
    assert "stopped by its budget" in words
    assert "$0.50" in words
