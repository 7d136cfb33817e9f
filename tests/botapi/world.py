"""What the platform remembers: chats with their topics, messages and members, files, commands and drafts.

It knows no HTTP and no limits; what a method may do with it stands in the files of the methods.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count

from tests.botapi.refusal import Json, bad, forbidden
from tests.botapi.updates import Updates

RIGHTS = frozenset({
    "can_manage_chat", "can_delete_messages", "can_manage_video_chats", "can_restrict_members", "can_promote_members",
    "can_change_info", "can_invite_users", "can_post_stories", "can_edit_stories", "can_delete_stories",
    "can_pin_messages", "can_manage_topics", "can_send_welcome_messages",
})  # fmt: skip
BOT_ID = 4242
ANONYMOUS = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
TELEGRAM = {"id": 777000, "is_bot": False, "first_name": "Telegram"}
CHANNEL_BOT = {"id": 136817688, "is_bot": True, "first_name": "Channel", "username": "Channel_Bot"}


@dataclass
class Topic:
    """A topic of a forum or of a private chat; its id is that of the message that opened it."""

    id: int
    name: str
    icon_color: int = 7322096
    icon: str = ""
    closed: bool = False


@dataclass
class Stored:
    """A file that somebody uploaded."""

    id: str
    name: str
    size: int
    content: bytes
    kind: str
    mime: str = "application/octet-stream"

    @property
    def path(self) -> str:
        """Where it can be downloaded."""
        return f"{self.kind}s/{self.id}_{self.name}"


@dataclass
class Standing:
    """A message as it stands now. `content`: the fields by which the platform shows it; `looks`: all it ever was.

    `reactions` are the bot's, `reacted` those of people; `asked` is the last request that made it look so.
    """

    chat: Chat
    id: int
    at: float
    date: int
    sender: Json | None
    own: bool
    content: Json
    thread: int = 0
    reply_markup: Json | None = None
    reply_to: Standing | None = None
    rich: Json | None = None
    file: Stored | None = None
    silent: bool = False
    pinned: bool = False
    edits: int = 0
    edit_date: int = 0
    reactions: tuple[str, ...] = ()
    extra: Json = field(default_factory=dict)
    looks: list[Json] = field(default_factory=list)
    hidden_buttons: tuple[Json, ...] = ()
    asked: Json = field(default_factory=dict)
    reacted: dict[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What is read: the text, the caption, or the words of a rich message."""
        found: str = self.content.get("text") or self.content.get("caption") or self.content.get("_words", "")
        return found

    @property
    def entities(self) -> list[Json]:
        """The marks on the text."""
        found: list[Json] = self.content.get("entities") or self.content.get("caption_entities") or []
        return found

    @property
    def rows(self) -> list[list[Json]]:
        """The rows of the keyboard."""
        rows: list[list[Json]] = (self.reply_markup or {}).get("inline_keyboard", [])
        return rows

    @property
    def buttons(self) -> list[Json]:
        """Every button, those inside a rich message too: they can be pressed as well."""
        return [*(button for row in self.rows for button in row), *self.hidden_buttons]

    @property
    def service(self) -> bool:
        """Whether the platform itself wrote it."""
        return bool(self.content.keys() & SERVICE)

    def json(self, *, shallow: bool = False) -> Json:
        """The message in the platform's form."""
        shown: Json = {"message_id": self.id, "date": self.date, "chat": self.chat.json()}
        if self.sender is not None:
            shown["from"] = self.sender
        if self.thread:
            shown["message_thread_id"] = self.thread
            if self.thread in self.chat.topics:
                shown["is_topic_message"] = True
        if self.edit_date:
            shown["edit_date"] = self.edit_date
        if self.reply_markup and "inline_keyboard" in self.reply_markup:
            shown["reply_markup"] = self.reply_markup
        if self.reply_to is not None and not shallow:
            shown["reply_to_message"] = self.reply_to.json(shallow=True)
        return shown | self.extra | {name: value for name, value in self.content.items() if not name.startswith("_")}


SERVICE = frozenset({
    "forum_topic_created", "forum_topic_edited", "forum_topic_closed", "forum_topic_reopened", "pinned_message",
    "migrate_to_chat_id", "migrate_from_chat_id", "new_chat_members", "left_chat_member", "new_chat_title",
})  # fmt: skip


@dataclass
class Chat:
    """A chat. `bot` is what the bot is in it; `rights` what it may do there as an administrator."""

    id: int
    kind: str
    title: str = ""
    forum: bool = False
    bot: str = "administrator"
    rights: frozenset[str] = RIGHTS
    topics: dict[int, Topic] = field(default_factory=dict)
    standing: dict[int, Standing] = field(default_factory=dict)
    members: dict[int, str] = field(default_factory=dict)
    migrated_to: int = 0
    ids: count[int] = field(default_factory=lambda: count(1))

    @property
    def private(self) -> bool:
        """Whether it is a talk with one person."""
        return self.kind == "private"

    def json(self) -> Json:
        """The chat in the platform's form."""
        shown: Json = {"id": self.id, "type": self.kind}
        shown["first_name" if self.private else "title"] = self.title
        return shown | ({"is_forum": True} if self.forum and not self.private else {})

    def admits(self) -> None:
        """Raise as the platform does where the bot cannot talk."""
        if self.migrated_to:
            refusal = bad("group chat was upgraded to a supergroup chat")
            refusal.parameters = {"migrate_to_chat_id": self.migrated_to}
            raise refusal
        if self.private and self.bot == "kicked":
            raise forbidden("bot was blocked by the user")
        if self.bot in {"left", "kicked"}:
            what = "was kicked from" if self.bot == "kicked" else "is not a member of"
            raise forbidden(f"bot {what} the {self.kind} chat")

    def needs(self, right: str, words: str) -> None:
        """Raise unless the bot has this right; in a private chat it needs none."""
        if not self.private and (self.bot != "administrator" or right not in self.rights):
            raise bad(words)

    def message(self, message_id: int, words: str) -> Standing:
        """A message that stands here, or the platform's words that it does not."""
        if found := self.standing.get(message_id):
            return found
        raise bad(words)


@dataclass(slots=True)
class Query:
    """A press that waits for its answer."""

    id: str
    at: float
    answer: Json | None = None
    answered: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Draft:
    """A message on its way: shown in a private chat and gone after half a minute or with the next real message."""

    chat: int
    thread: int
    id: int
    text: str
    at: float
    rich: Json | None = None


class World:
    """Everything that is there."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.me: Json = {
            "id": BOT_ID, "is_bot": True, "first_name": "Army", "username": "army_bot", "can_join_groups": True,
            "can_read_all_group_messages": False, "supports_inline_queries": False, "has_topics_enabled": False,
        }  # fmt: skip
        self.chats: dict[int, Chat] = {}
        self.users: dict[int, Json] = {}
        self.files: dict[str, Stored] = {}
        self.commands: dict[tuple[str, str], list[Json]] = {}
        self.queries: dict[str, Query] = {}
        self.drafts: dict[tuple[int, int], Draft] = {}
        self.actions: list[tuple[float, int, int, str]] = []
        self.violations: list[str] = []
        self.updates = Updates(clock)
        self._ids = count(1)
        self._unique = count(1)

    @property
    def bot(self) -> Json:
        """The bot as the sender of a message."""
        return {name: self.me[name] for name in ("id", "is_bot", "first_name", "username")}

    def unique(self, kind: str) -> str:
        """A name that nothing else has."""
        return f"{kind}{next(self._unique):06d}"

    def chat(self, chat_id: object) -> Chat:
        """The chat with this id where the bot may talk."""
        found = self.chats.get(chat_id) if isinstance(chat_id, int) else None
        if found is None:
            raise bad("chat not found")
        found.admits()
        return found

    def put(self, chat: Chat, content: Json, *, sender: Json | None, own: bool = False, thread: int = 0) -> Standing:
        """A new message stands in a chat. A real message of any sort ends the draft there."""
        self.drafts.pop((chat.id, thread), None)
        ids = chat.ids if chat.kind in {"supergroup", "channel"} else self._ids
        message = Standing(
            chat, next(ids), self.clock(), int(time.time()), sender, own, content, thread, looks=[content]
        )  # fmt: skip
        chat.standing[message.id] = message
        return message

    def store(self, name: str, content: bytes, *, kind: str, size: int | None = None, mime: str = "") -> Stored:
        """Keep a file. A test may say that it is larger than what it holds."""
        stored = Stored(self.unique(f"file-{kind}-"), name, len(content) if size is None else size, content, kind)
        stored.mime = mime or stored.mime
        self.files[stored.id] = stored
        return stored

    def draft(self, chat_id: int, thread: int = 0) -> Draft | None:
        """The draft that is seen now."""
        draft = self.drafts.get((chat_id, thread))
        return draft if draft and self.clock() < draft.at + 30.0 else None

    def wrong(self, sentences: Iterable[str]) -> None:
        """Something that a test should fail over."""
        self.violations.extend(sentences)
