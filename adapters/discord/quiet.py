"""What a person is told beside the core: that a message of theirs was refused, rarely, and never with a ping.

In a thread a mark on the message is enough; who spoke to the bot in a channel reads why.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any

import discord
import structlog

from adapters.discord.render import pieces
from adapters.discord.wire import Wire
from orchestrator.errors import Trouble
from orchestrator.nouns import Message

log = structlog.get_logger()

RARELY = 600.0
"""Seconds between two of these to one person in one place."""

MOST_REMEMBERED = 1000
MOST_AT_ONCE = 20

PRIVATE = "This bot works in a server's channels and not in private chats. Use `/launch` there."
MARK = "❌"
NOBODY = discord.AllowedMentions.none()


class Quiet:
    """Says such things beside everything else, a few at once; who hears none has lost nothing."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._told: OrderedDict[tuple[int, int], float] = OrderedDict()
        self._saying: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup | None = None

    def begin(self, group: asyncio.TaskGroup) -> None:
        """From now on."""
        self._group = group

    def end(self) -> None:
        """No more."""
        self._group = None
        for task in self._saying:
            task.cancel()

    def private(self, message: discord.Message) -> None:
        """Somebody wrote to the bot in private."""
        if self._is_due(message):
            self._begin(self._answer(message, PRIVATE))

    def refused(self, message: discord.Message, words: str, *, aloud: bool) -> None:
        """A message was refused; `aloud`: with the words, since it was meant for the bot."""
        if self._is_due(message):
            self._begin(self._answer(message, words) if aloud else self._mark(message))

    def late(self, message: discord.Message, why: str) -> None:
        """A message could not be taken, and is tried again."""
        if self._is_due(message):
            self._begin(self._answer(message, f"This is not taken yet, and is tried again and again. {why}"))

    def tidy(self, notice: discord.Message) -> None:
        """Discord's own line about a dashboard that was pinned goes: it would come again every hour."""
        self._begin(self._wire.ask(lambda client: client.http.delete_message(notice.channel.id, notice.id)))

    def _is_due(self, message: discord.Message) -> bool:
        """Whether this person was told nothing in this place for a while; they are now."""
        now = asyncio.get_running_loop().time()
        key = (message.channel.id, message.author.id)
        last = self._told.get(key)
        if last is not None and now - last < RARELY:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > MOST_REMEMBERED:
            self._told.popitem(last=False)
        return True

    def _begin(self, work: Coroutine[Any, Any, object]) -> None:
        if self._group is None or len(self._saying) >= MOST_AT_ONCE:
            work.close()
            return
        task = self._group.create_task(_done(work))
        self._saying.add(task)
        task.add_done_callback(self._saying.discard)

    async def _mark(self, message: discord.Message) -> None:
        await self._wire.ask(lambda client: client.http.add_reaction(message.channel.id, message.id, MARK))

    async def _answer(self, message: discord.Message, words: str) -> None:
        text = pieces(Message(text=words)).texts[0]

        async def send(_client: discord.Client) -> None:
            await message.channel.send(
                text,
                reference=message.to_reference(fail_if_not_exists=False),
                mention_author=False,
                allowed_mentions=NOBODY,
                silent=True,
                suppress_embeds=True,
            )

        await self._wire.speak("POST", message.channel.id, send)


async def _done(work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except Trouble as why:
        log.info("not told", why=str(why))
    except Exception:
        log.exception("a defect kept somebody from being told")
