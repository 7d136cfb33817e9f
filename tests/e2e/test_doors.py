"""Every door of the bot but the page: its commands, its health and metrics, its end; no secret leaves by any."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bot.greeting import VERSION
from orchestrator.nouns import Agent
from tests.agent.claude_cli import claude_bin, needs_cli
from tests.e2e.cast import keep, rehearsed
from tests.e2e.door import command
from tests.product import LOBBY, Person, Product
from tests.stub_api import StubApi

ECHO = Agent("echo", "rehearsal", script="echo")
KEY = "sk-stub-key-that-nobody-may-see"
TOKEN = "web-token-that-nobody-may-see"


async def test_commands_say_what_they_did(tmp_path: Path) -> None:
    bot = Product(tmp_path / "var")
    path = bot.data / "army.db"
    said = await command(bot, "version")
    assert (said.code, said.out.strip(), said.err) == (0, VERSION, "")
    said = await command(bot, "--help")
    assert said.code == 0
    assert all(word in said.out for word in ("run", "doctor", "migrate", "backup", "version"))
    said = await command(bot, "dance")
    assert said.code == 2
    assert "invalid choice: 'dance'" in said.err

    said = await command(bot, "doctor")
    assert (said.code, said.err) == (0, "")
    assert f"{bot.data} is not there yet; the first start makes it" in said.out
    assert "no credential: set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN in .env" in said.out
    assert not bot.data.exists(), "it changes nothing"

    said = await command(bot, "backup", str(tmp_path / "copy.db"))
    assert said.code == 1
    assert str(path) in said.err
    said = await command(bot, "migrate")
    assert (said.code, said.out.strip()) == (0, f"{path} has the shape of version {VERSION}.")

    async with bot:
        me = bot.person()
        await me.say(LOBBY, "keep these words")
        copy = tmp_path / "copy.db"
        said = await command(bot, "backup", str(copy))
        assert (said.code, said.out.strip()) == (0, f"The database is copied to {copy}.")
        said = await command(bot, "backup", str(copy))
        assert said.code == 1
        assert str(copy) in said.err
        said = await command(bot, "doctor")
        assert said.code == 0, "a bot that runs is no mistake"
        assert f"Another bot (process {bot.process and bot.process.pid}) already uses" in said.out
        assert "is sound; 0 live runs" in said.out
        said = await command(bot, "migrate")
        assert said.code == 1
        assert "Another bot" in said.err

    restored = Product(tmp_path / "restored")
    restored.data.mkdir()
    copy.rename(restored.data / "army.db")
    async with restored:
        assert "keep these words" in [look.text for look in await restored.person().looks(LOBBY)]


async def test_health_and_metrics_tell_what_is(tmp_path: Path) -> None:
    await keep(tmp_path / "var", ECHO, rehearsed(tmp_path, "asker", [[{"ask": "Well?", "choices": ["Yes"]}]]))
    async with Product(tmp_path / "var") as bot, aiohttp.ClientSession() as http:
        me = bot.person()
        run = await me.launch("echo", "one")
        await me.sees(run, lambda looks: looks[-1].text == "echo: one")
        other = await me.launch("asker", "two")
        await me.sees(other, lambda looks: looks[-1].rings)
        for path in ("/healthz", "/readyz"):
            async with http.get(bot.url + path) as answer:
                assert answer.status == 200
        async with http.get(f"{bot.url}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            families = list(text_string_to_metric_families(await answer.text()))
    samples = {(s.name, s.labels.get("phase", "")): s.value for family in families for s in family.samples}
    assert samples["army_runs", "idle"] == samples["army_runs", "asking"] == 1
    assert samples["army_runs", "working"] == 0
    assert samples["army_ready", ""] == 1
    assert samples["army_live_cost_dollars", ""] == pytest.approx(0.01)
    assert 0 < time.time() - samples["army_start_time_seconds", ""] < 60


async def test_ctrl_c_ends_the_bot_at_once_and_no_agent(tmp_path: Path) -> None:
    await keep(tmp_path / "var", ECHO)
    async with Product(tmp_path / "var") as bot:
        me = bot.person()
        run = await me.launch("echo", "one")
        await me.sees(run, lambda looks: looks[-1].text == "echo: one")
        hears = asyncio.Event()
        open_page = asyncio.create_task(watch(me.events(run), hears))
        await asyncio.wait_for(hears.wait(), 5)
        began = time.monotonic()
        code = await bot.close()
        assert time.monotonic() - began < 5
        assert code == 0
        await asyncio.wait_for(open_page, 5)
        assert "Traceback" not in bot.words()
        await bot.start()
        assert "1 live run taken up again" in bot.words()
        await me.say(run, "two")
        await me.sees(run, lambda looks: [look.text for look in looks if look.rings] == ["echo: one", "echo: two"])


async def watch(events: AsyncIterator[tuple[str, Any, str]], hears: asyncio.Event) -> None:
    """Read a page's stream until it ends."""
    with suppress(aiohttp.ClientError):
        async for _ in events:
            hears.set()


@pytest.mark.cli
@needs_cli
async def test_secrets_stand_in_no_file_and_no_log(tmp_path: Path) -> None:
    async with StubApi() as api:
        env = {
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": api.url,
            "CLAUDE_BIN": str(claude_bin()),
            "WEB_TOKEN": TOKEN,
            "LOG_LEVEL": "DEBUG",
            "NO_PROXY": "*",
        }
        async with Product(tmp_path / "var", env=env) as bot:
            me = bot.person()
            await log_in(bot, me)
            run = await me.launch("claude", "[[bash: echo hello]]")
            await me.sees(run, lambda looks: any(look.text == "done: hello" for look in looks))
            assert telling(bot, "*") == []

            # An agent that prints its own environment: the CLI's own transcript keeps that, nothing of ours does.
            await me.say(run, "[[bash: env; echo it is $ANTHROPIC_API_KEY]]")
            await me.sees(run, lambda looks: sum(look.rings for look in looks) == 2)
            await me.say(run, "/logs")
            looks = await me.sees(run, lambda looks: "/files/" in looks[-1].html)
            assert "it is •••" in "".join([look.text for look in looks])
            assert [look for look in looks if KEY in look.html] == []
            for pattern in ("army.db*", "files/**/*", "runs/*/*", "runs/*/state/*"):
                assert telling(bot, pattern) == []
            assert KEY not in (await command(bot, "doctor")).out


def telling(bot: Product, pattern: str) -> list[Path]:
    """The files of the data directory and the log that hold a secret."""
    files = [path for path in (bot.log, *bot.data.rglob(pattern)) if path.is_file()]
    assert len(files) > 1, "there is something to look into"
    return [path for path in files if any(secret.encode() in path.read_bytes() for secret in (KEY, TOKEN))]


async def log_in(bot: Product, person: Person) -> None:
    """Log in as the page does."""
    await person.http.close()
    person.http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))  # cookies of an IP address
    async with person.http.get(f"{bot.url}/api/earlier?conversation=lobby") as answer:
        assert answer.status == 401
    async with person.http.post(f"{bot.url}/login", data={"token": TOKEN}, headers={"Origin": bot.url}) as answer:
        assert answer.status == 200
