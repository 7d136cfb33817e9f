"""What happens to messages that stand: other looks, drafts of a look in private chats, pins, and their end.

It makes no message of its own but the file with the whole of a text that no longer fits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

import structlog

from adapters.telegram.errors import Missing, NotOurs, Same
from adapters.telegram.keyed import Locks, Newest
from adapters.telegram.line import Line
from adapters.telegram.parts import texts, whole
from adapters.telegram.places import chat_id, topic_id
from adapters.telegram.sent import Ids, one
from adapters.telegram.speaking import Speaking
from orchestrator.errors import Broken, Gone, Refused
from orchestrator.nouns import Conversation, Message, MessageId
from orchestrator.ports import Notes

log = structlog.get_logger()

DRAFT_LASTS = 20.0
"""Seconds after which a draft is given again; the platform takes it away after thirty."""


@dataclass(frozen=True, slots=True)
class Given:
    """The look that was given last, and whether it was only a draft."""

    message: Message
    drafted: bool


class Editing:
    """Other looks for what `speaking` has sent."""

    def __init__(self, line: Line, notes: Notes, speaking: Speaking, *, drafts: bool) -> None:
        self._line = line
        self._notes = notes
        self._speaking = speaking
        self._drafts = drafts
        self._locks = Locks()
        self._given: Newest[tuple[int, MessageId], Given] = Newest(1_000)
        self._no_drafts: Newest[int, bool] = Newest(1_000)

    def posted(self, where: Conversation, message_id: MessageId, message: Message) -> None:
        """A new message has this look."""
        self._given.put((chat_id(where), message_id), Given(message, drafted=False))

    async def edit(self, where: Conversation, message_id: MessageId, message: Message) -> float:
        """The message looks like this now, or its draft does for a while."""
        chat, ids = chat_id(where), Ids.read(message_id)
        if not ids.all:
            raise Gone("No message of Telegram's has this name.")
        async with self._locks.hold(f"{chat}/{message_id}"):
            if self._is_draft(chat, message_id, message) and await self._draft(where, ids, message):
                self._given.put((chat, message_id), Given(message, drafted=True))
                return DRAFT_LASTS
            if ids.texts:
                await self._change(where, message_id, ids, message)
            self._given.put((chat, message_id), Given(message, drafted=False))
        return 0.0

    async def _change(self, where: Conversation, message_id: MessageId, ids: Ids, message: Message) -> None:
        as_rich = self._speaking.is_rich(where)
        try:
            await self._look(where, message_id, ids, message, as_rich=as_rich)
        except Refused as why:
            if not as_rich or isinstance(why, NotOurs):
                raise
            await self._look(where, message_id, ids, message, as_rich=False)
            self._speaking.too_rich(where, str(why))

    async def _look(
        self, where: Conversation, message_id: MessageId, ids: Ids, message: Message, *, as_rich: bool
    ) -> None:
        chat = chat_id(where)
        looks, rest = texts(message, len(ids.texts), as_rich=as_rich)
        for id_, look in zip(ids.texts, looks, strict=True):
            if self._speaking.looks.get((chat, id_)) == look.look:
                continue
            try:
                await self._speaking.change(chat, id_, look)
            except Same:
                self._speaking.looks.put((chat, id_), look.look)
            except Missing:
                self._speaking.looks.pop((chat, id_))
                raise
        if rest:
            digest = sha256(rest.encode("utf-8", "replace")).hexdigest()[:16]
            await self._speaking.attach(where, whole(rest), key=f"whole/{chat}/{message_id}/{digest}")

    # --- drafts -----------------------------------------------------------------------------------------------------

    def _is_draft(self, chat: int, message_id: MessageId, message: Message) -> bool:
        """Whether only the text of a live page moves on, and its reader can be shown that without an edit."""
        last = self._given.get((chat, message_id))
        if not self._drafts or chat < 0 or chat in self._no_drafts or not message.since or message.board or not last:
            return False
        return last.message != message and replace(last.message, text="") == replace(message, text="")

    async def _draft(self, where: Conversation, ids: Ids, message: Message) -> bool:
        """False when this chat takes no drafts."""
        chat = chat_id(where)
        (look,), _ = texts(message, 1, as_rich=False)
        try:
            async with self._line.told(chat=chat) as bot:
                await bot.send_message_draft(
                    chat,
                    ids.all[0],
                    look.piece.text,
                    message_thread_id=topic_id(where),
                    entities=look.piece.entities,
                )
        except Refused as why:
            log.info("no drafts here", chat=chat, why=str(why))
            self._no_drafts.put(chat, value=True)
            return False
        return True

    # --- the end, and the top ---------------------------------------------------------------------------------------

    async def remove(self, where: Conversation, message_id: MessageId) -> None:
        """All that the message consists of is gone."""
        chat, ids = chat_id(where), Ids.read(message_id)
        if not ids.all:
            return
        try:
            async with self._line.told(chat=chat) as bot:
                await bot.delete_messages(chat, ids.all)
        except Missing:
            log.info("gone already", chat=chat, message=message_id)
        for id_ in ids.texts:
            self._speaking.looks.pop((chat, id_))
        self._given.pop((chat, message_id))

    async def pin(self, where: Conversation, message_id: MessageId) -> None:
        """On top of its chat, in silence, instead of ours that was there; where that may not be, it is not."""
        chat = chat_id(where)
        newest = Ids.read(message_id).texts[-1:]
        if not newest:
            return
        name = f"pin/{chat}"
        old = await one(self._notes, name)
        if old == str(newest[0]):
            return
        try:
            async with self._line.told(chat=chat) as bot:
                await bot.pin_chat_message(chat, newest[0], disable_notification=True)
            await self._notes.put({name: str(newest[0])})
            if old:
                async with self._line.told(chat=chat) as bot:
                    await bot.unpin_chat_message(chat, int(old))
        except (Refused, Gone, Broken) as why:
            log.info("not pinned", chat=chat, why=str(why))
