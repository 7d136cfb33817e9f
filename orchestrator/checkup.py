"""What a look at something found, for an operator: said in a sentence that names what, where, and what to do about it.

It knows nothing of what is looked at; adapters look at their platforms, `bot.doctor` at the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.ports import Expiry


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `grave`: what it is about cannot work like this."""

    what: str
    words: str
    good: bool
    grave: bool = False

    @property
    def mark(self) -> str:
        """How it is, at a glance."""
        return "✓" if self.good else "✗" if self.grave else "⚠"

    def __str__(self) -> str:
        return f"{self.mark} {self.what:12} {self.words}"


def counted(expiry: Expiry, *, now: float) -> Finding:
    """How long a credential is good."""
    left = expiry.at - now
    day = datetime.fromtimestamp(expiry.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    when = f"is good for {_span(left)}, until {day}" if left > 0 else f"ran out on {day}"
    good = left > expiry.early
    return Finding("credential", f"{expiry.name} {when}. {expiry.words}".rstrip(". "), good=good, grave=left <= 0)


def _span(seconds: float) -> str:
    hours = int(seconds) // 3600
    return f"{hours // 24} days" if hours >= 72 else f"{hours} h {int(seconds) % 3600 // 60} min"


async def looked(
    looking: AsyncGenerator[Finding, None], *, seconds: float, late: Callable[[], Finding]
) -> list[Finding]:
    """All that was found in so many seconds; the last one is then that there was no more time."""
    found: list[Finding] = []
    try:
        async with asyncio.timeout(seconds), aclosing(looking):
            async for finding in looking:
                found.append(finding)  # noqa: PERF401 - what was found before the end of the time is kept
    except TimeoutError:
        found.append(late())
    return found
