"""Who speaks: a Discord member as a `Person`. Roles are ids; who may manage the server has the role `manager` besides.

What the gateway told is used where it is whole; what was read from a channel's past knows no roles, so they are asked.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import discord

from adapters.discord.wire import Wire
from orchestrator.errors import Gone
from orchestrator.nouns import Conversation, Person

PLATFORM = "discord"

May = Callable[[Person, Conversation], bool]
"""Whether this person may do anything there: nothing of a stranger's is fetched. The gate asks again."""

MANAGER = "manager"
MOST_KNOWN = 500
KNOWN_SECONDS = 60.0


class People:
    """Members by guild and id, remembered for a minute where they had to be asked for."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._known: OrderedDict[tuple[int, int], tuple[float, Person]] = OrderedDict()

    async def of(self, author: discord.abc.User, guild_id: int) -> Person:
        """The author as somebody of that guild. Raises `Trouble`."""
        if isinstance(author, discord.Member) and is_whole(author.guild):
            return member(author, author.guild_permissions)
        now = asyncio.get_running_loop().time()
        at, known = self._known.get((guild_id, author.id), (0.0, None))
        if known is None or now - at > KNOWN_SECONDS:
            known = await self._asked(author, guild_id)
            self._known[guild_id, author.id] = (now, known)
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return known

    async def _asked(self, author: discord.abc.User, guild_id: int) -> Person:
        name = author.display_name

        async def ask(client: discord.Client) -> Person:
            found = await client.http.get_member(guild_id, author.id)
            guild = await client.http.get_guild(guild_id, with_counts=False)
            roles = tuple(sorted(str(role) for role in found["roles"]))
            manages = guild["owner_id"] == str(author.id) or _manages(
                [dict(role) for role in guild["roles"]], roles, guild_id
            )
            own = (MANAGER,) if manages else ()
            return Person(PLATFORM, str(author.id), found.get("nick") or name, (*roles, *own))

        try:
            return await self._wire.ask(ask)
        except Gone:  # they have left since
            return Person(PLATFORM, str(author.id), name)


def is_whole(guild: discord.Guild | None) -> bool:
    """Whether the gateway has told this guild, so that its roles are known."""
    return guild is not None and not guild.unavailable and guild.owner_id is not None and bool(guild.roles)


def member(found: discord.Member, may: discord.Permissions) -> Person:
    """A member of a guild that is known as a whole."""
    roles = sorted(str(role.id) for role in found.roles if not role.is_default())
    if may.manage_guild or may.administrator:
        roles.append(MANAGER)
    return Person(PLATFORM, str(found.id), found.display_name, tuple(roles))


def _manages(roles: Sequence[Mapping[str, Any]], own: tuple[str, ...], guild_id: int) -> bool:
    may = 0
    for role in roles:
        if role["id"] in own or role["id"] == str(guild_id):
            may |= int(role["permissions"])
    permissions = discord.Permissions(may)
    return permissions.manage_guild or permissions.administrator
