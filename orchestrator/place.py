"""A place: everything that shares one budget, and whose turn it is there. It sends nothing and sleeps nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.nouns import Conversation, Lane, Letter, Message, MessageId, Receipt, Sign
from orchestrator.pacing import Budget

Look = Callable[[float], Message]
"""What a page looks like now; the argument is for how many seconds more its place is slow (0: it is not)."""

MOST_SIGNS = 100
"""Signs that wait in one place; older ones are dropped, they are only for the moment."""

NEVER = float("inf")

BOARD_SECONDS = 1.0
"""A dashboard is drawn no more often than this, however many runs it shows."""


@dataclass(slots=True)
class Page:
    """A message that is kept up to date for as long as it is here.

    `at` is when it was drawn last. It is due again when its look `fades`.
    """

    key: str
    where: Conversation
    look: Look
    lane: Lane
    id: MessageId | None = None
    dirty: bool = True
    at: float = -NEVER
    fades: float = NEVER
    shown: Message | None = None


@dataclass(slots=True)
class Errand:
    """A request that is no letter (opening a thread), with somebody waiting for what comes of it."""

    platform: str
    run: Callable[[], Awaitable[Any]]
    done: asyncio.Future[Any]


Turn = tuple[Lane, Letter | Errand]
"""What leaves next, and how urgent it is."""


@dataclass(slots=True)
class Place:
    """Everything that shares one budget, and the one task that sends it.

    Edits of pages and dashboards go in one even stream; the last one left at `edited`. Signs and letters that nobody
    waits for take turns with them; the last of those left at `passed`.
    """

    budget: Budget
    queue: deque[Letter | Errand] = field(default_factory=deque)
    alerts: deque[Letter] = field(default_factory=deque)
    signs: dict[tuple[object, ...], tuple[Conversation, Sign]] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    edited: float = -NEVER
    passed: float = -NEVER

    def put(self, letter: Letter) -> None:
        """A letter comes behind all that wait."""
        (self.alerts if letter.lane is Lane.ALERT else self.queue).append(letter)

    def drop(self, item: Letter | Errand) -> None:
        """It has left, or never will."""
        if item in self.alerts:
            self.alerts.remove(item)  # type: ignore[arg-type]  # what is in it is of its type
        else:
            self.queue.remove(item)

    def waiting(self) -> int:
        """Letters and errands that have not left."""
        return len(self.queue) + len(self.alerts)

    def note(self, where: Conversation, sign: Sign) -> None:
        """A sign is to be shown; it takes the place of an older one of its kind that still waits."""
        key = (where, type(sign), sign.message if isinstance(sign, Receipt) else "")
        self.signs.pop(key, None)
        self.signs[key] = (where, sign)
        while len(self.signs) > MOST_SIGNS:
            del self.signs[next(iter(self.signs))]

    def next_letter(self) -> Turn | None:
        """The letter or errand whose turn it is, if there is any.

        Letters of one conversation stay in their order. Between conversations those that somebody waits for go first,
        and what stands before one of them in its own conversation becomes as urgent as it is.
        """
        for item in self.queue:
            if isinstance(item, Errand) or item.lane is Lane.FIRST:
                return Lane.FIRST, self._before(item)
        if self.alerts:
            return Lane.ALERT, self.alerts[0]
        if self.queue:
            return Lane.LIVE, self.queue[0]
        return None

    def _before(self, item: Letter | Errand) -> Letter | Errand:
        """The first of its conversation."""
        if isinstance(item, Errand):
            return item
        return next(other for other in self.queue if isinstance(other, Letter) and other.where == item.where)

    def look_of(self, letter: Letter) -> tuple[Message, list[str]]:
        """How a letter is to look when it leaves now, with the keys of the waiting letters that are done by that.

        What would be edited at once is posted as it would look then: one request instead of two.
        """
        message = letter.message
        done: list[str] = []
        if not letter.edits:
            for other in self.queue:
                if isinstance(other, Letter) and other.edits == letter.key and other.where == letter.where:
                    message, done = other.message, [*done, other.key]
        return message, done

    def next_page(self, now: float) -> tuple[Page | None, float | None]:
        """The page whose turn it is, or the seconds until one is due (None: none waits).

        They go in turns: the one that was drawn longest ago is next. A dashboard goes before them, but no more often
        than it would in its turn.
        """
        share, every = self.budget.share(now), self.budget.edit_every(now)
        round_ = share * sum(page.id is not None for page in self.pages.values())
        soonest: float | None = None
        best: Page | None = None
        for page in self.pages.values():
            if page.id is None or not (page.dirty or page.fades < NEVER):
                continue
            least = max(every, round_, BOARD_SECONDS) if page.lane is Lane.BOARD else every
            due = max(page.at + least, self.edited + share, 0.0 if page.dirty else page.fades)
            if due > now:
                soonest = min(soonest or due, due)
            elif best is None or (page.lane, page.at) < (best.lane, best.at):
                best = page
        return best, None if soonest is None else max(0.0, soonest - now)
