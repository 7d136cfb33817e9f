"""How much a pod has taken of the disk that it may take, and words for people before it is too much. Knows no cluster.

A pod that takes more is ended by its node at once, with all that it has: no write of it ever fails before. How much it
may take stands in its environment; where nobody says it, nobody looks.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

from agent.wire import Noticed

MOST = "AGENT_DISK_BYTES"
FOLDERS = "AGENT_DISK_FOLDERS"
"""The variables: how many bytes these folders, `:` between them, may take together."""

STEPS = ((0.9, "error"), (0.75, "warning"))
"""From this part on, with this level: the second time it rings."""

TIMES = 20.0
"""A look that took a second is followed by so many without one: many files are not to cost the agent its CPU."""

_BLOCK = 512


class Room:
    """What these folders take of what they may."""

    def __init__(self, most: int, folders: Sequence[Path]) -> None:
        self._most = most
        self._folders = folders
        self._step = len(STEPS)

    @classmethod
    def told(cls, env: Mapping[str, str]) -> Room | None:
        """As the environment says; None where it says nothing."""
        most, folders = env.get(MOST, ""), [Path(name) for name in env.get(FOLDERS, "").split(":") if name]
        return cls(int(most), folders) if most.isdecimal() and int(most) and folders else None

    async def watch(self, *, every: float) -> AsyncGenerator[Noticed, None]:
        """What a person should know, whenever that changes."""
        while True:
            began = time.monotonic()
            over = threading.Event()
            try:
                taken = await asyncio.to_thread(_taken, self._folders, over)
            finally:
                over.set()
            if (noticed := self.notice(taken)) is not None:
                yield noticed
            await asyncio.sleep(max(every, TIMES * (time.monotonic() - began)))

    def notice(self, taken: int) -> Noticed | None:
        """What is to be said now that so many bytes are taken; None when it was said before."""
        part = taken / self._most
        step = next((at for at, (least, _) in enumerate(STEPS) if part >= least), len(STEPS))
        before, self._step = self._step, step
        if step == before:
            return None
        much = f"{_size(taken)} of the {_size(self._most)} of disk that it may take"
        if step == len(STEPS):
            return Noticed("info", "disk", f"There is room again: the pod has {much}.")
        return Noticed(
            STEPS[step][1],
            "disk",
            f"The pod has taken {much}. With more than that its node ends it, and what it has is lost. "
            "Tell the agent to delete what it does not need, or to push its work.",
        )


def _taken(folders: Sequence[Path], over: threading.Event) -> int:
    """The bytes on disk, a file of several names once; what vanishes meanwhile or may not be read is left out."""
    total, several = 0, set[tuple[int, int]]()
    waiting = [str(folder) for folder in folders]
    while waiting and not over.is_set():
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    try:
                        about = entry.stat(follow_symlinks=False)
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                    except OSError:
                        continue
                    if about.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                        if (about.st_dev, about.st_ino) in several:
                            continue
                        several.add((about.st_dev, about.st_ino))
                    total += about.st_blocks * _BLOCK
        except OSError:
            continue
    return total


def _size(size: int) -> str:
    """For people."""
    mebi = size / (1 << 20)
    return f"{mebi / 1024:.1f} GiB" if mebi >= 1024 else f"{mebi:.0f} MiB"
