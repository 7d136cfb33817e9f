"""Messages over REST: sending, editing, reading, deleting, reactions, pins, typing.

Who may, what is too old, what is archived and what is the same nonce again is decided here; budgets are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.discordapi import payloads
from tests.discordapi.ask import Answer, Ask, Route, Upload
from tests.discordapi.clock import iso
from tests.discordapi.errors import Json, Refusal, invalid
from tests.discordapi.layout import LAYOUT_FLAG, check_message, numbered
from tests.discordapi.limits import OLD_EDITS
from tests.discordapi.permissions import Permission
from tests.discordapi.schema import violations
from tests.discordapi.world import Attachment, Channel, Message

if TYPE_CHECKING:
    from tests.discordapi.server import Discord

NONCE_LIFE = 300.0
OLD = 3600.0
SETTABLE = LAYOUT_FLAG | 1 << 2 | 1 << 12
"""Flags that a bot may set: layout, no embeds, silent."""
MESSAGES = "/channels/{channel_id}/messages"
ONE = MESSAGES + "/{message_id}"
REACTIONS = ONE + "/reactions"


def routes() -> list[Route]:
    """The routes of this file."""
    return [
        Route("GET", MESSAGES + "/pins", _pins),
        Route("PUT", MESSAGES + "/pins/{message_id}", _pin),
        Route("DELETE", MESSAGES + "/pins/{message_id}", _unpin),
        Route("POST", MESSAGES, _send, lambda _, ask: violations("MessageCreateRequest", ask.body)),
        Route("GET", MESSAGES, _history),
        Route("GET", ONE, _one),
        Route("PATCH", ONE, _edit, lambda _, ask: violations("MessageEditRequestPartial", ask.body)),
        Route("DELETE", ONE, _delete),
        Route("PUT", REACTIONS + "/{emoji}/@me", _react),
        Route("DELETE", REACTIONS + "/{emoji}/@me", _unreact),
        Route("DELETE", REACTIONS + "/{emoji}/{user_id}", _unreact_other),
        Route("DELETE", REACTIONS, _clear_reactions),
        Route("GET", REACTIONS + "/{emoji}", _who_reacted),
        Route("POST", "/channels/{channel_id}/typing", _typing),
    ]


# --- composing, for every way a message comes into being --------------------------------------------------------------


def fill(api: Discord, message: Message, body: Json, files: tuple[Upload, ...]) -> None:
    """Give a message what a body says, and refuse what the platform refuses; nothing is changed when it is refused."""
    content = message.content if "content" not in body else body["content"] or ""
    embeds = message.embeds if "embeds" not in body else body["embeds"] or []
    components = message.components if "components" not in body else body["components"] or []
    attachments = (
        message.attachments if not files and "attachments" not in body else _attached(api, message, body, files)
    )
    asked = body.get("flags")
    if asked is not None and message.layout and not asked & LAYOUT_FLAG:
        raise invalid("flags", "MessageFlags.IS_COMPONENTS_V2 cannot be removed once set")
    flags = message.flags if asked is None else (message.flags & ~SETTABLE) | (asked & SETTABLE)
    check_message(content, components, embeds, files=len(attachments), flags=flags)
    _check_attached(components, attachments)
    message.content, message.embeds, message.flags = content, embeds, flags
    message.components, message.attachments = numbered(components), attachments
    if "allowed_mentions" in body or not message.looks:
        message.allowed_mentions = body.get("allowed_mentions")
    message.looks.append(message.text)


def _attached(api: Discord, message: Message, body: Json, files: tuple[Upload, ...]) -> list[Attachment]:
    listed = {str(a["id"]): a for a in body.get("attachments") or []}
    kept = [a for a in message.attachments if str(a.id) in listed or "attachments" not in body]
    new = [
        Attachment(
            api.clock.snowflake(),
            listed.get(str(f.number), {}).get("filename") or f.name,
            f.data,
            f.kind,
            listed.get(str(f.number), {}).get("description"),
        )
        for f in files
    ]
    known = {str(a.id) for a in kept} | {str(f.number) for f in files}
    if lost := set(listed) - known:
        raise invalid("attachments", f"no such attachment: {sorted(lost)}", code="ATTACHMENT_NOT_FOUND")
    if len(kept) + len(new) > 10:
        raise invalid("attachments", "Must be 10 or fewer in length.")
    return kept + new


def _check_attached(components: list[Json], attachments: list[Attachment]) -> None:
    names = {a.name for a in attachments}
    for component in components:
        url = (component.get("file") or {}).get("url", "")
        if url.startswith("attachment://") and url.removeprefix("attachment://") not in names:
            raise invalid("components", f"The referenced attachment was not found: {url}")


def _reference(place: Channel, body: Json) -> int | None:
    reference = body.get("message_reference")
    if not reference:
        return None
    found = int(reference["message_id"])
    if found in place.messages:
        return found
    if reference.get("fail_if_not_exists", True):
        raise invalid("message_reference", "Unknown message", code="REPLIES_UNKNOWN_MESSAGE")
    return None


def _send(api: Discord, ask: Ask) -> Answer:
    place = api.world.channel(ask.id("channel_id"))
    needed = Permission.SEND_MESSAGES_IN_THREADS if place.is_thread else Permission.SEND_MESSAGES
    api.world.demand(place, needed, *([Permission.ATTACH_FILES] if ask.files else []))
    if place.is_forum:
        raise Refusal(50024)
    body = ask.json
    nonce = str(body["nonce"]) if body.get("nonce") is not None else None
    if nonce is not None and body.get("enforce_nonce") and (known := _same_nonce(api, place, nonce)):
        return api.town.shown(known)
    message = Message(api.clock.snowflake(), place.id, api.world.me, api.clock.stamp(), nonce=nonce)
    message.reference = _reference(place, body)
    message.kind = 19 if message.reference is not None else 0
    fill(api, message, body, ask.files)
    if place.is_thread:
        if place.locked and not api.world.permissions(api.world.me.id, place) & Permission.MANAGE_THREADS:
            raise Refusal(160005)
        api.town.wake(place)
    api.town.put(place, message)
    return api.town.shown(message)


def _same_nonce(api: Discord, place: Channel, nonce: str) -> Message | None:
    now = api.clock.now()
    return next(
        (
            m
            for m in place.messages.values()
            if m.nonce == nonce and m.author is api.world.me and now - m.created < NONCE_LIFE
        ),
        None,
    )


def _own(api: Discord, ask: Ask) -> tuple[Channel, Message]:
    place = api.world.channel(ask.id("channel_id"))
    api.world.demand(place)
    return place, api.world.message(place, ask.id("message_id"))


def _edit(api: Discord, ask: Ask) -> Answer:
    place, message = _own(api, ask)
    if message.author is not api.world.me or message.webhook is not None:
        raise Refusal(50005)
    if place.archived:
        raise Refusal(50083)
    if api.clock.now() - message.created > OLD:
        api.into_penalty += api.limits.in_penalty(OLD_EDITS, str(place.id), webhook=True)
        if wait := api.limits.old_edit(str(place.id)):
            raise Refusal(30046, retry_after=wait)
    fill(api, message, ask.json, ask.files)
    api.town.changed(message)
    return api.town.shown(message)


def _delete(api: Discord, ask: Ask) -> Answer:
    place, message = _own(api, ask)
    if message.author is not api.world.me:
        api.world.demand(place, Permission.MANAGE_MESSAGES)
    if place.archived:
        raise Refusal(50083)
    api.town.remove(message)
    return None


def _one(api: Discord, ask: Ask) -> Answer:
    place, message = _own(api, ask)
    api.world.demand(place, Permission.READ_MESSAGE_HISTORY)
    return api.town.shown(message)


def _history(api: Discord, ask: Ask) -> Answer:
    place = api.world.channel(ask.id("channel_id"))
    api.world.demand(place)
    if not api.world.permissions(api.world.me.id, place) & Permission.READ_MESSAGE_HISTORY:
        return []
    limit = int(ask.query.get("limit", 50))
    if not 1 <= limit <= 100:
        raise invalid("limit", "int value should be between 1 and 100.", code="NUMBER_TYPE_MAX")
    found = sorted(place.messages.values(), key=lambda m: m.id)
    if "after" in ask.query:
        found = [m for m in found if m.id > int(ask.query["after"])][:limit]
    elif "around" in ask.query:
        middle = int(ask.query["around"])
        older = [m for m in found if m.id <= middle][-(limit // 2 + 1) :]
        found = older + [m for m in found if m.id > middle][: limit // 2]
    else:
        before = int(ask.query["before"]) if "before" in ask.query else None
        found = [m for m in found if before is None or m.id < before][-limit:]
    return [api.town.shown(m) for m in reversed(found)]


# --- reactions, pins, typing ------------------------------------------------------------------------------------------


def _react(api: Discord, ask: Ask) -> Answer:
    place, message = _own(api, ask)
    emoji = ask.path["emoji"]
    api.world.demand(place, Permission.READ_MESSAGE_HISTORY)
    if not message.reactions.get(emoji):
        api.world.demand(place, Permission.ADD_REACTIONS)
    if emoji.isascii() and ":" not in emoji:
        raise Refusal(10014, status=400)
    if place.archived:
        raise Refusal(50083)
    if emoji not in message.reactions and len(message.reactions) >= 20:
        raise Refusal(30010)
    api.town.react(message, emoji, api.world.me)
    return None


def _unreact(api: Discord, ask: Ask) -> Answer:
    _, message = _own(api, ask)
    if api.world.me.id not in message.reactions.get(ask.path["emoji"], []):
        raise Refusal(10014)
    api.town.unreact(message, ask.path["emoji"], api.world.me)
    return None


def _unreact_other(api: Discord, ask: Ask) -> Answer:
    place, message = _own(api, ask)
    api.world.demand(place, Permission.MANAGE_MESSAGES)
    user = api.world.users.get(ask.id("user_id"))
    if user is None:
        raise Refusal(10013)
    api.town.unreact(message, ask.path["emoji"], user)
    return None


def _clear_reactions(api: Discord, ask: Ask) -> Answer:
    place, message = _own(api, ask)
    api.world.demand(place, Permission.MANAGE_MESSAGES)
    message.reactions.clear()
    data: Json = {"channel_id": str(place.id), "message_id": str(message.id), "guild_id": str(place.guild)}
    api.sockets.dispatch("MESSAGE_REACTION_REMOVE_ALL", data, private=place.guild is None)
    return None


def _who_reacted(api: Discord, ask: Ask) -> Answer:
    _, message = _own(api, ask)
    return [payloads.user(api.world.users[who]) for who in message.reactions.get(ask.path["emoji"], [])]


def _pin(api: Discord, ask: Ask) -> Answer:
    place, message = _own(api, ask)
    api.world.demand(place, Permission.PIN_MESSAGES)
    if place.archived:
        raise Refusal(50083)
    if not message.pinned and sum(1 for m in place.messages.values() if m.pinned) >= 250:
        raise Refusal(30003)
    if not message.pinned:
        message.pinned = api.clock.now()
        api.town.pins_changed(place)
        api.town.tell_message("MESSAGE_UPDATE", message)
        notice = Message(api.clock.snowflake(), place.id, api.world.me, api.clock.stamp(), kind=6, reference=message.id)
        api.town.put(place, notice)
    return None


def _unpin(api: Discord, ask: Ask) -> Answer:
    place, message = _own(api, ask)
    api.world.demand(place, Permission.PIN_MESSAGES)
    if place.archived:
        raise Refusal(50083)
    message.pinned = 0.0
    api.town.pins_changed(place)
    api.town.tell_message("MESSAGE_UPDATE", message)
    return None


def _pins(api: Discord, ask: Ask) -> Answer:
    place = api.world.channel(ask.id("channel_id"))
    api.world.demand(place)
    pinned = sorted((m for m in place.messages.values() if m.pinned), key=lambda m: -m.pinned)
    limit = int(ask.query.get("limit", 50))
    items = [{"pinned_at": iso(m.pinned), "message": api.town.shown(m)} for m in pinned[:limit]]
    return {"items": items, "has_more": len(pinned) > limit}


def _typing(api: Discord, ask: Ask) -> Answer:
    place = api.world.channel(ask.id("channel_id"))
    api.world.demand(place, Permission.SEND_MESSAGES_IN_THREADS if place.is_thread else Permission.SEND_MESSAGES)
    api.typed.append((api.clock.loop_time(), place.id))
    return None
