"""The way to Discord over REST: one client of the library, logged in when it is first needed, and every request's end.

Requests work without the gateway. Each ends within a deadline and raises nothing but the four kinds of trouble; a 429
and a server's error come out at once, where the library would sleep inside of the call. It knows no message.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TypeVar

import aiohttp
import discord
import structlog
import yarl
from discord.gateway import DiscordWebSocket

from adapters.discord.buckets import LONGEST_REST, without_sleep
from adapters.discord.errors import OUTSIDE, UNREADABLE, Declined, trouble
from adapters.discord.paces import Paces
from orchestrator.errors import Broken, Busy, Refused
from orchestrator.toll import toll

log = structlog.get_logger()

T = TypeVar("T")

SECONDS = 20.0
"""A request that takes longer is given up."""

SLOWEST = 96 << 10
"""Bytes in a second that a line must carry for its files to come through; the library ends any request after 300 s."""

_TALKATIVE = ("discord.gateway", "discord.http", "discord.webhook")
"""Below INFO these write down every event and address, and with them what an interaction is answered with."""

JSON = "application/json"
"""What Discord's answers are, and what the library takes for JSON."""

LOGIN_EVERY = 2.0
"""Seconds after a login that failed in which none is tried."""

Made = Callable[[aiohttp.TCPConnector, aiohttp.TraceConfig], discord.Client]
"""Makes the client, which is made again as long as it cannot log in."""


@dataclass(slots=True)
class _Asking:
    """The request that a task is about. `written`: its head has left; before that, nothing was done surely."""

    written: bool = False


_asking: ContextVar[_Asking | None] = ContextVar("asking", default=None)


class Wire:
    """Requests to Discord. `trouble` says why there are none any more, when the token is not accepted."""

    def __init__(self, *, token: str, api_base: str, gateway_url: str, make: Made) -> None:
        self.paces = Paces()
        self.trouble = ""
        self._refused = asyncio.Event()
        self._hushed = 0.0  # until then, by the loop's time, nothing leaves but answers to interactions
        self._token = token
        self._addresses = (api_base.rstrip("/"), gateway_url)
        self._make = make
        self._client: discord.Client | None = None
        self._door = asyncio.Lock()
        self._failed: tuple[float, str] | None = None
        self._files: aiohttp.ClientSession | None = None
        self._before = (discord.http.Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY)

    async def open(self) -> None:
        """Point the library at another server where that is wanted; nobody is spoken to yet."""
        rest, gateway = self._addresses
        if rest and rest != discord.http.Route.BASE:
            discord.http.Route.BASE = rest
        if gateway and gateway != str(DiscordWebSocket.DEFAULT_GATEWAY):
            DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
        for name in _TALKATIVE:
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, logging.INFO))
        self._files = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        """No request any more, and no connection left."""
        self.trouble = self.trouble or "The way to Discord is closed."
        discord.http.Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = self._before
        if self._files is not None:
            await self._files.close()
        if self._client is not None:
            await self._client.close()
            self._client = None

    @property
    def files(self) -> aiohttp.ClientSession:
        """For what people attached: those addresses must never see the token."""
        if self._files is None:
            raise Broken("The way to Discord is not open.")
        return self._files

    @property
    def me(self) -> int:
        """The bot's own id, 0 before it has logged in."""
        user = self._client.user if self._client is not None else None
        return user.id if user is not None else 0

    def refuse(self, why: str) -> Refused:
        """Nothing works until the operator has changed something: no request leaves from now on."""
        self.trouble = why
        self._refused.set()
        return Refused(why)

    async def refused(self) -> None:
        """Wait until nothing works any more, and raise `Refused`."""
        await self._refused.wait()
        raise Refused(self.trouble)

    async def client(self) -> discord.Client:
        """The client, logged in. Raises `Refused` for a token that is not accepted, `Broken`, `Busy`."""
        if self.trouble:
            raise Broken(self.trouble)
        if self._client is None:
            async with self._door:
                if self._client is None:
                    self._client = await self._logged_in_soon()
        return self._client

    async def _logged_in_soon(self) -> discord.Client:
        """Log in, unless that has just failed: many may wait at the door, and each would fail as slowly."""
        loop = asyncio.get_running_loop()
        if self.trouble:
            raise Broken(self.trouble)
        if self._failed is not None and loop.time() - self._failed[0] < LOGIN_EVERY:
            raise Broken(self._failed[1])
        try:
            return await self._logged_in()
        except (Broken, Busy) as why:
            self._failed = (loop.time(), str(why))
            raise

    async def _logged_in(self) -> discord.Client:
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(_begun)
        trace.on_request_headers_sent.append(_written)
        trace.on_request_end.append(self._answered)
        client = without_sleep(self._make(aiohttp.TCPConnector(limit=0), trace))
        _asking.set(_Asking())
        try:
            async with asyncio.timeout(SECONDS):
                await client.login(self._token)
        except BaseException as error:
            await client.close()
            if isinstance(error, (*OUTSIDE, *UNREADABLE, Busy, Broken)):
                kind = self._kind(error, unsure=False)
                # Whatever else this is, only a token that is not accepted needs an operator.
                raise kind if self.trouble or isinstance(kind, Busy) else Broken(str(kind)) from error
            raise
        finally:
            _asking.set(None)
        log.info("logged in", platform="discord")
        return client

    async def ask(
        self, what: Callable[[discord.Client], Awaitable[T]], *, seconds: float = SECONDS, here: bool = False
    ) -> T:
        """Do one request and return what came of it. Raises `Trouble`. `here`: it counts in the channel's pace."""
        wait = self._hushed - asyncio.get_running_loop().time()
        if wait > 0:
            raise Busy("Discord asks for patience everywhere.", seconds=wait, everywhere=True)
        await toll(here=here)
        return await self.reply(what, seconds=seconds)

    async def reply(self, what: Callable[[discord.Client], Awaitable[T]], *, seconds: float = SECONDS) -> T:
        """Answer an interaction: those are outside of what Discord allows a bot in all. Raises `Trouble`."""
        client = await self.client()
        asking = _Asking()
        before = _asking.set(asking)
        try:
            async with asyncio.timeout(seconds):
                return await what(client)
        except (*OUTSIDE, Busy, Broken) as error:
            raise self._kind(error, unsure=asking.written) from error
        except UNREADABLE as error:
            if not asking.written:
                raise  # nothing was answered yet: a defect of ours
            raise self._kind(error, unsure=True) from error
        finally:
            _asking.reset(before)

    async def speak(
        self, method: str, channel: int, what: Callable[[discord.Client], Awaitable[T]], *, size: int = 0
    ) -> T:
        """Send, edit or delete a message there, when its bucket has room. Edits alone count in the channel's pace.

        `size`: bytes of its files, which take their time.
        """
        wait = self.paces.wait(method, str(channel), now=asyncio.get_running_loop().time())
        if wait > LONGEST_REST:
            raise Busy("Discord's limit for this channel is used up.", seconds=wait)
        if wait:
            await asyncio.sleep(wait)
        return await self.ask(what, seconds=SECONDS + LONGEST_REST + size / SLOWEST, here=method == "PATCH")

    def _kind(self, error: BaseException, *, unsure: bool) -> Exception:
        kind = trouble(error, unsure=unsure)
        if isinstance(kind, Declined) and kind.code == 401:
            self.refuse(str(kind))
            log.error("no request leaves any more", platform="discord", why=self.trouble)
        return kind

    async def _answered(
        self, _session: aiohttp.ClientSession, _context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        if _asking.get() is None:
            return
        response = params.response
        now = asyncio.get_running_loop().time()
        self.paces.learn(params.method, params.url.path, response.headers, now=now)
        if response.status == 429:
            busy = await _patience(response)
            self.paces.close(params.method, params.url.path, until=now + busy.seconds)
            if busy.everywhere:
                self._hushed = max(self._hushed, now + busy.seconds)
            raise busy
        if response.status >= 500:
            raise Broken(f"Discord has trouble of its own ({response.status}).", unsure=True)
        if response.status != 204 and response.content_length != 0 and response.headers.get("Content-Type") != JSON:
            response.close()
            raise Broken(f"Something in between answered in Discord's place ({response.status}).", unsure=True)


async def _begun(_session: aiohttp.ClientSession, _context: SimpleNamespace, _params: object) -> None:
    asking = _asking.get()
    if asking is not None:
        asking.written = False


async def _written(_session: aiohttp.ClientSession, _context: SimpleNamespace, _params: object) -> None:
    asking = _asking.get()
    if asking is not None:
        asking.written = True


async def _patience(response: aiohttp.ClientResponse) -> Busy:
    """What a 429 asks for. One that is not Discord's own comes from the edge in front of it and is meant for us all."""
    body = await response.read()  # to its end, so that the connection stays
    asked = response.headers.get("Retry-After", "")
    seconds, everywhere = (float(asked) if asked.isdecimal() else 60.0), "Via" not in response.headers
    try:
        told = json.loads(body)
        everywhere = everywhere or bool(told.get("global"))
        seconds = float(told["retry_after"])
    except KeyError:
        pass  # some of Discord's own limits name no time
    except (ValueError, TypeError, AttributeError):
        everywhere = True
    return Busy("Discord asks for patience.", seconds=seconds, everywhere=everywhere)
