"""The one hand that writes: everything that waits is committed in one transaction, and only then reported as done.

One flush to the disk is what a commit costs, so a group costs as much as a single change. A change that fails takes
nobody with it: its group is rolled back and each is tried again alone. This file knows no table by name.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiosqlite
import structlog

from adapters.sqlite.troubles import DEADLINE, broken
from orchestrator.errors import Broken

GROUP = 256
"""Pieces of work in one transaction at most."""

QUEUE = 1024
"""Pieces of work that may wait; more of them make their callers wait."""

log = structlog.get_logger()

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One statement for some rows. It may read and write its own table only."""

    table: str
    sql: str
    rows: Sequence[Row]


@dataclass(slots=True)
class Work:
    """Steps that happen all or not at all. When `guard` changes no row, they are left out and the result is False."""

    steps: Sequence[Step]
    guard: Step | None = None
    begun: bool = False
    done: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Writer:
    """Takes work from any task and carries it out on its own connection. `run` is its one task."""

    def __init__(self, db: aiosqlite.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self._queue: asyncio.Queue[Work | None] = asyncio.Queue(QUEUE)
        self._closed = False

    async def do(self, *steps: Step, guard: Step | None = None) -> bool:
        """Carry this out durably. Raises `Broken` when nothing was stored, or, with `unsure`, when nobody knows."""
        if self._closed:
            raise Broken(f"The store {self._path} is closed.")
        work = Work(steps, guard)
        try:
            async with asyncio.timeout(DEADLINE):
                await self._queue.put(work)
                return await work.done
        except TimeoutError:
            words = f"The disk has not stored anything in {self._path} for {DEADLINE:.0f} seconds. Check the disk."
            raise Broken(words, unsure=work.begun) from None

    async def close(self) -> None:
        """Accept no more work; `run` ends after what waits is done."""
        self._closed = True
        await self._queue.put(None)

    async def run(self) -> None:
        """Commit what waits, group by group, until closed. No error ends this."""
        while not (self._closed and self._queue.empty()):
            waiting = [await self._queue.get()]
            while len(waiting) < GROUP and not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            # Work whose caller went away while it waited is left out: the caller was told that it did not happen.
            await self._store([work for work in waiting if work is not None and not work.done.done()])

    async def _store(self, group: Sequence[Work]) -> None:
        for work in group:
            work.begun = True
        try:
            results = await self._commit(group)
        except Exception as error:  # noqa: BLE001  whatever it is, its callers are told and the writer goes on
            await self._failed(group, error)
            return
        for work, result in zip(group, results, strict=True):
            if not work.done.done():
                work.done.set_result(result)

    async def _failed(self, group: Sequence[Work], error: Exception) -> None:
        if len(group) > 1 and not _is_locked(error):
            for work in group:
                await self._store([work])
            return
        trouble = broken(error, self._path)
        log.error("store write failed", path=str(self._path), words=str(trouble), error=repr(error))
        for work in group:
            if not work.done.done():
                work.done.set_exception(trouble)

    async def _commit(self, group: Sequence[Work]) -> list[bool]:
        """One transaction for all of them; it is open neither before nor after."""
        try:
            await self._db.execute("BEGIN IMMEDIATE")
            results = [await self._passes(work.guard) for work in group]
            for step in _merged([work for work, passed in zip(group, results, strict=True) if passed]):
                await self._db.executemany(step.sql, step.rows)
            await self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:  # some errors, a full disk among them, have ended it already
                await self._db.rollback()
        return results

    async def _passes(self, guard: Step | None) -> bool:
        if guard is None:
            return True
        cursor = await self._db.executemany(guard.sql, guard.rows)
        return cursor.rowcount > 0


def _merged(group: Sequence[Work]) -> Iterator[Step]:
    """All steps, those of one statement together where only other tables' steps stand between them.

    Each table's steps keep their order; as no step reads another table, nobody can tell the difference, and a hundred
    changes cost a few calls into the driver's thread.
    """
    tables: dict[str, list[tuple[str, list[Row]]]] = {}
    for step in (step for work in group for step in work.steps):
        steps = tables.setdefault(step.table, [])
        if steps and steps[-1][0] == step.sql:
            steps[-1][1].extend(step.rows)
        else:
            steps.append((step.sql, list(step.rows)))
    for table, steps in tables.items():
        yield from (Step(table, sql, rows) for sql, rows in steps)


def _is_locked(error: Exception) -> bool:
    """Trying each alone would wait for the same lock again and again."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
