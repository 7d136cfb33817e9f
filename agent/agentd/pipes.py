"""agentd's own stdin and stdout: whatever they are (a pipe, a FIFO, a terminal, a file), they never make it wait.

It knows bytes and readiness, no lines. A description that others share is left as it was found.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import stat
import sys
from collections.abc import Callable
from contextlib import suppress

from agent.agentd.complain import complain

GULP = 1 << 20
SIP = 4096  # what a blocking pipe or terminal that is ready takes without blocking
AGAIN_SECONDS = 0.5


async def ready(register: Callable[..., None], remove: Callable[[int], bool], fd: int) -> None:
    """Return when the loop says that this descriptor is ready."""
    event = asyncio.Event()
    register(fd, event.set)
    try:
        await event.wait()
    finally:
        remove(fd)


async def readable(fd: int) -> None:
    """Return when there is something to read, or the end."""
    loop = asyncio.get_running_loop()
    await ready(loop.add_reader, loop.remove_reader, fd)


class Inlet:
    """agentd's stdin. Its end is not the end of anything: somebody may open it again."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waits = can_wait(fd)

    async def read(self) -> bytes:
        """Some bytes. Waits for ever when nobody says anything."""
        while True:
            if self._waits:
                await readable(self._fd)
            try:
                chunk = os.read(self._fd, GULP)  # ready, so that this does not block even where the descriptor would
            except BlockingIOError:
                continue
            except OSError:  # a terminal that was hung up
                chunk = b""
            if chunk:
                return chunk
            await asyncio.sleep(AGAIN_SECONDS)


class Outlet:
    """agentd's stdout. `write` takes what fits and returns at once."""

    def __init__(self, fd: int) -> None:
        self.broken = False  # the reader is gone; a FIFO may get another one
        self._fd, self._limit, self._restore = _unblocked(fd)
        self._own = self._fd != fd
        self._waits = can_wait(self._fd)

    def write(self, data: bytes | memoryview) -> int:
        """How many bytes were taken; 0 when nobody makes room, or nobody is there."""
        if self._limit and not select.select([], [self._fd], [], 0)[1]:
            return 0
        try:
            taken = os.write(self._fd, data[: self._limit] if self._limit else data)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno not in {errno.EPIPE, errno.EIO, errno.ENXIO, errno.ECONNRESET}:
                complain(f"cannot print: {error}")
            self.broken = True
            return 0
        self.broken = False
        return taken

    async def writable(self) -> None:
        """Return when it is worth trying again."""
        if self.broken or not self._waits:
            await asyncio.sleep(AGAIN_SECONDS)
            return
        loop = asyncio.get_running_loop()
        await ready(loop.add_writer, loop.remove_writer, self._fd)

    def close(self) -> None:
        """Leave the descriptor as it was found."""
        if self._own:
            os.close(self._fd)
        elif self._restore:
            os.set_blocking(self._fd, True)


def can_wait(fd: int) -> bool:
    """Whether the loop can watch it: everything but plain files and the like, which are always ready."""
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)


def _unblocked(fd: int) -> tuple[int, int, bool]:
    """A descriptor that never blocks, the bytes it takes at once (0: any), and whether it must be restored.

    A description of our own is best: the flag is then nobody else's. Where there is none, a terminal stays as it is,
    because a shell that finds its terminal non-blocking loses input and output.
    """
    if can_wait(fd) and sys.platform == "linux":
        with suppress(OSError):
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY), 0, False
    if os.isatty(fd) or not can_wait(fd):
        return fd, SIP, False
    if os.get_blocking(fd):
        os.set_blocking(fd, False)
        return fd, 0, True
    return fd, 0, False
