"""Attempts: each request of a clerk, within the budget of its place, and what it means when it fails.

It knows no letter and no page: only what was asked for, which row or hold it holds up, and what that costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from orchestrator.errors import Broken, Busy, Gone, Refused
from orchestrator.pacing import Budget
from orchestrator.paying import paying
from orchestrator.place import Hold, Place, Row

log = structlog.get_logger()

T = TypeVar("T")


class Later(Exception):
    """It is to be tried again. `why` is what happened; `unsure`: it may have been done all the same."""

    def __init__(self, why: Exception, *, unsure: bool) -> None:
        super().__init__(str(why))
        self.why = why
        self.unsure = unsure


class Attempts:
    """The requests of one place. `overall` is the budget of its whole platform."""

    def __init__(self, place: Place, overall: Budget) -> None:
        self._place = place
        self._overall = overall

    async def make(
        self,
        request: Callable[[], Awaitable[T]],
        *,
        hold: Hold | None = None,
        row: Row | None = None,
        live: bool = False,
    ) -> T:
        """Do a request within the budget. Raises `Later`, `Gone` and `Refused`.

        When it fails, `hold` grows, and where letters of other rows failed too, the whole place waits. `live`: it is an
        edit of a page.
        """
        now = asyncio.get_running_loop().time
        try:
            result = await self.paid(request, live=live)
        except (Gone, Refused):
            raise
        except Busy as busy:
            log.warning("told to wait", seconds=busy.seconds, why=str(busy))
            raise Later(busy, unsure=False) from busy
        except (Broken, TimeoutError) as error:
            if row:
                self._place.failed(row, now())
            pause = hold.failed(now()) if hold else 0.0
            log.warning("sending failed", again_in=pause, why=str(error) or "no answer in time")
            raise Later(error, unsure=not isinstance(error, Broken) or error.unsure) from error
        except Exception as error:
            log.exception("defect while sending")
            raise Refused(f"a defect kept this from being shown: {type(error).__name__}") from error
        if row:
            self._place.worked()
        if hold:
            hold.lift()
        return result

    async def paid(self, request: Callable[[], Awaitable[T]], *, live: bool) -> T:
        """What comes of a request that is counted; one that is told to wait closes what it was told for."""
        try:
            return await paying(self._place, self._overall, request, live=live)
        except Busy as busy:
            now = asyncio.get_running_loop().time()
            (self._overall if busy.everywhere else self._place.budget).close(busy.seconds + 1, now)
            raise
