"""What agentd must know of its own journal, counted as frames are added: money, the turn, open asks, the end.

It stays small however long the journal grows.
"""

from __future__ import annotations

import asyncio

from agent.wire import Asked, AskWithdrawn, Finished, Heard, Report, TurnEnded, TurnStarted, kind_name

COUNTED = frozenset(kind_name(cls).encode() for cls in (Heard, TurnStarted, TurnEnded, Asked, AskWithdrawn, Finished))
"""The kinds that `count` looks at; the rest of a journal need not be parsed."""


class Tally:
    """Folded from every report in order."""

    def __init__(self) -> None:
        self.spent_usd = 0.0
        self.working = False  # a turn has begun and has not ended
        self.rested = asyncio.Event()  # set while no turn is running
        self.rested.set()
        self.asks: set[str] = set()
        self.heard: set[str] = set()
        self.finished: Finished | None = None

    def count(self, report: Report) -> None:
        """Add one report."""
        match report:
            case Heard():
                self.heard.add(report.id)
            case TurnStarted():
                self.working = True
                self.rested.clear()
            case TurnEnded():
                self.working = False
                self.rested.set()
                self.spent_usd += report.cost_usd
                self.asks.clear()
            case Asked():
                self.asks.add(report.ask)
            case AskWithdrawn():
                self.asks.discard(report.ask)
            case Finished():
                self.finished = report
            case _:
                pass
