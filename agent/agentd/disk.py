"""Writing to a disk that may be full: whole or not at all, durable, and patient where nothing may be lost.

It knows files and errors of the system, not what is written.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from agent.agentd.complain import complain

RETRY_SECONDS = 1.0
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

T = TypeVar("T")


def sync(fd: int) -> None:
    """Bring a file's data to the disk; macOS has no fdatasync."""
    getattr(os, "fdatasync", os.fsync)(fd)


class Appender:
    """A file that grows by whole appends: what could not be written to its end is cut off again."""

    def __init__(self, path: Path, *, size: int) -> None:
        self.size = size
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._fd, size)  # the torn tail of a former life

    def append(self, data: bytes, *, durable: bool = True) -> None:
        """Add these bytes. Raises OSError, and then the file is as long as it was."""
        try:
            view = memoryview(data)
            done = 0
            while done < len(view):
                done += os.pwrite(self._fd, view[done:], self.size + done)
            if durable:
                sync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(data)

    def read(self, offset: int, limit: int) -> bytes:
        """Bytes that were appended, from this offset."""
        return os.pread(self._fd, max(0, min(limit, self.size - offset)), offset)

    def close(self) -> None:
        """Let the file go."""
        os.close(self._fd)


def replace(path: Path, data: bytes) -> None:
    """Make this the content of a small file; whoever reads sees the old or the new."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        sync(file.fileno())
    temporary.replace(path)


class Patience:
    """Tries again until the disk takes it. `trouble` says meanwhile what hurts."""

    def __init__(self) -> None:
        self.trouble = ""
        self.changed: Callable[[], None] = lambda: None

    async def __call__(self, write: Callable[[], T]) -> T:
        """The result of `write`, however often it takes."""
        while True:
            try:
                result = write()
            except OSError as error:
                if not self.trouble:
                    complain(f"cannot write: {error}")
                self._say(words(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._say("")
                return result

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self.changed()


def words(error: OSError) -> str:
    """What a person should know of this."""
    if error.errno in FULL:
        return f"the pod's disk is full: the agent waits until there is room again ({error.strerror})"
    return f"the pod's disk cannot be written: the agent waits and tries again ({error.strerror})"
