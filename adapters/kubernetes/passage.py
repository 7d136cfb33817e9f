"""The way into a cluster that is open now, and the next one when its credential is not taken any more.

It knows no address and no object: only that a 401 means to look for the credential once more, and to try again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import aiohttp
from kubernetes_asyncio import client
from kubernetes_asyncio.stream import WsApiClient

from adapters.kubernetes.door import Door, Way, load
from orchestrator.errors import Broken

CALL_SECONDS = 10.0
VAIN_SECONDS = 5.0
"""So long a credential that was looked for in vain is not looked for again."""


class Passage:
    """Clients by a door, for as long as the block lasts. Opening it raises `Broken`."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._way: Way
        self._former: Way | None = None  # what was open when a credential changed that connections are made with
        self._renewing = asyncio.Lock()
        self._renewals = 0
        self._vain: tuple[float, Broken | None] = (float("-inf"), None)

    async def __aenter__(self) -> Self:
        self._way = Way.by(await load(self._door), door=self._door)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for way in filter(None, (self._way, self._former)):
            await way.close()

    @property
    def calls(self) -> client.ApiClient:
        """The client of calls, as it is at this moment: another one may come with another credential."""
        return self._way.calls

    @property
    def streams(self) -> WsApiClient:
        """The client of streams, likewise."""
        return self._way.streams

    async def sent(self, send: Callable[[], Awaitable[aiohttp.ClientResponse]]) -> aiohttp.ClientResponse:
        """The answer's head, in time. A credential that is not taken is looked for again, once: it may have run out."""
        renewals = self._renewals
        async with asyncio.timeout(CALL_SECONDS):
            response = await send()
        if response.status != 401 or not await self._renewed(renewals):
            return response
        response.release()
        async with asyncio.timeout(CALL_SECONDS):
            return await send()

    async def streamed(
        self, stream: Callable[[], Awaitable[aiohttp.ClientWebSocketResponse]]
    ) -> aiohttp.ClientWebSocketResponse:
        """The stream that this opens, which has a deadline of its own; likewise."""
        renewals = self._renewals
        try:
            return await stream()
        except aiohttp.WSServerHandshakeError as error:
            if error.status != 401 or not await self._renewed(renewals):
                raise
        return await stream()

    async def _renewed(self, renewals: int) -> bool:
        """Whether there is another credential than so many renewals ago. One looks, and all who wait have it."""
        async with self._renewing:
            if self._renewals != renewals:
                return True
            since, why = self._vain
            if time.monotonic() - since < VAIN_SECONDS:
                if why is not None:
                    raise Broken(str(why))
                return False
            try:
                settings = await load(self._door)
                if self._way.same(settings):
                    self._vain = (time.monotonic(), None)
                    return False
                if not self._way.take(settings):
                    await self._move(Way.by(settings, door=self._door))
            except Broken as why:
                self._vain = (time.monotonic(), why)
                raise
            self._renewals += 1
            return True

    async def _move(self, way: Way) -> None:
        """Go on by another way. Streams over the one before live on, until that is followed by yet another."""
        former, self._former, self._way = self._former, self._way, way
        if former is not None:
            await former.close()
