"""SQLite's errors as sentences for people: what happened, where, and what to do."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiosqlite

from orchestrator.errors import Broken

DEADLINE = 30.0
"""Seconds after which a caller is told that the disk does not answer."""

RESTORE = (
    "Stop the bot, move this file and those beside it (-wal, -shm) away, and copy a backup to its place; "
    "`python -m bot backup` makes backups."
)


def damaged(path: Path, words: str) -> Broken:
    """The file cannot be trusted any more."""
    return Broken(f"The store {path} is damaged or is no database ({words}). {RESTORE}")


def broken(error: Exception, path: Path) -> Broken:
    """What a person should know of this error."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return Broken(f"The disk is full: {path} cannot grow. Free some space; then the same works again.")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Broken(
            f"Another program keeps {path} locked. Close what has it open (a database browser?) and try again."
        )
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return damaged(path, str(error))
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return Broken(
            f"{path} cannot be opened for writing ({error}). Check that it is a file, that the bot's user owns it and "
            "its folder, and that the disk is not mounted read-only."
        )
    if code == sqlite3.SQLITE_IOERR:
        return Broken(
            f"The disk failed under {path} ({error}). Check the disk; the system's log says more.", unsure=True
        )
    return Broken(f"The store {path} failed: {error}.")


async def rows(db: aiosqlite.Connection, sql: str, *values: object, path: Path) -> list[tuple[Any, ...]]:
    """What this query answers; `Broken` where it fails or takes too long."""
    try:
        with told(path):
            async with asyncio.timeout(DEADLINE):
                return [tuple(row) for row in await db.execute_fetchall(sql, values)]
    except TimeoutError as error:
        raise Broken(f"The disk has not answered for {DEADLINE:.0f} seconds under {path}. Check the disk.") from error


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Raise `Broken` instead of what SQLite and its driver raise."""
    try:
        yield
    except sqlite3.Error as error:
        raise broken(error, path) from error
    except ValueError as error:  # the driver's word for a connection that was closed
        raise Broken(f"The store {path} is closed.") from error
