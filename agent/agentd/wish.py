"""What the run is to come to: the first wish for an end counts, and everybody who waits learns of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ending:
    """How a life of agentd ends. Without a `reason` the run does not end: agentd leaves, and may come back."""

    reason: str
    words: str = ""


LEAVE = Ending("")


class Wish:
    """Made at most once."""

    def __init__(self) -> None:
        self._ending: Ending | None = None
        self._made = asyncio.Event()

    def make(self, ending: Ending) -> None:
        """Ask for this end, unless another one was asked for."""
        if self._ending is None:
            self._ending = ending
            self._made.set()

    def now(self) -> Ending | None:
        """The end that was asked for so far."""
        return self._ending

    async def wait(self) -> None:
        """Until there is one."""
        await self._made.wait()


async def either(*waits: Coroutine[Any, Any, object]) -> None:
    """Return when the first of these does; the others are cancelled."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(wait) for wait in waits]
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            task.cancel()


async def within(seconds: float, wait: Coroutine[Any, Any, Any]) -> bool:
    """Whether this came to its end in time; it is cancelled otherwise."""
    try:
        async with asyncio.timeout(seconds):
            await wait
    except TimeoutError:
        return False
    return True
