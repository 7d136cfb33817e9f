"""Two small ways of running things side by side and of waiting, used by whoever drives something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Over(Exception):
    """One of them has ended; the others go."""


async def until_first(*work: Coroutine[Any, Any, None]) -> None:
    """Run these side by side until one ends or raises; the others are cancelled. What was raised comes out plainly."""

    async def announce(one: Coroutine[Any, Any, None]) -> None:
        await one
        raise _Over

    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(announce(one))
    except BaseExceptionGroup as failures:
        real = [error for error in failures.exceptions if not isinstance(error, _Over)]
        if real:
            raise real[0] from None


async def each_within(items: AsyncIterator[T], seconds: float) -> AsyncIterator[T]:
    """The items as they come; raises TimeoutError when the next one is longer in coming than `seconds`."""
    while True:
        try:
            async with asyncio.timeout(seconds):
                item = await anext(items)
        except StopAsyncIteration:
            return
        yield item


async def woken(event: asyncio.Event, seconds: float | None) -> None:
    """Wait until the event is set or the seconds are over, whichever is first; leaves the event clear."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    event.clear()
