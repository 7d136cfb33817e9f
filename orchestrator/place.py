"""A place: everything that shares one budget, and whose turn it is there. It sends nothing and sleeps nothing.

What fails holds up itself: a letter its own conversation, a page itself. Only where several things fail one after
another is it the platform's doing, and the whole place pauses.
"""

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

RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Pauses after what fails, one failure after another."""

MOST_SIGNS = 100
"""Signs that wait in one place; older ones are dropped, they are only for the moment."""

SIGN_SECONDS = 0.5
"""Where requests are dear, a sign waits so long for the next one that takes its place."""

NEVER = float("inf")

BOARD_SECONDS = 1.0
"""A dashboard is drawn no more often than this, however many runs it shows."""


def pause_after(failures: int) -> float:
    """Seconds to wait after so many failures, one after another."""
    return RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1]


@dataclass(slots=True)
class Hold:
    """How long something that failed waits before it is tried again."""

    until: float = 0.0
    failures: int = 0

    def failed(self, now: float) -> float:
        """It failed once more; returns the seconds until it is tried again."""
        self.failures += 1
        self.until = now + pause_after(self.failures)
        return self.until - now

    def lift(self) -> None:
        """It did not fail."""
        self.until, self.failures = 0.0, 0


@dataclass(slots=True)
class Page:
    """A message that is kept up to date for as long as it is here.

    `at` is when it was drawn last. It is due again when its look `fades`. `left` are messages that it was before, still
    to be taken away; `doubt` is whether the next one of them may stand already.
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
    left: list[MessageId] = field(default_factory=list)
    doubt: bool = False
    hold: Hold = field(default_factory=Hold)


@dataclass(slots=True, eq=False)
class Dispatch:
    """A letter that waits to leave.

    `merged` are the letters whose look it leaves with, from its first attempt on (None: there was none in this life);
    `doubt` is whether an attempt may have posted it. `failing`: since when it fails. `landed`: the message that it is
    already, since another letter left with its look.
    """

    letter: Letter
    merged: list[Dispatch] | None = None
    doubt: bool = False
    failing: float | None = None
    landed: MessageId | None = None

    @property
    def row(self) -> tuple[Conversation, str]:
        """Where it stands in line: alerts have a row of their own."""
        return self.letter.where, "alerts" if self.letter.lane is Lane.ALERT else "letters"

    @property
    def lane(self) -> Lane:  # noqa: D102 - the noun says it
        return self.letter.lane


@dataclass(slots=True, eq=False)
class Errand:
    """A request that is no letter (opening a thread), with somebody waiting for what comes of it."""

    where: Conversation
    run: Callable[[], Awaitable[Any]]
    done: asyncio.Future[Any]
    lane: Lane = Lane.FIRST

    @property
    def row(self) -> tuple[Conversation, str]:
        """Where it stands in line: it waits for no letter."""
        return self.where, "errands"


Item = Dispatch | Errand


@dataclass(slots=True)
class Row:
    """What waits in one line, in its order. `served` is when it had its turn last."""

    served: float
    items: deque[Item] = field(default_factory=deque)
    hold: Hold = field(default_factory=Hold)

    @property
    def lane(self) -> Lane:
        """As urgent as the most urgent in it: what stands before that has to leave first."""
        return min(item.lane for item in self.items)


@dataclass(frozen=True, slots=True)
class Shown:
    """A sign that waits to be shown, not before `due`."""

    where: Conversation
    sign: Sign
    due: float


@dataclass(slots=True)
class Place:
    """Everything that shares one budget, and the one task that sends it.

    Edits of pages and dashboards go in one even stream; the last one left at `edited`. Signs and letters that nobody
    waits for take turns with them and with each other: `drawn` edits left since the last of those, and `signed` says
    whether that was a sign. `paid`: the last doing made a request. `failing` are rows that failed since something last
    did not.
    """

    budget: Budget
    rows: dict[tuple[Conversation, str], Row] = field(default_factory=dict)
    signs: dict[tuple[object, ...], Shown] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    failing: set[int] = field(default_factory=set)
    failures: int = 0
    edited: float = -NEVER
    drawn: int = 0
    signed: bool = False
    paid: bool = False

    def put(self, item: Item, now: float) -> None:
        """It comes behind all that wait in its row."""
        self.rows.setdefault(item.row, Row(served=now)).items.append(item)

    def put_behind(self, item: Item, other: Item) -> None:
        """It comes right behind this other one of the same row."""
        items = self.rows[other.row].items
        items.insert(items.index(other) + 1, item)

    def drop(self, item: Item) -> None:
        """It has left, or never will."""
        row = self.rows[item.row]
        row.items.remove(item)
        row.hold.lift()
        if not row.items:
            del self.rows[item.row]

    def waiting(self) -> int:
        """Letters and errands that have not left."""
        return sum(len(row.items) for row in self.rows.values())

    def failed(self, row: Row, now: float) -> None:
        """A letter failed, and not because the platform asked for patience."""
        self.failing.add(id(row))
        self.failures += 1
        if len(self.failing) > 1:
            self.budget.pause(pause_after(self.failures), now)

    def worked(self) -> None:
        """A request did not fail."""
        self.failing.clear()
        self.failures = 0

    def note(self, where: Conversation, sign: Sign, now: float) -> None:
        """A sign is to be shown; it takes the place of an older one of its kind that still waits.

        Where requests are dear, it waits a moment for the next one of its kind: that a message was seen is not worth
        one when it is heard at once.
        """
        key = (where, type(sign), sign.message if isinstance(sign, Receipt) else "")
        old = self.signs.pop(key, None)
        due = old.due if old else now + (SIGN_SECONDS if self.budget.dear(now) else 0.0)
        self.signs[key] = Shown(where, sign, due)
        while len(self.signs) > MOST_SIGNS:
            del self.signs[next(iter(self.signs))]

    def next_sign(self, now: float) -> tuple[Shown | None, float | None]:
        """The sign whose turn it is, or the seconds until one is due (None: none waits)."""
        first = min(self.signs.values(), key=lambda shown: shown.due, default=None)
        if first is None or first.due <= now:
            return first, None
        return None, first.due - now

    def shown(self, sign: Shown) -> None:
        """It waits no longer."""
        self.signs = {key: other for key, other in self.signs.items() if other is not sign}

    def next_item(self, now: float) -> tuple[Row | None, float | None]:
        """The row whose turn it is, if there is one, and the seconds until another is tried again (None: none waits).

        Rows keep their order. Between rows the most urgent goes first; of those that are as urgent as each other, the
        one that has waited longest for its turn, so that nobody who has much to say keeps the others waiting.
        """
        due = [row for row in self.rows.values() if row.hold.until <= now]
        again = min((row.hold.until - now for row in self.rows.values() if row.hold.until > now), default=None)
        return min(due, key=lambda row: (row.lane, row.served), default=None), again

    def edits_of(self, dispatch: Dispatch) -> list[Dispatch]:
        """The waiting letters that change what this one becomes."""
        others = self.rows[dispatch.row].items
        return [other for other in others if isinstance(other, Dispatch) and other.letter.edits == dispatch.letter.key]

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
            if page.id is None or not (page.dirty or page.left or page.fades < NEVER):
                continue
            least = max(every, round_, BOARD_SECONDS) if page.lane is Lane.BOARD else every
            wanted = 0.0 if page.dirty or page.left else page.fades
            due = max(page.at + least, self.edited + share, page.hold.until, wanted)
            if due > now:
                soonest = min(soonest or due, due)
            elif best is None or (page.lane, page.at) < (best.lane, best.at):
                best = page
        return best, None if soonest is None else max(0.0, soonest - now)
