"""Launches that find a pod started ahead: from `/launch` to the first frame in the journal, of real agentds."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator.nouns import Agent
from orchestrator.run import run_id
from tests.bench.kubernetes import Bot, cluster, living
from tests.bench.rows import Row, quantile, row
from tests.e2e.cast import keep
from tests.product import LOBBY

LAUNCHES = 30
WAITING = 2
CALM_SECONDS = 0.5
WAIT_SECONDS = 120.0


async def measure() -> list[Row]:
    """One launch after the other, each when the pool is full again."""
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        # The first real agent by name is the one that pods are started ahead for.
        await keep(folder / "data", Agent("bench", "rehearsal", script="echo"))
        async with cluster(folder) as played:
            await played.do("play", real=True)
            played.settings = {**played.settings, "WARM_PODS": str(WAITING)}
            async with living(folder, played) as bot:
                await _launched(bot)  # what is loaded at the first use is loaded
                seconds = [await _launched(bot) for _ in range(LAUNCHES)]
                hits = await _metric(bot, 'army_warm_claims_total{found="hit"}')
                assert hits == LAUNCHES + 1, f"{hits} of {LAUNCHES + 1} launches found a pod"
    return [
        row("/launch to its first frame recorded, warm, p50", quantile(seconds, 0.5) * 1000, "ms"),
        row("/launch to its first frame recorded, warm, p95", quantile(seconds, 0.95) * 1000, "ms", aim=150.0),
    ]


async def _launched(bot: Bot) -> float:
    """Launch when the pool is full and the machine is calm; seconds to the first frame."""
    async with asyncio.timeout(WAIT_SECONDS):
        while await _metric(bot, 'army_warm_pods{which="ready"}') < WAITING:  # noqa: ASYNC110 - seen over HTTP only
            await asyncio.sleep(0.05)
    await asyncio.sleep(CALM_SECONDS)
    id_ = secrets.token_hex(8)
    at = time.monotonic()
    await bot.person.say(LOBBY, "/launch bench make the tests pass", id_=id_)
    return await bot.recorded(str(run_id(f"web/{LOBBY}/{id_}"))) - at


async def _metric(bot: Bot, name: str) -> float:
    async with bot.person.http.get(f"{bot.product.url}/metrics") as answer:
        found = re.search(rf"^{re.escape(name)} (\S+)$", await answer.text(), re.MULTILINE)
    assert found is not None, f"no {name} is told"
    return float(found[1])
