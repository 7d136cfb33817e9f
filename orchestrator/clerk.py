"""The clerk of one place: sends what waits there, one request at a time, within the place's budget.

Which letters and pages there are is the post office's affair; whose turn it is, the place's; how a letter comes to its
end, and a page to its look, that of `delivery` and `drawing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from orchestrator.attempt import Attempts, Later
from orchestrator.delivery import Bereft, Deliveries
from orchestrator.drawing import Drawing
from orchestrator.errors import Gone, Refused
from orchestrator.nouns import Conversation, Lane
from orchestrator.pacing import Budget
from orchestrator.paying import LEAST_SECONDS
from orchestrator.place import Errand, Place, Row, Shown
from orchestrator.ports import Chat, Store
from orchestrator.tasks import woken

log = structlog.get_logger()

EDITS_A_PASS = 3
"""Edits of pages that leave before something that nobody waits for, where both wait."""

Turn = tuple[Lane, Callable[[], Awaitable[None]] | None, float | None]
"""How urgent what leaves next is, and how to send it; or the seconds until there will be something (None: unknown)."""


class Clerk:
    """Serves one place over one chat. `overall` is the budget of the whole platform, `taken` the keys that wait."""

    def __init__(
        self, place: Place, chat: Chat, *, overall: Budget, store: Store, taken: set[str], bereft: Bereft | None
    ) -> None:
        self.place = place
        self._chat = chat
        self._overall = overall
        self._attempts = Attempts(place, overall)
        self._deliveries = Deliveries(place, chat, attempts=self._attempts, store=store, taken=taken, bereft=bereft)
        self.drawing = Drawing(place, chat, attempts=self._attempts, store=store)

    async def serve(self, where: Conversation) -> None:
        """Send what this place has, in the order of the lanes, until a new place would be no other than this one."""
        place, overall = self.place, self._overall
        while True:
            now = asyncio.get_running_loop().time()
            place.budget.adopt(self._chat.pace(where))
            lane, work, pause = self._turn(now)
            if work is not None:
                wait = max(place.budget.wait(lane, now), overall.wait(lane, now))
                if not wait:
                    await work()
                    continue
                pause = wait if pause is None else min(wait, pause)  # what is held now may be more urgent then
            elif pause is None and not place.pages:
                pause = place.budget.remembers(now)
                if pause <= 0:
                    return
            await woken(place.woken, None if pause is None else max(pause, LEAST_SECONDS))

    def _turn(self, now: float) -> Turn:
        place = self.place
        row, again = place.next_item(now)
        if row and row.lane is not Lane.LIVE:
            return row.lane, lambda: self._send(row), again
        page, soon = place.next_page(now)
        sign, settled = place.next_sign(now)
        pages_wait = page is not None or (
            soon is not None and place.budget.dear(now) and soon < place.budget.share(now)
        )
        if (sign or row) and (not pages_wait or place.drawn >= EDITS_A_PASS):
            return Lane.LIVE, lambda: self._pass(sign, row), again
        if page:
            return page.lane, lambda: self.drawing.draw(page), again
        return Lane.LIVE, None, min((time for time in (again, soon, settled) if time is not None), default=None)

    async def _pass(self, sign: Shown | None, row: Row | None) -> None:
        """Something that nobody waits for: a sign or a letter, in turns."""
        place = self.place
        drawn, place.drawn, place.paid = place.drawn, 0, False
        place.signed = sign is not None and not (row and place.signed)
        if sign and place.signed:
            await self._sign(sign)
        elif row:
            await self._send(row)
        if not place.paid:  # the platform has no such sign
            place.drawn, place.signed = drawn, False

    async def _send(self, row: Row) -> None:
        item = row.items[0]
        row.served = asyncio.get_running_loop().time()
        if isinstance(item, Errand):
            await self._run(item)
        elif not await self._deliveries.settle(row, item):
            return
        self.place.drop(item)

    async def _run(self, errand: Errand) -> None:
        if errand.done.done():  # nobody waits for it any more
            return
        try:
            result = await self._attempts.paid(errand.run, live=False)
        except Exception as error:  # noqa: BLE001 - whoever waits for it gets it, whatever it is
            if not errand.done.done():
                errand.done.set_exception(error)
        else:
            if not errand.done.done():
                errand.done.set_result(result)

    async def _sign(self, shown: Shown) -> None:
        """Show one sign. One that fails is lost: it was for the moment."""
        self.place.shown(shown)
        where, sign = shown.where, shown.sign
        try:
            await self._attempts.make(lambda: self._chat.sign(where, sign))
        except (Gone, Refused) as why:
            log.info("sign not shown", where=str(where), sign=type(sign).__name__, why=str(why))
        except Later:
            pass  # it is in the log
