"""The toll: what a doing of a chat pays for each of its requests after the first.

The office lets a doing (a post, an edit, a new thread) begin when its place has room for one request. Some need more:
further parts, files, a pin. An adapter pays right before each request: its place has room for the first, the others
wait here for their turn. Some requests count for the platform as a whole and in no place's budget. Outside of the
office's doings, as for an answer to a tap, nothing is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Gate(Protocol):
    """Where a doing pays."""

    def __call__(self, *, here: bool) -> Awaitable[None]:
        """Return when a request may leave; `here`: it counts in the place's budget."""


_gate: ContextVar[Gate | None] = ContextVar("gate", default=None)


async def toll(*, here: bool = True) -> None:
    """One request is about to leave; returns when it may. `here`: it counts in the place's budget."""
    if gate := _gate.get():
        await gate(here=here)


@contextmanager
def tolled(gate: Gate) -> Iterator[None]:
    """What is done inside pays at this gate."""
    token = _gate.set(gate)
    try:
        yield
    finally:
        _gate.reset(token)
