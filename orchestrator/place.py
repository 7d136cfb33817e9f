"""A place: everything that shares one budget, and whose turn it is there. It sends nothing and sleeps nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.nouns import Conversation, Lane, Letter, Message, MessageId
from orchestrator.pacing import Budget

Look = Callable[[float], Message]
"""What a page looks like now; the argument is for how many seconds more its place is slow (0: it is not)."""


@dataclass(slots=True)
class Page:
    """A message that is kept up to date for as long as it is here."""

    key: str
    where: Conversation
    look: Look
    lane: Lane
    id: MessageId | None = None
    dirty: bool = True
    due: float = 0.0
    shown: Message | None = None


@dataclass(slots=True)
class Errand:
    """A request that is no letter (opening a thread), with somebody waiting for what comes of it."""

    run: Callable[[], Awaitable[Any]]
    done: asyncio.Future[Any]


@dataclass(slots=True)
class Place:
    """Everything that shares one budget, and the one task that sends it."""

    budget: Budget
    letters: dict[Lane, deque[Letter | Errand]] = field(
        default_factory=lambda: {Lane.FIRST: deque(), Lane.ALERT: deque()}
    )
    pages: dict[str, Page] = field(default_factory=dict)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0

    def next_letter(self) -> tuple[Lane, Letter | Errand] | None:
        """The letter or errand whose turn it is, if there is any."""
        for lane, queue in self.letters.items():
            if queue:
                return lane, queue[0]
        return None

    def next_page(self, now: float) -> tuple[Page | None, float | None]:
        """The page whose turn it is, or the seconds until one is due (None: none waits)."""
        soonest: float | None = None
        best: Page | None = None
        for page in self.pages.values():
            if not page.dirty or page.id is None:
                continue
            if page.due > now:
                soonest = min(soonest or page.due, page.due)
            elif best is None or page.lane < best.lane:
                best = page
        return best, None if soonest is None else max(0.0, soonest - now)
