"""The world's objects as API v10 writes them: what a client library is given over REST and gateway.

Nothing is decided here. A library breaks over a missing key, so that every key it may read is present.
"""

from __future__ import annotations

from tests.discordapi.clock import iso
from tests.discordapi.errors import Json
from tests.discordapi.layout import MENTION
from tests.discordapi.world import DM, Attachment, Channel, Guild, Member, Message, Role, User, World


def user(one: User) -> Json:
    """A user."""
    return {
        "id": str(one.id),
        "username": one.name,
        "discriminator": "0000" if one.bot else "0",
        "global_name": one.shown,
        "avatar": None,
        "bot": one.bot,
        "public_flags": 0,
        "flags": 0,
    }


def me(one: User) -> Json:
    """The bot as it sees itself."""
    return user(one) | {"mfa_enabled": False, "locale": "en-US", "verified": True, "email": None}


def application(world: World, *, flags: int = 1 << 19, interactions_at: str | None = None) -> Json:
    """The application behind the bot."""
    owner = next(iter(world.guilds.values())).owner
    return {
        "id": str(world.application),
        "name": world.me.name,
        "icon": None,
        "description": "",
        "bot_public": False,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "flags": flags,
        "interactions_endpoint_url": interactions_at,
        "owner": user(world.users[owner]),
        "team": None,
        "redirect_uris": [],
        "explicit_content_filter": 0,
        "approximate_user_install_count": 0,
        "approximate_user_authorization_count": 0,
    }


def role(one: Role) -> Json:
    """A role."""
    return {
        "id": str(one.id),
        "name": one.name,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "icon": None,
        "unicode_emoji": None,
        "position": one.position,
        "permissions": str(one.permissions),
        "managed": one.bot is not None,
        **({"tags": {"bot_id": str(one.bot)}} if one.bot is not None else {}),
        "mentionable": True,
        "flags": 0,
    }


def member(one: Member, *, with_user: bool = True) -> Json:
    """A member; inside a message it comes without its user."""
    data: Json = {
        "roles": [str(r) for r in one.roles],
        "nick": None,
        "avatar": None,
        "joined_at": iso(one.joined),
        "premium_since": None,
        "deaf": False,
        "mute": False,
        "pending": False,
        "communication_disabled_until": None,
        "flags": 0,
    }
    return data | ({"user": user(one.user)} if with_user else {})


def channel(one: Channel, world: World) -> Json:
    """A channel of any kind."""
    last = next(reversed(one.messages), None)
    data: Json = {
        "id": str(one.id),
        "type": one.kind,
        "flags": one.flags,
        "last_message_id": str(last) if last else None,
        "last_pin_timestamp": None,
    }
    if one.kind == DM:
        return data | {"recipients": [user(world.users[one.owner])]}
    data |= {"guild_id": str(one.guild), "name": one.name, "rate_limit_per_user": 0}
    return data | (_thread(one, world) if one.is_thread else _room(one))


def _room(one: Channel) -> Json:
    data: Json = {
        "position": one.position,
        "topic": one.topic,
        "nsfw": False,
        "parent_id": None,
        "permission_overwrites": [
            {"id": str(o.id), "type": o.kind, "allow": str(o.allow), "deny": str(o.deny)} for o in one.overwrites
        ],
        "default_auto_archive_duration": 1440,
    }
    if one.is_forum:
        data |= {
            "available_tags": one.tags,
            "default_reaction_emoji": None,
            "default_thread_rate_limit_per_user": 0,
            "default_sort_order": None,
            "default_forum_layout": 0,
        }
    return data


def _thread(one: Channel, world: World) -> Json:
    data: Json = {
        "parent_id": str(one.parent),
        "owner_id": str(one.owner),
        "message_count": len(one.messages),
        "total_message_sent": one.sent,
        "member_count": len(one.members),
        "applied_tags": [str(tag) for tag in one.applied],
        "thread_metadata": {
            "archived": one.archived,
            "auto_archive_duration": one.auto_archive,
            "archive_timestamp": iso(one.archive_at or one.created),
            "locked": one.locked,
            "create_timestamp": iso(one.created),
        },
    }
    if world.me.id in one.members:
        data["member"] = thread_member(one, world.me.id)
    return data


def thread_member(thread: Channel, user_id: int) -> Json:
    """Somebody's membership in a thread."""
    return {"id": str(thread.id), "user_id": str(user_id), "join_timestamp": iso(thread.created), "flags": 0}


def guild(one: Guild, world: World) -> Json:
    """A guild as GUILD_CREATE carries it, with its channels and active threads."""
    rooms = [c for c in world.channels.values() if c.guild == one.id and not c.is_thread]
    return {
        "id": str(one.id),
        "name": one.name,
        "owner_id": str(one.owner),
        "icon": None,
        "splash": None,
        "banner": None,
        "description": None,
        "features": ["COMMUNITY"],
        "unavailable": False,
        "large": False,
        "member_count": len(one.members),
        "joined_at": iso(one.members[world.me.id].joined),
        "roles": [role(r) for r in one.roles.values()],
        "members": [member(m) for m in one.members.values()],
        "channels": [channel(c, world) for c in rooms],
        "threads": [channel(c, world) for c in world.threads(one.id)],
        "emojis": [],
        "stickers": [],
        "voice_states": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
        "afk_channel_id": None,
        "afk_timeout": 300,
        "system_channel_id": None,
        "system_channel_flags": 0,
        "rules_channel_id": None,
        "public_updates_channel_id": None,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "premium_tier": 0,
        "premium_subscription_count": 0,
        "premium_progress_bar_enabled": False,
        "preferred_locale": "en-US",
        "vanity_url_code": None,
    }


def attachment(one: Attachment, files: str) -> Json:
    """A file on a message; `files` is where this server keeps files."""
    url = f"{files}/{one.id}/{one.name}"
    return {
        "id": str(one.id),
        "filename": one.name,
        "size": len(one.data),
        "url": url,
        "proxy_url": url,
        "content_type": one.kind,
        "description": one.about,
    }


def message(one: Message, world: World, *, files: str, deep: bool = True) -> Json:
    """A message; `deep` brings the one it answers along."""
    place = world.channels[one.channel]
    text = one.text
    users = [world.users[int(m["user"])] for m in MENTION.finditer(text) if m["user"] and int(m["user"]) in world.users]
    data: Json = {
        "id": str(one.id),
        "channel_id": str(one.channel),
        "author": user(one.author),
        "content": one.content,
        "timestamp": iso(one.created),
        "edited_timestamp": iso(one.edited) if one.edited is not None else None,
        "tts": False,
        "mention_everyone": any(p.startswith("@") for p in one.pings),
        "mentions": [user(u) for u in {u.id: u for u in users}.values()],
        "mention_roles": [m["role"] for m in MENTION.finditer(text) if m["role"]],
        "attachments": [attachment(a, files) for a in one.attachments],
        "embeds": [{"type": "rich", "flags": 0} | e for e in one.embeds],
        "components": one.components,
        "pinned": bool(one.pinned),
        "type": one.kind,
        "flags": one.flags,
    }
    return data | _message_extras(one, world, place, files=files, deep=deep)


def _message_extras(one: Message, world: World, place: Channel, *, files: str, deep: bool) -> Json:
    data: Json = {}
    if deep:
        data["reactions"] = [_reaction(emoji, who, world) for emoji, who in one.reactions.items() if who]
    if one.nonce is not None:
        data["nonce"] = one.nonce
    if one.interaction is not None:
        data["interaction_metadata"] = one.interaction
    if one.webhook is not None:
        data["webhook_id"] = str(one.webhook)
    if one.application is not None:
        data["application_id"] = str(one.application)
    if one.thread is not None and one.thread in world.channels:
        data["thread"] = channel(world.channels[one.thread], world)
    if one.reference is not None:
        data["message_reference"] = {"type": 0, "channel_id": str(one.channel), "message_id": str(one.reference)}
        if place.guild is not None:
            data["message_reference"]["guild_id"] = str(place.guild)
        answered = place.messages.get(one.reference)
        if deep:
            data["referenced_message"] = message(answered, world, files=files, deep=False) if answered else None
    return data


def _reaction(emoji: str, who: list[int], world: World) -> Json:
    return {
        "emoji": {"id": None, "name": emoji},
        "count": len(who),
        "count_details": {"burst": 0, "normal": len(who)},
        "me": world.me.id in who,
        "me_burst": False,
        "burst_colors": [],
    }


def event_extras(one: Message, world: World) -> Json:
    """What a message carries on the gateway in addition: its guild and its author's membership."""
    place = world.channels[one.channel]
    if place.guild is None:
        return {"channel_type": DM}
    data: Json = {"guild_id": str(place.guild), "channel_type": place.kind}
    known = world.guilds[place.guild].members.get(one.author.id)
    if known is not None and one.webhook is None:
        data["member"] = member(known, with_user=False)
    return data
