"""Chats come and go here: private ones, groups, channels, topics, who is in them, and what the bot is to them."""

from __future__ import annotations

import time

from tests.botapi.people import Person
from tests.botapi.places import line, membership, open_topic, remove_topic
from tests.botapi.refusal import Json
from tests.botapi.world import RIGHTS, TELEGRAM, Chat, Standing, Topic, World

CHANNEL_RIGHTS = RIGHTS | {"can_post_messages", "can_edit_messages"}


class Street:
    """What a test sets up, and what happens to chats by itself."""

    def __init__(self, world: World) -> None:
        self._world = world

    def person(self, id_: int, name: str) -> Person:
        """Somebody with an account."""
        return Person(self._world, id_, name)

    def private(self, person: Person) -> Chat:
        """The talk between somebody and the bot; it is there from their first word on."""
        chat = Chat(person.id, "private", person.name, bot="member", members={person.id: "member"})
        return self._world.chats.setdefault(person.id, chat)

    def group(
        self,
        chat_id: int,
        *,
        title: str = "Group",
        forum: bool = False,
        bot: str = "administrator",
        rights: frozenset[str] = RIGHTS,
    ) -> Chat:
        """A group; a supergroup when its id says so. `bot` is what the bot is in it."""
        kind = "supergroup" if chat_id < -1_000_000_000_000 else "group"
        assert kind == "supergroup" or not forum, "only a supergroup is a forum"
        chat = self._world.chats[chat_id] = Chat(chat_id, kind, title, forum, bot, rights)
        return chat

    def channel(self, chat_id: int, *, title: str = "Channel", bot: str = "administrator") -> Chat:
        """A channel."""
        chat = self._world.chats[chat_id] = Chat(chat_id, "channel", title, bot=bot, rights=CHANNEL_RIGHTS)
        return chat

    def member(self, chat: Chat, person: Person, status: str = "member") -> None:
        """Somebody is in a chat."""
        chat.members[person.id] = status

    def topic(self, chat: Chat, name: str, *, by: Person) -> Topic:
        """Somebody opens a topic."""
        return open_topic(self._world, chat, name, colour=7322096, sender=by.user)

    def turn_topic(self, chat: Chat, thread: int, *, closed: bool, by: Person) -> None:
        """Somebody closes or reopens a topic."""
        chat.topics[thread].closed = closed
        what = "forum_topic_closed" if closed else "forum_topic_reopened"
        line(self._world, chat, {what: {}}, thread=thread, sender=by.user)

    def remove_topic(self, chat: Chat, thread: int) -> None:
        """Somebody deletes a topic with all that stands in it; the bot is not told."""
        remove_topic(chat, thread)

    def remove(self, message: Standing) -> None:
        """Somebody deletes a message; the bot is not told."""
        message.chat.standing.pop(message.id, None)

    def bot_becomes(self, chat: Chat, status: str, *, by: Person, rights: frozenset[str] | None = None) -> None:
        """The bot is promoted, restricted, thrown out, let in; in a private chat, blocked (`kicked`) or unblocked."""
        old = membership(self._world.bot, chat.bot, chat.rights)
        chat.bot, chat.rights = status, chat.rights if rights is None else rights
        change: Json = {
            "chat": chat.json(),
            "from": by.user,
            "date": int(time.time()),
            "old_chat_member": old,
            "new_chat_member": membership(self._world.bot, status, chat.rights),
        }
        self._world.updates.push("my_chat_member", change)

    def blocks(self, person: Person) -> None:
        """Somebody wants to hear nothing more from the bot."""
        self.bot_becomes(self._world.chats[person.id], "kicked", by=person)

    def posts(self, channel: Chat, text: str, *, into: Chat | None = None) -> Standing:
        """A post in a channel; it is forwarded by itself into the group of its discussion."""
        post = self._world.put(channel, {"text": text}, sender=None)
        post.extra = {"sender_chat": channel.json()}
        self._world.updates.push("channel_post", post.json())
        if into is None:
            return post
        copy = self._world.put(into, {"text": text}, sender=TELEGRAM)
        origin = {"type": "channel", "date": post.date, "chat": channel.json(), "message_id": post.id}
        copy.extra = {"sender_chat": channel.json(), "is_automatic_forward": True, "forward_origin": origin}
        self._world.updates.push("message", copy.json())
        return copy

    def migrate(self, chat: Chat, new_id: int) -> Chat:
        """A group becomes a supergroup: another id, another count of messages, and the old id is refused."""
        new = self.group(new_id, title=chat.title, bot=chat.bot, rights=chat.rights)
        new.members = dict(chat.members)
        line(self._world, chat, {"migrate_to_chat_id": new_id}, sender=TELEGRAM)
        line(self._world, new, {"migrate_from_chat_id": chat.id}, sender=TELEGRAM)
        chat.migrated_to = new_id
        return new

    def push_raw(self, body: Json) -> int:
        """An update with any content whatever, asked for or not; its id."""
        return self._world.updates.push_raw(body)

    def push_unreadable(self) -> int:
        """An update that typed libraries cannot read: the date of its message is a word."""
        chat = {"id": 1, "type": "private", "first_name": "X"}
        return self.push_raw({"message": {"message_id": 1, "date": "yesterday", "chat": chat, "text": "?"}})
