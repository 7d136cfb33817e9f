"""What an operator should know of a bot on Discord before anybody writes to it. It asks and changes nothing.

It only asks over REST: a bot that runs meanwhile keeps its gateway. Who may talk to the bot it does not know.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import discord

from adapters.discord.errors import NO_INTENT
from adapters.discord.forums import TAGS
from adapters.discord.wire import Wire
from orchestrator.checkup import Finding, looked
from orchestrator.errors import Busy, Gone, Refused, Trouble

WHAT = "discord"
SECONDS = 10.0
NO_WAY = "Look at this machine's network, HTTPS_PROXY and DISCORD_API_BASE; the bot itself tries again and again"

NEEDED = {
    "view_channel": "View Channels",
    "send_messages": "Send Messages",
    "create_public_threads": "Create Public Threads",
    "send_messages_in_threads": "Send Messages in Threads",
    "manage_threads": "Manage Threads",
    "manage_messages": "Manage Messages",
    "pin_messages": "Pin Messages",
    "attach_files": "Attach Files",
    "read_message_history": "Read Message History",
    "add_reactions": "Add Reactions",
}
"""Permissions by the library's names, with the words that Discord's settings have for them."""

_FORUM = discord.ChannelType.forum.value
_TALKED_IN = {
    discord.ChannelType.text.value,
    discord.ChannelType.news.value,
    _FORUM,
}

Told = Mapping[str, Any]
"""Something as Discord tells it."""


def asking(*, token: str, api_base: str, gateway_url: str) -> Wire:
    """A way to Discord that never opens the gateway."""
    return Wire(token=token, api_base=api_base, gateway_url=gateway_url, make=_client)


def _client(connector: aiohttp.TCPConnector, trace: aiohttp.TraceConfig) -> discord.Client:
    return discord.Client(intents=discord.Intents.none(), connector=connector, http_trace=trace)


@dataclass(frozen=True, slots=True)
class _Server:
    """A guild with the bot in it."""

    guild: Told
    own: Told
    channels: Mapping[str, Told]

    @property
    def name(self) -> str:
        return f"“{self.guild['name']}” ({self.guild['id']})"


async def checkup(
    wire: Wire, *, guilds: Collection[str], channels: Collection[str] = (), roles: Collection[str] = ()
) -> list[Finding]:
    """Everything there is to find; all three are the allowed ones."""
    late = Finding(WHAT, f"Discord did not answer all questions within {SECONDS:.0f} s; try again.", good=False)
    looking = _look(wire, sorted(guilds), sorted(channels), sorted(roles))
    return await looked(looking, seconds=SECONDS, late=lambda: late)


async def _look(
    wire: Wire, guilds: Sequence[str], channels: Sequence[str], roles: Sequence[str]
) -> AsyncGenerator[Finding, None]:
    try:
        client = await wire.client()
        yield Finding(WHAT, f"the token is accepted; the bot is {client.user}", good=True)
        for finding in _application(client.application):
            yield finding
        async for finding in _places(wire, guilds, channels, roles):
            yield finding
    except Busy as why:
        yield Finding(WHAT, f"{_clause(why)} Try again in {math.ceil(why.seconds)} s", good=False)
    except Refused as why:
        yield Finding(WHAT, str(why), good=False, grave=True)
    except Trouble as why:
        yield Finding(WHAT, f"{_clause(why)} {NO_WAY}", good=False)


async def _places(
    wire: Wire, guilds: Sequence[str], channels: Sequence[str], roles: Sequence[str]
) -> AsyncGenerator[Finding, None]:
    """The entries of the three lists, one after the other."""
    servers: list[_Server] = []
    for guild in guilds:
        try:
            servers.append(await _server(wire, guild))
        except Gone:
            words = (
                f"the bot is not in server {guild} of DISCORD_ALLOWED_GUILDS: open its install link from the developer "
                "portal and choose that server, or take the entry out"
            )
            yield Finding(WHAT, words, good=False)
        else:
            if not channels:
                yield _allowed(servers[-1], None)
                for found in servers[-1].channels.values():
                    for finding in _untagged(servers[-1], found):
                        yield finding
    for channel in channels:
        home = next((server for server in servers if channel in server.channels), None)
        if home is None:
            yield await _elsewhere(wire, channel)
            continue
        yield _allowed(home, home.channels[channel])
        for finding in _untagged(home, home.channels[channel]):
            yield finding
    known = {role["id"] for server in servers for role in server.guild["roles"]}
    for role in roles:
        if servers and role not in known:
            words = (
                f"no role {role} of DISCORD_ALLOWED_ROLES is in the allowed servers: nobody has it. Copy its id anew"
            )
            yield Finding(WHAT, words, good=False)


def _application(application: discord.AppInfo | None) -> Iterator[Finding]:
    if application is None:
        return
    flags = application.flags
    if flags.gateway_message_content or flags.gateway_message_content_limited:
        yield Finding(WHAT, "the Message Content intent is on: the bot can read what is said in its threads", good=True)
    else:
        yield Finding(WHAT, NO_INTENT, good=False, grave=True)
    if application.interactions_endpoint_url:
        yield Finding(
            WHAT,
            "an Interactions Endpoint URL is set: commands and buttons go there and never reach this bot. Empty it in "
            "the developer portal (General Information)",
            good=False,
            grave=True,
        )


async def _server(wire: Wire, guild: str) -> _Server:
    id_ = int(guild)

    async def read(client: discord.Client) -> _Server:
        found = await client.http.get_guild(id_, with_counts=False)
        own = await client.http.get_member(id_, wire.me)
        channels = await client.http.get_all_guild_channels(id_)
        return _Server(dict(found), dict(own), {str(channel["id"]): dict(channel) for channel in channels})

    return await wire.ask(read)


def _allowed(server: _Server, channel: Told | None) -> Finding:
    """What the bot may in a whole server, or in one channel of it."""
    place = f"#{channel['name']} ({channel['id']}) in {server.name}" if channel else server.name
    if channel and channel["type"] not in _TALKED_IN:
        words = f"{place} is neither a text channel nor a forum: no run can have a thread there. Take another"
        return Finding(WHAT, words, good=False)
    may = _may(server, channel)
    lacks = [words for name, words in NEEDED.items() if not getattr(may, name)]
    if lacks:
        where = "in the channel's settings" if channel else "in the server's settings, under Roles"
        words = f"{place}: the bot lacks {', '.join(lacks)}. Give its role {'these' if lacks[1:] else 'this'} {where}"
        return Finding(WHAT, words, good=False)
    return Finding(WHAT, f"{place}: the bot may all it needs", good=True)


def _untagged(server: _Server, channel: Told) -> Iterator[Finding]:
    """A forum in which posts cannot show how their runs stand."""
    if channel["type"] != _FORUM or _may(server, channel).manage_channels:
        return
    known = {tag["name"].casefold() for tag in channel.get("available_tags", ())}
    if lacks := [tag for tag in TAGS if tag not in known]:
        words = (
            f"#{channel['name']} ({channel['id']}) in {server.name}: the forum lacks the tags {', '.join(lacks)}, by "
            "which its posts show how their runs stand. Make them in the forum's settings, or give the bot Manage "
            "Channels there"
        )
        yield Finding(WHAT, words, good=False)


def _may(server: _Server, channel: Told | None) -> discord.Permissions:
    """As Discord reckons it: roles, then what a channel says to everybody, to roles, to the bot itself."""
    guild = str(server.guild["id"])
    own = {guild, *map(str, server.own["roles"])}
    base = 0
    for role in server.guild["roles"]:
        if str(role["id"]) in own:
            base |= int(role["permissions"])
    if discord.Permissions(base).administrator:
        return discord.Permissions.all()
    overwrites = channel["permission_overwrites"] if channel else ()
    me = str(server.own["user"]["id"])
    for group in ({guild}, own - {guild}, {me}):
        allow = deny = 0
        for overwrite in overwrites:
            if str(overwrite["id"]) in group:
                allow |= int(overwrite["allow"])
                deny |= int(overwrite["deny"])
        base = base & ~deny | allow
    return discord.Permissions(base)


async def _elsewhere(wire: Wire, channel: str) -> Finding:
    """An entry of DISCORD_ALLOWED_CHANNELS that is none of the channels of the allowed servers."""
    entry = f"channel {channel} of DISCORD_ALLOWED_CHANNELS"
    try:
        found: Told = dict(await wire.ask(lambda client: client.http.get_channel(int(channel))))
    except Gone:
        words = f"{entry} does not exist in the allowed servers, or the bot may not see it. Copy its id anew"
    else:
        if found.get("thread_metadata"):
            words = f"{entry} is a thread: name the channel that it is in, {found['parent_id']}"
        else:
            words = (
                f"{entry} is in none of the servers of DISCORD_ALLOWED_GUILDS: nobody is heard there. Add its server, "
                "or take the entry out"
            )
    return Finding(WHAT, words, good=False)


def _clause(why: Trouble) -> str:
    """What went wrong, as a sentence to go on after."""
    return f"{str(why).rstrip('.')}."
