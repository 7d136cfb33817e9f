"""What a container printed, on disk, in the order in which it came: for the logs and for everybody who is attached.

The container never waits for a reader: each reads the file at its own pace. It knows bytes, no connection.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.kubeapi.news import News

STDOUT, STDERR = 1, 2


@dataclass(frozen=True, slots=True)
class Piece:
    """One read from the container."""

    at: float
    stream: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Place:
    """How far somebody has read: so many pieces, and so many bytes of the next."""

    piece: int
    within: int = 0


class Log:
    """One container's output, from its start to its end."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._pieces: list[Piece] = []
        self._size = 0
        self._news = News()
        self._rotated = 0
        self.over = False

    def add(self, stream: int, data: bytes) -> None:
        """The container said this."""
        os.pwrite(self._file, data, self._size)
        self._pieces.append(Piece(time.time(), stream, self._size, len(data)))
        self._size += len(data)
        self._news.tell()

    def finish(self) -> None:
        """Nothing will follow."""
        self.over = True
        self._news.tell()

    def close(self) -> None:
        """Let go of the file."""
        self.finish()
        os.close(self._file)

    def rotate(self) -> None:
        """The kubelet begins another file: `logs` knows what follows, and who follows hears no more."""
        self._rotated = len(self._pieces)
        self._news.tell()

    @property
    def end(self) -> Place:
        """Behind everything that was said."""
        return Place(len(self._pieces))

    def read(self, place: Place, *, most: int) -> tuple[int, bytes, Place] | None:
        """Up to so many bytes of one stream from there on; None when there are none."""
        if place.piece >= len(self._pieces):
            return None
        first = self._pieces[place.piece]
        start, size, piece = first.offset + place.within, 0, place.piece
        while piece < len(self._pieces) and size < most and self._pieces[piece].stream == first.stream:
            here = self._pieces[piece].size - (place.within if piece == place.piece else 0)
            if size + here > most:
                within = (place.within if piece == place.piece else 0) + most - size
                return first.stream, os.pread(self._file, most, start), Place(piece, within)
            size += here
            piece += 1
        return first.stream, os.pread(self._file, size, start), Place(piece)

    async def more(self, place: Place) -> bool:
        """Wait until there is something behind this place; False when there never will be."""
        while place.piece >= len(self._pieces):
            if self.over:
                return False
            await self._news.wait()
        return True

    # --- the logs ---

    def lines(self, *, since: float = 0.0) -> Iterator[tuple[float, bytes]]:
        """What the current file has, line by line; the last of a stream may be without its end."""
        first = max(self._rotated, bisect_left(self._pieces, since, key=lambda piece: piece.at))
        rest = {STDOUT: b"", STDERR: b""}
        at = 0.0
        for piece in self._pieces[first:]:
            at = piece.at
            parts = (rest[piece.stream] + os.pread(self._file, piece.size, piece.offset)).split(b"\n")
            rest[piece.stream] = parts.pop()
            yield from ((at, part + b"\n") for part in parts)
        yield from ((at, part) for part in rest.values() if part)

    async def follow(self, piece: int) -> AsyncIterator[bytes]:
        """Whole lines from that piece on, until the end of the container or the next rotation."""
        rest = {STDOUT: b"", STDERR: b""}
        rotated = self._rotated
        while self._rotated == rotated:
            if piece < len(self._pieces):
                here = self._pieces[piece]
                data = rest[here.stream] + os.pread(self._file, here.size, here.offset)
                whole, end, rest[here.stream] = data.rpartition(b"\n")
                piece += 1
                if end:
                    yield whole + end
            elif self.over:
                yield b"".join(rest.values())
                return
            else:
                await self._news.wait()
