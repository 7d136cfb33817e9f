"""agentd as a detached process: starting it, seeing whether it lives, and ending it with everything that it started.

A process id alone is never believed: a signal goes to who holds the run's lock, or carries the run's mark in its
environment. It knows folders and processes, no session and no run's meaning.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import agent
from adapters.local.folder import Folder

TERM_SECONDS = 10.0
KILL_SECONDS = 5.0
LOOK_SECONDS = 0.02
MARK = "AGENT_RUN_FOLDER"
"""The variable by which everything that a run started is recognised, however far it moved from agentd."""

MAIN = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('agent.agentd', run_name='__main__')"
"""`python -m agent.agentd`, but isolated: neither the folder it runs in nor PYTHON* variables can slip a module in,
and what the agent runs inherits no PYTHONPATH of ours."""

KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR")
"""What every program may know of the machine. Nothing else of the bot's own environment reaches an agent."""


def environment(folder: Folder, *, given: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The environment of agentd, made from scratch. `own` is the bot's, `given` what it wants its agents to have."""
    kept = {name: own[name] for name in KEPT if name in own}
    return {"PATH": os.defpath, "LANG": "C.UTF-8", **kept, **given, "HOME": str(folder.home), MARK: str(folder.path)}


def spawn(folder: Folder, *, python: str, env: Mapping[str, str]) -> Child:
    """Start agentd. It outlives us, our terminal and every reader of its pipes."""
    folder.prepare()
    with (
        _opened(folder.into, os.O_RDWR) as into,
        _opened(folder.out, os.O_RDWR) as out,
        _opened(folder.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as log,
    ):
        child = subprocess.Popen(  # noqa: S603 - fixed words and our own paths
            [python, "-I", "-c", MAIN, str(Path(agent.__file__).parent.parent), "--state", str(folder.state)],
            stdin=into,  # open for both directions in agentd itself: it never sees an end, and never a broken pipe
            stdout=out,
            stderr=log,
            cwd=folder.path,
            env=dict(env),
            umask=0o077,
            start_new_session=True,  # Ctrl-C and the hang-up of the bot's terminal are not for agents
        )
    child.returncode = 0  # this object, whose end would complain that the process goes on, has done its work
    return Child(child.pid)


class Child:
    """A process that we started. It is asked for by number only as long as it is ours and not collected."""

    def __init__(self, pid: int) -> None:
        self._pid: int | None = pid

    def runs(self) -> bool:
        """Whether it still runs; when not, no zombie is left of it."""
        if self._pid is not None:
            with suppress(ChildProcessError):
                if os.waitpid(self._pid, os.WNOHANG) == (0, 0):
                    return True
            self._pid = None  # the number may be given again from now on
        return False

    def signal(self, number: int) -> bool:
        """Send it this; False when it runs no more."""
        if self._pid is None or not self.runs():
            return False
        os.kill(self._pid, number)
        return True


async def end(folder: Folder, child: Child | None) -> bool:
    """End what runs in this folder: agentd in order, then by force, then whatever it left. False: something stays."""
    for number, seconds in ((signal.SIGTERM, TERM_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        _signal_agentd(folder, child, number)
        if await _until(lambda: not lives(folder, child), seconds=seconds):
            break
    return await sweep(folder) and not lives(folder, child)


async def sweep(folder: Folder) -> bool:
    """End every process that carries this folder's mark, agentd or not. False: one of them stays."""
    deadline = time.monotonic() + KILL_SECONDS
    while await asyncio.to_thread(_kill_marked, folder):  # again, because one that forked meanwhile may be missed
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True


async def _until(condition: Callable[[], bool], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True


def lives(folder: Folder, child: Child | None) -> bool:
    """Whether an agentd lives here: our own child (its lock may still be to come), or whoever holds the lock."""
    return (child is not None and child.runs()) or folder.holder() is not None


def _signal_agentd(folder: Folder, child: Child | None, number: signal.Signals) -> None:
    if child is not None and child.signal(number):
        return
    if holder := folder.holder():
        with _held(holder) as process:
            if folder.holder() == holder:  # so the process we got hold of before is the one that holds the lock
                process(number)


_Signal = Callable[[int], None]


@contextmanager
def _held(pid: int) -> Iterator[_Signal]:
    """A way to signal the process that has this number now, and no later one."""
    if not hasattr(os, "pidfd_open"):
        yield lambda number: os.kill(pid, number)
        return
    try:
        fd = os.pidfd_open(pid)
    except OSError:  # it is gone
        yield lambda _number: None
        return
    try:
        yield lambda number: signal.pidfd_send_signal(fd, number)
    finally:
        os.close(fd)


def _kill_marked(folder: Folder) -> int:
    """Kill every process that carries this folder's mark; how many there were. Without /proc none is found."""
    if sys.platform != "linux":
        return 0
    found = 0
    mark = b"\0" + f"{MARK}={folder.path}".encode() + b"\0"
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError), _held(int(entry.name)) as process:
            if mark in b"\0" + (entry / "environ").read_bytes():
                found += 1
                process(signal.SIGKILL)
    return found


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)
