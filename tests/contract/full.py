"""Disks that are full: under a fake that keeps things in memory, and under a database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

from adapters.sqlite.writer import Writer


class Keeper(Protocol):
    """A fake that fails with these words, where there are any."""

    fails: str


@contextmanager
def full_memory(keeper: Keeper) -> Iterator[None]:
    keeper.fails = "The disk is full."
    yield
    keeper.fails = ""


@asynccontextmanager
async def full_database(writer: Writer) -> AsyncIterator[None]:
    """The database's own way to say so: it may not grow by a page."""
    await writer._db.execute_fetchall("PRAGMA max_page_count = 1")
    yield
    await writer._db.execute_fetchall("PRAGMA max_page_count = 1000000")
