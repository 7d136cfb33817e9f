"""How much the store bears, on the disk where it is run: `python -m tests.bench.store`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

from adapters.sqlite import open_store
from agent.wire import ToolCalled, ToolReturned, Wrote
from orchestrator.events import Entry, Event
from orchestrator.nouns import RunId
from orchestrator.ports import Change, Store
from tests.bench.rows import Row, row, table

WRITERS = 100
BATCH = 10
SECONDS = 4.0
EVENTS: tuple[Event, ...] = (
    ToolCalled("toolu_01", "Bash", "make test && git status --short"),
    ToolReturned("toolu_01", output="....." * 20),
    Wrote("The test passes now. It failed because two of them shared a port."),
)


async def measure() -> list[Row]:
    """Durable events per second of many writers at once, how long each waits, and how long one alone does."""
    with TemporaryDirectory() as folder:
        async with open_store(Path(folder) / "store.db") as db:
            rate, waits = await _crowd(db.store)
            alone = await _alone(db.store)
            began, read = time.perf_counter(), 0
            async for page in db.store.journal(RunId("r-0")):
                read += len(page)
            reading = read / (time.perf_counter() - began)
    return [
        row("store: durable events, 100 writers", rate, "events/s", better="higher", aim=10_000.0),
        row("store: a write among 100 writers, p99", _p99(waits) * 1000, "ms", better="lower", aim=250.0),
        row("store: a write alone, p99", _p99(alone) * 1000, "ms", better="lower", aim=50.0),
        row("store: events read back", reading, "events/s", better="higher", aim=20_000.0),
    ]


async def _crowd(store: Store) -> tuple[float, list[float]]:
    began = time.perf_counter()
    waits: list[float] = []

    async def write(run: RunId) -> int:
        written = 0
        for changes in _changes(run):
            start = time.perf_counter()
            if start - began > SECONDS:
                break
            await store.write(changes)
            waits.append(time.perf_counter() - start)
            written += BATCH
        return written

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(write(RunId(f"r-{n}"))) for n in range(WRITERS)]
    return sum(task.result() for task in tasks) / (time.perf_counter() - began), waits


async def _alone(store: Store) -> list[float]:
    waits: list[float] = []
    for _, change in zip(range(300), _changes(RunId("r-alone")), strict=False):
        start = time.perf_counter()
        await store.write(change)
        waits.append(time.perf_counter() - start)
    return waits


def _changes(run: RunId) -> Iterator[Change]:
    n = 0
    while True:
        entries = [Entry(run, f"f/k3/{n + i}", 1763940000.1, EVENTS[(n + i) % len(EVENTS)]) for i in range(BATCH)]
        yield Change(entries=entries)
        n += BATCH


def _p99(waits: list[float]) -> float:
    return quantiles(waits, n=100)[-1]


if __name__ == "__main__":
    print(table(asyncio.run(measure())))
