"""What a person is told beside the core: that a message of theirs was refused, rarely, and never with a ping.

In a thread a mark on the message is enough; who spoke to the bot in a channel reads why.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

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
        self._once(message, lambda _: self._answer(message, PRIVATE))

    def refused(self, message: discord.Message, words: str, *, aloud: bool) -> None:
        """A message was refused; `aloud`: with the words, since it was meant for the bot."""
        if aloud:
            self._once(message, lambda _: self._answer(message, words))
        else:
            self._once(message, lambda client: client.http.add_reaction(message.channel.id, message.id, MARK))

    def _once(self, message: discord.Message, what: Callable[[discord.Client], Awaitable[object]]) -> None:
        now = asyncio.get_running_loop().time()
        key = (message.channel.id, message.author.id)
        last = self._told.get(key)
        if self._group is None or len(self._saying) >= MOST_AT_ONCE or (last is not None and now - last < RARELY):
            return
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > MOST_REMEMBERED:
            self._told.popitem(last=False)
        task = self._group.create_task(self._say(what))
        self._saying.add(task)
        task.add_done_callback(self._saying.discard)

    async def _say(self, what: Callable[[discord.Client], Awaitable[object]]) -> None:
        try:
            await self._wire.ask(what)
        except Trouble as why:
            log.info("a refusal was not shown", why=str(why))

    @staticmethod
    async def _answer(message: discord.Message, words: str) -> None:
        text = pieces(Message(text=words)).texts[0]
        await message.channel.send(
            text,
            reference=message.to_reference(fail_if_not_exists=False),
            mention_author=False,
            allowed_mentions=NOBODY,
            silent=True,
            suppress_embeds=True,
        )
