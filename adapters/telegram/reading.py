"""An update, read: something said, a button pressed, a sign of the platform's own, or nothing for us. It does nothing.

Who may is not decided here; only what nobody can have meant for the bot is passed over: what was edited, posted in
channels, written by bots or for another bot. It raises whatever the library raises over what it cannot read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from telegram import (
    CallbackQuery,
    Message,
    MessageOriginChannel,
    MessageOriginChat,
    MessageOriginHiddenUser,
    MessageOriginUser,
    Update,
    User,
)

from orchestrator.nouns import Person

PLATFORM = "telegram"
KINDS = ("message", "callback_query")
"""The kinds of updates that are asked for."""


@dataclass(frozen=True, slots=True)
class Me:
    """The bot itself, as the platform knows it."""

    id: int
    username: str
    topics: bool = False


@dataclass(frozen=True, slots=True)
class Attached:
    """A file that stands with a message."""

    id: str
    unique: str
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Heard:
    """Something that a person said. `addressed`: it is surely meant for the bot, also in a group."""

    chat: int
    message: int
    person: Person
    topic: str = ""
    replies_to: int = 0
    text: str = ""
    quoted: bool = False
    files: tuple[Attached, ...] = ()
    album: str = ""
    addressed: bool = True

    @property
    def private(self) -> bool:
        """Whether it was said to the bot alone."""
        return self.chat > 0


@dataclass(frozen=True, slots=True)
class Press:
    """A tap on a button."""

    id: str
    chat: int
    on: int
    person: Person
    token: str
    topic: str = ""


@dataclass(frozen=True, slots=True)
class Nobody:
    """Something said in the name of a group or a channel: there is no person who could be allowed to."""

    chat: int
    message: int
    topic: str
    addressed: bool


@dataclass(frozen=True, slots=True)
class Born:
    """A topic that the bot itself opened."""

    chat: int
    topic: int
    name: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing for us."""

    why: str


Reading = Heard | Press | Nobody | Born | Ignored


def stood(update: Update) -> tuple[int, int] | None:
    """The chat and the id of the message that an update brings, whatever it is."""
    message = update.message
    return (message.chat.id, message.message_id) if message else None


def read(update: Update, me: Me) -> Reading:
    """What an update means."""
    if update.callback_query:
        return _press(update.callback_query)
    if update.message:
        return _message(update.message, me)
    return Ignored("a kind of update that nobody asked for")


def _press(query: CallbackQuery) -> Reading:
    if query.message is None or query.data is None:
        return Ignored("a button that is not on a message of the bot's")
    if query.from_user.is_bot:
        return Ignored("pressed by a bot")
    message = query.message
    topic = _topic(message) if isinstance(message, Message) else ""
    return Press(query.id, message.chat.id, message.message_id, _person(query.from_user), query.data, topic)


def _message(message: Message, me: Me) -> Reading:
    if message.forum_topic_created and message.from_user and message.from_user.id == me.id:
        return Born(message.chat.id, message.message_thread_id or message.message_id, message.forum_topic_created.name)
    if why := _not_for_us(message):
        return Ignored(why)
    text, files = _text(message), tuple(_attached(message))
    if not text and not files:
        return Ignored("a message without words or files")
    forwarded = message.forward_origin is not None
    reply = message.reply_to_message
    to_me = reply is not None and reply.from_user is not None and reply.from_user.id == me.id
    to_me = to_me and not (reply and reply.forum_topic_created)
    text, named, other = (text, False, False) if forwarded else _unaddressed(text, me.username)
    if other:
        return Ignored("a command for another bot")
    addressed = message.chat.type == "private" or to_me or named or (text.startswith("/") and not forwarded)
    if message.sender_chat is not None or message.from_user is None:
        return Nobody(message.chat.id, message.message_id, _topic(message), addressed)
    return Heard(
        chat=message.chat.id,
        message=message.message_id,
        person=_person(message.from_user),
        topic=_topic(message),
        replies_to=reply.message_id if reply else 0,
        text=f"Forwarded from {_origin(message)}:\n{text}" if forwarded else text,
        quoted=forwarded,
        files=files,
        album=message.media_group_id or "",
        addressed=addressed,
    )


def _not_for_us(message: Message) -> str:
    if message.chat.type == "channel":
        return "a post in a channel"
    if message.migrate_to_chat_id:
        return f"this group became a supergroup with the new id {message.migrate_to_chat_id}; that one is to be allowed"
    if message.is_automatic_forward:
        return "a channel's post that was forwarded by itself"
    if message.via_bot:
        return "written by another bot"
    if message.from_user and message.from_user.is_bot and message.sender_chat is None:
        return "written by a bot"
    if message.edit_date and not message.forward_origin:
        return "edited"
    return ""


def _person(user: User) -> Person:
    return Person(PLATFORM, str(user.id), name=user.full_name)


def _topic(message: Message) -> str:
    """Replies in a plain supergroup name a thread as well, which is no topic."""
    return str(message.message_thread_id) if message.is_topic_message and message.message_thread_id else ""


def _unaddressed(text: str, username: str) -> tuple[str, bool, bool]:
    """The text without the bot's name in front, whether it stood there, and whether another bot is meant."""
    head, *_ = text.split(maxsplit=1) or [""]
    name = f"@{username}".lower()
    if head.startswith("/") and "@" in head:
        command, _, whose = head.partition("@")
        if f"@{whose}".lower() != name:
            return text, False, True
        return command + text[text.index(head) + len(head) :], True, False
    if head.lower().rstrip(":,") == name:
        return text[text.index(head) + len(head) :].strip(), True, False
    return text, name in text.lower(), False


def _origin(message: Message) -> str:
    match message.forward_origin:
        case MessageOriginUser(sender_user=user):
            return user.full_name
        case MessageOriginHiddenUser(sender_user_name=name):
            return name
        case MessageOriginChat(sender_chat=chat) | MessageOriginChannel(chat=chat):
            return chat.title or "a chat"
        case _:
            return "somewhere else"


# --- words ----------------------------------------------------------------------------------------------------------


def _text(message: Message) -> str:
    if message.text is not None:
        return _linked(message.text, [(one.type, one.offset, one.length, one.url) for one in message.entities])
    if message.caption is not None:
        return _linked(
            message.caption, [(one.type, one.offset, one.length, one.url) for one in message.caption_entities]
        )
    if message.sticker:
        return message.sticker.emoji or ""
    if message.contact:
        return f"{message.contact.first_name} {message.contact.last_name or ''}: {message.contact.phone_number}"
    if message.location:
        return f"{message.location.latitude}, {message.location.longitude}"
    rich = message.api_kwargs.get("rich_message")
    return "\n".join(_words(rich)) if rich else ""


def _linked(text: str, entities: list[tuple[str, int, int, str | None]]) -> str:
    """The text with the addresses that stand behind its words; places are counted in UTF-16 units."""
    units = text.encode("utf-16-le", "surrogatepass")
    for kind, offset, length, url in sorted(entities, key=lambda one: -one[1]):
        if kind == "text_link" and url:
            at = 2 * (offset + length)
            units = units[:at] + f" ({url})".encode("utf-16-le", "surrogatepass") + units[at:]
    return units.decode("utf-16-le", "replace")


def _words(rich: Any) -> Iterator[str]:
    """Every text in a message made of blocks."""
    if isinstance(rich, list):
        for part in rich:
            yield from _words(part)
    elif isinstance(rich, Mapping):
        for name, part in rich.items():
            if name == "text" and isinstance(part, str):
                yield part
            else:
                yield from _words(part)


def _attached(message: Message) -> Iterator[Attached]:
    """The files of a message, under their own names or ones that say what they are."""
    number = message.message_id
    if message.photo:
        best = max(message.photo, key=lambda size: size.width * size.height)
        yield Attached(best.file_id, best.file_unique_id, f"photo-{number}.jpg", best.file_size or 0)
    kinds = (
        (message.animation, f"animation-{number}.mp4"),
        (None if message.animation else message.document, f"document-{number}"),
        (message.audio, f"audio-{number}.mp3"),
        (message.video, f"video-{number}.mp4"),
    )
    for file, name in kinds:
        if file:
            own = (file.file_name or "").replace("/", "_").replace("\\", "_").strip(". \0")
            yield Attached(file.file_id, file.file_unique_id, own or name, file.file_size or 0)
    for note, name in ((message.voice, f"voice-{number}.ogg"), (message.video_note, f"video-{number}.mp4")):
        if note:
            yield Attached(note.file_id, note.file_unique_id, name, note.file_size or 0)
