"""Time and ids: snowflakes that carry the loop's time, so that a test in virtual time has ages that follow it.

A client library reads a message's age from its id against the real clock. `behind` makes what is created look older,
for library and server alike; `Message.created` can be moved for the server's judgement alone (`Discord.age`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count

EPOCH_MS = 1_420_070_400_000


class Clock:
    """Wall time that starts at `base` and goes on as the loop's time does."""

    def __init__(self, base: float | None = None) -> None:
        self.base = time.time() if base is None else base
        self._zero: float | None = None
        self._behind = 0.0
        self._count = count(1)

    def start(self) -> None:
        """Tie the clock to the running loop, once; a restart of the server does not turn it back."""
        if self._zero is None:
            self._zero = asyncio.get_running_loop().time()

    def now(self) -> float:
        """Seconds since 1970 by the loop's time; before the start the time is `base`."""
        return self.base + (self.loop_time() - self._zero if self._zero is not None else 0.0)

    @staticmethod
    def loop_time() -> float:
        """The loop's own time, which every limit is measured by."""
        return asyncio.get_running_loop().time()

    def stamp(self) -> float:
        """The time that something created now is given."""
        return self.now() - self._behind

    def snowflake(self, at: float | None = None) -> int:
        """A new id; later ids of the same moment are larger."""
        moment = self.stamp() if at is None else at
        return ((int(moment * 1000) - EPOCH_MS) << 22) | (next(self._count) & 0x3FFFFF)

    @contextmanager
    def behind(self, seconds: float) -> Iterator[None]:
        """What is created inside looks this old, for the library too."""
        before, self._behind = self._behind, seconds
        try:
            yield
        finally:
            self._behind = before


def iso(moment: float) -> str:
    """A time as the platform writes it."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")
