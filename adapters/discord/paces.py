"""What each channel bears, as the headers of Discord's answers tell it. Plain arithmetic; it sends and sleeps nothing.

Sends and edits in a channel are buckets of their own. The edits, of which there are many, are what the pace tells; a
send waits for its own bucket. The last request of a bucket is used only when the bucket is full again soon: what comes
next would wait for long.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.nouns import Pace

START = Pace(burst=5, per=5.0, reserve=1, edit_every=1.2)
"""Until the first answer."""

SOON = 1.5
"""Seconds for which a bucket may be empty."""

MOST_CHANNELS = 2000


@dataclass(slots=True)
class _Bucket:
    limit: int
    per: float = START.per
    left: int = 1
    opens: float = 0.0
    closed: float = 0.0


@dataclass(slots=True)
class _Channel:
    buckets: dict[str, _Bucket] = field(default_factory=dict)
    pace: Pace = START


class Paces:
    """The channels that were spoken to last."""

    def __init__(self) -> None:
        self._channels: OrderedDict[str, _Channel] = OrderedDict()

    def learn(self, method: str, path: str, headers: Mapping[str, str], *, now: float) -> None:
        """Read the headers of an answer to a send or an edit."""
        channel = _messages_of(method, path)
        if channel is None:
            return
        try:
            limit, left = int(headers["X-RateLimit-Limit"]), int(headers["X-RateLimit-Remaining"])
            wait = float(headers["X-RateLimit-Reset-After"])
        except (KeyError, ValueError):
            return
        known = self._channels.setdefault(channel, _Channel())
        self._channels.move_to_end(channel)
        if len(self._channels) > MOST_CHANNELS:
            self._channels.popitem(last=False)
        bucket = known.buckets.setdefault(method, _Bucket(limit))
        bucket.limit, bucket.left, bucket.opens = max(1, limit), left, now + wait
        if left == limit - 1:
            bucket.per = max(0.5, math.ceil(wait * 2) / 2)  # the whole window, but for the way of the answer
        if method == "PATCH":
            spare = 1 if bucket.limit > 1 else 0
            known.pace = Pace(bucket.limit, bucket.per, reserve=spare, edit_every=START.edit_every)

    def close(self, method: str, path: str, *, until: float) -> None:
        """A channel asked for patience: nothing of this kind leaves for it before that time."""
        channel = _messages_of(method, path)
        if channel is not None:
            known = self._channels.setdefault(channel, _Channel())
            known.buckets.setdefault(method, _Bucket(START.burst + 1)).closed = until

    def of(self, channel: str) -> Pace:
        """What this channel bears."""
        known = self._channels.get(channel)
        return known.pace if known else START

    def wait(self, method: str, channel: str, *, now: float) -> float:
        """Seconds until a send or an edit is welcome."""
        known = self._channels.get(channel)
        bucket = known.buckets.get(method) if known else None
        if bucket is None:
            return 0.0
        opens = max(0.0, bucket.opens - now)
        keeps = 0 if bucket.limit == 1 or opens <= SOON else 1
        return max(0.0, bucket.closed - now, 0.0 if bucket.left > keeps else opens)


def _messages_of(method: str, path: str) -> str | None:
    """The channel whose messages are sent or edited by this request."""
    parts = path.rstrip("/").split("/")
    if method == "POST" and len(parts) > 3 and parts[-1] == "messages" and parts[-3] == "channels":
        return parts[-2]
    if method == "PATCH" and len(parts) > 4 and parts[-2] == "messages" and parts[-4] == "channels":
        return parts[-3]
    return None
