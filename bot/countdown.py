"""When credentials run out, asked every few minutes and kept for whoever counts down. It decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import structlog

from orchestrator.errors import Trouble
from orchestrator.ports import Expiry

log = structlog.get_logger()

EVERY_SECONDS = 300.0


class Countdown:
    """`expiries` is what was told last; what cannot be asked just now keeps its former answer."""

    def __init__(self, ask: Callable[[], Awaitable[Sequence[Expiry]]], *, known: Sequence[Expiry] = ()) -> None:
        self.expiries = known
        self._ask = ask
        self._trouble = ""

    async def look(self) -> None:
        """Ask once. Trouble is logged when it begins."""
        try:
            self.expiries = await self._ask()
        except Trouble as trouble:
            if not self._trouble:
                log.warning("when credentials run out is not known", why=str(trouble))
            self._trouble = str(trouble)
        else:
            self._trouble = ""

    @asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        """Ask again and again, for as long as the block lasts."""

        async def ask() -> None:
            while True:
                await self.look()
                await asyncio.sleep(EVERY_SECONDS)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(ask())
            try:
                yield
            finally:
                task.cancel()
