"""Channels and threads over REST: making, renaming, archiving, tagging, joining and listing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.discordapi import payloads
from tests.discordapi.ask import Answer, Ask, Route
from tests.discordapi.clock import iso
from tests.discordapi.errors import Json, Refusal, invalid
from tests.discordapi.permissions import Permission
from tests.discordapi.routes_messages import fill
from tests.discordapi.schema import violations
from tests.discordapi.world import (
    ANNOUNCEMENT,
    DM,
    PINNED_POST,
    PRIVATE_THREAD,
    PUBLIC_THREAD,
    REQUIRE_TAG,
    TEXT,
    Channel,
    Message,
)

if TYPE_CHECKING:
    from tests.discordapi.server import Discord

ARCHIVE_AFTER = (60, 1440, 4320, 10080)
CHANNEL = "/channels/{channel_id}"


def routes() -> list[Route]:
    """The routes of this file."""
    return [
        Route("GET", CHANNEL, _get),
        Route("PATCH", CHANNEL, _patch, _check_patch),
        Route("DELETE", CHANNEL, _delete),
        Route("POST", CHANNEL + "/threads", _open, _check_open),
        Route(
            "POST",
            CHANNEL + "/messages/{message_id}/threads",
            _open_on,
            lambda _, ask: violations("CreateTextThreadWithMessageRequest", ask.body),
        ),
        Route("GET", CHANNEL + "/threads/archived/public", _archived),
        Route("GET", "/guilds/{guild_id}/threads/active", _active),
        Route("GET", CHANNEL + "/thread-members", _members),
        Route("PUT", CHANNEL + "/thread-members/@me", _join),
        Route("DELETE", CHANNEL + "/thread-members/@me", _leave),
        Route("PUT", CHANNEL + "/thread-members/{user_id}", _add),
        Route("POST", "/guilds/{guild_id}/channels", _create, _check_create),
    ]


def _check_open(api: Discord, ask: Ask) -> list[str]:
    parent = api.world.channels.get(ask.id("channel_id"))
    if parent is not None and parent.is_forum:
        return violations("CreateForumThreadRequest", ask.body)
    return violations("CreateTextThreadWithoutMessageRequest", ask.body)


def _check_patch(api: Discord, ask: Ask) -> list[str]:
    place = api.world.channels.get(ask.id("channel_id"))
    if place is None:
        return []  # that there is no such channel is the route's to say
    if place.is_thread:
        return violations("UpdateThreadRequestPartial", ask.body)
    return violations("UpdateGuildChannelRequestPartial", ask.body)


def _check_create(_: Discord, ask: Ask) -> list[str]:
    return violations("CreateGuildChannelRequest", ask.body)


# --- making -----------------------------------------------------------------------------------------------------------


def _new_thread(api: Discord, parent: Channel, body: Json, *, thread_id: int, kind: int) -> Channel:
    assert parent.guild is not None
    if len(api.world.threads(parent.guild)) >= api.world.guild(parent.guild).thread_cap:
        raise Refusal(160006)
    minutes = body.get("auto_archive_duration") or 1440
    if minutes not in ARCHIVE_AFTER:
        raise invalid("auto_archive_duration", f"Value must be one of {set(ARCHIVE_AFTER)}.", code="BASE_TYPE_CHOICES")
    now = api.clock.now()
    return Channel(
        thread_id,
        kind,
        body["name"],
        guild=parent.guild,
        parent=parent.id,
        owner=api.world.me.id,
        auto_archive=minutes,
        archive_at=now,
        active_at=now,
        applied=_tags(parent, body.get("applied_tags") or []),
        members=[api.world.me.id],
        created=api.clock.stamp(),
    )


def _tags(parent: Channel, asked: list[str]) -> list[int]:
    known = {str(tag["id"]) for tag in parent.tags}
    if unknown := [tag for tag in asked if tag not in known]:
        raise invalid("applied_tags", f"no such tag: {unknown}", code="TAG_NOT_FOUND")
    if not asked and parent.flags & REQUIRE_TAG:
        raise Refusal(40067)
    return [int(tag) for tag in asked]


def _parent(api: Discord, ask: Ask, *needed: Permission) -> Channel:
    parent = api.world.channel(ask.id("channel_id"))
    if parent.kind == DM or parent.is_thread:
        raise Refusal(50024)
    api.world.demand(parent, *needed)
    return parent


def _open(api: Discord, ask: Ask) -> Answer:
    body = ask.json
    if api.world.channel(ask.id("channel_id")).is_forum:
        return _open_post(api, _parent(api, ask, Permission.SEND_MESSAGES), ask)
    kind = body.get("type") or PRIVATE_THREAD
    needed = Permission.CREATE_PRIVATE_THREADS if kind == PRIVATE_THREAD else Permission.CREATE_PUBLIC_THREADS
    parent = _parent(api, ask, needed)
    thread = _new_thread(api, parent, body, thread_id=api.clock.snowflake(), kind=kind)
    api.town.opened(thread)
    if kind == PUBLIC_THREAD:
        notice = Message(
            api.clock.snowflake(), parent.id, api.world.me, api.clock.stamp(), content=thread.name, kind=18
        )
        api.town.put(parent, notice)
    return payloads.channel(thread, api.world)


def _open_post(api: Discord, forum: Channel, ask: Ask) -> Answer:
    body = ask.json
    post = _new_thread(api, forum, body, thread_id=api.clock.snowflake(), kind=PUBLIC_THREAD)
    first = Message(post.id, post.id, api.world.me, api.clock.stamp())
    fill(api, first, body["message"], ask.files)
    api.town.opened(post)
    api.town.put(post, first)
    return payloads.channel(post, api.world) | {"message": api.town.shown(first)}


def _open_on(api: Discord, ask: Ask) -> Answer:
    parent = _parent(api, ask, Permission.CREATE_PUBLIC_THREADS)
    if parent.kind not in {TEXT, ANNOUNCEMENT}:
        raise Refusal(50024)
    message = api.world.message(parent, ask.id("message_id"))
    if message.thread is not None:
        raise Refusal(160004)
    thread = _new_thread(api, parent, ask.json, thread_id=message.id, kind=PUBLIC_THREAD)
    message.thread = thread.id
    message.flags |= 1 << 5
    api.town.opened(thread)
    api.town.tell_message("MESSAGE_UPDATE", message)
    return payloads.channel(thread, api.world)


def _create(api: Discord, ask: Ask) -> Answer:
    guild = api.world.guild(ask.id("guild_id"))
    if not api.world.permissions(api.world.me.id, None, guild.id) & Permission.MANAGE_CHANNELS:
        raise Refusal(50013)
    body = ask.json
    place = api.town.new_channel(guild, body["name"], kind=body.get("type") or TEXT, topic=body.get("topic"))
    return payloads.channel(place, api.world)


# --- changing ---------------------------------------------------------------------------------------------------------


def _get(api: Discord, ask: Ask) -> Answer:
    place = api.world.channel(ask.id("channel_id"))
    api.world.demand(place)
    return payloads.channel(place, api.world)


def _patch(api: Discord, ask: Ask) -> Answer:
    place = api.world.channel(ask.id("channel_id"))
    body = ask.json
    if not place.is_thread:
        api.world.demand(place, Permission.MANAGE_CHANNELS)
        place.name, place.topic = body.get("name") or place.name, body.get("topic", place.topic)
        if "available_tags" in body:
            place.tags = [api.town.new_tag(t["name"], tag_id=t.get("id")) for t in body["available_tags"]]
        api.sockets.dispatch("CHANNEL_UPDATE", payloads.channel(place, api.world))
        return payloads.channel(place, api.world)
    _patch_thread(api, place, body)
    return payloads.channel(place, api.world)


def _patch_thread(api: Discord, thread: Channel, body: Json) -> None:
    mine = thread.owner == api.world.me.id and not ({"locked", "flags"} & body.keys())
    api.world.demand(thread, *([] if mine else [Permission.MANAGE_THREADS]))
    if thread.archived and body.get("archived") is not False and body.keys() - {"archived", "locked"}:
        raise Refusal(50083)
    tags = thread.applied
    if "applied_tags" in body and thread.parent is not None:
        tags = _tags(api.world.channel(thread.parent), body["applied_tags"] or [])
    if body.get("auto_archive_duration") not in {None, *ARCHIVE_AFTER}:
        raise invalid("auto_archive_duration", f"Value must be one of {set(ARCHIVE_AFTER)}.", code="BASE_TYPE_CHOICES")
    if body.get("archived") is False:
        api.town.wake(thread)
    thread.applied = tags
    thread.name = body.get("name") or thread.name
    thread.auto_archive = body.get("auto_archive_duration") or thread.auto_archive
    thread.locked = body.get("locked", thread.locked)
    thread.flags = body.get("flags", thread.flags)
    if body.get("archived"):
        thread.archived, thread.archive_at = True, api.clock.now()
        thread.flags &= ~PINNED_POST
    api.town.thread_changed(thread)


def _delete(api: Discord, ask: Ask) -> Answer:
    place = api.world.channel(ask.id("channel_id"))
    api.world.demand(place, Permission.MANAGE_THREADS if place.is_thread else Permission.MANAGE_CHANNELS)
    data = payloads.channel(place, api.world)
    api.town.close_channel(place)
    return data


# --- members and lists ------------------------------------------------------------------------------------------------


def _thread(api: Discord, ask: Ask) -> Channel:
    place = api.world.channel(ask.id("channel_id"))
    api.world.demand(place)
    if not place.is_thread:
        raise Refusal(50024)
    return place


def _archived(api: Discord, ask: Ask) -> Answer:
    parent = api.world.channel(ask.id("channel_id"))
    api.world.demand(parent, Permission.READ_MESSAGE_HISTORY)
    assert parent.guild is not None
    found = [t for t in api.world.threads(parent.guild, archived=True) if t.parent == parent.id]
    found.sort(key=lambda t: -t.archive_at)
    if "before" in ask.query:
        found = [t for t in found if iso(t.archive_at) < ask.query["before"]]
    limit = int(ask.query.get("limit", 50))
    return _listed(api, found[:limit]) | {"has_more": len(found) > limit}


def _active(api: Discord, ask: Ask) -> Answer:
    return _listed(api, api.world.threads(api.world.guild(ask.id("guild_id")).id))


def _listed(api: Discord, threads: list[Channel]) -> Json:
    me = api.world.me.id
    return {
        "threads": [payloads.channel(t, api.world) for t in threads],
        "members": [payloads.thread_member(t, me) for t in threads if me in t.members],
    }


def _members(api: Discord, ask: Ask) -> Answer:
    thread = _thread(api, ask)
    return [payloads.thread_member(thread, who) for who in thread.members]


def _join(api: Discord, ask: Ask) -> Answer:
    thread = _thread(api, ask)
    if thread.archived:
        raise Refusal(50083)
    api.town.joins(thread, api.world.me.id)
    return None


def _leave(api: Discord, ask: Ask) -> Answer:
    thread = _thread(api, ask)
    if thread.archived:
        raise Refusal(50083)
    if api.world.me.id in thread.members:
        thread.members.remove(api.world.me.id)
    return None


def _add(api: Discord, ask: Ask) -> Answer:
    thread = _thread(api, ask)
    if thread.archived:
        raise Refusal(50083)
    if ask.id("user_id") not in api.world.users:
        raise Refusal(10013)
    api.town.joins(thread, ask.id("user_id"))
    return None
