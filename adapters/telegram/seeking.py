"""Looking for a message of which nobody knows whether it stands.

Ids count up, so it can only be one of the next ones, and an edit to the very same look says which. It sends nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from typing import Protocol

import structlog

from adapters.telegram.errors import Missing, NotOurs, Same
from adapters.telegram.line import Line
from adapters.telegram.parts import Part, Text
from adapters.telegram.sent import Records
from orchestrator.errors import Trouble

log = structlog.get_logger()

MOST_PROBES = 10
MOST_MISSES = 3
"""So many ids in a row beyond the highest known one that do not exist: then nothing came after it."""

MOST_BACK = 5
"""Ids below a message that was sent again, of which one may be its twin."""


class Change(Protocol):
    """How a message gets a look."""

    def __call__(self, chat: int, message: int, part: Text) -> Awaitable[None]:
        """It looks so now. Raises `Same` when it did before."""
        ...


class Seeking:
    """Finds messages of ours."""

    def __init__(self, line: Line, records: Records, *, change: Change) -> None:
        self._line = line
        self._records = records
        self._change = change

    async def find(self, chat: int, part: Part, *, after: int) -> int | None:
        """The message that this part has become already, if it has."""
        high = self._records.high(chat)
        if after < 0 and not high:
            return None  # nothing is known of this chat: no place to look at is likelier than another
        candidate = (after if after >= 0 else high) + 1
        probes = misses = 0
        while probes < MOST_PROBES and misses < MOST_MISSES:
            if not self._records.knows(chat, candidate):
                probes += 1
                try:
                    if await self._is(chat, candidate, part):
                        log.info("found what was sent already", chat=chat, message=candidate)
                        return candidate
                    misses = 0
                except Missing:
                    misses += candidate > high
            candidate += 1
        return None

    async def drop_twin(self, chat: int, part: Part, found: int, *, after: int) -> None:
        """Take the earlier one away, when there was one beyond all that was looked at; right below is where it is.

        Where the bot does not see what people write, the ids had gone further than it knew.
        """
        for candidate in range(found - 1, max(after, found - 1 - MOST_BACK), -1):
            if self._records.knows(chat, candidate):
                continue
            try:
                with suppress(Missing):
                    if await self._is(chat, candidate, part):
                        log.info("taken away what stood twice", chat=chat, message=candidate)
                        async with self._line.told(chat=chat) as bot:
                            await bot.delete_message(chat, candidate)
                        return
            except Trouble as why:  # what was to be said stands, once at least
                log.warning("not known whether it stands twice", chat=chat, message=candidate, why=str(why))
                return

    async def _is(self, chat: int, message: int, part: Part) -> bool:
        """Whether this message is that part, or could be made to be. Raises `Missing`."""
        try:
            if isinstance(part, Text):
                await self._change(chat, message, part)
            else:
                async with self._line.told(chat=chat) as bot:
                    await bot.edit_message_caption(chat, message, caption="")
        except Same:
            return True
        except NotOurs:
            return False
        return True
