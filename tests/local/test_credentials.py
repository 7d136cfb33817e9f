"""What an agent's process on this machine has of the bot's credentials, in this life and the next."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from adapters.local import LocalCredentials, LocalRuntime
from adapters.local.folder import Folder
from orchestrator.errors import Refused
from orchestrator.nouns import Agent, RunId
from orchestrator.ports import Gateway

RUN = RunId("r-1")
HELD = {"ANTHROPIC_API_KEY": "the-key", "CLAUDE_CODE_OAUTH_TOKEN": "the-token"}
GATEWAY = Gateway("https://gateway.example", lambda run, _: f"the-token-of-{run}")


def runtime(root: Path, held: Mapping[str, str] = HELD) -> LocalRuntime:
    credentials = LocalCredentials(held, gateway=GATEWAY)
    return LocalRuntime(root, python=sys.executable, env={"X": "y"}, credentials=credentials, look_seconds=0.02)


def agent(kind: str) -> Agent:
    return Agent(name="claude", driver="claude", credential=kind)


async def pid(root: Path, *, other_than: int | None = None) -> int:
    """The agentd of the run, once it lives."""
    async with asyncio.timeout(60):
        while (found := Folder(root / RUN).holder()) is None or found == other_than:  # noqa: ASYNC110 - a lock
            await asyncio.sleep(0.02)
    return found


def seen(process: int) -> dict[str, str]:
    """Its variables that are credentials."""
    pairs = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
    env = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    assert env["X"] == "y"
    return {name: text for name, text in env.items() if name.startswith(("ANTHROPIC", "CLAUDE"))}


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
@pytest.mark.parametrize(
    ("kind", "has"),
    [
        ("", HELD),
        ("token", {"CLAUDE_CODE_OAUTH_TOKEN": "the-token"}),
        ("gateway", {"ANTHROPIC_BASE_URL": GATEWAY.url, "ANTHROPIC_AUTH_TOKEN": "the-token-of-r-1"}),
    ],
)
async def test_a_process_has_what_was_chosen_and_has_it_again_after_its_death(
    tmp_path: Path, kind: str, has: dict[str, str]
) -> None:
    async with runtime(tmp_path) as local:
        await local.start(RUN, agent(kind))
        first = await pid(tmp_path)
        assert seen(first) == has
        os.kill(first, signal.SIGKILL)
        assert seen(await pid(tmp_path, other_than=first)) == has
        await local.stop(RUN)


async def test_the_shared_login_is_refused_in_a_sentence_and_nothing_is_started(tmp_path: Path) -> None:
    async with runtime(tmp_path) as local:
        with pytest.raises(Refused, match=r"would log you out.*claude setup-token"):
            await local.start(RUN, agent("login"))
        assert await local.pods() == {}


async def test_what_lives_goes_on_although_its_credential_is_gone_from_the_settings(tmp_path: Path) -> None:
    async with runtime(tmp_path) as local:
        await local.start(RUN, agent("key"))
        process = await pid(tmp_path)
    async with runtime(tmp_path, held={}) as later:
        await later.start(RUN, agent("key"), again=True)
        assert await pid(tmp_path) == process
        with pytest.raises(Refused, match="ANTHROPIC_API_KEY is not set"):
            await later.start(RunId("r-2"), agent("key"))
        await later.stop(RUN)
