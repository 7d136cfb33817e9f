"""The gateway: one session held over sockets that break, for as long as it takes. It knows no message.

The library's own loop is not used: a socket that Discord closes is opened again without any pause, one that cannot be
opened after up to seventeen minutes; the first failure and an event that it cannot read end it. The two calls inside
of that loop are used instead.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Never

import aiohttp
import discord
import structlog
from discord.gateway import DiscordWebSocket, ReconnectWebSocket

from adapters.discord.errors import NO_INTENT, NOT_ACCEPTED
from adapters.discord.people import PLATFORM
from adapters.discord.wire import Wire
from orchestrator.errors import Broken, Busy, Gone, Trouble

log = structlog.get_logger()

PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds before the next socket, one failure after another."""

MOST_RESUMES = 4
"""Failures in a row after which a new session is begun."""

STEADY = 60.0
"""A socket that stood for so long was no failure."""

BETWEEN = 5.0
"""Seconds between two IDENTIFY, at least."""

MOST_A_DAY = 900
"""Discord takes the token away from a bot that identifies a thousand times a day."""

HANDSHAKE = 30.0
MOST_UNREADABLE = 20
"""Unreadable events in a row after which the stream itself is taken for broken."""

_DAY = 86_400.0
_DROPPED = (ReconnectWebSocket, discord.ConnectionClosed, aiohttp.ClientError, OSError, TimeoutError)
_FATAL = {
    4004: NOT_ACCEPTED,
    4010: "Discord does not take this bot's shard.",
    4011: "This bot is in so many servers that Discord wants it sharded, which it is not.",
    4012: "Discord does not speak this version of its gateway any more.",
    4013: "Discord does not know what this bot asks to hear.",
    4014: NO_INTENT,
}


class Gateway:
    """Holds the session. `heard` is the last sign of life, `aside` counts what could not be read."""

    def __init__(self, wire: Wire, *, clock: Callable[[], float] = time.time) -> None:
        self.heard = 0.0
        self.aside = 0
        self.trouble = "Not connected to Discord yet."
        self._wire = wire
        self._clock = clock
        self._failures = 0
        self._identified: deque[float] = deque(maxlen=MOST_A_DAY)

    async def hold(self) -> Never:
        """Hear until cancelled. Raises `Refused` when it will not work until the operator has changed something."""
        loop = asyncio.get_running_loop()
        ws: DiscordWebSocket | None = None
        while True:
            began, patience = loop.time(), 0.0
            try:
                ws = await self._opened(ws)
                ws = await self._listen(ws)
            except (Broken, Busy, Gone, *_DROPPED) as error:
                if self._wire.trouble:
                    raise self._wire.refuse(self._wire.trouble) from error
                if isinstance(error, discord.ConnectionClosed) and error.code in _FATAL:
                    self.trouble = _FATAL[error.code]
                    raise self._wire.refuse(self.trouble) from error
                patience = error.seconds if isinstance(error, Busy) else 0.0
                name = type(error).__name__
                self.trouble = (
                    str(error) if isinstance(error, Trouble) else f"Discord's gateway cannot be reached ({name})."
                )
            self._failures = 0 if loop.time() - began >= STEADY else self._failures + 1
            pause = PAUSES[min(self._failures, len(PAUSES)) - 1] if self._failures else 0.0
            pause = max(pause, patience)
            if self._failures >= MOST_RESUMES:
                ws = None  # where it was to be resumed is perhaps no more
            told = log.warning if self._failures else log.info
            told("not heard", platform=PLATFORM, why=self.trouble, again_in=pause)
            await asyncio.sleep(pause)

    async def _opened(self, last: DiscordWebSocket | None) -> DiscordWebSocket:
        """A socket on which the session goes on, or on which a new one begins."""
        client = await self._wire.client()
        resumable = last is not None and last.session_id is not None
        if not resumable:
            await self._allowance()
        try:
            async with asyncio.timeout(HANDSHAKE):
                if last is not None and resumable:
                    ws = await DiscordWebSocket.from_client(
                        client, gateway=last.gateway, session=last.session_id, sequence=last.sequence, resume=True
                    )
                else:
                    ws = await DiscordWebSocket.from_client(client)
        except _DROPPED:
            raise
        except Exception as error:
            raise Broken(f"Discord's greeting could not be read ({type(error).__name__}).") from error
        client.ws = ws
        return ws

    async def _listen(self, ws: DiscordWebSocket) -> DiscordWebSocket:
        """Read events until the socket breaks; returns what can be resumed, or raises `ConnectionClosed`."""
        unreadable = 0
        code = 1000
        try:
            while unreadable < MOST_UNREADABLE:
                try:
                    await ws.poll_event()
                    unreadable = 0
                except _DROPPED:
                    raise
                except Exception as error:  # noqa: BLE001 - whatever the library raises over one event
                    unreadable += 1
                    self.aside += 1
                    log.warning("an event could not be read", error=type(error).__name__)
                self.heard, self.trouble = self._clock(), ""
            code = 4000
        except ReconnectWebSocket:
            code = 4000
        except discord.ConnectionClosed as closed:
            if closed.code in _FATAL:
                raise
            code = 4000
        except (aiohttp.ClientError, OSError, TimeoutError):
            code = 4000
        finally:
            await _closed(ws, code)
        self.trouble = "The connection to Discord broke."
        return ws

    async def _allowance(self) -> None:
        """Wait until another IDENTIFY is within its budget."""
        loop = asyncio.get_running_loop()
        if self._identified:
            await asyncio.sleep(max(0.0, self._identified[-1] + BETWEEN - loop.time()))
        if len(self._identified) == MOST_A_DAY:
            self.trouble = "Discord was asked for a new session too often today."
            await asyncio.sleep(max(0.0, self._identified[0] + _DAY - loop.time()))
        self._identified.append(loop.time())


async def _closed(ws: DiscordWebSocket, code: int) -> None:
    """No socket and no thread of it is left. The library's own wait for a silent peer is half a minute."""
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(2.0):
            await ws.close(code)
