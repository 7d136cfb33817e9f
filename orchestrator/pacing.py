"""How fast a place may be spoken to: one budget for everything that goes there, and a cool-off of that place alone.

Plain arithmetic on seconds that the caller gives; it sends nothing, sleeps nothing and knows no platform.
"""

from __future__ import annotations

from collections import deque

from orchestrator.nouns import Lane, Pace

SLOW_SECONDS = 300.0
"""After a platform asked for patience, its place stays slow for this long."""

SLOW_FACTOR = 3.0
"""How much rarer live edits are while a place is slow."""


class Budget:
    """At most `pace.burst` requests in any `pace.per` seconds; the last `pace.reserve` only for `Lane.FIRST`.

    A request counts from its answer: when on its way the platform counted it, nobody knows.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.closed_until = 0.0
        self._slow_until = 0.0
        self._spent: deque[float] = deque(maxlen=pace.burst)

    def adopt(self, pace: Pace) -> None:
        """From now on the place bears this; what was spent stays spent."""
        if pace != self.pace:
            self.pace = pace
            self._spent = deque(self._spent, maxlen=pace.burst)

    def wait(self, lane: Lane, now: float) -> float:
        """Seconds until a request of this lane may leave; 0 means now."""
        if now < self.closed_until:
            return self.closed_until - now
        while self._spent and self._spent[0] <= now - self.pace.per:
            self._spent.popleft()
        allowed = max(1, self.pace.burst - (0 if lane is Lane.FIRST else self.pace.reserve))
        if len(self._spent) < allowed:
            return 0.0
        return self._spent[len(self._spent) - allowed] + self.pace.per - now

    def spend(self, now: float) -> None:
        """A request leaves now."""
        self._spent.append(now)

    def answered(self, now: float) -> None:
        """The request that left last is answered now, one at a time."""
        if self._spent:
            self._spent[-1] = max(self._spent[-1], now)

    def close(self, seconds: float, now: float) -> None:
        """The platform asked for patience: nothing leaves until then, and live edits are rare for a while after."""
        self.pause(seconds, now)
        self._slow_until = max(self._slow_until, self.closed_until + SLOW_SECONDS)

    def pause(self, seconds: float, now: float) -> None:
        """Nothing leaves for so long, for a reason that is not the platform's pace."""
        self.closed_until = max(self.closed_until, now + seconds)

    def remembers(self, now: float) -> float:
        """Seconds after which a new budget would be no other than this one."""
        spent = self._spent[-1] + self.pace.per if self._spent else 0.0
        return max(spent, self.closed_until, self._slow_until) - now

    def slowed(self, now: float) -> float:
        """Seconds for which this place stays slow; 0 when it is not."""
        return max(0.0, self._slow_until - now)

    def edit_every(self, now: float) -> float:
        """Seconds that must lie between two live edits of one message now."""
        return self.pace.edit_every * self._patience(now)

    def share(self, now: float) -> float:
        """Seconds that must lie between two live edits of this place now, whichever message they change."""
        return self.pace.share * self._patience(now)

    def _patience(self, now: float) -> float:
        return SLOW_FACTOR if self.slowed(now) else 1.0
