"""Forums and the tags of their posts: ours are made where they are missing and the bot may, others stay as they are.

A forum's tags are written as one list. It is read again right before, alone, so that nobody's tag gets lost.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import discord
import structlog

from adapters.discord.locks import Locks
from adapters.discord.wire import Wire
from orchestrator.errors import Gone, Refused

log = structlog.get_logger()

RUNNING, WAITING, FAILED, DONE = "running", "waiting", "failed", "done"
TAGS = (RUNNING, WAITING, FAILED, DONE)
MOST_TAGS = 20
MOST_APPLIED = 5
MOST_REMEMBERED = 2000

UNTAGGABLE = 600.0
"""Seconds after which we try again to make tags where we might not: somebody may have let us since."""


class Forums:
    """What is known of them is asked anew for each post; only where tags may not be made is remembered for a while."""

    def __init__(self, wire: Wire, *, clock: Callable[[], float]) -> None:
        self._wire = wire
        self._clock = clock
        self._locks = Locks()
        self._untaggable: OrderedDict[int, float] = OrderedDict()  # forums, and until when we do not try

    async def read(self, channel: int) -> discord.ForumChannel:
        """The forum as it is. Raises `Gone` when it is none any more."""
        found = await self._wire.ask(lambda client: client.fetch_channel(channel))
        if not isinstance(found, discord.ForumChannel):
            raise Gone("This forum is none any more.")
        return found

    async def tag(self, forum: discord.ForumChannel, name: str) -> discord.ForumTag | None:
        """The forum's tag of this name, made with our others when it is missing and the bot may."""
        found = _named(forum, name)
        if found is not None or self._untaggable.get(forum.id, 0.0) > self._clock():
            return found
        async with self._locks.of(str(forum.id)):
            try:
                fresh = await self.read(forum.id)
                if _named(fresh, name) is None and len(fresh.available_tags) < MOST_TAGS:
                    await self._make(fresh, name)
                    fresh = await self.read(forum.id)
                return _named(fresh, name)
            except (Refused, Gone) as why:
                self._untaggable[forum.id] = self._clock() + UNTAGGABLE
                self._untaggable.move_to_end(forum.id)
                if len(self._untaggable) > MOST_REMEMBERED:
                    self._untaggable.popitem(last=False)
                log.info("forum without our tags", forum=forum.id, why=str(why))
                return None

    async def _make(self, forum: discord.ForumChannel, name: str) -> None:
        missing = [one for one in (name, *TAGS) if _named(forum, one) is None]
        tags = [*map(_written, forum.available_tags), *({"name": one} for one in dict.fromkeys(missing))]
        await self._wire.ask(lambda client: client.http.edit_channel(forum.id, available_tags=tags[:MOST_TAGS]))

    async def first(self, forum: discord.ForumChannel) -> discord.ForumTag | None:
        """The tag of a new post: ours, or any other where the forum wants one on every post."""
        ours = await self.tag(forum, RUNNING)
        if ours is None and forum.flags.require_tag:
            return min(forum.available_tags, key=lambda tag: tag.moderated, default=None)
        return ours

    async def applied(self, thread: int, forum: discord.ForumChannel, tag: discord.ForumTag) -> Sequence[str]:
        """The tags of a post with this one of ours, and whatever people have put there."""

        async def read(client: discord.Client) -> list[str]:
            # As it is: the library finds a post's tags only while the gateway has told it the forum.
            found: Mapping[str, Any] = dict(await client.http.get_channel(thread))
            return [str(one) for one in found.get("applied_tags", ())]

        stands = await self._wire.ask(read)
        ours = {str(one.id) for one in forum.available_tags if one.name.casefold() in TAGS} | {str(tag.id)}
        return [str(tag.id), *(one for one in stands if one not in ours)][:MOST_APPLIED]


def _named(forum: discord.ForumChannel, name: str) -> discord.ForumTag | None:
    return next((tag for tag in forum.available_tags if tag.name.casefold() == name), None)


def _written(tag: discord.ForumTag) -> dict[str, object]:
    """A tag that is there already, as it has to be given again beside a new one."""
    emoji = tag.emoji
    return {
        "id": str(tag.id),
        "name": tag.name,
        "moderated": tag.moderated,
        "emoji_id": str(emoji.id) if emoji is not None and emoji.id else None,
        "emoji_name": emoji.name if emoji is not None and not emoji.id else None,
    }
