"""A container: a real local process with real pipes. It knows no pod, and nobody who is attached.

A killed process 1 takes everything along that it started, however far that moved away: in a cluster the kernel does so
with the process namespace; here all that carry the container's mark in their environment are killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.kubeapi.log import STDERR, STDOUT, Log

MARK = "KUBEAPI_CONTAINER"
GULP = 1 << 18
PROC = Path("/proc/self/environ")


class Container:
    """One start of a container. Once `run` has returned, nothing of it is left but its log."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.id = uuid.uuid4().hex
        self.oom = False
        self._process: asyncio.subprocess.Process | None = None
        self._stdin: int | None = None
        self._room = asyncio.Lock()
        self._waiting: asyncio.Future[None] | None = None
        self._mouths = 2
        self._silent = asyncio.Event()

    async def start(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: str, stdin: bool) -> None:
        """Start it. Raises `OSError` when there is no such program."""
        ours: list[int] = []
        theirs: list[int] = []
        try:
            if stdin:
                child, self._stdin = os.pipe()
                theirs.append(child)
                ours.append(self._stdin)
                os.set_blocking(self._stdin, False)
            for _ in (STDOUT, STDERR):
                reader, writer = os.pipe()
                ours.append(reader)
                theirs.append(writer)
            self._process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=theirs[0] if stdin else asyncio.subprocess.DEVNULL,
                stdout=theirs[-2],
                stderr=theirs[-1],
                env={**env, MARK: self.id},
                cwd=cwd,
                start_new_session=True,
            )
        except BaseException:  # cancelled, too: nobody else knows these
            for fd in ours:
                os.close(fd)
            self._stdin = None
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        self._listen(ours[-2], STDOUT)
        self._listen(ours[-1], STDERR)

    def _listen(self, fd: int, stream: int) -> None:
        os.set_blocking(fd, False)
        asyncio.get_running_loop().add_reader(fd, self._hear, fd, stream)

    def _hear(self, fd: int, stream: int) -> None:
        try:
            data = os.read(fd, GULP)
        except BlockingIOError:
            return
        if data:
            self.log.add(stream, data)
        else:
            asyncio.get_running_loop().remove_reader(fd)
            os.close(fd)
            self._mouths -= 1
            if not self._mouths:
                self._silent.set()

    async def run(self) -> int:
        """Wait for its end; the code it ended with, 128 + n for a signal."""
        assert self._process is not None
        code = await self._process.wait()
        while self.sweep():  # noqa: ASYNC110 - a killed process says nothing when it is gone
            await asyncio.sleep(0.005)
        await self._silent.wait()
        self.close_stdin()
        self.log.finish()
        return code if code >= 0 else 128 - code

    @property
    def pid(self) -> int:
        """The process's number on this machine."""
        assert self._process is not None
        return self._process.pid

    def kill(self, number: signal.Signals) -> None:
        """Send process 1 a signal; one that has ended does not mind."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)  # `send_signal` looks first whether it has ended, and asyncio loses the code

    def sweep(self) -> bool:
        """Kill what carries this container's mark; whether there was anything."""
        mark = f"{MARK}={self.id}".encode()
        found = False
        if not PROC.exists():  # macOS: what left the process group is not found
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            return False
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with suppress(OSError), open(f"/proc/{entry.name}/environ", "rb") as file:  # noqa: PTH123 - hot path
                    if mark in file.read().split(b"\0"):
                        os.kill(int(entry.name), signal.SIGKILL)
                        found = True
        return found

    async def write(self, data: bytes) -> bool:
        """Into its stdin, waiting for room; False when nobody listens any more. Cancelled, it may have written half."""
        async with self._room:
            rest = memoryview(data)
            while rest:
                if self._stdin is None:
                    return False
                try:
                    rest = rest[os.write(self._stdin, rest) :]
                except BlockingIOError:
                    await self._roomy()
                except OSError:
                    return False
            return True

    async def _roomy(self) -> None:
        """Return when the pipe has room again, or is closed."""
        assert self._stdin is not None
        loop, fd = asyncio.get_running_loop(), self._stdin
        self._waiting = loop.create_future()
        loop.add_writer(fd, _settle, self._waiting)
        try:
            await self._waiting
        finally:
            if self._stdin == fd:
                loop.remove_writer(fd)

    def close_stdin(self) -> None:
        """The end of its stdin."""
        if self._stdin is not None:
            asyncio.get_running_loop().remove_writer(self._stdin)
            os.close(self._stdin)
            self._stdin = None
            if self._waiting is not None:
                _settle(self._waiting)


def _settle(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)
