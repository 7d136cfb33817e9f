"""One socket of the gateway: what is sent goes out in order, in one zlib stream, until somebody closes or cuts it.

It knows neither events nor who listens; a session is what outlives it.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections import deque
from dataclasses import dataclass, field

from aiohttp import web

from tests.discordapi.errors import Json

SENDS_A_MINUTE = 120
BACKLOG = 1000
"""Events that a session keeps for somebody who resumes."""


@dataclass
class Session:
    """What a client identified as; it can be resumed after its socket is gone."""

    id: str
    intents: int
    seq: int = 0
    events: deque[Json] = field(default_factory=lambda: deque(maxlen=BACKLOG))
    line: Line | None = None


class Line:
    """One socket: numbered packets go in, compressed frames come out, in order."""

    def __init__(self, ws: web.WebSocketResponse, request: web.Request, *, compressed: bool) -> None:
        self.ws = ws
        self.request = request
        self.session: Session | None = None
        self.silent = False
        self.closing = 0
        """The code that this end closes with; 0 while it does not."""
        self.received: deque[float] = deque(maxlen=SENDS_A_MINUTE + 1)
        self._zlib = zlib.compressobj() if compressed else None
        self._queue: asyncio.Queue[Json | tuple[int, str]] = asyncio.Queue(10_000)

    def send(self, packet: Json) -> None:
        """Put a packet on the wire, unless the line has gone silent."""
        if not self.silent:
            self._queue.put_nowait(packet)

    def close(self, code: int, why: str = "") -> None:
        """Close after what was sent before."""
        self.closing = code
        self._queue.put_nowait((code, why))

    def cut(self) -> None:
        """Break the connection without a word."""
        if self.request.transport is not None:
            self.request.transport.abort()

    async def write(self) -> None:
        """Write what was queued, until the socket is gone."""
        while True:
            packet = await self._queue.get()
            try:
                if isinstance(packet, tuple):
                    await self.ws.close(code=packet[0], message=packet[1].encode())
                    return
                await self._frame(packet)
            except ConnectionError:
                return  # the client is gone; its session keeps what it has not seen

    async def _frame(self, packet: Json) -> None:
        text = json.dumps(packet)
        if self._zlib is None:
            await self.ws.send_str(text)
        else:
            await self.ws.send_bytes(self._zlib.compress(text.encode()) + self._zlib.flush(zlib.Z_SYNC_FLUSH))
