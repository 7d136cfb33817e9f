"""What is to go wrong with the next requests of a server: first come, first failed. It knows no server and no fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

F = TypeVar("F")


@dataclass
class Planned(Generic[F]):
    """A fault that waits for its requests: those of this name, in this place or in any."""

    request: str
    fault: F
    where: int | None
    left: int


class Plan(Generic[F]):
    """All that is planned."""

    def __init__(self) -> None:
        self._planned: list[Planned[F]] = []

    def add(self, request: str, fault: F, *, where: int | None = None, times: int) -> None:
        """Let the next so many requests of this name fail."""
        self._planned.append(Planned(request, fault, where, times))

    def take(self, names: set[str], where: int | None = None) -> F | None:
        """The fault that is due to a request that goes by any of these names; it uses up its plan."""
        for planned in self._planned:
            if planned.request in names and planned.where in {None, where}:
                planned.left -= 1
                if planned.left <= 0:
                    self._planned.remove(planned)
                return planned.fault
        return None

    def clear(self) -> None:
        """Nothing fails any more."""
        self._planned.clear()
