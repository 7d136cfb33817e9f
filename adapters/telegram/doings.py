"""What is done about something that was read: it is brought to the core, and the person is told what comes of it.

Only the core decides who may. What a stranger can make the bot say has a limit, in words and in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import structlog

from adapters.telegram.attachments import Attachments
from adapters.telegram.keyed import Newest
from adapters.telegram.line import Line
from adapters.telegram.places import Chains, Places, chat_id
from adapters.telegram.reading import PLATFORM, Born, Heard, Nobody, Press, Reading
from adapters.telegram.speaking import Speaking
from adapters.telegram.text import literally
from orchestrator.errors import Broken, Busy, Refused, Trouble
from orchestrator.nouns import Conversation, File, Inbound, Message, MessageId, Person, line
from orchestrator.ports import Notes, Receive
from orchestrator.words import clean

log = structlog.get_logger()

QUIET_SECONDS = 600.0
"""How long nobody is told the same refusal again."""

PROMPT_SECONDS = 0.5
"""A tap is answered within this, whatever the core is doing; a phone shows a spinning wheel until then."""

MOST_ALERT = 200
NOBODY = "This was written in the name of a group or a channel, so nobody can tell who you are. Write as yourself."
NOT_STORED = "This could not be stored and is tried again: "
DEFECT = "A defect in the bot kept this from being done; its log has the details."
SAID_AT = 2
"""The failure to store something that its writer is told of: the first one may be over in a moment."""


class Doings:
    """Brings what was read to `receive`. `users` and `chats` say whose files are worth fetching; empty: everybody's."""

    def __init__(
        self,
        line: Line,
        notes: Notes,
        *,
        speaking: Speaking,
        chains: Chains,
        places: Places,
        attachments: Attachments,
        users: Collection[int],
        chats: Collection[int],
        receive: Receive,
    ) -> None:
        self._line = line
        self._notes = notes
        self._speaking = speaking
        self._chains = chains
        self._places = places
        self._attachments = attachments
        self._users = frozenset(users)
        self._chats = frozenset(chats)
        self._receive = receive
        self._told: Newest[tuple[str, str], float] = Newest(5_000)
        self._failures: Newest[tuple[int, int], int] = Newest(1_000)

    async def act(self, readings: Sequence[Reading]) -> None:
        """Do it. Raises `Broken` when it must be brought again."""
        heard = [reading for reading in readings if isinstance(reading, Heard)]
        if heard:
            await self._hear(heard)
        match readings[0]:
            case Press() as press:
                await self._press(press)
            case Nobody() as nobody if nobody.addressed:
                where = Conversation(PLATFORM, str(nobody.chat), nobody.topic)
                await self._tell(where, NOBODY, reply_to=nobody.message, once=str(nobody.chat))
            case Born() as born:
                self._places.born(born)
            case _:
                pass

    # --- words ------------------------------------------------------------------------------------------------------

    async def _hear(self, parts: Sequence[Heard]) -> None:
        first = parts[0]
        where = Conversation(PLATFORM, str(first.chat), first.topic or await self._thread(first.chat, first.replies_to))
        try:
            await self._bring(parts, where)
        except (Broken, Busy) as why:
            await self._fail(first, where, str(why))
            raise
        self._failures.pop((first.chat, first.message))

    async def _fail(self, heard: Heard, where: Conversation, why: str) -> None:
        """It is brought again, which may take hours: whoever waits for an answer is told so, once."""
        failures = (self._failures.get((heard.chat, heard.message)) or 0) + 1
        self._failures.put((heard.chat, heard.message), failures)
        if failures == SAID_AT and (heard.addressed or where.thread):
            await self._tell(where, NOT_STORED + why, reply_to=heard.message, once=str(where))

    async def _bring(self, parts: Sequence[Heard], where: Conversation) -> None:
        first = parts[0]
        files, lost = await self._files(parts)
        inbound = Inbound(
            key=f"{PLATFORM}/{first.chat}/{first.message}",
            where=where,
            person=first.person,
            text="\n".join([*(part.text for part in parts if part.text), *lost]),
            files=files,
            quoted=first.quoted,
            message=MessageId(str(first.message)),
            addressed=any(part.addressed for part in parts),
        )
        try:
            await self._receive(inbound)
        except Refused as why:
            await self._refuse(first, where, str(why))
            return
        chained = self._chains.link(where, *(part.message for part in parts))
        if chained:
            await self._notes.put(chained)
        if lost:
            await self._tell(where, "\n".join(lost), reply_to=first.message, once=first.person.id)

    async def _thread(self, chat: int, message: int) -> str:
        return await self._chains.thread(chat, message) if message else ""

    async def _files(self, parts: Sequence[Heard]) -> tuple[tuple[File, ...], tuple[str, ...]]:
        wanted = [file for part in parts for file in part.files]
        if not wanted or self._is_stranger(parts[0]):
            return (), ()
        return await self._attachments.fetch(wanted)

    def _is_stranger(self, heard: Heard) -> bool:
        """Somebody who will surely be refused must not fill the disk first. Whether they are, the core says."""
        if not self._users and not self._chats:
            return False
        listed = heard.person.id in {str(user) for user in self._users}
        if heard.private:
            return not listed and heard.chat not in self._chats
        return heard.chat not in self._chats or (bool(self._users) and not listed)

    async def _refuse(self, heard: Heard, where: Conversation, words: str) -> None:
        if heard.private:
            await self._tell(where, words, reply_to=heard.message, once=heard.person.id)
        elif heard.addressed:
            await self._tell(where, words, reply_to=heard.message, once=where.chat)

    async def _tell(self, where: Conversation, words: str, *, reply_to: int, once: str) -> None:
        """Say it, but not the same to the same one again and again. When it cannot be said, it is not."""
        what = (once, words if once != where.chat or chat_id(where) > 0 else "")
        last = self._told.get(what)
        now = asyncio.get_running_loop().time()
        if last is not None and now < last + QUIET_SECONDS:
            return
        self._told.put(what, now)
        try:
            await self._speaking.tell(where, Message(text=words), reply_to=reply_to)
        except Trouble as why:
            log.info("not told", where=str(where), why=str(why))
            if isinstance(why, Busy):
                self._told.pop(what)

    # --- taps -------------------------------------------------------------------------------------------------------

    async def _press(self, press: Press) -> None:
        thread = press.topic or await self._thread(press.chat, press.on)
        where = Conversation(PLATFORM, str(press.chat), thread)
        on = MessageId(str(press.on))
        inbound = Inbound(f"{PLATFORM}/cb/{press.id}", where, press.person, press=press.token, on=on)
        answer = Answer(self._line, press.id)
        failed: Exception | None = None
        words = ""
        async with asyncio.TaskGroup() as group:
            early = group.create_task(answer.soon(PROMPT_SECONDS))
            try:
                await self._receive(inbound)
            except Refused as why:
                words = str(why)
            except (Broken, Busy) as error:
                words, failed = NOT_STORED + str(error), error
            except Exception as error:  # noqa: BLE001 - whatever it is: first the tap is answered, then it is raised
                words, failed = DEFECT, error
            late = answer.given
            if not late:
                early.cancel()
        if not late:
            await answer.give(words)
        elif words:
            await self._tell(where, _to(press.person, words), reply_to=press.on, once=press.person.id)
        if failed:
            raise failed


class Answer:
    """What a person is told who tapped; the platform takes one answer for each tap."""

    def __init__(self, line: Line, query: str) -> None:
        self._line = line
        self._query = query
        self.given = False

    async def soon(self, seconds: float) -> None:
        """Nothing in particular, in a moment."""
        await asyncio.sleep(seconds)
        await self.give("")

    async def give(self, words: str) -> None:
        """These words, to be tapped away; none: it was heard."""
        self.given = True
        try:
            async with self._line.told() as bot:
                await bot.answer_callback_query(
                    self._query, line(clean(words), MOST_ALERT) or None, show_alert=bool(words) or None
                )
        except Trouble as why:
            log.info("tap not answered", why=str(why))


def _to(person: Person, words: str) -> str:
    return f"{literally(person.name)}: {words}" if person.name else words
