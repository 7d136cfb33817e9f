"""Files for the agent: pieces become a file under a safe name. Applying a piece twice changes nothing."""

from __future__ import annotations

import base64
import binascii
import errno
import os
import re
from pathlib import Path

from agent.agentd.disk import sync
from agent.wire import MAX_FILE, Put

NAME_CHARS = 120
PART = ".part-"
IN_THE_WAY = frozenset({errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP})
"""What an agent may have put there; waiting, as for a full disk, would be for ever."""


def safe_name(name: str) -> str:
    """A file name without folders, control characters or a leading dot; the ending is kept."""
    last = re.split(r"[/\\]", name)[-1]
    clean = "".join(c for c in last if c.isprintable()).strip().lstrip(".").strip()
    stem, dot, ending = clean.rpartition(".")
    if dot and stem and len(ending) <= NAME_CHARS // 4:
        clean = stem[: NAME_CHARS - 1 - len(ending)] + "." + ending
    while len(clean.encode("utf-8", "replace")) > 2 * NAME_CHARS:  # file systems count bytes
        clean = clean[1:]
    return clean[-NAME_CHARS:] or "file"


class Uploads:
    """The folder where files wait for the agent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """Where a file of this name lies, or will."""
        return self._folder / safe_name(name)

    def put(self, piece: Put) -> str:
        """Apply a piece. Returns a sentence when it is refused; raises OSError when the disk does not take it."""
        try:
            data = base64.b64decode(piece.data, validate=True)
        except (binascii.Error, ValueError):
            return f"a piece of '{piece.name}' is not base64"
        if piece.offset < 0 or piece.offset + len(data) > MAX_FILE:
            return f"'{piece.name}' is larger than {MAX_FILE >> 20} MiB"
        try:
            return self._apply(piece, data)
        except OSError as error:
            if error.errno not in IN_THE_WAY:
                raise
            return f"'{piece.name}' cannot be written to {self._folder}: {error.strerror}"

    def _apply(self, piece: Put, data: bytes) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)  # an agent may have tidied it away
        path = self.path(piece.name)
        part = path.with_name(PART + path.name)
        end = piece.offset + len(data)
        there = part.stat().st_size if part.exists() else 0
        if piece.offset > there:
            if piece.last and _ends_with(path, data, end=end):
                return ""  # a former life applied it and was killed before it could say so
            return f"'{piece.name}': a piece is missing before byte {piece.offset}; send the file again"
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (0 if piece.offset else os.O_TRUNC), 0o644)
        try:
            view = memoryview(data)
            done = 0
            while done < len(view):
                done += os.pwrite(fd, view[done:], piece.offset + done)
            if piece.last:
                os.ftruncate(fd, end)
            sync(fd)  # each of them: once its id is accepted, a piece is not taken again
        finally:
            os.close(fd)
        if piece.last:
            part.replace(path)
        return ""


def _ends_with(path: Path, data: bytes, *, end: int) -> bool:
    """Whether the whole file is there, with this as its last piece."""
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) != end:
                return False
            file.seek(end - len(data))
            return file.read() == data
    except FileNotFoundError:
        return False
