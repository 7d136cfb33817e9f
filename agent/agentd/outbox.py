"""Files from the agent: what appears in the outbox, and when it is complete enough to be handed over.

It looks and cuts into pieces; it does not know the journal. A file is known by its path, time, size and content, so
that the same one is handed over once and a changed one again.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from agent.driver import Mark
from agent.wire import MAX_FILE, PIECE, FilePiece, Noticed

REST_SECONDS = 0.3
MOST_FILES = 50
MOST_SEEN = 10_000  # a tree that an agent unpacks there must not keep agentd busy with looking
REF = "file:"


@dataclass(frozen=True, slots=True)
class Look:
    """How a file looked: its size, its time and its inode."""

    size: int
    time: int
    inode: int


class Outbox:
    """`ready` finds files, `take` makes the reports of one; the same report has the same reference in every life."""

    def __init__(
        self, folder: Path, copy: Path, *, secrets: Callable[[], tuple[str, ...]], refs: Iterable[str]
    ) -> None:
        self._folder = folder
        self._copy = copy
        self._secrets = secrets
        self._handed = {ref for ref in refs if ref.startswith(REF)}
        self._seen: dict[Path, tuple[Look, float]] = {}  # files at rest or not, and since when they look like this
        self._over: dict[Path, Look] = {}  # handed over or refused, as they looked then
        self._count = 0

    @property
    def restless(self) -> bool:
        """Whether there are files that may still be growing: worth another look soon."""
        return bool(self._seen)

    def ready(self, *, turn_over: bool) -> list[Path]:
        """Files to hand over now: those that rest; at the end of a turn, all that are there."""
        now = time.monotonic()
        seen: dict[Path, tuple[Look, float]] = {}
        found: list[Path] = []
        for path, look in islice(self._walk(), MOST_SEEN):
            if self._over.get(path) == look:
                continue
            old, since = self._seen.get(path, (None, now))
            since = since if old == look else now
            seen[path] = (look, since)
            if turn_over or now - since >= REST_SECONDS:
                found.append(path)
        self._seen = seen
        if turn_over:
            self._count = 0
        return found

    def take(self, path: Path) -> Iterator[Mark]:
        """The reports that hand over this file. Raises OSError when there is no room for the copy they are cut from.

        Say `handed` when they are in the journal: a hand-over that broke off goes on at the next look.
        """
        look = self._seen[path][0]
        marks = self._refuse(path, look) if self._count < MOST_FILES else self._too_many(path, look)
        if marks is not None:
            return iter(marks)
        digest, words = self._take_copy(path)
        if words or self._betrays():
            words = words or "holds a credential of this agent"
            return iter([_refusal(path, look, f"'{path.name}' {words} and was not handed over.")])
        size = self._copy.stat().st_size
        whole = self._identity(path, look, size=size, digest=digest)
        if f"{REF}{whole}:{max(size - 1, 0) // PIECE * PIECE}" in self._handed:
            return iter(())  # in a former life; it must not count as one too many in this one
        self._count += 1
        return self._pieces(path, whole, size=size, digest=digest)

    def handed(self, path: Path) -> None:
        """All the reports of this file are in the journal."""
        self._over[path] = self._seen[path][0]

    def remember(self, ref: str) -> None:
        """Know that the report with this reference is in the journal."""
        self._handed.add(ref)

    def new(self, mark: Mark) -> bool:
        """Whether this report is not in the journal."""
        return mark.ref not in self._handed

    def _refuse(self, path: Path, look: Look) -> list[Mark] | None:
        name = path.name
        if path.is_symlink():
            return [_refusal(path, look, f"'{name}' is a link and was not handed over; copy the file itself.")]
        if look.size > MAX_FILE:
            words = f"'{name}' has {look.size >> 20} MiB and was not handed over: {MAX_FILE >> 20} MiB is the most."
            return [_refusal(path, look, words)]
        return None

    def _too_many(self, path: Path, look: Look) -> list[Mark]:
        self._count += 1
        if self._count > MOST_FILES + 1:
            return []
        words = f"More than {MOST_FILES} files at once in the outbox: pack them into one archive."
        return [_refusal(path, look, words)]

    def _walk(self) -> Iterator[tuple[Path, Look]]:
        for folder, folders, names in os.walk(self._folder):
            for name in [*names, *(one for one in folders if Path(folder, one).is_symlink())]:
                path = Path(folder, name)
                with suppress(OSError):  # gone in this moment
                    found = path.lstat()
                    if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
                        yield path, Look(found.st_size, found.st_mtime_ns, found.st_ino)

    def _take_copy(self, path: Path) -> tuple[str, str]:
        """Copy the file, so that all its pieces are of one state. Returns its digest, or why it cannot be read."""
        digest = hashlib.sha256()
        with self._copy.open("wb") as copy:
            chunks = _read(path)
            while True:
                try:
                    chunk = next(chunks, b"")
                except OSError as error:  # of the file, not of the copy: trying again does not help
                    return "", f"cannot be read ({error.strerror})"
                if not chunk:
                    return digest.hexdigest(), ""
                digest.update(chunk)
                copy.write(chunk)

    def _betrays(self) -> bool:
        secrets = tuple(secret.encode() for secret in self._secrets())
        longest = max(map(len, secrets), default=0)
        before = b""
        with self._copy.open("rb") as file:
            while longest and (chunk := file.read(PIECE)):
                window = before + chunk
                if any(secret in window for secret in secrets):
                    return True
                before = window[-longest:]
        return False

    def _identity(self, path: Path, look: Look, *, size: int, digest: str) -> str:
        inside = path.relative_to(self._folder).as_posix()
        return hashlib.sha256(f"{inside}\0{look.time}\0{size}\0{digest}".encode("utf-8", "replace")).hexdigest()[:32]

    def _pieces(self, path: Path, whole: str, *, size: int, digest: str) -> Iterator[Mark]:
        with self._copy.open("rb") as file:
            for offset in range(0, max(size, 1), PIECE):
                data = base64.b64encode(file.read(PIECE)).decode()
                last = offset + PIECE >= size
                piece = FilePiece(whole, path.name, size, digest, offset, data, last=last)
                yield Mark(piece, f"{REF}{whole}:{offset}")
        self._copy.unlink(missing_ok=True)


def _read(path: Path) -> Iterator[bytes]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        left = MAX_FILE
        while chunk := os.read(fd, min(PIECE, left)):
            left -= len(chunk)
            yield chunk
    finally:
        os.close(fd)


def _refusal(path: Path, look: Look, words: str) -> Mark:
    known = hashlib.sha256(f"{path}\0{look}".encode("utf-8", "replace")).hexdigest()[:32]
    return Mark(Noticed("warning", "file-refused", words), f"{REF}{known}:refused")
