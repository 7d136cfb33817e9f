"""The platform on loopback: `async with Discord(token="…") as api:` and everything a test asks of it.

It puts the parts together and is where routes and people meet the world and the gateway; limits, schema, faults and
routes are files of their own. It never flatters: what the platform refuses is refused, and a request that the
platform's description does not allow fails the test when the server is left.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Iterable
from typing import Self

from aiohttp import web

from tests.discordapi import payloads, people, routes_bot, routes_interactions, routes_messages, routes_threads
from tests.discordapi.ask import Call
from tests.discordapi.clock import Clock, iso
from tests.discordapi.errors import Json, Refusal
from tests.discordapi.faults import ANY, Fault, Faults
from tests.discordapi.front import entrance
from tests.discordapi.gateway import GUILD_MEMBERS, Gateway
from tests.discordapi.interactions import Interaction
from tests.discordapi.limits import Limits
from tests.discordapi.people import Person
from tests.discordapi.world import (
    DM,
    FORUM,
    PINNED_POST,
    TEXT,
    Channel,
    Guild,
    Message,
    Overwrite,
    Permission,
    User,
    World,
)

STANDING = (0, 19, 20, 23)
"""Kinds of messages that somebody wrote; the others are notices of the platform."""


class Discord:
    """One server with one guild; more guilds with `world.found`."""

    def __init__(
        self,
        *,
        token: str,
        port: int = 0,
        base_time: float | None = None,
        bot_name: str = "army",
        lenient: bool = False,
    ) -> None:
        self.clock = Clock(base_time)
        self.world = World(self.clock, bot_name=bot_name)
        self.guild: Guild = self.world.found("home")
        self.limits = Limits(self.clock)
        self.faults = Faults()
        self.sockets = Gateway(self.clock, right=self.right, ready=self._ready, guilds=self._guilds)
        self.calls: list[Call] = []
        self.violations: list[str] = []
        self.told_to_wait = 0
        self.into_penalty = 0
        self.typed: list[tuple[float, int]] = []
        self.interactions: dict[str, Interaction] = {}
        self.commands: dict[str, dict[str, Json]] = {}
        self.command_creates: dict[str, list[float]] = {}
        self._token = token
        self._port = port
        self._lenient = lenient
        self._runner: web.AppRunner | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Discord on port {self._port}>"

    # --- being there ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self.down()
        if kind is None and not self._lenient and (wrong := self.violations + self.sockets.wrong):
            raise AssertionError("the platform's description was violated:\n" + "\n".join(wrong))

    async def up(self) -> None:
        """Listen; again on the same port after `down`."""
        self.clock.start()
        app = web.Application(client_max_size=64 << 20)
        app.router.add_get("/gateway", self.sockets.serve)
        app.router.add_get("/gateway/", self.sockets.serve)
        app.router.add_get("/files/{file_id}/{name}", self._file)
        for part in (routes_messages, routes_threads, routes_bot, routes_interactions):
            for route in part.routes():
                path = "/api/v10" + route.template.replace("_id}", "_id:[0-9]+}")
                app.router.add_route(route.method, path, entrance(self, route))
        app.router.add_route("*", "/api/{rest:.*}", self._nowhere)
        self.extend(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self._sweeper = asyncio.create_task(self._sweep())

    async def down(self) -> None:
        """Be gone: sockets break, and who connects is refused. Sessions, messages and commands stay."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])
        self.sockets.cut()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def extend(self, app: web.Application) -> None:
        """For whoever has more paths to offer under the same port."""

    @property
    def url(self) -> str:
        """Where the server is."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def rest(self) -> str:
        """What a client takes for the REST address."""
        return f"{self.url}/api/v10"

    @property
    def gateway(self) -> str:
        """What a client takes for the gateway's address."""
        return f"ws://127.0.0.1:{self._port}/gateway"

    def right(self, token: object) -> bool:
        """Whether this is the bot's token; it is told to nobody."""
        return isinstance(token, str) and hmac.compare_digest(token.encode(), self._token.encode())

    def _ready(self) -> Json:
        return {
            "v": 10,
            "user": payloads.me(self.world.me),
            "guilds": [{"id": str(g), "unavailable": True} for g in self.world.guilds],
            "resume_gateway_url": self.gateway,
            "application": {"id": str(self.world.application), "flags": 1 << 19},
            "private_channels": [],
        }

    def _guilds(self, intents: int) -> list[Json]:
        guilds = [payloads.guild(g, self.world) for g in self.world.guilds.values()]
        if not intents & GUILD_MEMBERS:
            for guild in guilds:
                guild["members"] = [m for m in guild["members"] if m["user"]["id"] == str(self.world.me.id)]
        return guilds

    async def _file(self, request: web.Request) -> web.Response:
        wanted = request.match_info["file_id"]
        for message in self.every_message():
            for one in message.attachments:
                if str(one.id) == wanted:
                    return web.Response(body=one.data, headers={"Content-Type": one.kind})
        return web.Response(status=404)

    async def _nowhere(self, request: web.Request) -> web.Response:
        self.violations.append(
            f"{request.method} on a path that this server does not have: {len(request.path)} characters"
        )
        return web.json_response({"message": "404: Not Found", "code": 0}, status=404)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(60)
            self.settle()

    # --- setting the scene ----------------------------------------------------------------------------------------

    def person(
        self, person_id: int | None, name: str, *, roles: Iterable[str] = (), permissions: int | None = None
    ) -> Person:
        """A member of the guild."""
        return self._joined(people.join(self, person_id, name, roles=roles, permissions=permissions, bot=False))

    def bot(self, person_id: int | None, name: str) -> Person:
        """Another bot in the guild."""
        return self._joined(people.join(self, person_id, name, roles=(), permissions=None, bot=True))

    def _joined(self, person: Person) -> Person:
        member = self.guild.members[person.id]
        for role in member.roles:
            data = {"guild_id": str(self.guild.id), "role": payloads.role(self.guild.roles[role])}
            self.sockets.dispatch("GUILD_ROLE_CREATE", data)
        self.sockets.dispatch("GUILD_MEMBER_ADD", payloads.member(member) | {"guild_id": str(self.guild.id)})
        return person

    @property
    def owner(self) -> Person:
        """The guild's owner, who may everything."""
        return Person(self, self.world.users[self.guild.owner])

    def text_channel(self, name: str = "general") -> Channel:
        """A new text channel."""
        return self.new_channel(self.guild, name, kind=TEXT)

    def forum(self, name: str = "runs", *, tags: Iterable[str] = ()) -> Channel:
        """A new forum with these tags."""
        made = self.new_channel(self.guild, name, kind=FORUM)
        made.tags = [self.new_tag(tag) for tag in tags]
        self.sockets.dispatch("CHANNEL_UPDATE", payloads.channel(made, self.world))
        return made

    def new_channel(self, guild: Guild, name: str, *, kind: int, topic: str | None = None) -> Channel:
        """A new channel of any kind, told to everybody."""
        made = Channel(
            self.clock.snowflake(), kind, name, guild=guild.id, position=len(self.world.channels), topic=topic
        )
        self.world.channels[made.id] = made
        self.sockets.dispatch("CHANNEL_CREATE", payloads.channel(made, self.world))
        return made

    def new_tag(self, name: str, *, tag_id: str | None = None) -> Json:
        """A tag as forums carry it."""
        found = tag_id or str(self.clock.snowflake())
        return {"id": found, "name": name, "moderated": False, "emoji_id": None, "emoji_name": None}

    def forbid(self, channel: Channel | int, *permissions: Permission) -> None:
        """The bot may no longer do this here."""
        self._overwritten(channel, deny=permissions)

    def allow(self, channel: Channel | int, *permissions: Permission) -> None:
        """The bot may do this here, again or in addition."""
        self._overwritten(channel, allow=permissions)

    def _overwritten(
        self, channel: Channel | int, *, allow: Iterable[Permission] = (), deny: Iterable[Permission] = ()
    ) -> None:
        place = self.place(channel)
        own = next((o for o in place.overwrites if o.id == self.world.me.id), None)
        if own is None:
            own = Overwrite(self.world.me.id, 1)
            place.overwrites.append(own)
        for one in allow:
            own.allow, own.deny = own.allow | one, own.deny & ~one
        for one in deny:
            own.allow, own.deny = own.allow & ~one, own.deny | one
        self.sockets.dispatch("CHANNEL_UPDATE", payloads.channel(place, self.world))

    def age(self, message: Message, seconds: float) -> None:
        """Make a message look older to this server alone; `clock.behind` makes new ones look old to a client too."""
        message.created -= seconds

    def fail(self, route: str, fault: Fault, *, channel: Channel | int | None = None, times: int = 1) -> None:
        """Let the next requests of a route ("POST /channels/{}/messages", "PATCH", "any") go wrong."""
        where = channel.id if isinstance(channel, Channel) else channel
        self.faults.plan(route or ANY, fault, channel=where, times=times)

    def send_raw_event(self, event: str, data: Json) -> None:
        """Send an event as it is, be it one that no client can read."""
        self.sockets.dispatch(event, data)

    # --- looking --------------------------------------------------------------------------------------------------

    def place(self, channel: Channel | int) -> Channel:
        """The channel itself, given it or its id."""
        return channel if isinstance(channel, Channel) else self.world.channel(channel)

    def messages(self, channel: Channel | int, *, notices: bool = False) -> list[Message]:
        """What stands in a channel now, oldest first; the platform's own notices on demand."""
        found = sorted(self.place(channel).messages.values(), key=lambda m: m.id)
        return [m for m in found if notices or m.kind in STANDING]

    def threads(self, channel: Channel | int, *, archived: bool | None = None) -> list[Channel]:
        """The threads or posts of a channel, oldest first; None: archived or not."""
        parent = self.place(channel)
        assert parent.guild is not None
        return [t for t in self.world.threads(parent.guild, archived=archived) if t.parent == parent.id]

    def tags(self, thread: Channel | int) -> list[str]:
        """The names of a post's tags."""
        return self.world.tag_names(self.place(thread))

    def every_message(self) -> list[Message]:
        """All messages there are, ephemeral ones too."""
        return [m for c in self.world.channels.values() for m in c.messages.values()] + list(self.world.hidden.values())

    def command(self, name: str) -> Json | None:
        """The synced command of this name, the guild's own first."""
        for scope in (str(self.guild.id), ""):
            for one in self.commands.get(scope, {}).values():
                if one["name"] == name:
                    return one
        return None

    @property
    def command_names(self) -> set[str]:
        """The names of all synced commands."""
        return {c["name"] for scope in self.commands.values() for c in scope.values()}

    async def until(self, wanted: Callable[[], object], *, within: float = 30.0) -> None:
        """Wait until this is so, looking whenever something happened here; by the loop's time."""
        async with asyncio.timeout(within):
            while not wanted():
                self._news.clear()
                await self._news.wait()

    def came(self) -> None:
        """Something happened."""
        self._news.set()

    # --- what routes and people do to the world -------------------------------------------------------------------

    def shown(self, message: Message) -> Json:
        """A message as REST gives it."""
        return payloads.message(message, self.world, files=f"{self.url}/files")

    def put(self, place: Channel, message: Message) -> None:
        """A new message stands; an ephemeral one is in nobody's history."""
        if not message.looks:
            message.looks.append(message.text)
        if message.ephemeral_for is not None:
            self.world.hidden[message.id] = message
            self.came()
            return
        if place.is_thread and place.archived:
            self.wake(place)
        place.messages[message.id] = message
        place.sent += 1
        place.active_at = self.clock.now()
        self.tell_message("MESSAGE_CREATE", message)

    def changed(self, message: Message) -> None:
        """A message has a new look."""
        message.edited = self.clock.now()
        message.edits += 1
        self.tell_message("MESSAGE_UPDATE", message)

    def remove(self, message: Message) -> None:
        """A message is gone."""
        self.world.hidden.pop(message.id, None)
        place = self.world.channels[message.channel]
        if place.messages.pop(message.id, None) is not None:
            data: Json = {"id": str(message.id), "channel_id": str(place.id)}
            data |= {"guild_id": str(place.guild)} if place.guild is not None else {}
            self.sockets.dispatch("MESSAGE_DELETE", data, private=place.guild is None)
        self.came()

    def tell_message(self, event: str, message: Message) -> None:
        """Tell a message to every session, bare where the intent for content is missing."""
        if message.ephemeral_for is None:
            place = self.world.channels[message.channel]
            full = self.shown(message) | payloads.event_extras(message, self.world)
            bare = full | {"content": "", "embeds": [], "attachments": [], "components": []}
            mine = message.author is self.world.me
            mentioned = any(u["id"] == str(self.world.me.id) for u in full["mentions"])
            self.sockets.dispatch_message(
                event, full, lambda: bare, private=place.kind == DM, spoken_to=mine or mentioned
            )
        self.came()

    def react(self, message: Message, emoji: str, user: User) -> None:
        """Add a reaction once."""
        who = message.reactions.setdefault(emoji, [])
        if user.id not in who:
            who.append(user.id)
            self._tell_reaction("MESSAGE_REACTION_ADD", message, emoji, user)

    def unreact(self, message: Message, emoji: str, user: User) -> None:
        """Take a reaction away."""
        who = message.reactions.get(emoji, [])
        if user.id in who:
            who.remove(user.id)
            if not who:
                del message.reactions[emoji]
            self._tell_reaction("MESSAGE_REACTION_REMOVE", message, emoji, user)

    def _tell_reaction(self, event: str, message: Message, emoji: str, user: User) -> None:
        place = self.world.channels[message.channel]
        data: Json = {
            "user_id": str(user.id),
            "channel_id": str(place.id),
            "message_id": str(message.id),
            "message_author_id": str(message.author.id),
            "emoji": {"id": None, "name": emoji, "animated": False},
            "burst": False,
            "type": 0,
        }
        if place.guild is not None:
            data["guild_id"] = str(place.guild)
            known = self.world.guilds[place.guild].members.get(user.id)
            if known is not None and event.endswith("ADD"):
                data["member"] = payloads.member(known)
        self.sockets.dispatch(event, data, private=place.guild is None)
        self.came()

    def pins_changed(self, place: Channel) -> None:
        """Somebody pinned or unpinned."""
        last = max((m.pinned for m in place.messages.values()), default=0.0)
        data: Json = {"channel_id": str(place.id), "last_pin_timestamp": iso(last) if last else None}
        data |= {"guild_id": str(place.guild)} if place.guild is not None else {}
        self.sockets.dispatch("CHANNEL_PINS_UPDATE", data)
        self.came()

    # --- threads --------------------------------------------------------------------------------------------------

    def opened(self, thread: Channel) -> None:
        """A thread is there."""
        self.world.channels[thread.id] = thread
        self.sockets.dispatch("THREAD_CREATE", payloads.channel(thread, self.world) | {"newly_created": True})
        self.came()

    def thread_changed(self, thread: Channel) -> None:
        """Tell what a thread is now."""
        self.sockets.dispatch("THREAD_UPDATE", payloads.channel(thread, self.world))
        self.came()

    def wake(self, thread: Channel) -> None:
        """An archived thread is active again, when the guild has room for one more."""
        thread.active_at = self.clock.now()
        if not thread.archived:
            return
        assert thread.guild is not None
        if len(self.world.threads(thread.guild)) >= self.world.guild(thread.guild).thread_cap:
            raise Refusal(160006)
        thread.archived, thread.archive_at = False, self.clock.now()
        self.thread_changed(thread)

    def settle(self) -> None:
        """Archive what was idle for as long as it may be; a pinned post never is."""
        now = self.clock.now()
        for thread in self.world.channels.values():
            idle = thread.is_thread and not thread.archived and not thread.flags & PINNED_POST
            if idle and now - thread.active_at >= thread.auto_archive * 60:
                thread.archived, thread.archive_at = True, now
                self.thread_changed(thread)

    def joins(self, thread: Channel, user_id: int) -> None:
        """Somebody is a member of a thread."""
        if user_id not in thread.members:
            thread.members.append(user_id)
            member = payloads.thread_member(thread, user_id)
            data = {"id": str(thread.id), "guild_id": str(thread.guild), "member_count": len(thread.members)}
            self.sockets.dispatch("THREAD_MEMBERS_UPDATE", data | {"added_members": [member], "removed_member_ids": []})

    def close_channel(self, place: Channel) -> None:
        """A channel or thread is no more, threads in it included."""
        for thread in [c for c in self.world.channels.values() if c.parent == place.id]:
            self.close_channel(thread)
        del self.world.channels[place.id]
        data: Json = {
            "id": str(place.id),
            "guild_id": str(place.guild),
            "parent_id": str(place.parent),
            "type": place.kind,
        }
        full = data if place.is_thread else payloads.channel(place, self.world)
        self.sockets.dispatch("THREAD_DELETE" if place.is_thread else "CHANNEL_DELETE", full)
        self.came()

    # --- interactions ---------------------------------------------------------------------------------------------

    def begin(self, interaction: Interaction, data: Json) -> None:
        """Tell the bot what somebody did."""
        self.interactions[interaction.token] = interaction
        place = interaction.channel
        may = self.world.permissions
        packet: Json = {
            "id": str(interaction.id),
            "application_id": str(self.world.application),
            "type": interaction.kind,
            "token": interaction.token,
            "version": 1,
            "data": data,
            "channel_id": str(place.id),
            "channel": payloads.channel(place, self.world) | {"permissions": str(may(interaction.user.id, place))},
            "app_permissions": str(may(self.world.me.id, place)),
            "locale": "en-GB",
            "entitlements": [],
            "attachment_size_limit": 10 << 20,
            "context": 0 if place.guild is not None else 1,
            "authorizing_integration_owners": {"0": str(place.guild or 0)},
        }
        if place.guild is None:
            packet["user"] = payloads.user(interaction.user)
        else:
            guild = self.world.guild(place.guild)
            member = payloads.member(guild.members[interaction.user.id])
            packet |= {
                "guild_id": str(guild.id),
                "guild": {"id": str(guild.id), "locale": "en-US", "features": []},
                "guild_locale": "en-US",
                "member": member | {"permissions": str(may(interaction.user.id, place))},
            }
        if interaction.source is not None:
            packet["message"] = self.shown(interaction.source)
        self.sockets.dispatch("INTERACTION_CREATE", packet)
        self.came()
