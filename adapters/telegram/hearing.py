"""Hearing: the loop that asks Telegram what happened, and the way back from everything that a network does.

An update is confirmed by asking for the next one, so that nothing is confirmed before it is stored. Nothing here ends
the loop but a token that is not accepted. What an update means is not known here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from typing import TypeVar

import structlog

from adapters.telegram.errors import Locked, Rival
from adapters.telegram.inbox import Inbox, update_id
from adapters.telegram.line import Line
from adapters.telegram.reading import KINDS, PLATFORM, Me
from orchestrator.errors import Broken, Busy, Gone, Refused

log = structlog.get_logger()

T = TypeVar("T")

AGAIN_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
RIVAL_SECONDS = 30.0
RIVAL = "Another program hears this bot's messages. End it, or give one of the two another token."


class Hearing:
    """Asks until cancelled. `heard` is when Telegram last answered, in Unix seconds; `trouble` why it does not."""

    def __init__(self, line: Line, *, now: Callable[[], float] = time.time) -> None:
        self._line = line
        self._now = now
        self.heard = 0.0
        self.trouble = ""

    def alive(self) -> None:
        """The platform gave a sign of life."""
        self.heard, self.trouble = self._now(), ""

    async def me(self) -> Me:
        """Who the bot is, as soon as Telegram says it. Raises `Refused` when the token is not accepted."""
        return await self.patiently(self._me)

    async def _me(self) -> Me:
        async with self._line.told() as bot:
            user = await bot.get_me()
        return Me(user.id, user.username or "", bool(user.has_topics_enabled))

    async def poll(self, inbox: Inbox) -> None:
        """Store what happens, for ever."""
        await self.patiently(self._no_webhook)
        offset = 0
        while True:
            await inbox.room()
            offset = await self.patiently(lambda: self._batch(inbox, offset))  # noqa: B023 - awaited at once

    async def _no_webhook(self) -> None:
        async with self._line.told() as bot:
            await bot.delete_webhook()

    async def _batch(self, inbox: Inbox, offset: int) -> int:
        updates = await self._line.updates(offset=offset, kinds=KINDS)
        self.alive()
        if updates:
            await inbox.keep(updates)
        return max([offset, *(number + 1 for update in updates if (number := update_id(update)))])

    async def patiently(self, request: Callable[[], Awaitable[T]]) -> T:
        """What comes of a request, however often it takes. Raises `Refused` when it never will."""
        for pause in chain(AGAIN_SECONDS, repeat(AGAIN_SECONDS[-1])):
            try:
                result = await request()
            except Locked as why:
                self.trouble = str(why)
                raise Refused(str(why)) from None
            except Rival:
                self.trouble = RIVAL
                log.error("not heard", platform=PLATFORM, why=RIVAL, again_in=RIVAL_SECONDS)
                await asyncio.sleep(RIVAL_SECONDS)
                await self._unhook()
            except (Broken, Busy, Refused, Gone) as error:
                pause = max(pause, error.seconds + 1 if isinstance(error, Busy) else 0.0)  # noqa: PLW2901 - a longer one
                log.warning("not heard", platform=PLATFORM, why=str(error), again_in=pause)
                self.trouble = str(error)
                # Whatever it was, the connection may be dead without knowing it: the next one is another.
                await self._line.renew()
                await asyncio.sleep(pause)
            else:
                self.alive()
                return result
        raise AssertionError("unreachable")

    async def _unhook(self) -> None:
        """The other one may be an address that updates are sent to, set by somebody since."""
        try:
            await self._no_webhook()
        except (Broken, Busy, Refused, Gone) as error:
            log.warning("webhook not removed", why=str(error))
