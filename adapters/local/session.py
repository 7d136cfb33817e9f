"""A connection to agentd over two named pipes: lines out of one, lines into the other, neither ever blocking the bot.

It knows the vocabulary of the pipe and nothing of processes or runs. Nothing is read before the caller asks for more,
so a slow caller leaves the bytes in the kernel's pipe, which is the bound.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from agent.wire import Command, Frame, Live, Resume, line_of
from orchestrator.errors import Broken, Busy
from orchestrator.reader import Reader

log = structlog.get_logger()

CHUNK = 256 << 10
SEND_SECONDS = 10.0


class FifoSession:
    """One connection, open from the start until `close()` or until agentd is gone."""

    def __init__(self, *, out: int, into: int, name: str, send_seconds: float = SEND_SECONDS) -> None:
        self._out = out
        self._into = into
        self._send_seconds = send_seconds
        self._open = True
        self._torn = False
        self._sending = asyncio.Lock()
        self._waits: set[asyncio.Future[None]] = set()
        self._reader = Reader(name)

    @classmethod
    def open(cls, *, out: Path, into: Path, name: str, send_seconds: float = SEND_SECONDS) -> FifoSession:
        """Open both pipes. Raises `Busy` when no agentd holds their other ends: one has just died, or is to come."""
        try:
            write = os.open(into, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ENXIO:
                raise Busy("The agent's process does not listen: it has just ended, or begun.", seconds=0.1) from None
            raise Broken(f"The agent's process does not listen: {error.strerror}.") from None
        try:
            read = os.open(out, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            os.close(write)
            raise Broken(f"The agent's process cannot be heard: {error.strerror}.") from None
        return cls(out=read, into=write, name=name, send_seconds=send_seconds)

    async def frames(self) -> AsyncIterator[Sequence[Frame | Live]]:
        """What agentd prints; see `orchestrator.ports.Session`."""
        while (chunk := await self._read()) is not None:
            if batch := self._reader.feed(chunk):
                yield batch

    @property
    def dropped(self) -> int:
        """Lines that could not be read."""
        return self._reader.dropped

    async def send(self, command: Command | Resume) -> None:
        """One line; see `orchestrator.ports.Session`."""
        await self._write(line_of(command))

    async def close_torn_line(self) -> None:
        """Write a newline: whatever half line a former connection left is over now."""
        await self._write(b"\n")

    def close(self) -> None:
        """Let go of the pipes; whoever waits on them goes on. Closing twice is closing once."""
        if not self._open:
            return
        self._open = False
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._out)
        loop.remove_writer(self._into)
        os.close(self._out)
        os.close(self._into)
        for wait in self._waits:
            _settle(wait)

    # --- reading ---

    async def _read(self) -> bytes | None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)  # a pipe that is never empty must not starve the other tasks
        while self._open:
            try:
                return os.read(self._out, CHUNK) or None
            except BlockingIOError:
                await self._ready(loop.add_reader, loop.remove_reader, self._out)
        return None

    # --- writing ---

    async def _write(self, line: bytes) -> None:
        """All of these bytes, or `Broken`. One that was given up half-way is closed by a newline before the next."""
        async with self._sending:
            rest = memoryview(b"\n" + line if self._torn else line)
            try:
                async with asyncio.timeout(self._send_seconds):
                    while rest:
                        self._torn = True
                        rest = rest[await self._write_some(rest) :]
                    self._torn = False
            except TimeoutError:
                self.close()
                raise Broken(
                    f"The agent's process has not read its commands for {self._send_seconds:.0f} seconds.", unsure=True
                ) from None

    async def _write_some(self, rest: memoryview) -> int:
        loop = asyncio.get_running_loop()
        while self._open:
            try:
                return os.write(self._into, rest)
            except BlockingIOError:
                await self._ready(loop.add_writer, loop.remove_writer, self._into)
            except OSError as error:  # the reader is gone
                self.close()
                raise Broken(f"The connection to the agent is gone: {error.strerror}.", unsure=True) from None
        raise Broken("The connection to the agent is closed.", unsure=True)

    async def _ready(self, watch: Callable[..., None], unwatch: Callable[[int], bool], fd: int) -> None:
        done = asyncio.get_running_loop().create_future()
        self._waits.add(done)
        watch(fd, _settle, done)
        try:
            await done
        finally:
            self._waits.discard(done)
            if self._open:  # after close() the number may already be somebody else's file
                unwatch(fd)


def _settle(done: asyncio.Future[None]) -> None:
    with suppress(asyncio.InvalidStateError):
        done.set_result(None)
