"""Attach: a WebSocket on one side, a container's stdin and its log on the other; and how such streams break.

What was printed before is never repeated. Each reader goes through the log's file at its own pace, so that one who does
not read slows down nobody. It knows containers, no rights.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from tests.kubeapi.container import Container
from tests.kubeapi.log import Place

PROTOCOL = "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR = 0, 1, 2, 3
FRAME = 32 << 10


@dataclass(frozen=True, slots=True)
class Break:
    """How a connection breaks: when so many bytes went out or came in, counted without the channel's byte.

    `silent`: nothing is sent, read or answered any more, and the connection stays. `torn`: half a frame comes last.
    Neither: a clean end of TCP, without the WebSocket's farewell.
    """

    out: int | None = None
    into: int | None = None
    silent: bool = False
    torn: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """The streams somebody asked for."""

    stdin: bool
    stdout: bool
    stderr: bool

    @property
    def channels(self) -> set[int]:
        """Those that go out."""
        return {channel for channel, asked in ((STDOUT, self.stdout), (STDERR, self.stderr)) if asked}


class Streams:
    """Every attached connection, and what is planned for the next ones."""

    def __init__(self) -> None:
        self.open: list[Attachment] = []
        self.planned: list[Break] = []
        self.frame_size: Callable[[], int] = lambda: FRAME
        """How much goes into the next frame; frames are not lines and may cut characters."""
        self.idle_seconds = 4 * 3600.0
        """After so long without a byte in either direction the connection is closed."""

    def breakage(self) -> Break | None:
        """What is planned for a connection that begins now."""
        return self.planned.pop(0) if self.planned else None

    def cut(self) -> None:
        """Every connection breaks now."""
        for attachment in list(self.open):
            attachment.cut()

    def silence(self) -> None:
        """Every connection becomes half-open now."""
        for attachment in self.open:
            attachment.silence()


class Attachment:
    """One connection to one container."""

    def __init__(self, streams: Streams, container: Container, *, pod: str, wanted: Wanted, once: bool) -> None:
        self.pod = pod
        self.sent = 0
        self.received = 0
        self._streams = streams
        self._container = container
        self._wanted = wanted
        self._once = once
        self._break = streams.breakage()
        self._ws = web.WebSocketResponse(protocols=(PROTOCOL,), max_msg_size=0, compress=False)
        self._transport: asyncio.Transport | None = None
        self._moved = 0.0
        self._silent = asyncio.Event()
        self._cut = False

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """From the handshake to the end, whichever side brings it."""
        place = self._container.log.end
        await self._ws.prepare(request)
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._moved = asyncio.get_running_loop().time()
        self._streams.open.append(self)
        works = (self._speak(place), self._listen(), self._tire(), self._silent.wait())
        tasks: list[asyncio.Task[object]] = [asyncio.ensure_future(work) for work in works]
        try:
            await self._ws.send_bytes(bytes([STDOUT if self._wanted.stdout else STDERR]))  # "the connection stands"
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                with suppress(ConnectionError):
                    task.result()
            if self._silent.is_set():  # pings are answered by who listens: nobody does
                for task in tasks:
                    task.cancel()
                await asyncio.Event().wait()  # until the other side has gone
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._streams.open.remove(self)
            if self._once:
                self._container.close_stdin()
        return self._ws

    # --- breaking ---

    def cut(self) -> None:
        """The connection breaks now."""
        self._cut = True
        if self._transport is not None:
            self._transport.abort()

    def silence(self) -> None:
        """Nothing goes or comes any more, and nobody says so."""
        self._silent.set()

    async def _finish(self) -> None:
        """Break as planned: what was sent before arrives."""
        assert self._break is not None
        assert self._transport is not None
        self._cut = True
        if self._break.silent:
            self.silence()
            return
        if self._break.torn:
            self._transport.write(struct.pack("!BBH", 0x82, 126, 4096) + bytes([STDOUT]) + b'{"n":')
        self._transport.close()

    # --- out ---

    async def _speak(self, at: Place) -> None:
        log = self._container.log
        while await log.more(at):
            most = max(1, self._streams.frame_size())
            if self._break is not None and self._break.out is not None:
                if (left := self._break.out - self.sent) <= 0:
                    await self._finish()
                    return
                most = min(most, left)
            read = log.read(at, most=most)
            assert read is not None
            stream, data, at = read
            if stream in self._wanted.channels:
                await self._ws.send_bytes(bytes([stream]) + data)
                self.sent += len(data)
                self._moved = asyncio.get_running_loop().time()
        if not self._cut:
            status = {"metadata": {}, "status": "Success"}
            await self._ws.send_bytes(bytes([ERROR]) + json.dumps(status).encode())
            await self._ws.close()

    # --- in ---

    async def _listen(self) -> None:
        while True:
            message = await self._ws.receive()
            if message.type in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}:
                return
            data = message.data if isinstance(message.data, bytes) else str(message.data).encode()
            if data[:1] == bytes([STDIN]) and self._wanted.stdin and not await self._hear(data[1:]):
                return

    async def _hear(self, data: bytes) -> bool:
        """Into the container; False when this was the end."""
        self._moved = asyncio.get_running_loop().time()
        if self._break is not None and self._break.into is not None:
            data = data[: self._break.into - self.received]
        self.received += len(data)
        await self._container.write(data)
        if self._break is not None and self._break.into is not None and self.received >= self._break.into:
            await self._finish()
            return False
        return True

    async def _tire(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._streams.idle_seconds
        while left > 0:
            await asyncio.sleep(left)
            left = self._moved + self._streams.idle_seconds - loop.time()
        self.cut()
