"""Child processes: each in a session and process group of its own, none of them waited for in two places.

One `Reaper` collects every child, also the orphans that fall to agentd as PID 1 or subreaper. It knows no CLI.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.agentd.pipes import GULP

STDERR_TAIL = 16 << 10
BIG_PIPE = 1 << 20
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER, _SET_PIPE_SIZE = 1, 36, 1031


def adopt_orphans() -> None:
    """Become the parent of grandchildren whose parent dies, so that they can be ended and do not stay as zombies."""
    if prctl := _prctl():
        prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Reaper:
    """Collects dead children. Use it inside the loop that made it."""

    def __init__(self) -> None:
        self._watched: dict[int, tuple[subprocess.Popen[bytes], asyncio.Future[int]]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap)

    def watch(self, child: subprocess.Popen[bytes]) -> asyncio.Future[int]:
        """The child's exit code, negative for a signal. Call it right after the start, before anything is awaited."""
        future: asyncio.Future[int] = self._loop.create_future()
        self._watched[child.pid] = (child, future)
        return future

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid in self._watched:
                    child, future = self._watched.pop(pid)
                    child.returncode = os.waitstatus_to_exitcode(status)
                    if not future.done():
                        future.set_result(child.returncode)


class Process:
    """A running child and its three pipes. `tell` never blocks, `read` is called by one reader."""

    def __init__(self, reaper: Reaper, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self._child = subprocess.Popen(  # noqa: S603 - starting what a driver names is the purpose
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - agentd has no threads
        )
        self.exit = reaper.watch(self._child)
        self.pid = self._child.pid
        self._loop = asyncio.get_running_loop()
        self._out = _pipe(self._child.stdout)
        _widen(self._out)
        self._in = _pipe(self._child.stdin)
        self._err = _pipe(self._child.stderr)
        self._said = bytearray()
        self._ending = False
        self._stderr = b""
        self._loop.add_reader(self._err, self._take_stderr)

    @property
    def out(self) -> int:
        """The descriptor to wait on before `read`."""
        return self._out

    @property
    def unread(self) -> int:
        """Bytes that the child has not taken from its stdin."""
        return len(self._said)

    @property
    def stderr(self) -> str:
        """The end of what the child said there."""
        return self._stderr.decode("utf-8", "replace")

    def read(self) -> bytes | None:
        """Some of its stdout, b"" at the end, None when there is nothing now."""
        try:
            return os.read(self._out, GULP)
        except BlockingIOError:
            return None

    def tell(self, data: bytes) -> None:
        """Bytes for its stdin, after everything told before."""
        if not self._ending:
            self._said += data
            self._push()

    def hang_up(self) -> None:
        """Close its stdin as soon as everything told is through."""
        self._ending = True
        self._push()

    def kill(self, number: signal.Signals) -> None:
        """A signal for the whole group."""
        kill_group(self.pid, number)

    def close(self) -> None:
        """Let the pipes go. The child must have ended."""
        self._loop.remove_reader(self._err)
        self._take_stderr()
        self._close_stdin()
        for stream in (self._child.stdout, self._child.stderr):
            if stream is not None:
                stream.close()

    def _push(self) -> None:
        if self._child.stdin is None or self._child.stdin.closed:
            return
        try:
            while self._said:
                del self._said[: os.write(self._in, self._said)]
        except BlockingIOError:
            self._loop.add_writer(self._in, self._push)
            return
        except OSError:  # it reads no more; that it ends is told elsewhere
            self._said.clear()
            self._ending = True
        self._loop.remove_writer(self._in)
        if self._ending:
            self._close_stdin()

    def _close_stdin(self) -> None:
        if self._child.stdin is not None and not self._child.stdin.closed:
            self._loop.remove_writer(self._in)
            self._child.stdin.close()

    def _take_stderr(self) -> None:
        try:
            chunk = os.read(self._err, GULP)
        except BlockingIOError:
            return
        self._stderr = (self._stderr + chunk)[-STDERR_TAIL:]
        if not chunk:
            self._loop.remove_reader(self._err)


def kill_group(pgid: int, number: signal.Signals) -> None:
    """A signal for a process group that may be gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, number)


def _pipe(stream: Any) -> int:
    fd: int = stream.fileno()
    os.set_blocking(fd, False)
    return fd


def _widen(fd: int) -> None:
    """A bigger pipe means fewer wake-ups: half of them where a CLI prints fast and the machine is busy.

    For its stdout alone: what a user's pipes hold together is limited (64 MiB), and beyond that every new one is tiny.
    """
    if sys.platform == "linux":
        import fcntl  # noqa: PLC0415 - only where it has this call

        with suppress(OSError):  # the system may forbid it
            fcntl.fcntl(fd, _SET_PIPE_SIZE, BIG_PIPE)


def _prctl() -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    call: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
    return call


def _die_with_parent() -> Callable[[], None] | None:
    """What a child does before it becomes the CLI: ask to be killed when agentd dies.

    Where that cannot be asked (macOS) an old CLI is found by its note on disk, and ended before the next one starts.
    """
    prctl = _prctl()
    if prctl is None:
        return None
    parent = os.getpid()

    def ask() -> None:
        prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return ask
