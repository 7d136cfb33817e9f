"""The bot is killed with -9 again and again in the middle of busy runs, while a person keeps talking."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from random import Random

import pytest

from tests.chaos.cast import stage
from tests.chaos.truth import boards_are_true, check_disk, check_lobby, check_others, check_thread, read, settled
from tests.product import Product

KILLS = 52
SEEDS = [int(os.environ.get("CHAOS_SEED", "1"))]


@pytest.mark.slow
@pytest.mark.xdist_group("chaos")
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_bot_is_killed_at_any_moment(tmp_path: Path, seed: int) -> None:
    began = time.monotonic()
    async with stage(tmp_path, seed, ("single", "single", "mixed", "asking", "mixed")) as (bot, talker):
        *busy, doomed = talker.threads
        async with asyncio.TaskGroup() as group:
            for thread in busy:
                group.create_task(talker.talk(thread, pause=0.6))
            group.create_task(talker.talk_in_lobby(pause=0.5, launches=("mixed", "tap", "offer", "single", "offer")))
            group.create_task(talker.stop_later(doomed, seconds=5))
            await kill_and_start(bot, Random(f"{seed}/kills"))
            talker.quiet.set()
        killed = time.monotonic() - began
        async with asyncio.timeout(40):
            while not await settled(bot) or len(bot.runs()) != len(talker.titles) - 1:  # noqa: ASYNC110 - as said
                await asyncio.sleep(0.1)
        finals = sum([check_thread(thread, await talker.me.looks(thread.place)) for thread in talker.threads])
        for place in ("runs", "lobby"):  # a dashboard is drawn once a second
            await talker.me.sees(place, lambda looks: boards_are_true(talker, looks))
        check_lobby(talker, await talker.me.looks("lobby"))
        assert len(await talker.me.looks("runs")) == 1
        known = {thread.place for thread in talker.threads}
        others = [place for place in await talker.me.threads() if place not in known]
        check_others(talker, [read(await talker.me.looks(place)).finals for place in others])
        await bot.close()
        sums = check_disk(tmp_path / "data", talker.threads)
        typed = sum(len(thread.typed) for thread in (talker.lobby, *talker.threads))
        print(f"{KILLS} kills in {killed:.0f} s, {time.monotonic() - began:.0f} s in all")
        print(f"{typed} typed, {finals} finals, {sums}")


async def kill_and_start(bot: Product, dice: Random) -> None:
    """End with a bot that lives; one life in three does not even come to hear people."""
    for _ in range(KILLS):
        if dice.random() < 0.66:
            await bot.hears()
            await asyncio.sleep(dice.uniform(0, dice.choice([0.1, 0.6, 0.6, 2.0])))
        else:
            await asyncio.sleep(dice.uniform(0, 0.4))
        await bot.kill()
        await bot.spawn()
    await bot.hears()
