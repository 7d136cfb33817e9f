"""Paying: each request of a doing is counted where it counts, when it leaves and when it is answered.

That is the budget of its place and the one of its platform. It knows no letter, no page and no chat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from orchestrator.nouns import Lane
from orchestrator.pacing import Budget
from orchestrator.place import Place
from orchestrator.toll import tolled

T = TypeVar("T")

REQUEST_SECONDS = 900.0
"""The last resort: an adapter has deadlines of its own (a large file takes minutes); what outlives this is unsure."""

LEAST_SECONDS = 0.001
"""No pause is shorter: rounding must never make a place turn on the spot."""


async def paying(place: Place, overall: Budget, request: Callable[[], Awaitable[T]], *, live: bool) -> T:
    """What comes of a request, or of several, each counted when it leaves and when it is answered."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(REQUEST_SECONDS) as deadline:
        gate = _Toll(place.budget, overall, deadline, live=live)
        try:
            with tolled(gate):
                return await request()
        finally:
            if gate.here:
                place.budget.answered(loop.time())
            place.paid = gate.paid
            if gate.paid and live:
                place.edited = began


class _Toll:
    """Counts the requests of a doing; each after the first waits until the place has room for it.

    The first waits too, for the platform as a whole: other places may have spent of that since this one was let go.
    What was begun is to be finished, so it waits as urgent as can be, and its deadline begins again. A doing that needs
    no request at all (the message looks so already) costs nothing.
    """

    def __init__(self, place: Budget, overall: Budget, deadline: asyncio.Timeout, *, live: bool) -> None:
        self._place = place
        self._overall = overall
        self._deadline = deadline
        self._live = live
        self.paid = False
        self.here = False
        """Whether the request that left last counts in the place."""

    async def __call__(self, *, here: bool) -> None:
        loop = asyncio.get_running_loop()
        budgets = (self._place, self._overall) if here else (self._overall,)
        if self.here:
            self._place.answered(loop.time())
        asked = budgets if self.paid else (self._overall,)
        while wait := max(budget.wait(Lane.FIRST, loop.time()) for budget in asked):
            self._deadline.reschedule(loop.time() + wait + REQUEST_SECONDS)
            await asyncio.sleep(max(wait, LEAST_SECONDS))
        self._deadline.reschedule(loop.time() + REQUEST_SECONDS)
        self.paid, self.here = True, here
        for budget in budgets:
            budget.spend(loop.time(), live=self._live)
