"""How fast a place may be spoken to: one budget for everything that goes there, and a cool-off of that place alone.

Plain arithmetic on seconds that the caller gives; it sends nothing, sleeps nothing and knows no platform.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from orchestrator.nouns import Lane, Pace

SLOW_SECONDS = 300.0
"""After a platform asked for patience, its place stays slow for this long."""

SLOW_FACTOR = 3.0
"""How much rarer live edits are while a place is slow."""


ALWAYS_LEFT = 1
"""Requests of a window that are left for `Lane.FIRST`, however much was used already; none where the reserve is 1."""


DEAR_SECONDS = 2.0
"""Requests are dear where fewer than one may leave in so long."""


@dataclass(frozen=True, slots=True)
class Spent:
    """A request, and whether it was a live edit."""

    at: float
    live: bool


class Budget:
    """At most `pace.burst` requests in any `pace.per` seconds, of which live edits leave `pace.reserve` to all others.

    What the others have used of that is not left a second time; but a little is always left for `Lane.FIRST`.
    A request counts from its answer: when on its way the platform counted it, nobody knows.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.closed_until = 0.0
        self._slow_until = 0.0
        self._spent: deque[Spent] = deque(maxlen=pace.burst)

    def adopt(self, pace: Pace) -> None:
        """From now on the place bears this; what was spent stays spent."""
        if pace != self.pace:
            self.pace = pace
            self._spent = deque(self._spent, maxlen=pace.burst)

    def wait(self, lane: Lane, now: float) -> float:
        """Seconds until a request of this lane may leave; 0 means now."""
        if now < self.closed_until:
            return self.closed_until - now
        total, others = self._used(now)
        urgent = lane is Lane.FIRST
        if total < self._allowed(others, urgent=urgent):
            return 0.0
        for spent in self._spent:  # as they leave the window, one by one
            total -= 1
            others -= not spent.live
            if total < self._allowed(others, urgent=urgent):
                return spent.at + self.pace.per - now
        raise AssertionError("an empty window allows a request")

    def busy(self, now: float) -> bool:
        """Whether half of what may leave in a window has left."""
        total, _ = self._used(now)
        return 2 * total >= self.pace.burst

    def dear(self, now: float) -> bool:
        """Whether a request is worth a short wait to be saved: few may leave, and many of them have."""
        return self.pace.per > DEAR_SECONDS * self.pace.burst and self.busy(now)

    def _allowed(self, others: int, *, urgent: bool) -> int:
        return self.pace.burst if urgent else max(1, self.pace.burst - self._left(others))

    def _left(self, others: int) -> int:
        """Requests that are still left for what somebody waits for, when these are used."""
        return max(self.pace.reserve - others, min(ALWAYS_LEFT, self.pace.reserve - 1), 0)

    def _used(self, now: float) -> tuple[int, int]:
        """Requests in the window, and those of them that were no live edits."""
        while self._spent and self._spent[0].at <= now - self.pace.per:
            self._spent.popleft()
        return len(self._spent), sum(not spent.live for spent in self._spent)

    def spend(self, now: float, *, live: bool = False) -> None:
        """A request leaves now."""
        self._spent.append(Spent(now, live=live))

    def answered(self, now: float) -> None:
        """The request that left last is answered now, one at a time."""
        if self._spent:
            last = self._spent[-1]
            self._spent[-1] = Spent(max(last.at, now), live=last.live)

    def close(self, seconds: float, now: float) -> None:
        """The platform asked for patience: nothing leaves until then, and live edits are rare for a while after."""
        self.pause(seconds, now)
        self._slow_until = max(self._slow_until, self.closed_until + SLOW_SECONDS)

    def pause(self, seconds: float, now: float) -> None:
        """Nothing leaves for so long, for a reason that is not the platform's pace."""
        self.closed_until = max(self.closed_until, now + seconds)

    def remembers(self, now: float) -> float:
        """Seconds after which a new budget would be no other than this one."""
        spent = self._spent[-1].at + self.pace.per if self._spent else 0.0
        return max(spent, self.closed_until, self._slow_until) - now

    def slowed(self, now: float) -> float:
        """Seconds for which this place stays slow; 0 when it is not."""
        return max(0.0, self._slow_until - now)

    def edit_every(self, now: float) -> float:
        """Seconds that must lie between two live edits of one message now."""
        return self.pace.edit_every * self._patience(now)

    def share(self, now: float) -> float:
        """Seconds that must lie between two live edits of this place now, whichever message they change.

        They share evenly what all others leave, in the measure of the last window.
        """
        _, others = self._used(now)
        return self.pace.per / max(1, self.pace.burst - others - self._left(others)) * self._patience(now)

    def _patience(self, now: float) -> float:
        return SLOW_FACTOR if self.slowed(now) else 1.0
