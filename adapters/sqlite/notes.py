"""The port Notes: one drawer of the table `notes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import aiosqlite

from adapters.sqlite.rows import plain
from adapters.sqlite.troubles import rows
from adapters.sqlite.writer import Step, Writer

KEEP = (
    "INSERT INTO notes (space, name, text) VALUES (?, ?, ?) "
    "ON CONFLICT (space, name) DO UPDATE SET text = excluded.text"
)
DROP = "DELETE FROM notes WHERE space = ? AND name = ?"
SCAN = "SELECT name, text FROM notes WHERE space = ? AND name >= ? AND name <> ? ORDER BY name LIMIT ?"


class SqliteNotes:
    """Small texts by name, apart from those of other spaces."""

    def __init__(self, writer: Writer, reader: aiosqlite.Connection, *, path: Path, space: str) -> None:
        self._writer = writer
        self._reader = reader
        self._path = path
        self._space = space

    async def put(self, notes: Mapping[str, str | None]) -> None:
        """All of them in one transaction."""
        kept = [(self._space, plain(name), plain(text)) for name, text in notes.items() if text is not None]
        dropped = [(self._space, plain(name)) for name, text in notes.items() if text is None]
        steps = (Step("notes", KEEP, kept), Step("notes", DROP, dropped))
        await self._writer.do(*(step for step in steps if step.rows))

    async def scan(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> Sequence[tuple[str, str]]:
        """One page, from the table's own order."""
        first, last = plain(prefix), plain(after)
        values = (self._space, max(first, last), last, max(0, limit))
        found = await rows(self._reader, SCAN, *values, path=self._path)
        # Names are in order, so those with the prefix come first and together.
        return [(name, text) for name, text in found if name.startswith(first)]
