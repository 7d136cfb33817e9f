"""The whole bot under load: the product as it is, real SQLite, real named pipes, real pages over HTTP.

One data directory goes through 1, 100 and 500 live runs; then the bot is killed and takes them up again. The agents
are played by one process (`tests.bench.pods`); people and pages are here.

What bounds it: the bot is one Python process, and an event costs it about 0.2 ms of processor time: a third of that to
read and record it, a quarter to redraw its run's page, a tenth for those who look at pages, the rest in the event loop
and its deadlines; no part stands out. Some 300 runs at ten events a second fill one core. With 500 nothing is lost and
all of it is recorded, but events wait for each other.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import psutil

from orchestrator.run import run_id
from tests.bench.rows import Row, quantile, row
from tests.product import LOBBY, ROOT, Product

WARM_SECONDS = 3.0
MEASURE_SECONDS = 12.0
IDLE_SECONDS = 5.0
DRAIN_SECONDS = 25.0
PAGES = 5
"""Threads that somebody looks at while they work."""

TEXTS_PER_SECOND = 5.0
FRAMES = 200
"""What each run has in its journal, at least, when memory and recovery are measured."""

STAMP = re.compile(rb"T(\d{8,})T")
SIZES = (1, 100, 500)


class Pods:
    """The process that plays the agents."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, order: str, **more: object) -> Any:
        """Give an order, and what came of it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": order, **more}).encode() + b"\n")
        async with asyncio.timeout(60):
            answer = await self._process.stdout.readline()
        return json.loads(answer)


@asynccontextmanager
async def pods_at(root: Path) -> AsyncIterator[Pods]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.pods", str(root),
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=16 << 20,
    )  # fmt: skip
    try:
        yield Pods(process)
    finally:
        assert process.stdin
        process.stdin.close()
        async with asyncio.timeout(10):
            await process.wait()


class Page:
    """A page that is open on one thread: when each stamped line was first seen on it."""

    def __init__(self, bot: Product, run: str) -> None:
        self.run = run
        self.place = thread_of(run)
        self.seen: dict[int, float] = {}
        self._bot = bot

    async def watch(self) -> None:
        tail = b""
        timeout = aiohttp.ClientTimeout(total=None)
        async with (
            aiohttp.ClientSession(timeout=timeout, read_bufsize=1 << 20) as http,
            http.get(f"{self._bot.url}/events", params={"conversation": self.place}) as answer,
        ):
            assert answer.status == 200, await answer.text()
            async for chunk in answer.content.iter_any():
                now = time.monotonic()
                data = tail + chunk
                for found in STAMP.findall(data):
                    self.seen.setdefault(int(found), now)
                tail = data[-24:]

    def delays(self, begin: float, end: float) -> list[float]:
        """Seconds from each line of this span to the page."""
        return [at - stamp / 1e6 for stamp, at in self.seen.items() if begin <= stamp / 1e6 <= end]


class Room:
    """A bot with its agents and people, and the figures taken of it."""

    def __init__(self, bot: Product, pods: Pods, data: Path) -> None:
        self.bot, self.pods = bot, pods
        self.runs: list[str] = []
        self._person = bot.person()
        self._database = data / "army.db"

    @property
    def process(self) -> psutil.Process:
        assert self.bot.process
        return psutil.Process(self.bot.process.pid)

    async def grow(self, size: int) -> None:
        """Launch runs until there are so many."""
        while len(self.runs) < size:
            ids = [secrets.token_hex(8) for _ in range(min(10, size - len(self.runs)))]
            runs = [str(run_id(f"web/{LOBBY}/{id_}")) for id_ in ids]
            await self.pods.do("open", runs=runs)  # before the launch: the bot then finds an agentd that lives
            async with asyncio.TaskGroup() as group:
                for id_ in ids:
                    group.create_task(self._person.say(LOBBY, "/launch rehearsal make the tests pass", id_=id_))
            self.runs += runs
        await self.attached(since=0.0)

    async def attached(self, *, since: float) -> float:
        """Wait until every agent was asked to resume after this moment; returns when the last one was."""
        async with asyncio.timeout(60):
            while min(resumed := await self.pods.do("resumed")) <= since:  # noqa: ASYNC110 - another process knows
                await asyncio.sleep(0.01)
        return float(max(resumed))

    async def measure(self, pages: Sequence[Page]) -> tuple[list[float], list[float], float]:
        """All runs at work: seconds from text to heard, from line to page, and durable events per second."""
        await self.pods.do("play", runs=self.runs)
        await asyncio.sleep(WARM_SECONDS)
        await self.pods.do("heard")
        begin, rows = time.monotonic(), self.recorded()
        await self._talk(MEASURE_SECONDS)
        end, rows = time.monotonic(), self.recorded() - rows
        newest = await self.pods.do("pause")
        async with asyncio.timeout(DRAIN_SECONDS):
            while any(newest[page.run] not in page.seen for page in pages):  # noqa: ASYNC110 - seen over HTTP only
                await asyncio.sleep(0.05)
        texts = [(heard - said) / 1e6 for said, heard in await self.pods.do("heard")]
        lines = [delay for page in pages for delay in page.delays(begin, end)]
        return texts, lines, rows / (end - begin)

    async def idle(self) -> float:
        """Percent of one core that the bot takes while nobody does anything."""
        await self.settled()
        before, began = self.process.cpu_times(), time.monotonic()
        await asyncio.sleep(IDLE_SECONDS)
        after = self.process.cpu_times()
        return 100 * (after.user + after.system - before.user - before.system) / (time.monotonic() - began)

    async def fill(self) -> None:
        """Give every run a journal of some length; by now each event of the whole day stands there once."""
        await self.pods.do("fill", frames=FRAMES)
        await self.settled()
        told, kept = await self.pods.do("journal"), self._number("SELECT count(*) FROM journal WHERE key LIKE 'f/%'")
        assert told == kept, f"the agents told {told} events and {kept} are recorded"

    async def settled(self) -> None:
        """Wait until nothing more is recorded."""
        async with asyncio.timeout(60):
            before = -1
            while before != (before := self.recorded()):  # noqa: ASYNC110 - seen in the file only
                await asyncio.sleep(0.5)

    def recorded(self) -> int:
        """Rows of the journal."""
        return self._number("SELECT max(seq) FROM journal")

    def _number(self, sql: str) -> int:
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as db:
            (found,) = db.execute(sql).fetchone()
        return int(found or 0)

    async def _talk(self, seconds: float) -> None:
        """Somebody says something in some run, again and again."""
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < end:
                group.create_task(self._say(random.choice(self.runs)))
                await asyncio.sleep(random.expovariate(TEXTS_PER_SECOND))

    async def _say(self, run: str) -> None:
        stamp = int(time.monotonic() * 1e6)
        text = f"And please look at the other test as well. S{stamp}S"
        body = {"id": secrets.token_hex(8), "conversation": thread_of(run), "text": text, "files": []}
        status, words = await self._person.once("/api/send", body)
        assert status == 200, words


def thread_of(run: str) -> str:
    """The thread that the page opens for a run."""
    return hashlib.sha256(run.encode()).hexdigest()[:16]


async def started(bot: Product) -> float:
    """Start it; seconds until it hears people."""
    began = time.monotonic()
    await bot.start()
    return time.monotonic() - began


async def measure() -> list[Row]:
    """Everything that is measured of the room."""
    with TemporaryDirectory(prefix="bench-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        bot = Product(data, env={"MAX_RUNS": "1000", "LOG_LEVEL": "WARNING"})
        starts = []
        for _ in range(3):
            starts.append(await started(bot))
            await bot.kill()
        rows = [row("start: process to hearing people", median(starts), "s", aim=5.0)]
        await bot.start()
        async with pods_at(data / "runs") as pods:
            room = Room(bot, pods, data)
            try:
                rows += await _loads(room)
                rows += await _recoveries(room)
            finally:
                await room._person.http.close()
                await bot.kill()
    return rows


async def _loads(room: Room) -> list[Row]:
    rows = []
    await asyncio.sleep(1)
    empty = room.process.memory_info().rss
    for size in SIZES:
        await room.grow(size)
        pages = [Page(room.bot, run) for run in random.sample(room.runs, min(PAGES, size))]
        watching = [asyncio.create_task(page.watch()) for page in pages]
        try:
            texts, lines, recorded = await room.measure(pages)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
        aim = 50.0 if size <= 100 else None
        name = f"{size} run{'s' if size > 1 else ''}"
        for what, delays in (("text to heard", texts), ("line to page", lines)):
            rows.append(row(f"{name}: {what}, p50", quantile(delays, 0.5) * 1000, "ms"))
            rows.append(row(f"{name}: {what}, p95", quantile(delays, 0.95) * 1000, "ms", aim=aim))
        rows.append(row(f"{name}: durable events recorded", recorded, "events/s", better="higher", aim=9.5 * size))
        if size == 100:
            rows.append(row(f"{name}, idle: processor of the bot", await room.idle(), "% of 1"))
    await room.fill()
    await asyncio.sleep(2)
    per_run = (room.process.memory_info().rss - empty) / SIZES[-1] / (1 << 20)
    rows.append(row(f"{SIZES[-1]} runs: memory of the bot for each", per_run, "MiB", aim=1.0))
    return rows


async def _recoveries(room: Room) -> list[Row]:
    ready, attached = [], []
    for _ in range(3):
        await room.bot.kill()
        began = time.monotonic()
        await room.bot.start()
        ready.append(time.monotonic() - began)
        attached.append(await room.attached(since=began) - began)
    name = f"recover {SIZES[-1]} runs of {FRAMES}+ events"
    return [
        row(f"{name}: start to hearing people", median(ready), "s", aim=5.0),
        row(f"{name}: start to all attached", median(attached), "s", aim=5.0),
    ]
