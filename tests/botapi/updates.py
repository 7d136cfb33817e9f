"""The queue of updates: who hears them, from where on, and who is sent away because another one listens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.botapi.refusal import Json, conflict

MOST_WAITING = 100_000
KEPT = 24 * 3600.0
UNASKED = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
"""Kinds that are only delivered to those who name them."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An update that nobody confirmed yet."""

    id: int
    at: float
    body: Json


@dataclass(slots=True)
class _Poll:
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    superseded: bool = False


class Updates:
    """What happened, until it is confirmed by a later offset or a day has gone by."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.waiting: deque[Waiting] = deque(maxlen=MOST_WAITING)
        self.webhook: Json | None = None
        self.came = asyncio.Event()
        self.last_poll: float | None = None
        self._clock = clock
        self._allowed: frozenset[str] = frozenset()
        self._next = 731_000_001
        self._poll: _Poll | None = None

    def push(self, kind: str, content: Json) -> int | None:
        """Something happened. None when the bot did not ask for its kind: then it never hears of it."""
        if kind not in self._allowed if self._allowed else kind in UNASKED:
            return None
        return self.push_raw({kind: content})

    def push_raw(self, body: Json) -> int:
        """An update with any content whatever; an id of its own is kept."""
        update_id: int = body.get("update_id", self._next)
        self._next = max(self._next, update_id) + 1
        self.waiting.append(Waiting(update_id, self._clock(), {"update_id": update_id} | body))
        self.came.set()
        if self._poll:
            self._poll.woken.set()
        return update_id

    def allow(self, kinds: list[str] | None) -> None:
        """Which kinds are wanted from now on; None leaves it as it was, an empty list is the usual ones."""
        if kinds is not None:
            self._allowed = frozenset(kinds)

    def confirm(self, offset: int) -> None:
        """Forget what was heard. A negative offset keeps only so many of the newest."""
        if offset < 0:
            while len(self.waiting) > -offset:
                self.waiting.popleft()
        while self.waiting and (self.waiting[0].id < offset or self.waiting[0].at < self._clock() - KEPT):
            self.waiting.popleft()

    @property
    def polled(self) -> bool:
        """Whether somebody is waiting for updates right now."""
        return self._poll is not None

    async def poll(self, *, offset: int, limit: int, timeout: int, allowed: list[str] | None) -> list[Json]:  # noqa: ASYNC109 - the platform's own parameter
        """Updates from the offset on, now or within the timeout. Whoever polled before is told of the conflict."""
        if self.webhook:
            raise conflict("can't use getUpdates method while webhook is active; use deleteWebhook to delete it first")
        self.last_poll = self._clock()
        self.allow(allowed)
        self._send_away()
        mine = self._poll = _Poll()
        try:
            self.confirm(offset)
            if not self.waiting and timeout > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(timeout, 50)):
                        await mine.woken.wait()
            if mine.superseded:
                raise conflict(
                    "terminated by other getUpdates request; make sure that only one bot instance is running"
                )
            return [update.body for update in list(self.waiting)[: min(max(limit, 1), 100)]]
        finally:
            if self._poll is mine:
                self._poll = None

    def hook(self, webhook: Json | None) -> None:
        """Deliver to an address from now on, or to whoever polls."""
        if webhook:
            self._send_away()
        self.webhook = webhook
        self.came.set()

    def _send_away(self) -> None:
        if self._poll:
            self._poll.superseded = True
            self._poll.woken.set()
