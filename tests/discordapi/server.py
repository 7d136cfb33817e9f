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
from tests.discordapi.clock import Clock
from tests.discordapi.errors import Json
from tests.discordapi.faults import ANY, Fault, Faults
from tests.discordapi.front import entrance
from tests.discordapi.gateway import GUILD_MEMBERS, Gateway
from tests.discordapi.limits import Limits
from tests.discordapi.people import Person
from tests.discordapi.permissions import Permission
from tests.discordapi.town import Town
from tests.discordapi.world import FORUM, TEXT, Channel, Guild, Message, Overwrite, World

STANDING = (0, 19, 20, 23)
"""Kinds of messages that somebody wrote; the others are notices of the platform."""


Also = Callable[["Discord"], Iterable[web.AbstractRouteDef]]
"""More paths under the same port."""


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
        also: Also = lambda _: (),
    ) -> None:
        self.clock = Clock(base_time)
        self.world = World(self.clock, bot_name=bot_name)
        self.guild: Guild = self.world.found("home")
        self.limits = Limits(self.clock)
        self.faults = Faults()
        self.sockets = Gateway(self.clock, right=self.right, ready=self._ready, guilds=self._guilds)
        self.town = Town(self.world, self.sockets, files=lambda: f"{self.url}/files")
        self.calls: list[Call] = []
        self.violations: list[str] = []
        self.told_to_wait = 0
        self.into_penalty = 0
        self.typed: list[tuple[float, int]] = []
        self.commands: dict[str, dict[str, Json]] = {}
        self.interactions_at: str | None = None
        """An address in the portal to which interactions go instead of the gateway; this server sends them nowhere."""
        self.command_creates: dict[str, list[float]] = {}
        self._token = token
        self._port = port
        self._lenient = lenient
        self._also = also
        self._runner: web.AppRunner | None = None
        self._sweeper: asyncio.Task[None] | None = None

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
        app.add_routes(self._also(self))
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
        return (
            not self.sockets.expired
            and isinstance(token, str)
            and hmac.compare_digest(token.encode(), self._token.encode())
        )

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
        path = "/".join(part if len(part) < 30 else "…" for part in request.path.split("/"))  # a token is in no report
        self.violations.append(f"this server does not have {request.method} {path}")
        return web.json_response({"message": "404: Not Found", "code": 0}, status=404)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(60)
            self.town.settle()

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
        return self.town.new_channel(self.guild, name, kind=TEXT)

    def forum(self, name: str = "runs", *, tags: Iterable[str] = ()) -> Channel:
        """A new forum with these tags."""
        made = self.town.new_channel(self.guild, name, kind=FORUM)
        made.tags = [self.town.new_tag(tag) for tag in tags]
        self.sockets.dispatch("CHANNEL_UPDATE", payloads.channel(made, self.world))
        return made

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
    def invalid_requests(self) -> int:
        """What the platform counts before it bans an address: 401, 403 and 429, except those of a shared limit."""
        return sum(c.status in {401, 403} or (c.status == 429 and not c.shared) for c in self.calls)

    @property
    def command_names(self) -> set[str]:
        """The names of all synced commands."""
        return {c["name"] for scope in self.commands.values() for c in scope.values()}

    async def until(self, wanted: Callable[[], object], *, within: float = 30.0) -> None:
        """Wait until this is so, looking whenever something happened here; by the loop's time."""
        async with asyncio.timeout(within):
            while not wanted():
                self.town.news.clear()
                await self.town.news.wait()
