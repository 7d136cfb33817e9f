"""Writes reports down: masked, cut, into the journal, patiently, and then shown.

Everything that happened goes through here, in order. It does not know where reports come from.
"""

from __future__ import annotations

import asyncio

from agent.agentd.disk import Patience
from agent.agentd.hidden import Hidden
from agent.agentd.journal import Journal
from agent.agentd.printer import Printer
from agent.agentd.shape import mask_live, mask_report
from agent.driver import Mark
from agent.wire import Report, TextSoFar


class Record:
    """`add` collects, `flush` makes durable everything collected, as one write. Do both while holding `desk`."""

    def __init__(self, journal: Journal, printer: Printer, patience: Patience, *, hidden: Hidden) -> None:
        self._journal = journal
        self._printer = printer
        self._patience = patience
        self._hidden = hidden
        self.desk = asyncio.Lock()
        self._waiting: list[Mark] = []

    def add(self, report: Report, ref: str = "") -> None:
        """One more report for the next flush."""
        self._waiting.append(Mark(mask_report(report, self._hidden.now()), ref))

    def show(self, text: TextSoFar) -> None:
        """A live text, unless a report that is not durable yet comes before it."""
        self._printer.show(mask_live(text, self._hidden.now()))

    async def flush(self) -> None:
        """Returns when everything added is on disk, however long that takes."""
        batch = tuple(self._waiting)
        if not batch:
            return
        await self._patience(lambda: self._journal.append(batch))
        del self._waiting[: len(batch)]
        self._printer.follow()

    async def write(self, *reports: Report) -> None:
        """Add these and flush."""
        for report in reports:
            self.add(report)
        await self.flush()
