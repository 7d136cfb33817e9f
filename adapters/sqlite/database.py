"""Opens the file, checks it, brings it to today's shape, and closes it in order. Everything else gets it opened."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiosqlite

from adapters.sqlite.notes import SqliteNotes
from adapters.sqlite.schema import migrate, number
from adapters.sqlite.store import SqliteStore
from adapters.sqlite.troubles import damaged, told
from adapters.sqlite.writer import Step, Writer
from orchestrator.errors import Broken

LOCK_SECONDS = 5.0
"""How long a statement waits for another program's lock."""

CHECK_BYTES = 256 << 20
"""Up to this size the whole file is checked when it is opened (about half a second); damage in a larger one is told
when it is read."""

FORGET_INBOX = "DELETE FROM inbox WHERE at < ?"
FORGET_LETTERS = """
DELETE FROM outbox WHERE at < ?1 AND (message_id IS NOT NULL OR lost IS NOT NULL)
AND key NOT IN (SELECT value FROM json_each(?2))
AND NOT EXISTS (SELECT 1 FROM outbox AS newer WHERE newer.edits = outbox.key AND newer.edits <> '' AND (
    newer.at >= ?1 OR newer.message_id IS NULL AND newer.lost IS NULL))
AND NOT EXISTS (SELECT 1 FROM journal AS launched WHERE launched.run = outbox.run AND launched.kind = 'launched'
    AND NOT EXISTS (SELECT 1 FROM journal AS ended WHERE ended.run = outbox.run AND ended.kind = 'ended'))
"""


class Database:
    """An open file."""

    def __init__(self, writer: Writer, reader: aiosqlite.Connection, *, path: Path, now: Callable[[], float]) -> None:
        self.path = path
        self.store = SqliteStore(writer, reader, path=path, now=now)
        self._writer = writer
        self._reader = reader

    def notes(self, namespace: str) -> SqliteNotes:
        """A drawer of its own for whoever has this name."""
        return SqliteNotes(self._writer, self._reader, path=self.path, space=namespace)

    async def prune(self, before: float, *, keep: Sequence[str] = ()) -> None:
        """Forget inbox keys and settled letters untouched since then (Unix seconds); the journal stays whole.

        Letters of live runs, letters that a younger or unsent one edits, and those whose keys are in `keep` stay: their
        message ids are still needed.
        """
        await self._writer.do(
            Step("inbox", FORGET_INBOX, [(before,)]),
            Step("outbox", FORGET_LETTERS, [(before, json.dumps(list(keep)))]),
        )


@asynccontextmanager
async def open_store(path: Path, *, now: Callable[[], float] = time.time) -> AsyncIterator[Database]:
    """The file at `path`, made if it is missing. Raises `Broken` with a sentence that says what to do about it.

    Closing finishes what waits to be written; SQLite then folds its log into the file, which is all that stays.
    """
    _make(path)
    async with AsyncExitStack() as stack:
        with told(path):
            db = await stack.enter_async_context(_connected(path))
            await _prepare(db, path)
            reader = await stack.enter_async_context(_connected(path))
            await reader.execute("PRAGMA query_only = ON")
        writer = await stack.enter_async_context(_writing(db, path))
        yield Database(writer, reader, path=path, now=now)


@asynccontextmanager
async def _writing(db: aiosqlite.Connection, path: Path) -> AsyncIterator[Writer]:
    """A writer with its task. A TaskGroup would wrap the body's errors, and cancel what waits to be written."""
    writer = Writer(db, path)
    task = asyncio.create_task(writer.run(), name="store writer")
    try:
        yield writer
    finally:
        await writer.close()
        await task


@asynccontextmanager
async def _connected(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    connection = aiosqlite.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
    try:
        await connection
    except BaseException:
        # The last thing that its thread does is to tell the loop, which must still be there to be told.
        await asyncio.to_thread(connection._thread.join)  # noqa: SLF001 - there is no other way to wait for it
        raise
    try:
        yield connection
    finally:
        await connection.close()


async def _prepare(db: aiosqlite.Connection, path: Path) -> None:
    """A sound file, flushed at every commit, with today's tables."""
    size = await number(db, "PRAGMA page_count") * await number(db, "PRAGMA page_size")
    if size <= CHECK_BYTES:
        ((words,),) = await db.execute_fetchall("PRAGMA quick_check(1)")
        if words != "ok":
            raise damaged(path, str(words))
    await db.execute("PRAGMA synchronous = FULL")
    await db.execute("PRAGMA foreign_keys = ON")
    await migrate(db, path)
    await db.execute_fetchall("PRAGMA journal_mode = WAL")  # kept in the file, so only after it proved to be ours


def _make(path: Path) -> None:
    """A private file to begin with: what people said is nobody else's business."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
    except OSError as error:
        raise Broken(
            f"The store {path} cannot be made: {error.strerror} ({error.filename}). "
            "Check that the bot's user owns the folder and may write there, or set DATA_DIR to another."
        ) from error
