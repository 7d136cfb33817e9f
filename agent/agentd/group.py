"""The note of which process group runs the CLI, and the end of one that a former life of agentd left behind.

A note names a process by its number and the time of its start, so that a number that was given again hits nobody.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.agentd.disk import replace
from agent.agentd.process import kill_group

PATIENCE_SECONDS = 5.0
PROC = Path("/proc/self/stat").exists()  # Linux; elsewhere there are slower ways, or none
_STATE, _PARENT, _GROUP, _STARTED = 0, 1, 2, 19  # fields of /proc/PID/stat behind the name


@dataclass(frozen=True, slots=True)
class Note:
    """The CLI that runs or ran last. `pid` 0: it is about to start. `attempt` counts starts of this session."""

    attempt: int = 0
    pid: int = 0
    started: str = ""


def read_note(path: Path) -> Note:
    """The note, or an empty one."""
    try:
        return Note(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return Note()


def write_note(path: Path, note: Note) -> None:
    """Keep it, durably."""
    replace(path, json.dumps(asdict(note)).encode() + b"\n")


def started_at(pid: int) -> str:
    """When this process began, in words that no other process with its number shares. Empty: there is none."""
    if PROC:
        fields = _stat(pid)
        return f"{_boot()} {fields[_STARTED]}" if fields else ""
    shown = subprocess.run(  # noqa: S603 - fixed words and a number
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, check=False, timeout=PATIENCE_SECONDS
    )
    return shown.stdout.decode().strip()


async def end_group(note: Note) -> None:
    """Kill what is left of that process group, and return when nothing of it runs."""
    if note.pid <= 1 or note.pid == os.getpgrp():
        return
    now = started_at(note.pid)
    if (now and now != note.started) or not note.started.startswith(_boot()):
        return  # the number belongs to somebody else; after a new start of the machine, the group's, too
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while group_runs(note.pid):
                kill_group(note.pid, signal.SIGKILL)
                await asyncio.sleep(0.02)


def group_runs(pgid: int) -> bool:
    """Whether a process of this group is alive; one that is dead and not collected does not count."""
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return PROC  # macOS says this of a group of zombies
    if not PROC:
        return True
    return any(fields[_GROUP] == str(pgid) and fields[_STATE] not in "ZX" for fields in map(_stat, _pids()) if fields)


async def end_adopted() -> None:
    """Kill every child that agentd still has: what left its group and fell to agentd when its parent ended.

    The children of a killed one fall to agentd in turn, hence the rounds.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while children := _children():
                for pid in children:
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(0.01)


def _children() -> list[int]:
    me = str(os.getpid())
    found = {pid: _stat(pid) for pid in (_pids() if PROC else ())}
    return [pid for pid, fields in found.items() if fields and fields[_PARENT] == me and fields[_STATE] not in "ZX"]


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # some sandboxes have none; the time of the start is almost as good
        return ""


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()
