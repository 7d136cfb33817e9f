"""The folder of files, in plain blocking calls. It raises what the file system raises and knows no event loop.

    uploads/<hash of the upload's name>.part    what has arrived, in its place in the file
    uploads/<hash of the upload's name>.done    the name of the content, written when that is known
    ab/abcdef…                                  whole files by their SHA-256

Completing goes through states each of which is on the disk before the next begins: all pieces; the content's name;
the file in its place. A kill between any two of them is repaired by completing again.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from pathlib import Path

from agent.wire import MAX_FILE
from orchestrator.errors import Refused

DIGEST = re.compile(r"[0-9a-f]{64}")


class Folder:
    """The files below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._uploads = root / "uploads"
        # A piece that came late must not begin an upload anew while its completion moves the file away.
        self._changing = threading.Lock()

    def piece(self, upload: str, offset: int, data: bytes) -> None:
        """Put these bytes at their place in the upload; harmless when it is complete."""
        if offset < 0 or offset + len(data) > MAX_FILE:
            raise Refused(f"A piece at {offset} is outside of the {MAX_FILE} bytes that a file may have.")
        part, done = self._of(upload)
        with self._changing:
            if done.exists():
                return
            self._uploads.mkdir(parents=True, exist_ok=True)
            is_new = not part.exists()
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                _write_at(handle, offset, data)
                os.fsync(handle)
            finally:
                os.close(handle)
            if is_new:
                _flush(self._uploads)

    def complete(self, upload: str, sha256: str) -> str:
        """Move the upload to its place and name its content."""
        part, done = self._of(upload)
        with self._changing:
            if done.exists():
                digest = done.read_text("ascii")
            elif part.exists():
                digest = _digest(part)
            elif DIGEST.fullmatch(sha256) and self._place(sha256).exists():
                return sha256  # completed long ago, and its traces were swept
            else:
                raise Refused("Nothing of this upload has arrived.")
            if sha256 and sha256 != digest:
                raise Refused(f"The upload's content is not what it was announced to be: {digest}, not {sha256}.")
            if part.exists():
                self._settle(part, done, digest)
            return digest

    def size(self, artifact: str) -> int:
        """Bytes of a whole file."""
        return self._place(artifact).stat().st_size

    def part(self, artifact: str, offset: int, size: int) -> bytes:
        """Some bytes of a whole file; none at its end."""
        with self._place(artifact).open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def sweep(self, before: float) -> None:
        """Make the folder; remove the traces of uploads untouched since then."""
        self._uploads.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._changing:
            for trace in list(self._uploads.iterdir()):
                if trace.stat().st_mtime < before:
                    trace.unlink()

    def _settle(self, part: Path, done: Path, digest: str) -> None:
        place = self._place(digest)
        fresh = done.with_suffix(".new")
        fresh.write_text(digest, "ascii")
        _flush(fresh)
        fresh.replace(done)
        _flush(self._uploads)
        place.parent.mkdir(exist_ok=True)
        part.replace(place)
        _flush(place.parent)
        _flush(self._uploads)
        _flush(self.root)

    def _of(self, upload: str) -> tuple[Path, Path]:
        """Where an upload's traces are. Its name comes from outside and never becomes a part of a path."""
        name = hashlib.sha256(upload.encode("utf-8", "surrogatepass")).hexdigest()
        return self._uploads / f"{name}.part", self._uploads / f"{name}.done"

    def _place(self, artifact: str) -> Path:
        """Where a file with this content is. What is no content's name is no path either."""
        if not DIGEST.fullmatch(artifact):
            raise FileNotFoundError(artifact)
        return self.root / artifact[:2] / artifact


def _write_at(handle: int, offset: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(handle, rest, offset)
        rest, offset = rest[written:], offset + written


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
