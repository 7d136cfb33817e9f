"""Small ways of running things side by side and of waiting, used by whoever drives something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from itertools import chain, repeat
from typing import Any, TypeVar

import structlog

log = structlog.get_logger()

T = TypeVar("T")

PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between attempts that get nowhere, one after another, of whoever somebody waits for."""

PATIENCE_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Pauses of whoever waits for something that must work again some time; the last one goes on."""


async def patiently(
    do: Callable[[], Awaitable[T]], *, what: str, over: tuple[type[Exception], ...] = (Exception,)
) -> T:
    """Do this until it works, however long it takes: for what must not be left undone, like a note in the store.

    `over`: what it is patient over; anything else comes out.
    """
    for pause in chain(PATIENCE_SECONDS, repeat(PATIENCE_SECONDS[-1])):
        try:
            return await do()
        except over as error:
            log.error("not done yet", what=what, again_in=pause, error=repr(error))
            await asyncio.sleep(pause)
    raise AssertionError("unreachable")


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Do this to its end, also when whoever waits for it is cancelled meanwhile; the cancellation comes out after it.

    For what is half in the store and half in memory: cut in the middle, the two would not say the same any more.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()):
            log.warning("failed when nobody waited for it any more", error=repr(error))
        raise
    return task.result()


async def until_first(*work: Coroutine[Any, Any, None]) -> None:
    """Run these side by side until one ends or raises; the others are cancelled. What was raised comes out plainly.

    Not a TaskGroup: in Python 3.11 one whose child fails while it is cancelled itself forgets the cancellation, and a
    run that was told to go would stay.
    """
    tasks = [asyncio.create_task(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    failed = [error for task in tasks if not task.cancelled() and (error := task.exception())]
    for task in first:
        if task.cancelled():  # by itself: taken for our own cancellation, it would end whoever waits here in silence
            raise RuntimeError(f"{task.get_coro()} was cancelled by nobody here")
        task.result()
    if failed:
        raise failed[0]


async def each_within(items: AsyncIterator[T], seconds: float) -> AsyncIterator[T]:
    """The items as they come; raises TimeoutError when the next one is longer in coming than `seconds`."""
    while True:
        try:
            async with asyncio.timeout(seconds):
                item = await anext(items)
        except StopAsyncIteration:
            return
        yield item


def told_to_go() -> bool:
    """Whether somebody cancelled this task. A `CancelledError` without that was made by what it was doing: a defect."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def woken(event: asyncio.Event, seconds: float | None) -> None:
    """Wait until the event is set or the seconds are over, whichever is first; leaves the event clear."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    event.clear()
