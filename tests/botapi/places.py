"""The methods about topics, chats, members and files: where one can talk, with whom, and what can be fetched."""

from __future__ import annotations

from tests.botapi.ask import Ask, Method
from tests.botapi.refusal import Json, bad
from tests.botapi.world import RIGHTS, Chat, Standing, Topic, World

MOST_NAME = 128
MOST_DOWNLOAD = 20 * 1024 * 1024
ICONS = ("📰", "💡", "⚡️", "🎙", "❗️", "✅", "🤖", "🏁")
COLOURS = frozenset({7322096, 16766590, 13338331, 9367192, 16749490, 16478047})


async def get_me(world: World, _: Ask) -> Json:
    """The bot itself."""
    return world.me


async def create_topic(world: World, ask: Ask) -> Json:
    """A new topic. Its first line in the chat comes back to the bot as an update, as all its own service lines do."""
    chat = _forum(world, ask)
    name = _name(ask)
    colour = ask.number("icon_color") or 7322096
    if colour not in COLOURS:
        raise bad("invalid forum topic icon color specified")
    topic = open_topic(world, chat, name, colour=colour, sender=world.bot)
    return {"message_thread_id": topic.id, "name": name, "icon_color": colour}


async def edit_topic(world: World, ask: Ask) -> bool:
    """Another name. The same name again is refused."""
    chat = _forum(world, ask)
    topic = _topic(chat, ask)
    name = _name(ask) if ask.text("name") else topic.name
    if name == topic.name and "icon_custom_emoji_id" not in ask.params:
        raise bad("TOPIC_NOT_MODIFIED")
    topic.name, topic.icon = name, ask.text("icon_custom_emoji_id") or topic.icon
    line(world, chat, {"forum_topic_edited": {"name": name}}, thread=topic.id, sender=world.bot)
    return True


async def topic_icons(world: World, ask: Ask) -> list[Json]:  # noqa: ARG001 - every method has these
    """The pictures that everybody may give a topic."""
    looks: Json = {"type": "custom_emoji", "width": 100, "height": 100, "is_animated": True, "is_video": False}
    return [
        looks | {"file_id": f"icon-{n}", "file_unique_id": f"u-icon-{n}", "emoji": emoji, "custom_emoji_id": f"537{n}"}
        for n, emoji in enumerate(ICONS)
    ]


async def close_topic(world: World, ask: Ask) -> bool:
    """Nobody but administrators writes there any more."""
    return _turn(world, ask, closed=True)


async def reopen_topic(world: World, ask: Ask) -> bool:
    """Everybody writes there again."""
    return _turn(world, ask, closed=False)


async def delete_topic(world: World, ask: Ask) -> bool:
    """The topic is gone with all its messages."""
    chat = _forum(world, ask)
    chat.needs("can_delete_messages", "not enough rights to delete the topic")
    remove_topic(chat, _topic(chat, ask).id)
    return True


async def get_chat(world: World, ask: Ask) -> Json:
    """All about a chat."""
    chat = world.chat(ask.params.get("chat_id"))
    gifts = dict.fromkeys(
        ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels"), False
    )
    found = chat.json() | {"accent_color_id": 1, "max_reaction_count": 11, "accepted_gift_types": gifts}
    pinned = [message for message in chat.standing.values() if message.pinned]
    return found | ({"pinned_message": pinned[-1].json(shallow=True)} if pinned else {})


async def get_chat_member(world: World, ask: Ask) -> Json:
    """What somebody is in a chat."""
    chat = world.chat(ask.params.get("chat_id"))
    user_id = ask.number("user_id")
    if user_id == world.me["id"]:
        return membership(world.bot, chat.bot, chat.rights)
    if user_id not in chat.members:
        raise bad("member not found" if user_id in world.users else "invalid user_id specified")
    return membership(world.users[user_id], chat.members[user_id], RIGHTS)


async def get_chat_administrators(world: World, ask: Ask) -> list[Json]:
    """Who governs a chat, other bots left out."""
    chat = world.chat(ask.params.get("chat_id"))
    if chat.private:
        raise bad("there are no administrators in the private chat")
    found = [
        membership(world.users[user_id], status, RIGHTS)
        for user_id, status in chat.members.items()
        if status in {"creator", "administrator"}
    ]
    return found + ([membership(world.bot, chat.bot, chat.rights)] if chat.bot == "administrator" else [])


async def get_file(world: World, ask: Ask) -> Json:
    """Where a file can be downloaded, when it is not too large for that."""
    stored = world.files.get(ask.text("file_id").removesuffix("-s"))
    if stored is None:
        raise bad("wrong file_id or the file is temporarily unavailable")
    if stored.size > MOST_DOWNLOAD:
        raise bad("file is too big")
    shown: Json = {"file_id": stored.id, "file_unique_id": f"u-{stored.id}", "file_size": stored.size}
    return shown | {"file_path": stored.path}


def membership(user: Json, status: str, rights: frozenset[str]) -> Json:
    """A member in the platform's form."""
    match status:
        case "creator":
            return {"user": user, "status": status, "is_anonymous": False}
        case "administrator":
            allowed = {right: right in rights for right in sorted(RIGHTS | rights)}
            return {"user": user, "status": status, "can_be_edited": False, "is_anonymous": False} | allowed
        case "kicked":
            return {"user": user, "status": status, "until_date": 0}
        case _:
            return {"user": user, "status": status}


def open_topic(world: World, chat: Chat, name: str, *, colour: int, sender: Json | None) -> Topic:
    """A topic is there from now on; its id is that of the line that says so."""
    opening = world.put(chat, {"forum_topic_created": {"name": name, "icon_color": colour}}, sender=sender)
    topic = chat.topics[opening.id] = Topic(opening.id, name, colour)
    opening.thread = topic.id
    world.updates.push("message", opening.json())
    return topic


def remove_topic(chat: Chat, thread: int) -> None:
    """A topic and everything in it is gone."""
    del chat.topics[thread]
    for message_id in [message.id for message in chat.standing.values() if message.thread == thread]:
        del chat.standing[message_id]


def line(world: World, chat: Chat, content: Json, *, sender: Json | None, thread: int = 0) -> Standing:
    """A line that the platform itself writes into a chat; everybody hears of it."""
    message = world.put(chat, content, sender=sender, thread=thread)
    world.updates.push("channel_post" if chat.kind == "channel" else "message", message.json())
    return message


def _forum(world: World, ask: Ask) -> Chat:
    chat = world.chat(ask.params.get("chat_id"))
    if not (world.me["has_topics_enabled"] if chat.private else chat.forum):
        raise bad("the chat is not a forum")
    chat.needs("can_manage_topics", "not enough rights to create a topic")
    return chat


def _topic(chat: Chat, ask: Ask) -> Topic:
    topic = chat.topics.get(ask.number("message_thread_id"))
    if topic is None:
        raise bad("message thread not found")
    return topic


def _name(ask: Ask) -> str:
    name = ask.text("name").strip()
    if not name:
        raise bad("topic name must be non-empty")
    if len(name) > MOST_NAME:
        raise bad("topic name is too long")
    return name


def _turn(world: World, ask: Ask, *, closed: bool) -> bool:
    chat = _forum(world, ask)
    topic = _topic(chat, ask)
    if chat.private:
        raise bad("the chat is not a supergroup")
    if topic.closed is closed:
        raise bad("TOPIC_NOT_MODIFIED")
    topic.closed = closed
    what = "forum_topic_closed" if closed else "forum_topic_reopened"
    line(world, chat, {what: {}}, thread=topic.id, sender=world.bot)
    return True


PLACES: dict[str, Method] = {
    "getme": get_me,
    "createforumtopic": create_topic,
    "editforumtopic": edit_topic,
    "getforumtopiciconstickers": topic_icons,
    "closeforumtopic": close_topic,
    "reopenforumtopic": reopen_topic,
    "deleteforumtopic": delete_topic,
    "getchat": get_chat,
    "getchatmember": get_chat_member,
    "getchatadministrators": get_chat_administrators,
    "getfile": get_file,
}
