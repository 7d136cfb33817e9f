"""Seats: how a run gets its places to be talked to, its home first, a further one in each chat that wants to follow it.

It knows no pod: a run has its home before it has one, and a further place at any time.
"""

from __future__ import annotations

import asyncio

import structlog

from orchestrator import events as ev
from orchestrator.errors import Broken, Busy, Gone, Refused
from orchestrator.nouns import Conversation
from orchestrator.post import PostOffice
from orchestrator.run import State, opened
from orchestrator.runs import Draft, LiveRun
from orchestrator.tasks import PAUSES, until_first, woken

log = structlog.get_logger()

SEAT_SECONDS = 1.0
"""A run gets its home first; a further place waits for it."""


class Seats:
    """Opens places through the post office."""

    def __init__(self, office: PostOffice) -> None:
        self._office = office

    async def first(self, run: LiveRun) -> None:
        """Give the run its home; return when it has one."""
        failures = 0
        while run.state.where is None and not run.state.ended:
            launched = run.state.launched
            assert launched is not None
            try:
                where = await self._place(run, launched)
                await run.write(lambda state, where=where: _opening(state, where))  # type: ignore[misc]
            except (Busy, Broken, TimeoutError) as error:
                failures += 1
                pause = _pause(error, failures)
                log.warning("no thread yet", run=run.id, why=str(error), again_in=pause)
                await woken(run.wake, pause)

    async def _place(self, run: LiveRun, launched: ev.Launched) -> Conversation:
        """A thread of its own; a run that is stopped before it got one stays where it was launched."""
        found: list[Conversation] = []

        async def thread() -> None:
            try:
                found.append(await self._thread(launched.origin, launched.title, key=run.id))
            except (Gone, Refused) as why:
                log.warning("no thread to be had, the run stays where it was launched", run=run.id, why=str(why))

        async def stopped() -> None:
            while not run.state.stop:
                await woken(run.wake, None)

        await until_first(thread(), stopped())
        return found[0] if found else launched.origin

    async def _thread(self, origin: Conversation, title: str, *, key: str) -> Conversation:
        place = await self._office.errand(origin, lambda chat: chat.open(origin, title, key=key))
        assert isinstance(place, Conversation)
        return place

    async def further(self, run: LiveRun) -> None:
        """Give the run a place in each chat from which somebody wants to follow it, for as long as it lives."""
        failures = 0
        while True:
            origin = next(iter(run.state.watching.values()), None) if run.state.seated else None
            if origin is None:
                await woken(run.watched, SEAT_SECONDS if run.state.watching else None)
                continue
            assert run.state.launched is not None
            try:
                where = await self._thread(origin, run.state.launched.title, key=f"{run.id}@{run.state.seated}")
            except (Gone, Refused) as why:
                log.warning("no thread to be had, the run is shown where it was asked for", run=run.id, why=str(why))
                where = origin
            except (Busy, Broken, TimeoutError) as error:
                failures += 1
                pause = _pause(error, failures)
                log.warning("no further thread yet", run=run.id, why=str(error), again_in=pause)
                await asyncio.sleep(pause)
                continue
            except Exception:
                log.exception("a defect kept a run from getting a further place", run=run.id, again_in=PAUSES[-1])
                await asyncio.sleep(PAUSES[-1])
                continue
            failures = 0
            await self._sit(run, where)

    async def _sit(self, run: LiveRun, where: Conversation) -> None:
        def decide(state: State) -> Draft | None:
            if state.ended or where.platform not in state.watching:
                return None
            return Draft([opened(state, where)])

        try:
            await run.write(decide)
        except Broken as error:
            log.warning("a further place is not written down yet", run=run.id, why=str(error))
            await asyncio.sleep(PAUSES[-1])


def _pause(error: Exception, failures: int) -> float:
    return error.seconds if isinstance(error, Busy) else PAUSES[min(failures, len(PAUSES) - 1)]


def _opening(state: State, where: Conversation) -> Draft | None:
    return Draft([opened(state, where)]) if state.where is None and not state.ended else None
