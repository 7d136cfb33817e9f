"""A measured figure, and how figures are shown. An aim that is missed is said, and fails nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure. `better`: lower or higher; without an aim it is only told."""

    name: str
    value: float
    unit: str
    better: str
    aim: float | None = None

    @property
    def verdict(self) -> str:
        if self.aim is None:
            return ""
        met = self.value <= self.aim if self.better == "lower" else self.value >= self.aim
        return "met" if met else "MISSED"


def row(name: str, value: float, unit: str, *, better: str = "lower", aim: float | None = None) -> Row:
    """A figure with as many digits as say something."""
    return Row(name, round(value, 3 if value < 10 else 1), unit, better, aim)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies; infinite when nothing was seen at all."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("inf")


def table(rows: Sequence[Row]) -> str:
    """All of them, a line each."""
    lines = [f"{'':52} {'value':>12} {'unit':9} {'aim':>12}"]
    for one in rows:
        aim = "" if one.aim is None else f"{'≤' if one.better == 'lower' else '≥'} {one.aim:,g}"
        lines.append(f"{one.name:52} {one.value:>12,g} {one.unit:9} {aim:>12} {one.verdict}".rstrip())
    return "\n".join(lines)
