"""The library's buckets without its sleep: a request waits for its turn before it leaves, never after it was done.

The library's own sleep inside the call when a bucket is used up, so that what was done is taken for lost.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import aiohttp
import discord
from discord.http import HTTPClient, Ratelimit

from orchestrator.errors import Busy

LONGEST_REST = 10.0
"""Seconds that a request waits for its own bucket; one that would have to wait longer is `Busy`."""


class Bucket(Ratelimit):
    """A bucket of the library's, whose arithmetic stays as it is."""

    __slots__ = ("_changed",)

    def __init__(self, max_ratelimit_timeout: float | None) -> None:
        super().__init__(max_ratelimit_timeout)
        self._changed = asyncio.Condition()

    async def acquire(self) -> None:
        """Take one; raises `Busy` when there is none for long."""
        self._last_request = self._loop.time()
        while True:
            if self.is_expired():
                self.reset()  # type: ignore[no-untyped-call]
            if self.remaining > 0:
                break
            rest = None if self.expires is None else self.expires - self._loop.time()
            if rest is None:  # others are under way, and what they are told is awaited
                async with self._changed:
                    await self._changed.wait()
            elif rest > LONGEST_REST:
                raise Busy("Discord's limit for this is used up.", seconds=rest)
            else:
                await asyncio.sleep(max(0.0, rest) + 0.001)
        self.remaining -= 1
        self.outgoing += 1

    def update(self, response: aiohttp.ClientResponse, *, use_clock: bool = False) -> None:
        """Read an answer's headers; others under way are perhaps not counted in them yet."""
        self.dirty = True
        super().update(response, use_clock=use_clock)

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.outgoing -= 1
        if isinstance(error, Busy) and not error.everywhere:
            self.remaining, self.expires = 0, self._loop.time() + error.seconds  # nothing leaves into a penalty
        elif self.expires is None:
            self.reset()  # type: ignore[no-untyped-call]
        async with self._changed:
            self._changed.notify_all()


def without_sleep(client: discord.Client) -> discord.Client:
    """The same client, with buckets of ours."""
    http = client.http

    def found(key: str) -> Ratelimit:
        bucket = http._buckets.get(key)  # noqa: SLF001
        if bucket is None:
            bucket = http._buckets[key] = _unnamed(http, key) or Bucket(http.max_ratelimit_timeout)  # noqa: SLF001
            http._try_clear_expired_ratelimits()  # noqa: SLF001
        return bucket

    http.get_ratelimit = found  # type: ignore[method-assign]
    return client


def _unnamed(http: HTTPClient, key: str) -> Ratelimit | None:
    """The bucket that this place had before an answer told what its route's are called, if it was asked for then.

    The library names that of the first answer alone: those of other places under way would be begun anew, and full.
    """
    name, _, place = key.partition(":")
    routes = (route for route, its in http._bucket_hashes.items() if its == name)  # noqa: SLF001
    return next((old for route in routes if (old := http._buckets.get(f"{route}:{place}"))), None)  # noqa: SLF001
