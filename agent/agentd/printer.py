"""Prints the journal to whoever reads: follows the file from a cursor and holds one chunk, however slow the reader is.

Nobody reading slows nobody. Live frames have one place each, where the newest wins, and go out between lines only. It
knows the journal's bytes, not what they mean.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

from agent.agentd.disk import Patience
from agent.agentd.journal import Journal
from agent.agentd.pipes import Outlet
from agent.wire import BEAT_SECONDS, Beat, Malformed, Resume, TextSoFar, line_of

CHUNK = 64 << 10
LIVE_SECONDS = 0.05
NOTE_SECONDS = 1.0
LOG_BYTES = 8 << 20
"""So much of what is printed a node keeps for sure: at ten MiB it begins another log."""


class Printer:
    """`run` prints until cancelled; everything else only says what is to be printed."""

    def __init__(self, outlet: Outlet, journal: Journal, *, patience: Patience, note: Path) -> None:
        self.dropped = 0  # lines from the reader that made no sense
        self.confirmed = 0  # a reader said that it has everything up to here
        self.moved = time.monotonic()  # when the reader last took some of the journal, or asked for something
        self._outlet = outlet
        self._journal = journal
        self._patience = patience
        self._note = note
        self._noted = 0.0
        self._cursor = self._begun = self._last_cursor()  # from there on this life has printed everything
        self._chunk = memoryview(b"\n")  # closes what a former life left torn
        self._whole = True  # a line ends where the chunk ends
        self._lasting = False  # the chunk is of the journal; a beat is taken by whoever drains stdout, for ever
        self._beat = True
        self._text: TextSoFar | None = None
        self._text_at = 0.0
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Print for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._beats())
            tasks.create_task(self._print())

    def resume(self, resume: Resume) -> None:
        """Print everything after what this reader has, once more."""
        self.confirmed = resume.after if resume.epoch == self._journal.epoch else 0
        self._beat = True
        self._go_to(self._journal.offset_after(self.confirmed))

    def follow(self) -> None:
        """The journal has grown: what was live is history now."""
        self._text = None
        self._news.set()

    def show(self, text: TextSoFar) -> None:
        """A live text; the one before it is forgotten."""
        self._text = text
        self._news.set()

    def beat(self) -> None:
        """Say that agentd lives."""
        self._beat = True
        self._news.set()

    async def part(self, *, patience: float) -> None:
        """Print what is left to print; once more all that no reader is known to have, if the log may not hold it.

        Who was away reads that log, and it is of one container's life only. Returns when everything was taken, or
        nobody has taken anything for so long.
        """
        wanted = self._journal.offset_after(self.confirmed)
        if wanted < self._begun or self._journal.size - wanted > LOG_BYTES:
            self._go_to(wanted)
        self.moved = time.monotonic()
        while self._chunk or self._cursor < self._journal.size:
            if time.monotonic() - self.moved > patience:
                return
            await asyncio.sleep(0.01)

    def _go_to(self, offset: int) -> None:
        self._cursor = self._begun = offset
        if not self._whole:  # the reader gets a torn line, which it drops, rather than two in one
            self._chunk, self._whole = memoryview(bytes(self._chunk) + b"\n"), True
        self.moved = time.monotonic()
        self._news.set()

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            self.beat()

    async def _print(self) -> None:
        while True:
            if not self._chunk:
                self._chunk = memoryview(self._next())
            if not self._chunk:
                await self._wait()
                continue
            taken = self._outlet.write(self._chunk)
            self._chunk = self._chunk[taken:]
            if taken:
                if self._lasting:
                    self.moved = time.monotonic()
                await asyncio.sleep(0)
            else:
                await self._outlet.writable()

    def _next(self) -> bytes:
        """What is to be printed now, at most a chunk. Empty: nothing."""
        self._lasting = False
        if self._whole and self._beat:
            self._beat = False
            return self._live(Beat(self._journal.epoch, self._journal.n, self.dropped, self._patience.trouble))
        if data := self._journal.read(self._cursor, CHUNK):
            if end := data.rfind(b"\n") + 1:
                data = data[:end]
            if self._whole:
                self._keep_note()  # before this chunk: what it holds is not printed yet
            self._whole = data.endswith(b"\n")
            self._lasting = True
            self._cursor += len(data)
            return data
        if self._text is not None and time.monotonic() - self._text_at >= LIVE_SECONDS:
            text, self._text, self._text_at = self._text, None, time.monotonic()
            return self._live(text)
        return b""

    async def _wait(self) -> None:
        """Until there is something to print."""
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(LIVE_SECONDS if self._text is not None else None):
                await self._news.wait()

    def _live(self, live: Beat | TextSoFar) -> bytes:
        try:
            return line_of(live, at=round(time.time(), 3))
        except Malformed:
            return b""

    def _last_cursor(self) -> int:
        """Where a former life stood: its reader may still be there, and drops what it has."""
        try:
            epoch, offset = self._note.read_text().split()
            cursor = int(offset)
        except (OSError, ValueError):
            return self._journal.offset_after(0)
        good = epoch == self._journal.epoch and self._journal.line_begins(cursor)
        return cursor if good else self._journal.offset_after(0)

    def _keep_note(self) -> None:
        if time.monotonic() - self._noted >= NOTE_SECONDS:
            self._noted = time.monotonic()
            with suppress(OSError):  # a full disk costs the reader some lines that it has, nothing else
                self._note.write_text(f"{self._journal.epoch} {self._cursor}\n")
