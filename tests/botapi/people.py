"""People who talk in the chats, and what they cause: each of their doings stands in the world and becomes an update.

What the bot is told follows the platform: privacy in groups, marks on commands, a topic's first line as the reply.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from tests.botapi.editing import PATIENCE
from tests.botapi.refusal import Json
from tests.botapi.sending import file_content
from tests.botapi.texts import commands
from tests.botapi.world import ANONYMOUS, CHANNEL_BOT, Chat, Query, Standing, World


class Person:
    """Somebody with an account."""

    def __init__(self, world: World, id_: int, name: str) -> None:
        self.id = id_
        self.name = name
        self._world = world
        self.user: Json = {"id": id_, "is_bot": False, "first_name": name, "language_code": "en"}
        world.users[id_] = self.user

    async def says(
        self,
        chat: Chat | int,
        text: str,
        *,
        thread: int = 0,
        reply_to: Standing | None = None,
        entities: list[Json] | None = None,
        anonymously: bool = False,
        extra: Json | None = None,
    ) -> Standing:
        """A text; its commands are marked. `anonymously`: as an administrator whose name is hidden."""
        marks = commands(text) if entities is None else entities
        content: Json = {"text": text} | ({"entities": marks} if marks else {})
        return self._put(chat, content, thread=thread, reply_to=reply_to, extra=extra or {}, anonymously=anonymously)

    async def says_as(self, channel: Chat, chat: Chat | int, text: str, *, thread: int = 0) -> Standing:
        """A text in the name of a channel."""
        message = self._put(chat, {"text": text, "entities": commands(text)}, thread=thread, quiet=True)
        message.sender, message.extra = CHANNEL_BOT, {"sender_chat": channel.json()}
        self._tell(message)
        return message

    async def edits(self, message: Standing, text: str) -> None:
        """Other words in a message of theirs."""
        assert message.sender == self.user, "nobody edits what somebody else wrote"
        marks = commands(text)
        message.content = {"text": text} | ({"entities": marks} if marks else {})
        message.edits += 1
        message.edit_date = int(time.time())
        message.looks.append(message.content)
        if self._heard(message):
            self._world.updates.push("edited_message", message.json())

    async def forwards(
        self, chat: Chat | int, text: str, *, origin: str = "user", thread: int = 0, source: Chat | None = None
    ) -> Standing:
        """Something that was written elsewhere: by a `user`, a `hidden_user`, a `chat` or a `channel`."""
        where = (source or Chat(-1009990000001, "channel" if origin == "channel" else "supergroup", "Elsewhere")).json()
        stranger = {"id": 990001, "is_bot": False, "first_name": "Stranger"}
        kinds: dict[str, Json] = {
            "user": {"sender_user": stranger},
            "hidden_user": {"sender_user_name": "Somebody"},
            "chat": {"sender_chat": where},
            "channel": {"chat": where, "message_id": 17},
        }
        extra = {"forward_origin": {"type": origin, "date": int(time.time()) - 60} | kinds[origin]}
        return await self.says(chat, text, thread=thread, extra=extra)

    async def sends_photo(
        self, chat: Chat | int, content: bytes = b"\xff\xd8photo", *, caption: str = "", thread: int = 0
    ) -> Standing:
        """A picture, which has no name."""
        return self._file(chat, "photo.jpg", content, kind="photo", caption=caption, thread=thread)

    async def sends_document(
        self,
        chat: Chat | int,
        name: str,
        content: bytes = b"document",
        *,
        caption: str = "",
        thread: int = 0,
        size: int | None = None,
    ) -> Standing:
        """A file. `size` is what the platform says of it, for files larger than a test wants to hold."""
        return self._file(chat, name, content, kind="document", caption=caption, thread=thread, size=size)

    async def sends_voice(self, chat: Chat | int, content: bytes = b"OggSvoice", *, thread: int = 0) -> Standing:
        """A voice note."""
        return self._file(chat, "voice.ogg", content, kind="voice", thread=thread)

    async def sends_album(
        self, chat: Chat | int, names: Sequence[str], *, caption: str = "", thread: int = 0, kind: str = "document"
    ) -> list[Standing]:
        """Several files at once: messages of their own with one `media_group_id`, the caption on the first."""
        album = {"media_group_id": self._world.unique("album")}
        return [
            self._file(chat, name, name.encode(), kind=kind, caption="" if n else caption, thread=thread, extra=album)
            for n, name in enumerate(names)
        ]

    async def press(self, message: Standing, label_or_data: str) -> Query:
        """Tap a button and do not wait for what is said to it."""
        button = next((b for b in message.buttons if label_or_data in {b["text"], b.get("callback_data")}), None)
        assert button is not None, f"no button {label_or_data!r} among {[b['text'] for b in message.buttons]}"
        return await self.press_data(message, button["callback_data"])

    async def press_data(self, message: Standing, data: str) -> Query:
        """What a client of one's own can send: any data, on any message, whether it has such a button or not."""
        query = Query(self._world.unique("query"), self._world.clock())
        self._world.queries[query.id] = query
        shown = message.json()
        if message.id not in message.chat.standing:
            shown = {"chat": message.chat.json(), "message_id": message.id, "date": 0}
        pressed = {"id": query.id, "from": self.user, "message": shown, "chat_instance": str(message.chat.id)}
        self._world.updates.push("callback_query", pressed | {"data": data})
        return query

    async def presses(self, message: Standing, label_or_data: str) -> Json | None:
        """Tap a button; what the bot said to it, or None when it said nothing while it could."""
        query = await self.press(message, label_or_data)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await query.answered.wait()
        return query.answer

    async def reacts(self, message: Standing, *emoji: str) -> None:
        """Their reactions to a message are these now."""
        old, new = message.reacted.get(self.id, ()), emoji
        message.reacted[self.id] = new
        what = {"chat": message.chat.json(), "message_id": message.id, "date": int(time.time()), "user": self.user}
        self._world.updates.push("message_reaction", what | {"old_reaction": _faces(old), "new_reaction": _faces(new)})

    def _file(
        self,
        chat: Chat | int,
        name: str,
        content: bytes,
        *,
        kind: str,
        caption: str = "",
        thread: int = 0,
        size: int | None = None,
        extra: Json | None = None,
    ) -> Standing:
        stored = self._world.store(name, content, kind=kind, size=size)
        shown = file_content(stored, kind) | ({"caption": caption} if caption else {})
        marks = commands(caption)
        shown |= {"caption_entities": marks} if marks else {}
        message = self._put(chat, shown, thread=thread, extra=extra or {})
        message.file = stored
        return message

    def _put(
        self,
        chat: Chat | int,
        content: Json,
        *,
        thread: int,
        reply_to: Standing | None = None,
        extra: Json | None = None,
        anonymously: bool = False,
        quiet: bool = False,
    ) -> Standing:
        chat = self._world.chats[chat] if isinstance(chat, int) else chat
        assert not thread or thread in chat.topics, f"there is no topic {thread}"
        if chat.kind == "supergroup" and not chat.forum and reply_to:
            thread = reply_to.thread or reply_to.id  # the platform names a thread there too, which is no topic
        message = self._world.put(chat, content, sender=ANONYMOUS if anonymously else self.user, thread=thread)
        # In a group's topic, whatever is no reply to something is shown as a reply to the topic's first line.
        first = chat.standing.get(thread) if thread in chat.topics and not chat.private else None
        message.reply_to = reply_to or first
        message.extra = (extra or {}) | ({"sender_chat": chat.json()} if anonymously else {})
        if not quiet:
            self._tell(message)
        return message

    def _tell(self, message: Standing) -> None:
        if self._heard(message):
            self._world.updates.push("message", message.json())

    def _heard(self, message: Standing) -> bool:
        """Whether the bot is told, by its place in the chat and the privacy that bots have in groups."""
        chat = message.chat
        if chat.bot in {"left", "kicked"}:
            return False
        if chat.private or chat.bot == "administrator" or self._world.me["can_read_all_group_messages"]:
            return True
        if message.reply_to is not None and message.reply_to.own:
            return True
        begins = any(mark["type"] == "bot_command" and mark["offset"] == 0 for mark in message.entities)
        _, _, whose = message.text.split()[0].partition("@") if message.text.strip() else ("", "", "")
        return begins and whose.lower() in {"", self._world.me["username"].lower()}


def _faces(emoji: Sequence[str]) -> list[Json]:
    return [{"type": "emoji", "emoji": one} for one in emoji]
