"""Speaking: new messages, once for each key, whatever happens to the connection or to the bot in between.

Every part is noted when it stands. Where an answer was lost, the part is looked for before it is sent again. How a look
comes to be and how a message is found stands next door.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace

import structlog
from telegram import InputFile, LinkPreviewOptions, ReplyParameters

from adapters.telegram.keyed import Locks, Newest
from adapters.telegram.line import LONGEST_SECONDS, SLOWEST_UPLOAD, Line
from adapters.telegram.parts import Document, Part, Text, parts
from adapters.telegram.places import Chains, chat_id, root_id, topic_id
from adapters.telegram.seeking import Seeking
from adapters.telegram.sent import Ids, Record, Records
from orchestrator.errors import Broken, Refused, Trouble
from orchestrator.nouns import Conversation, Message, MessageId
from orchestrator.ports import Artifacts

log = structlog.get_logger()

MOST_UPLOADS = 3
"""Attempts at a file of which nobody knows what became; then words stand in its place."""

MOST_REFUSALS = 3
"""So many messages in a row whose blocks were refused: then a chat gets plain ones."""

NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


class Speaking:
    """New messages. `looks` is what each of them shows, for whoever edits them."""

    def __init__(
        self,
        line: Line,
        artifacts: Artifacts,
        *,
        records: Records,
        chains: Chains,
        rich_chats: Collection[str] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._line = line

        self._artifacts = artifacts
        self._records = records
        self._chains = chains
        self._now = now
        self._rich = set(rich_chats)
        self._refusals: Newest[str, int] = Newest(1_000)
        self._locks = Locks()
        self._unsent: Newest[str, bool] = Newest(1_000)
        self._uploads: Newest[tuple[str, str], int] = Newest(1_000)  # attempts at a file that ended nobody knows how
        self.looks: Newest[tuple[int, int], str] = Newest(2_000)
        self._seeking = Seeking(line, records, change=self.change)

    async def post(self, where: Conversation, message: Message, *, key: str, again: bool = False) -> MessageId:
        """All parts of a message stand when this returns."""
        async with self._locks.hold(key):
            record = await self._record(key)
            if record is None or not record.whole:
                record = await self._make(where, message, key=key, record=record, again=again)
        return MessageId(str(record.ids))

    async def _make(
        self, where: Conversation, message: Message, *, key: str, record: Record | None, again: bool
    ) -> Record:
        silent, as_rich = not message.rings, self.is_rich(where)
        made = await parts(message, self._artifacts, as_rich=as_rich)
        try:
            record = await self._say(where, made, key=key, silent=silent, record=record, again=again)
        except Refused as error:
            begun = await self._records.get(key)
            if not as_rich or (begun and begun.ids.all):
                raise
            why = str(error)
        else:
            self._refusals.pop(where.chat)
            return record
        made = await parts(message, self._artifacts, as_rich=False)
        record = await self._say(where, made, key=key, silent=silent, record=begun, again=again)
        self.too_rich(where, why)
        return record

    def is_rich(self, where: Conversation) -> bool:
        """Whether this chat is shown blocks."""
        return where.chat in self._rich

    def too_rich(self, where: Conversation, why: str) -> None:
        """Blocks were refused, and plain words were taken. After several of those in a row this chat gets no more."""
        refusals = (self._refusals.get(where.chat) or 0) + 1
        self._refusals.put(where.chat, refusals)
        lasting = refusals >= MOST_REFUSALS or "method" in why.lower()  # the server does not know how
        log.warning("no rich messages here" if lasting else "not as a rich message", chat=where.chat, why=why)
        if lasting:
            self._rich.discard(where.chat)

    async def attach(self, where: Conversation, document: Document, *, key: str) -> None:
        """One more file, in silence."""
        async with self._locks.hold(key):
            record = await self._record(key)
            if record is None or not record.whole:
                await self._say(where, [document], key=key, silent=True, record=record, again=False)

    async def tell(self, where: Conversation, message: Message, *, reply_to: int) -> None:
        """A word in passing: it is kept nowhere and never said again."""
        for part in await parts(message, self._artifacts, as_rich=False):
            await self._send(where, part, silent=False, reply_to=reply_to)

    async def _record(self, key: str) -> Record | None:
        await self._records.load()
        return await self._records.get(key)

    async def _say(
        self, where: Conversation, made: list[Part], *, key: str, silent: bool, record: Record | None, again: bool
    ) -> Record:
        """The parts that do not stand yet, one after the other."""
        chat = chat_id(where)
        doubtful = again or (record is not None and key not in self._unsent)
        self._unsent.pop(key)
        record = record or Record(chat)
        for part in made[len(record.ids.all) :]:
            after = None
            stands = await self._instead(part, key=key)
            found = (
                await self._seek(chat, (part, stands)[: 1 + (stands is not part)], after=record.after)
                if doubtful
                else None
            )
            if found is None:
                if record.after != self._records.high(chat):
                    record = replace(record, after=self._records.high(chat))
                    await self._records.put(key, record)
                after = record.after if doubtful else None
                # one message to the person, one sound: its first part's
                found = await self._attempt(where, stands, key=key, silent=silent or bool(record.ids.all))
            doubtful = False
            self._records.saw(chat, found)
            ids = record.ids
            ids = Ids((*ids.texts, found), ids.files) if isinstance(part, Text) else Ids(ids.texts, (*ids.files, found))
            record = replace(
                record, ids=ids, whole=len(ids.all) >= len(made), after=self._records.high(chat), at=self._now()
            )
            await self._note(key, record, where, found)
            if after is not None:  # only now: whatever becomes of it, the one that stands is known
                await self._seeking.drop_twin(chat, stands, found, after=after)
        return record

    async def _seek(self, chat: int, looks: Collection[Part], *, after: int) -> int | None:
        """The message that a part has become already: the file, or the words that were to stand in its place."""
        for look in looks:
            if (found := await self._seeking.find(chat, look, after=after)) is not None:
                return found
        return None

    async def _note(self, key: str, record: Record, where: Conversation, found: int) -> None:
        try:
            await self._records.put(key, record, more=self._chains.link(where, found))
        except Broken as error:  # it stands all the same: the memory of this life knows, and goes on from there
            log.warning("sent but not noted", key=key, why=str(error))

    async def _attempt(self, where: Conversation, part: Part, *, key: str, silent: bool) -> int:
        """Send it, and remember how that ended."""
        tried = (key, part.name) if isinstance(part, Document) else None
        try:
            return await self._send(where, part, silent=silent, reply_to=root_id(where))
        except Trouble as error:
            if not (isinstance(error, Broken) and error.unsure):
                self._unsent.put(key, value=True)
            elif tried:
                self._uploads.put(tried, (self._uploads.get(tried) or 0) + 1)
            raise

    async def _instead(self, part: Part, *, key: str) -> Part:
        """A file whose uploads end in nothing that is known gives its place to words."""
        if not isinstance(part, Document) or (self._uploads.get((key, part.name)) or 0) < MOST_UPLOADS:
            return part
        words = Message(status=f"⚠ {part.name} could not be sent: the upload did not come to its end")
        return (await parts(words, self._artifacts, as_rich=False))[0]

    async def _send(self, where: Conversation, part: Part, *, silent: bool, reply_to: int | None) -> int:
        """One request, or two where a picture is not taken as one."""
        if isinstance(part, Document):
            if part.is_photo:
                try:
                    return await self._send_file(where, part, silent=silent, reply_to=reply_to, photo=True)
                except Refused as why:
                    log.info("no picture to the platform", name=part.name, why=str(why))
            return await self._send_file(where, part, silent=silent, reply_to=reply_to, photo=False)
        chat = chat_id(where)
        if part.blocks is not None:
            return await self._send_blocks(where, part, silent=silent, reply_to=reply_to)
        async with self._line.told(chat=chat) as bot:
            sent = await bot.send_message(
                chat,
                part.piece.text,
                entities=part.piece.entities,
                reply_markup=part.keyboard,
                message_thread_id=topic_id(where),
                reply_parameters=_reply(reply_to),
                disable_notification=silent,
                link_preview_options=NO_PREVIEW,
            )
        self._records.saw(chat, sent.message_id)
        self.looks.put((chat, sent.message_id), part.look)
        return sent.message_id

    async def _send_blocks(self, where: Conversation, part: Text, *, silent: bool, reply_to: int | None) -> int:
        chat = chat_id(where)
        wanted = {
            "chat_id": chat,
            "rich_message": part.blocks,
            "reply_markup": part.keyboard,
            "message_thread_id": topic_id(where),
            "reply_parameters": _reply(reply_to),
            "disable_notification": silent,
        }
        async with self._line.told(chat=chat) as bot:
            sent = await bot.do_api_request("sendRichMessage", wanted)
        message = int(sent["message_id"])
        self._records.saw(chat, message)
        self.looks.put((chat, message), part.look)
        return message

    async def _send_file(
        self, where: Conversation, part: Document, *, silent: bool, reply_to: int | None, photo: bool
    ) -> int:
        chat = chat_id(where)
        async with self._line.told(within=LONGEST_SECONDS + len(part.content) / SLOWEST_UPLOAD, chat=chat) as bot:
            send = bot.send_photo if photo else bot.send_document
            sent = await send(
                chat,
                InputFile(part.content, filename=part.name),
                message_thread_id=topic_id(where),
                reply_parameters=_reply(reply_to),
                disable_notification=silent,
            )
        self._records.saw(chat, sent.message_id)
        return sent.message_id

    async def change(self, chat: int, message: int, part: Text) -> None:
        """The message looks like this now. Raises `Same` when it did before."""
        async with self._line.told(chat=chat) as bot:
            if part.blocks is None:
                await bot.edit_message_text(
                    part.piece.text,
                    chat,
                    message,
                    entities=part.piece.entities,
                    reply_markup=part.keyboard,
                    link_preview_options=NO_PREVIEW,
                )
            else:  # spelled so, the library takes it for a method that it does not know, and adds nothing of its own
                wanted = {"chat_id": chat, "message_id": message, "rich_message": part.blocks}
                await bot.do_api_request("edit_Message_Text", wanted | {"reply_markup": part.keyboard})
        self.looks.put((chat, message), part.look)


def _reply(message: int | None) -> ReplyParameters | None:
    """Also when what is replied to was deleted."""
    return ReplyParameters(message, allow_sending_without_reply=True) if message else None
