"""Agents in a cluster: the real client over real sockets to the API server of the tests, which is another process.

What is measured is the bot's part: its calls, and what it makes of what comes. A real cluster adds its own seconds, of
which most are a node's: to fetch the image, to start a guest, and for the agent's CLI to start in it.

On two processors with little else to do, the create call left 13 ms after `/launch` was sent, 19 of 20 times within 16:
before it the launch is written down, and the thread that was opened for it. With a played agentd the first frame was
recorded after 28 ms, with a real one after 174. One attach carried 100,000 frames a second. A change of one pod cost 60
to 120 us, with ten pods as with a thousand. Of the 4.3 s until 500 runs were attached again, 3.4 were processor time: a
fifth of that to load what the bot is made of, and as much to read the journals.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from adapters.kubernetes import Door, Guest, KubernetesRuntime
from agent.wire import Frame, Resume
from orchestrator.nouns import Agent, RunId
from orchestrator.run import run_id
from tests.bench.rows import Row, quantile, row
from tests.product import LOBBY, ROOT, Product

AGENT = Agent("rehearsal", "rehearsal")
GUEST = Guest(image="agent:1")
LAUNCHES = 40
APART_SECONDS = 0.15
REAL_LAUNCHES = 5
FLOOD = 100_000
FEW, MANY = 10, 1000
CHANGES = 3000
RUNS = 500
FRAMES = 200
"""What each run has in its journal when all are attached again."""

WAIT_SECONDS = 120.0


class Played:
    """The process that plays the cluster. `settings`: how a bot finds it."""

    def __init__(self, process: asyncio.subprocess.Process, settings: Mapping[str, str]) -> None:
        self.settings = settings
        self._process = process

    @property
    def door(self) -> Door:
        return Door(namespace=self.settings["KUBE_NAMESPACE"], kubeconfig=self.settings["KUBECONFIG"])

    async def do(self, order: str, **more: object) -> Any:
        """Give an order, and what came of it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": order, **more}).encode() + b"\n")
        async with asyncio.timeout(WAIT_SECONDS):
            return json.loads(await self._process.stdout.readline())


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Played]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.kubernetes_cluster", str(folder / "kubeconfig"),
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=16 << 20,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            settings = json.loads(await process.stdout.readline())
        yield Played(process, settings)
    finally:
        process.stdin.close()
        async with asyncio.timeout(WAIT_SECONDS):
            await process.wait()


async def measure() -> list[Row]:
    """Everything that is measured of the runtime in a cluster; each part with a cluster of its own."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))  # as the bot's is here
    rows: list[Row] = []
    for part in (_launches, _flood, _watching, _reattach):
        with TemporaryDirectory(prefix="bench-") as folder:
            async with cluster(Path(folder)) as played:
                rows += await part(Path(folder), played)
    return rows


# --- from a command to its pod ---------------------------------------------------------------------------------------


class Bot:
    """The product, and what its database says."""

    def __init__(self, folder: Path, played: Played) -> None:
        self.product = Product(folder / "data", env={"MAX_RUNS": "1000", "LOG_LEVEL": "WARNING", **played.settings})
        self.person = self.product.person()
        self._database = folder / "data" / "army.db"

    async def launch(self) -> tuple[str, float]:
        """Type /launch; the run, and when that was sent."""
        id_ = secrets.token_hex(8)
        at = time.monotonic()
        await self.person.say(LOBBY, "/launch rehearsal make the tests pass", id_=id_)
        return str(run_id(f"web/{LOBBY}/{id_}")), at

    async def recorded(self, run: str) -> float:
        """When the run's first frame stands in the journal, to two milliseconds."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not self.count(f"SELECT count(*) FROM journal WHERE run = '{run}' AND key LIKE 'f/%'"):  # noqa: ASYNC110 - seen in the file only
                await asyncio.sleep(0.002)
        return time.monotonic()

    def count(self, sql: str) -> int:
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as db:
            (found,) = db.execute(sql).fetchone()
        return int(found or 0)


@asynccontextmanager
async def living(folder: Path, played: Played) -> AsyncIterator[Bot]:
    bot = Bot(folder, played)
    async with bot.product:
        yield bot


async def _launches(folder: Path, played: Played) -> list[Row]:
    async with living(folder, played) as bot:
        await bot.launch()  # what is loaded at the first use is loaded
        await asyncio.sleep(1)
        to_call, to_frame = await _few(bot, played, LAUNCHES)
        await played.do("play", real=True)
        _, to_real = await _few(bot, played, REAL_LAUNCHES)
    return [
        row("/launch to the pod's create call, p50", quantile(to_call, 0.5) * 1000, "ms"),
        row("/launch to the pod's create call, p95", quantile(to_call, 0.95) * 1000, "ms", aim=20.0),
        row("/launch to its first frame recorded, agentd played", quantile(to_frame, 0.5) * 1000, "ms"),
        row("/launch to its first frame recorded, a real agentd", quantile(to_real, 0.5) * 1000, "ms"),
    ]


async def _few(bot: Bot, played: Played, count: int) -> tuple[list[float], list[float]]:
    """One launch after the other: seconds to the call, and to the first frame."""
    await played.do("calls")
    began: list[float] = []
    frames: list[float] = []
    for _ in range(count):
        run, at = await bot.launch()
        began.append(at)
        frames.append(await bot.recorded(run) - at)
        await asyncio.sleep(APART_SECONDS)
    created = (await played.do("calls"))["created"]
    assert len(created) == count, f"{len(created)} calls for {count} launches"
    return [call - at for call, at in zip(created, began, strict=True)], frames


# --- through one attach ----------------------------------------------------------------------------------------------


async def _flood(_: Path, played: Played) -> list[Row]:
    run = RunId("r-flood")
    async with KubernetesRuntime(played.door, GUEST) as runtime:
        await runtime.start(run, AGENT)
        while not await played.do("resumed"):  # noqa: ASYNC110 - another process knows
            await asyncio.sleep(0.01)
        await played.do("work", runs=[run], frames=FLOOD, quiet=True)
        async with runtime.attach(run) as session:
            await session.send(Resume())
            began, n = time.monotonic(), 0
            async with asyncio.timeout(WAIT_SECONDS):
                async for batch in session.frames():
                    n += sum(isinstance(frame, Frame) for frame in batch)
                    if n >= FLOOD:
                        break
            seconds = time.monotonic() - began
        await runtime.stop(run)
    return [row("one attach: frames of some 250 bytes", FLOOD / seconds, "frames/s", better="higher", aim=20_000)]


# --- many pods -------------------------------------------------------------------------------------------------------


async def _watching(_: Path, played: Played) -> list[Row]:
    await played.do("hollow", hollow=True)
    rows: list[Row] = []
    before = 0
    for size in (FEW, MANY):
        async with KubernetesRuntime(played.door, GUEST) as runtime:
            for first in range(before, size, 20):
                numbers = range(first, min(size, first + 20))
                await asyncio.gather(*(runtime.start(RunId(f"r-{n}"), AGENT) for n in numbers))
        before = size
        while await played.do("running") < size:  # noqa: ASYNC110 - another process knows
            await asyncio.sleep(0.05)
        rows += await _followed(played, size)
    return rows


async def _followed(played: Played, size: int) -> list[Row]:
    """A bot that begins with so many pods, and lives through changes."""
    await played.do("calls")
    began = time.monotonic()
    async with KubernetesRuntime(played.door, GUEST) as runtime:
        assert len(await runtime.pods()) == size
        listed = time.monotonic() - began
        version = runtime._news.version
        processor = time.process_time()
        told = await played.do("touch", times=CHANGES)
        async with asyncio.timeout(WAIT_SECONDS):
            while int(runtime._news.version) < int(version) + CHANGES:  # noqa: ASYNC110 - it has no bell
                await asyncio.sleep(0.002)
        processor = time.process_time() - processor
    calls = (await played.do("calls"))["counts"]
    name = f"{size} pods"
    return [
        row(f"{name}: until all are known", listed, "s"),
        row(f"{name}: calls to know and follow them", sum(calls.values()), "calls", aim=3 + -(-size // 500)),
        row(f"{name}: bytes of a change", told / CHANGES, "bytes"),
        row(f"{name}: the bot's processor time for a change", processor / CHANGES * 1e6, "us"),
    ]


# --- all of them again -----------------------------------------------------------------------------------------------


async def _reattach(folder: Path, played: Played) -> list[Row]:
    async with living(folder, played) as bot:
        began = time.monotonic()
        for _ in range(RUNS // 10):
            await asyncio.gather(*(bot.launch() for _ in range(10)))
        await _attached(played, since=began)
        await played.do("work", frames=FRAMES, quiet=False)
        await _recorded(bot, played)
        ready, attached = [], []
        for _ in range(3):
            await bot.product.kill()
            await played.do("calls")
            began = time.monotonic()
            await bot.product.start()
            ready.append(time.monotonic() - began)
            attached.append(await _attached(played, since=began) - began)
            calls = (await played.do("calls"))["counts"]
            assert "get pods" not in calls, f"the pods are asked for one by one: {calls}"
    name = f"{RUNS} runs of {FRAMES} events"
    return [
        row(f"{name}: start to hearing people", median(ready), "s", aim=5.0),
        row(f"{name}: start to all attached again", median(attached), "s", aim=5.0),
    ]


async def _attached(played: Played, *, since: float) -> float:
    """Wait until every agent was asked to resume after this moment; returns when the last one was."""
    async with asyncio.timeout(WAIT_SECONDS):
        while len(resumed := await played.do("resumed")) < RUNS or min(resumed) <= since:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return float(max(resumed))


async def _recorded(bot: Bot, played: Played) -> None:
    """Wait until each frame of everybody stands in the journal."""
    async with asyncio.timeout(WAIT_SECONDS):
        while bot.count("SELECT count(*) FROM journal WHERE key LIKE 'f/%'") < await played.do("frames"):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
