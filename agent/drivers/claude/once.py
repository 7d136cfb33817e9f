"""Reports that are journalled once, however often a CLI or its successor tells them."""

from __future__ import annotations

from collections.abc import Iterator

from agent.driver import Mark
from agent.wire import Report


class Refs:
    """What was journalled, by the driver's own references; shared by the parts of one driver."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def learn(self, refs: frozenset[str]) -> None:
        """These are in the journal."""
        self._known |= refs

    def once(self, report: Report, ref: str) -> Iterator[Mark]:
        """The report with its reference, unless it was made before."""
        if ref not in self._known:
            self._known.add(ref)
            yield Mark(report, ref)

    def of(self, kind: str) -> list[str]:
        """What stands behind `kind:` in the references that begin so."""
        return [ref[len(kind) + 1 :] for ref in self._known if ref.startswith(kind + ":")]

    def __contains__(self, ref: str) -> bool:
        return ref in self._known
