"""The line to Telegram: the library's `Bot` over two pools of connections, one of them only for hearing.

Everything goes through `told`, which knows no exception of the library's outside of it, and says no by itself once the
token was refused. It knows no message and no update.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import structlog
from telegram import Bot
from telegram.error import BadRequest, TelegramError
from telegram.request import HTTPXRequest, RequestData

from adapters.telegram.errors import Flood, Garbled, Locked, Moved, trouble
from adapters.telegram.keyed import Newest
from orchestrator.errors import Broken, Busy, Refused, Trouble
from orchestrator.toll import toll

log = structlog.get_logger()

POLL_SECONDS = 30
POLL_GRACE = 10.0
"""A poll that is this late was cut somewhere on the way: nobody will ever answer it."""

ANSWER_SECONDS = 20.0
CONNECT_SECONDS = 10.0
UPLOAD_SECONDS = 60.0
LONGEST_SECONDS = 75.0
"""The end of any request, however slowly its bytes trickle; a file has more by its size."""

SLOWEST_UPLOAD = 96 * 1024
"""Bytes a second that a line must carry for a file to be given all the time it needs."""

MOST_CONNECTIONS = 64
MOST_UPDATES = 100


class Wire(HTTPXRequest):
    """The library's own requests; what is no answer of the platform's is told apart before it is read."""

    async def do_request(
        self, url: str, method: str, request_data: RequestData | None = None, *rest: Any, **deadlines: Any
    ) -> tuple[int, bytes]:
        """As it was, but for a 429 and for answers that are none."""
        status, body = await super().do_request(url, method, request_data, *rest, **deadlines)
        if method == "POST":
            _check(status, body)
        elif status != 200:  # the library would take a file that is not there for a wrong token
            raise Garbled(f"HTTP {status} instead of a file")
        return status, body


def _wire(connections: int, *, read: float) -> Wire:
    return Wire(
        connections,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read,
        write_timeout=ANSWER_SECONDS,
        pool_timeout=CONNECT_SECONDS,
        media_write_timeout=UPLOAD_SECONDS,
    )


def _check(status: int, body: bytes) -> None:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "ok" not in answer:
        raise Garbled(f"an answer that is not Telegram's (HTTP {status})")
    parameters = answer.get("parameters")
    wait = parameters.get("retry_after") if isinstance(parameters, dict) else None
    if isinstance(wait, int | float) or status == 429:
        raise Flood(wait if isinstance(wait, int | float) else 5.0)
    words = str(answer.get("description", ""))
    if status == 404 and "method" in words.lower():  # nor is a method that this server does not have
        raise BadRequest(words)


class Line:
    """`async with` opens it; it may be opened again. `locked` says why nothing works, once the token was refused.

    `moved`: groups that go on under another id, and which.
    """

    def __init__(self, token: str, *, api_base: str) -> None:
        if not token:
            raise Refused("TELEGRAM_TOKEN is empty.")
        base = api_base.rstrip("/")
        self._talking = _wire(MOST_CONNECTIONS, read=ANSWER_SECONDS)
        self._hearing = _wire(1, read=POLL_SECONDS + POLL_GRACE)
        self._token = token
        self._closed: Newest[int, float] = Newest(1_000)  # until when a chat wants to be left alone
        self.locked = ""
        self.moved: Newest[int, int] = Newest(100)
        self.bot = Bot(
            token,
            base_url=f"{base}/bot",
            base_file_url=f"{base}/file/bot",
            request=self._talking,
            get_updates_request=self._hearing,
        )

    async def __aenter__(self) -> Self:
        await self._talking.initialize()
        await self._hearing.initialize()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._hearing.shutdown()
        await self._talking.shutdown()

    @asynccontextmanager
    async def told(self, *, within: float = LONGEST_SECONDS, chat: int | None = None) -> AsyncIterator[Bot]:
        """The bot, for one request; whatever goes wrong in it is raised as a `Trouble`.

        `chat` is where it counts: as long as that one wants to be left alone, nothing leaves for it.
        """
        if self.locked:
            raise Locked(self.locked)
        self._heed(chat)
        await toll()
        self._heed(chat)  # somebody else may have been told to wait in the meantime
        try:
            async with asyncio.timeout(within):
                yield self.bot
        except TelegramError as error:
            # The chain of causes ends here: its texts are nobody's to check for the token.
            known = trouble(error, token=self._token)
            self._learn(known, chat)
            raise known from None
        except TimeoutError:
            raise Broken("Telegram did not answer in time.", unsure=True) from None

    def _heed(self, chat: int | None) -> None:
        """Raises `Busy` while this chat is closed: a request into a penalty makes it longer."""
        until = self._closed.get(chat) if chat is not None else None
        if until is not None and (left := until - asyncio.get_running_loop().time()) > 0:
            raise Busy("Telegram asks for patience.", seconds=left)

    def _learn(self, known: Trouble, chat: int | None) -> None:
        """What one request was told goes for all that follow."""
        match known:
            case Locked():
                self.locked = str(known)
            case Busy() if chat is not None:
                self._closed.put(chat, asyncio.get_running_loop().time() + known.seconds)
            case Moved() if chat is not None:
                self.moves(chat, known.to)

    def moves(self, chat: int, to: int) -> None:
        """A group goes on under another id."""
        if self.moved.get(chat) != to:
            log.error("a group became a supergroup with a new id, which is to be allowed", old=chat, new=to)
            self.moved.put(chat, to)

    async def updates(self, *, offset: int, kinds: Sequence[str]) -> Sequence[Any]:
        """What happened from `offset` on, as it came; waits for something to happen."""
        wanted = {"offset": offset, "timeout": POLL_SECONDS, "limit": MOST_UPDATES, "allowed_updates": list(kinds)}
        async with self.told(within=POLL_SECONDS + POLL_GRACE + 5) as bot:
            # Spelled so, the library takes it for a method that it does not know, and leaves the answer alone.
            found = await bot.do_api_request("get_Updates", wanted)
        if not isinstance(found, list):
            raise Broken("Telegram answered a poll with something else than updates.")
        return found

    async def renew(self) -> None:
        """Another connection for hearing: this one may be dead without knowing it."""
        await self._hearing.shutdown()
        await self._hearing.initialize()
