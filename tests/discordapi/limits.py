"""How much may be asked: a bucket per route and place, one budget for all, and the small ones that headers never show.

Everything is measured by the loop's time. Buckets are fixed windows that begin with their first request. It knows no
request: the front names the bucket and the place.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from tests.discordapi.clock import Clock
from tests.discordapi.errors import Json

OLD_EDITS = "old edits"

DEFAULTS: dict[str, tuple[int, float]] = {
    "POST /channels/{}/messages": (5, 5.0),
    "PATCH /channels/{}/messages/{}": (5, 5.0),
    "DELETE /channels/{}/messages/{}": (5, 1.0),
    "GET /channels/{}/messages": (5, 5.0),
    "POST /channels/{}/typing": (5, 5.0),
    "PUT /channels/{}/messages/{}/reactions/{}/@me": (1, 0.25),
    "DELETE /channels/{}/messages/{}/reactions/{}/@me": (1, 0.25),
    "POST /channels/{}/threads": (50, 300.0),
    "POST /channels/{}/messages/{}/threads": (50, 300.0),
    "PATCH /channels/{}": (5, 15.0),
    "PUT /channels/{}/messages/pins/{}": (5, 5.0),
    "DELETE /channels/{}/messages/pins/{}": (5, 5.0),
}
OTHERS = (50, 1.0)
WEBHOOK = (5, 2.0)


@dataclass
class Window:
    """So many in so long, from the first on."""

    limit: int
    per: float
    began: float = float("-inf")
    used: int = 0

    def left(self, now: float) -> float:
        """Seconds until the window is over."""
        return max(0.0, self.began + self.per - now)

    def take(self, now: float) -> bool:
        """Use one, when there is one."""
        # Half a millisecond of grace: a client that waits exactly as long as the header said was right to come.
        if now >= self.began + self.per - 0.0005:
            self.began, self.used = now, 0
        if self.used >= self.limit:
            return False
        self.used += 1
        return True


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may pass, with the headers its answer carries."""

    passed: bool
    headers: dict[str, str]
    retry_after: float = 0.0
    scope: str = "user"

    @property
    def body(self) -> Json:
        """The body of a 429."""
        return {
            "message": "You are being rate limited.",
            "retry_after": round(self.retry_after, 3),
            "global": self.scope == "global",
        }


@dataclass
class Limits:
    """The budgets; `set` changes one bucket, `off` lifts all that can be lifted."""

    clock: Clock
    everything: Window = field(default_factory=lambda: Window(50, 1.0))
    old_edits: tuple[int, float] = (3, 20.0)
    command_creates: int = 200
    _sizes: dict[str, tuple[int, float]] = field(default_factory=lambda: dict(DEFAULTS))
    _windows: dict[tuple[str, str], Window] = field(default_factory=dict)
    _penalties: dict[tuple[str, str], float] = field(default_factory=dict)
    _others: tuple[int, float] = OTHERS
    _webhook: tuple[int, float] = WEBHOOK

    def set(self, route: str, limit: int, *, per: float) -> None:
        """The size of one bucket from now on: `set("PATCH /channels/{channel_id}/messages/{message_id}", 2, per=5)`."""
        self._sizes[shape(route)] = (limit, per)
        for key in [key for key in self._windows if key[0] == shape(route)]:
            del self._windows[key]

    def off(self) -> None:
        """No bucket and no budget for all; the limits of content, ages and tokens stay."""
        self._sizes = {}
        self._others = self._webhook = (1_000_000, 1.0)
        self.everything = Window(1_000_000, 1.0)
        self._windows.clear()

    def ask(self, route: str, place: str, *, webhook: bool) -> Verdict:
        """Count one request against its bucket and, when it is not an interaction's, against the budget for all."""
        now = self.clock.loop_time()
        key = (shape(route), place)
        window = self._windows.get(key)
        if window is None:
            size = self._sizes.get(key[0], self._webhook if webhook else self._others)
            window = self._windows[key] = Window(*size)
        if not webhook and not self.everything.take(now):
            wait = self.everything.left(now)
            self._penalties["", "global"] = now + wait
            return Verdict(False, _refused(wait, "global"), wait, "global")
        passed = window.take(now)
        headers = self._headers(key, window, now)
        if passed:
            return Verdict(True, headers)
        wait = window.left(now)
        self._penalties[key] = now + wait
        return Verdict(False, headers | _refused(wait, "user"), wait)

    def old_edit(self, place: str) -> float:
        """Count an edit of an old message in this channel; the seconds to wait when there were too many."""
        now = self.clock.loop_time()
        window = self._windows.setdefault((OLD_EDITS, place), Window(*self.old_edits))
        if window.take(now):
            return 0.0
        self._penalties[OLD_EDITS, place] = now + window.left(now)
        return window.left(now)

    def punish(self, route: str, place: str, seconds: float, *, scope: str) -> None:
        """Remember that somebody was told to wait, so that coming early is seen."""
        key = ("", "global") if scope == "global" else (shape(route), place)
        self._penalties[key] = self.clock.loop_time() + seconds

    def in_penalty(self, route: str, place: str, *, webhook: bool) -> bool:
        """Whether a request comes before the time that an earlier 429 named."""
        now = self.clock.loop_time() + 0.0005
        over_all = 0.0 if webhook else self._penalties.get(("", "global"), 0.0)
        return now < self._penalties.get((shape(route), place), 0.0) or now < over_all

    def _headers(self, key: tuple[str, str], window: Window, now: float) -> dict[str, str]:
        left = window.left(now)
        return {
            "X-RateLimit-Limit": str(window.limit),
            "X-RateLimit-Remaining": str(window.limit - window.used),
            "X-RateLimit-Reset": f"{self.clock.now() + left:.3f}",
            "X-RateLimit-Reset-After": f"{left:.3f}",
            "X-RateLimit-Bucket": hashlib.sha256(key[0].encode()).hexdigest()[:32],
        }


def shape(route: str) -> str:
    """A route with its parameters' names left out, so that everybody may name them as they like."""
    out, depth = [], 0
    for char in route:
        depth -= char == "}"
        if depth == 0:
            out.append(char)
        depth += char == "{"
    return "".join(out)


def _refused(wait: float, scope: str) -> dict[str, str]:
    headers = {"Retry-After": str(int(wait) + 1), "X-RateLimit-Scope": scope}
    return headers | ({"X-RateLimit-Global": "true"} if scope == "global" else {})
