"""agentd's journal: every durable frame, one line each, numbered without gaps, on disk before anybody sees it.

The file begins with a line that holds the epoch, made together with the file; then come the frames exactly as they are
printed (a driver's own reference stands behind the body, where readers ignore it). In memory are only a sparse index
and a tally. It does not know who reads and what the reports are for.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.agentd.disk import Appender
from agent.agentd.shape import sizes
from agent.agentd.tally import COUNTED, Tally
from agent.driver import Mark
from agent.wire import MAX_LINE, Frame, Malformed, Report, line_of, parse_up

CHUNK = 1 << 20
STRIDE = 128 << 10  # bytes between two entries of the index: a seek reads at most that much and one line

_HEAD = re.compile(rb'\{"n":(\d+),"epoch":"([^"]+)","at":[-+.\de]+,"kind":"([a-z_]+)"')
_REF = b',"ref":"'  # cannot stand inside a JSON text, where quotes are escaped


class Journal:
    """Open it once per life; nobody else writes to the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.tally = Tally()
        self.n = 0
        self._index: list[tuple[int, int]] = []  # (n, where its line begins), every STRIDE bytes
        self.epoch, good = self._scan()
        self._file = Appender(path, size=good)
        if not self.epoch:
            self.epoch = secrets.token_hex(8)
            self._file.append(json.dumps({"epoch": self.epoch}).encode() + b"\n")

    @property
    def size(self) -> int:
        """Bytes that are on disk."""
        return self._file.size

    def append(self, marks: Sequence[Mark]) -> None:
        """Add these reports as one write. Raises OSError when the disk does not take them: then none was added."""
        at = round(time.time(), 3)
        lines: list[bytes] = []
        written: list[Report] = []
        for number, mark in enumerate(marks, start=self.n + 1):
            line, report = self._fit(number, at, mark)
            lines.append(line)
            written.append(report)
        offset = self._file.size
        self._file.append(b"".join(lines))
        for line, report in zip(lines, written, strict=True):
            self.n += 1
            self._remember(self.n, offset)
            self.tally.count(report)
            offset += len(line)

    def offset_after(self, n: int) -> int:
        """Where the frame after this number begins, or will."""
        if n >= self.n:
            return self.size
        place = bisect_right(self._index, (n + 1, self.size)) - 1
        number, offset = self._index[place]
        for line in self._lines(offset):
            if number > n:
                break
            number += 1
            offset += len(line)
        return offset

    def read(self, offset: int, limit: int) -> bytes:
        """Bytes that are on disk, from this offset."""
        return self._file.read(offset, limit)

    def line_begins(self, offset: int) -> bool:
        """Whether a frame begins here."""
        return 0 < offset <= self.size and self.read(offset - 1, 1) == b"\n"

    def refs(self) -> Iterator[str]:
        """The drivers' references of everything in the journal, in order."""
        for line in self._lines(0):
            if line.endswith(b'"}\n') and (place := line.rfind(_REF)) > 0:
                yield json.loads(line[place + len(_REF) - 1 : -2])

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def _fit(self, number: int, at: float, mark: Mark) -> tuple[bytes, Report]:
        tail = b',"ref":' + json.dumps(mark.ref).encode() + b"}\n" if mark.ref else b"}\n"
        for report in sizes(mark.report):
            try:
                line = line_of(Frame(n=number, epoch=self.epoch, at=at, report=report))
            except Malformed:
                continue
            line = line[:-2] + tail
            if len(line) <= MAX_LINE:
                return line, report
        raise AssertionError("the last size always fits")

    def _remember(self, number: int, offset: int) -> None:
        if not self._index or offset - self._index[-1][1] >= STRIDE:
            self._index.append((number, offset))

    def _scan(self) -> tuple[str, int]:
        """The epoch and the length of what can be kept. A torn tail was never printed and is forgotten.

        Damage before the tail is another matter: the frames behind it were printed under numbers that must not be
        given again. Such a journal is put aside, and a new epoch says that this happened.
        """
        if not self._path.exists():
            return "", 0
        epoch, offset = "", 0
        for line in self._lines(0):
            if not epoch:
                epoch = _epoch_of(line)
                good = bool(epoch)
            else:
                good = self._take(line, epoch, offset)
            if not good:
                break
            offset += len(line)
        else:
            return epoch, offset
        if line.endswith(b"\n"):
            self._path.rename(self._path.with_name(f"{self._path.name}.damaged-{secrets.token_hex(4)}"))
            self.tally, self.n, self._index = Tally(), 0, []
            return "", 0
        return epoch, offset

    def _take(self, line: bytes, epoch: str, offset: int) -> bool:
        head = _HEAD.match(line)
        if head is None or not line.endswith(b"}\n") or head[1] != b"%d" % (self.n + 1) or head[2] != epoch.encode():
            return False
        if head[3] in COUNTED:
            try:
                frame = parse_up(line)
            except Malformed:
                return False
            if isinstance(frame, Frame):
                self.tally.count(frame.report)
        self.n += 1
        self._remember(self.n, offset)
        return True

    def _lines(self, offset: int) -> Iterator[bytes]:
        """Lines with their newlines, from this offset; the last may be torn."""
        with self._path.open("rb", buffering=CHUNK) as file:
            file.seek(offset)
            while line := file.readline(MAX_LINE + 1):
                yield line


def _epoch_of(line: bytes) -> str:
    try:
        epoch = json.loads(line)["epoch"]
    except (ValueError, TypeError, KeyError):
        return ""
    return epoch if isinstance(epoch, str) and line.endswith(b"\n") else ""
