"""The bot itself over REST: who it is, its application, its commands, where the gateway is, private chats, guilds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.discordapi import payloads
from tests.discordapi.addenda import command_violations
from tests.discordapi.ask import Answer, Ask, Route
from tests.discordapi.errors import Json, Refusal, invalid
from tests.discordapi.gateway import MESSAGE_CONTENT
from tests.discordapi.schema import violations

if TYPE_CHECKING:
    from tests.discordapi.server import Discord

COMMANDS = "/applications/{application_id}/commands"
GUILD_COMMANDS = "/applications/{application_id}/guilds/{guild_id}/commands"
DAY = 86_400.0
CONTENT_FLAG = 1 << 19
EVERYWHERE = ""


def routes() -> list[Route]:
    """The routes of this file."""
    both = [
        route
        for scope in (COMMANDS, GUILD_COMMANDS)
        for route in (
            Route("GET", scope, _list),
            Route("PUT", scope, _replace, _check_all),
            Route("POST", scope, _upsert, lambda _, ask: command_violations(ask.body)),
            Route("DELETE", scope + "/{command_id}", _drop),
        )
    ]
    return [
        Route("GET", "/users/@me", lambda api, _: payloads.me(api.world.me)),
        Route("GET", "/users/{user_id}", _user),
        Route(
            "POST",
            "/users/@me/channels",
            _private,
            lambda _, ask: violations("CreatePrivateChannelRequest", ask.body),
        ),
        Route("GET", "/oauth2/applications/@me", _application),
        Route("GET", "/applications/@me", _application),
        Route("GET", "/gateway", lambda api, _: {"url": api.gateway}),
        Route("GET", "/gateway/bot", _gateway),
        Route("GET", "/guilds/{guild_id}", _guild),
        Route("GET", "/guilds/{guild_id}/channels", _channels),
        Route("GET", "/guilds/{guild_id}/members/{user_id}", _member),
        *both,
    ]


def _application(api: Discord, _: Ask) -> Answer:
    flags = 0 if api.sockets.disallowed & MESSAGE_CONTENT else CONTENT_FLAG
    return payloads.application(api.world, flags=flags, interactions_at=api.interactions_at)


def _gateway(api: Discord, _: Ask) -> Answer:
    left = api.sockets.identifies_left
    limit = {"total": 1000, "remaining": left, "reset_after": 86_400_000, "max_concurrency": 1}
    return {"url": api.gateway, "shards": 1, "session_start_limit": limit}


def _user(api: Discord, ask: Ask) -> Answer:
    found = api.world.users.get(ask.id("user_id"))
    if found is None:
        raise Refusal(10013)
    return payloads.user(found)


def _private(api: Discord, ask: Ask) -> Answer:
    user = api.world.users.get(int(ask.json["recipient_id"]))
    if user is None:
        raise Refusal(10013)
    if user.bot:
        raise Refusal(50007)
    return payloads.channel(api.world.private_with(user), api.world)


def _guild(api: Discord, ask: Ask) -> Answer:
    return payloads.guild(api.world.guild(ask.id("guild_id")), api.world)


def _channels(api: Discord, ask: Ask) -> Answer:
    guild = api.world.guild(ask.id("guild_id"))
    rooms = [c for c in api.world.channels.values() if c.guild == guild.id and not c.is_thread]
    return [payloads.channel(c, api.world) for c in rooms]


def _member(api: Discord, ask: Ask) -> Answer:
    found = api.world.guild(ask.id("guild_id")).members.get(ask.id("user_id"))
    if found is None:
        raise Refusal(10007)
    return payloads.member(found)


# --- commands ---------------------------------------------------------------------------------------------------------


def _check_all(_: Discord, ask: Ask) -> list[str]:
    if not isinstance(ask.body, list):
        return ["body: no list of commands"]
    return [wrong for one in ask.body for wrong in command_violations(one)]


def _scope(api: Discord, ask: Ask) -> str:
    if ask.id("application_id") != api.world.application:
        raise Refusal(20012, status=403, said="You are not authorized to perform this action on this application")
    guild = ask.path.get("guild_id")
    return EVERYWHERE if guild is None else str(api.world.guild(int(guild)).id)


def _list(api: Discord, ask: Ask) -> Answer:
    return list(api.commands.get(_scope(api, ask), {}).values())


def _replace(api: Discord, ask: Ask) -> Answer:
    scope = _scope(api, ask)
    before = {(c["name"], c["type"]): c for c in api.commands.get(scope, {}).values()}
    names = [(one["name"], one.get("type") or 1) for one in ask.body]
    if len(set(names)) != len(names):
        raise invalid("name", "Application command names must be unique", code="APPLICATION_COMMANDS_DUPLICATE_NAME")
    if len(names) > 100:
        raise Refusal(30032, said="Maximum number of application commands reached (100).")
    _count(api, scope, sum(1 for name in names if name not in before))
    made = [_command(api, scope, one, before.get(name)) for one, name in zip(ask.body, names, strict=True)]
    api.commands[scope] = {c["id"]: c for c in made}
    return list(made)


def _upsert(api: Discord, ask: Ask) -> Answer:
    scope, body = _scope(api, ask), ask.json
    standing = api.commands.setdefault(scope, {})
    before = next((c for c in standing.values() if c["name"] == body["name"]), None)
    if before is None:
        _count(api, scope, 1)
    made = _command(api, scope, body, before)
    standing[made["id"]] = made
    return made


def _drop(api: Discord, ask: Ask) -> Answer:
    if api.commands.get(_scope(api, ask), {}).pop(ask.path["command_id"], None) is None:
        raise Refusal(10063)
    return None


def _count(api: Discord, scope: str, creates: int) -> None:
    """Two hundred new commands in a day and guild; changing one that is there costs nothing."""
    now = api.clock.loop_time()
    times = api.command_creates.setdefault(scope, [])
    times[:] = [t for t in times if now - t < DAY]
    if len(times) + creates > api.limits.command_creates:
        raise Refusal(30034, retry_after=DAY - (now - times[0]) if times else DAY)
    times += [now] * creates


def _command(api: Discord, scope: str, body: Json, before: Json | None) -> Json:
    made: Json = {
        "id": before["id"] if before else str(api.clock.snowflake()),
        "application_id": str(api.world.application),
        "version": str(api.clock.snowflake()),
        "type": body.get("type") or 1,
        "name": body["name"],
        "description": body.get("description") or "",
        "options": body.get("options") or [],
        "default_member_permissions": _as_text(body.get("default_member_permissions")),
        "dm_permission": body.get("dm_permission", True),
        "contexts": body.get("contexts"),
        "integration_types": body.get("integration_types") or [0],
        "nsfw": bool(body.get("nsfw")),
    }
    return made | ({"guild_id": scope} if scope else {})


def _as_text(permissions: int | str | None) -> str | None:
    return None if permissions is None else str(permissions)
