"""A copy of the store while the bot runs, from the same process or from another one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiosqlite

from adapters.sqlite.schema import APPLICATION_ID, number
from adapters.sqlite.troubles import damaged, told
from orchestrator.errors import Broken, Refused


async def backup(source: Path, target: Path) -> None:
    """Copy the store as it is at this moment to `target`, which appears there whole and checked, or not at all.

    To restore: stop the bot, move the store and the files beside it away, copy the backup to its place.
    """
    with _partial(source, target) as partial:
        await _copy(source, partial)


@contextmanager
def _partial(source: Path, target: Path) -> Iterator[Path]:
    """A file beside `target` that takes its name when the body has filled it."""
    if not source.is_file():
        raise Refused(f"There is no store at {source}, so there is nothing to back up. Check DATA_DIR.")
    if target.exists():
        raise Refused(f"{target} exists already and is not overwritten. Give the backup another name.")
    partial = target.with_name(target.name + ".partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove(partial)
        partial.touch(mode=0o600)
        try:
            yield partial
            _flush(partial)
            partial.replace(target)
            _flush(target.parent)
        finally:
            _remove(partial)
    except OSError as error:
        raise Broken(f"The backup {target} cannot be written: {error.strerror}. Choose another place.") from error


def _remove(partial: Path) -> None:
    """With what SQLite put beside it: a stale journal would be taken for the next copy's."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        partial.with_name(partial.name + suffix).unlink(missing_ok=True)


async def _copy(source: Path, partial: Path) -> None:
    with told(source):
        async with aiosqlite.connect(source, isolation_level=None) as db:
            if await number(db, "PRAGMA application_id") != APPLICATION_ID:
                raise Refused(f"{source} is not a store of this bot. Check DATA_DIR.")
            with told(partial):
                async with aiosqlite.connect(partial, isolation_level=None) as copy:
                    await db.backup(copy)
                    await copy.execute_fetchall("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
                    ((words,),) = await copy.execute_fetchall("PRAGMA integrity_check(1)")
                    if words != "ok":
                        raise damaged(source, str(words))


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
