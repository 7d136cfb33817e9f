"""agentd and the CLI are killed with -9 again and again under a living bot, which itself dies now and then."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from adapters.local.folder import Folder
from agent.agentd.group import read_note, started_at
from tests.chaos.cast import stage
from tests.chaos.truth import at_rest, check_disk, check_thread, settled
from tests.product import Product

SEEDS = [int(os.environ.get("CHAOS_SEED", "1"))]
EACH = 5
"""Kills of each kind for one run: with more in so short a time, agentd and the runtime rightly give up."""

BOT_KILLS = 4


@pytest.mark.slow
@pytest.mark.xdist_group("chaos")
@pytest.mark.parametrize("seed", SEEDS)
async def test_agentd_and_the_cli_are_killed_at_any_moment(tmp_path: Path, seed: int) -> None:
    began = time.monotonic()
    agents = ("single", "single", "mixed", "mixed", "asking", "asking")
    async with stage(tmp_path, seed, agents) as (bot, talker):
        async with asyncio.timeout(20):
            while len(bot.runs()) < len(talker.threads):  # noqa: ASYNC110 - a folder comes without a word
                await asyncio.sleep(0.05)
        done: Counter[str] = Counter()
        async with asyncio.TaskGroup() as group:
            for thread in talker.threads:
                group.create_task(talker.talk(thread, pause=0.6))
            async with asyncio.TaskGroup() as killers:
                for number, folder in enumerate(bot.runs()):
                    killers.create_task(kill_agent(Folder(folder), Random(f"{seed}/{number}"), done))
                killers.create_task(kill_bot(bot, Random(f"{seed}/bot"), done))
            talker.quiet.set()
        killed = time.monotonic() - began
        async with asyncio.timeout(40):
            while not await settled(bot) or not at_rest(bot.data, {run.name: run / "state" for run in bot.runs()}):  # noqa: ASYNC110 - seen over HTTP only
                await asyncio.sleep(0.1)
        finals = sum([check_thread(thread, await talker.me.looks(thread.place)) for thread in talker.threads])
        await bot.close()
        sums = check_disk(tmp_path / "data", talker.threads)
        print(
            f"{dict(done)} killed in {killed:.0f} s, {time.monotonic() - began:.0f} s in all; {finals} finals, {sums}"
        )
    assert done == {"agentd": EACH * len(talker.threads), "cli": EACH * len(talker.threads), "bot": BOT_KILLS}


async def kill_agent(folder: Folder, dice: Random, done: Counter[str]) -> None:
    """Kill the agentd or the CLI of one run at random moments, in random order."""
    kinds = ["agentd", "cli"] * EACH
    dice.shuffle(kinds)
    for kind in kinds:
        await asyncio.sleep(dice.uniform(0, 1.2))
        while not (kill_cli(folder) if kind == "cli" else kill_agentd(folder)):  # noqa: ASYNC110 - until there is one
            await asyncio.sleep(0.01)
        done[kind] += 1


def kill_agentd(folder: Folder) -> bool:
    """False: there is none now."""
    holder = folder.holder()
    if not holder:
        return False
    try:
        os.kill(holder, signal.SIGKILL)
    except ProcessLookupError:  # it went by itself in this very moment
        return False
    return True


def kill_cli(folder: Folder) -> bool:
    """False: there is none now."""
    note = read_note(folder.state / "cli")
    there = bool(note.pid) and started_at(note.pid) == note.started
    if there:
        os.kill(note.pid, signal.SIGKILL)
    return there


async def kill_bot(bot: Product, dice: Random, done: Counter[str]) -> None:
    """End with a bot that lives."""
    for _ in range(BOT_KILLS):
        await asyncio.sleep(dice.uniform(1, 4))
        await bot.kill()
        done["bot"] += 1
        await bot.start()
