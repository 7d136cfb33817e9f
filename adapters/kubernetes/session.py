"""A connection to agentd by attach: bytes in messages, one channel each way, whatever they cut cut into lines here.

A task reads without ever waiting for the caller: a container whose output nobody drains has been seen to freeze. What
the caller has not taken is bounded; beyond that the connection goes, and resume brings it again.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import aiohttp
import structlog

from agent.wire import Command, Frame, Live, Resume, line_of
from orchestrator.errors import Broken
from orchestrator.reader import Reader

log = structlog.get_logger()

STDIN, STDOUT, STATUS = 0, 1, 3
SEND_SECONDS = 10.0
CLOSE_SECONDS = 0.5
MOST_BYTES = 8 << 20
GULP = 256 << 10
PIECE = 32 << 10
"""Bytes in one message to the container."""


class AttachSession:
    """One connection. `read` is its task; it ends with the connection."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        *,
        name: str,
        send_seconds: float = SEND_SECONDS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._socket = socket
        self._name = name
        self._send_seconds = send_seconds
        self._most_bytes = most_bytes
        self._reader = Reader(name)
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._stir = asyncio.Event()
        self._over = False  # nothing more comes in
        self._open = True
        self._torn = False
        self._sending = asyncio.Lock()

    @property
    def dropped(self) -> int:
        """Lines that could not be read."""
        return self._reader.dropped

    async def frames(self) -> AsyncIterator[Sequence[Frame | Live]]:
        """What agentd prints; see `orchestrator.ports.Session`."""
        while self._open:
            if self._chunks:
                if batch := self._reader.feed(self._gulp()):
                    yield batch
                await asyncio.sleep(0)  # a stream that is never empty must not starve the other tasks
            elif self._over:
                return
            else:
                self._stir.clear()
                await self._stir.wait()

    async def send(self, command: Command | Resume) -> None:
        """One line; see `orchestrator.ports.Session`."""
        await self._write(line_of(command))

    async def close_torn_line(self) -> None:
        """Write a newline: whatever half line a former connection left is over now."""
        await self._write(b"\n")

    def close(self) -> None:
        """Nothing is read or sent from now on; `leave` lets go of the socket."""
        self._open = False
        self._end()

    async def leave(self) -> None:
        """Close the socket, in a moment at most."""
        self.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close()

    # --- reading ---

    async def read(self) -> None:
        """Take in what comes until the connection ends or holds more than it may."""
        try:
            while self._open:
                message = await self._socket.receive()
                if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                    if message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
                        continue
                    log.debug("stream ended", run=self._name, kind=message.type.name, why=str(message.data or ""))
                    return
                channel, data = message.data[0], message.data[1:]
                if channel == STATUS:
                    self._say_why(data)
                    return
                if channel == STDOUT and data:
                    self._chunks.append(data)
                    self._held += len(data)
                    self._stir.set()
                    if self._held > self._most_bytes:
                        log.warning("nobody takes what the agent says; the connection is dropped", run=self._name)
                        return
        finally:
            self._end()

    def _end(self) -> None:
        self._over = True
        self._stir.set()

    def _say_why(self, data: bytes) -> None:
        try:
            status = json.loads(data)
        except ValueError:
            status = {}
        log.info("stream ended by the node", run=self._name, why=str(status.get("message") or status.get("status", "")))

    def _gulp(self) -> bytes:
        parts, size = [], 0
        while self._chunks and size < GULP:
            parts.append(self._chunks.popleft())
            size += len(parts[-1])
        self._held -= size
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # --- writing ---

    async def _write(self, text: bytes) -> None:
        """All of these bytes, or `Broken`. One that was given up half-way is closed by a newline before the next."""
        async with self._sending:
            if not self._open or self._over or self._socket.closed:
                raise Broken("The connection to the agent is closed.", unsure=True)
            rest = b"\n" + text if self._torn else text
            self._torn = True
            try:
                async with asyncio.timeout(self._send_seconds):
                    for at in range(0, len(rest), PIECE):
                        await self._socket.send_bytes(bytes([STDIN]) + rest[at : at + PIECE])
            except TimeoutError:
                self.close()
                raise Broken(
                    f"The agent's pod has not taken its commands for {self._send_seconds:.0f} seconds.", unsure=True
                ) from None
            except (aiohttp.ClientError, OSError) as error:
                self.close()
                raise Broken(f"The connection to the agent is gone: {error}.", unsure=True) from None
            self._torn = False


class LogSession:
    """What an agentd that is no more had printed. Nobody hears what is sent; nothing is left to be done."""

    def __init__(self, response: aiohttp.ClientResponse, *, name: str) -> None:
        self.whole = False  # it was read to its end
        self.told = False  # there was a report in it
        self._response = response
        self._reader = Reader(name)
        self._open = True

    async def frames(self) -> AsyncIterator[Sequence[Frame | Live]]:
        """All of it, once; see `orchestrator.ports.Session`."""
        with suppress(aiohttp.ClientError, TimeoutError):
            async for chunk in self._response.content.iter_any():
                if batch := self._reader.feed(chunk):
                    self.told = self.told or any(isinstance(item, Frame) for item in batch)
                    yield batch
                if not self._open:
                    return
            self.whole = True

    async def send(self, command: Command | Resume) -> None:
        """Lost: the one who would hear it has left."""
        if not self._open:
            raise Broken("The connection to the agent is closed.", unsure=True)

    def close(self) -> None:
        """Nothing more is read."""
        self._open = False
        self._response.close()
