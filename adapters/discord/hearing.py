"""What people write, as `Inbound`s: each channel in its order, each message once, and what was missed read back.

In a thread of ours everything is heard; elsewhere only what is said to the bot, by a mention or as a reply. Bots,
webhooks, the platform's own notices and edits are no people's words. It decides nothing: the gate is in the core.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import TYPE_CHECKING

import discord
import structlog

from adapters.discord.files import Attached
from adapters.discord.people import PLATFORM, May, People
from adapters.discord.quiet import Quiet
from adapters.discord.said import attachments_of, is_to, key_of, text_of
from adapters.discord.wire import Wire
from orchestrator.errors import Broken, Busy, Gone, Refused, Trouble
from orchestrator.nouns import Conversation, Inbound, MessageId
from orchestrator.ports import Artifacts, Notes, Receive

if TYPE_CHECKING:
    from discord.types.message import Message as MessagePayload

log = structlog.get_logger()

PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before what was not taken is brought again, time after time."""

FILE_TRIES = 4
TOLD_AT = 2
"""Failures after which a person is told that what they said is not taken yet."""

NOTHING_SAID = "There are neither words nor files in this message that the bot could read."
MOST_WAITING = 500
"""Messages of a channel that wait; with more, the rest is read back later."""

READ_EVERY = 0.04
"""Seconds between two pages that are read back: Discord allows fifty requests in a second for all that we do."""

FORGOTTEN = 30 * 86_400.0
"""Seconds after which a place where nobody spoke is read back no more: its end was perhaps told to nobody."""

PAGE = 100
MOST_PAGES_ELSEWHERE = 5
"""How far a channel that is not ours is read back."""

_SAID = {discord.MessageType.default, discord.MessageType.reply}


@dataclass(slots=True)
class _Ear:
    """A channel whose messages are heard one after another; None stands for reading back what was missed."""

    where: Conversation
    last: int
    queue: deque[discord.Message | None] = field(default_factory=deque)
    missed: bool = False
    kept: bool = True  # how far it was heard is noted, so that it is read back after a restart
    task: asyncio.Task[None] | None = None


class Hearing:
    """Hears for as long as `serve` lives; what it knows of its threads outlives that."""

    def __init__(
        self,
        wire: Wire,
        notes: Notes,
        artifacts: Artifacts,
        *,
        guilds: Collection[str],
        may: May,
        quiet: Quiet,
        clock: Callable[[], float],
    ) -> None:
        self.aside = 0
        self._wire = wire
        self._notes = notes
        self._artifacts = artifacts
        self._guilds = frozenset(guilds)
        self._people = People(wire)
        self._may = may
        self._quiet = quiet
        self._clock = clock
        self._reading = asyncio.Lock()
        self._ears: dict[int, _Ear] = {}
        self._group: asyncio.TaskGroup | None = None
        self._receive: Receive | None = None

    async def begin(self, group: asyncio.TaskGroup, receive: Receive) -> None:
        """Hear from now on: what is missed since the notes were written is read back with the first session."""
        after = ""
        while found := await self._notes.scan("live/", after=after):
            after = found[-1][0]
            for name, text in found:
                chat, _, last = text.partition(" ")
                if chat.partition("/")[0] not in self._guilds:
                    continue
                if discord.utils.snowflake_time(int(last)).timestamp() < self._clock() - FORGOTTEN:
                    await self._notes.put({name: None})
                    continue
                channel = int(name.removeprefix("live/"))
                thread = "" if chat.rpartition("/")[2] == str(channel) else str(channel)
                self._ears.setdefault(channel, _Ear(Conversation(PLATFORM, chat, thread), int(last)))
        self._group, self._receive = group, receive

    def end(self) -> None:
        """Hear no more; what waited is read back the next time."""
        self._group, self._receive = None, None
        for ear in self._ears.values():
            ear.queue.clear()
            if ear.task is not None:
                ear.task.cancel()
                ear.task = None

    # --- what comes -------------------------------------------------------------------------------------------------

    def opened(self, where: Conversation) -> None:
        """A thread of ours."""
        self._ears.setdefault(int(where.thread), _Ear(where, int(where.thread)))

    def closed(self, where: Conversation) -> None:
        """A thread that needs no reading back any more."""
        ear = self._ears.get(int(where.thread))
        if ear is not None:
            ear.kept = False
            if ear.task is None:
                del self._ears[int(where.thread)]

    def anew(self) -> None:
        """A new session has begun: what was said between it and the last one was told to nobody."""
        for channel, ear in self._ears.items():
            ear.queue.append(None)
            self._work(channel, ear)

    def message(self, message: discord.Message) -> None:
        """Somebody wrote something."""
        if message.author.bot or message.webhook_id is not None or message.type not in _SAID:
            if message.type is discord.MessageType.pins_add and message.author.id == self._wire.me:
                self._quiet.tidy(message)
            return
        if message.guild is None and isinstance(message.channel, discord.DMChannel):
            self._quiet.private(message)
            return
        ear = self._ear_of(message)
        if ear is None:
            return
        if ear.missed or len(ear.queue) >= MOST_WAITING:
            ear.missed = True  # nor what comes after it: heard first, it would hide what was missed
            return
        ear.queue.append(message)
        self._work(message.channel.id, ear)

    def _ear_of(self, message: discord.Message) -> _Ear | None:
        """Where this is heard, if it is."""
        channel = message.channel
        ear = self._ears.get(channel.id)
        if ear is not None and (ear.where.thread or self._is_to_us(message)):
            return ear
        guild = message.guild.id if message.guild is not None else getattr(channel, "guild_id", None)
        if str(guild) not in self._guilds:
            return None
        ours = isinstance(channel, discord.Thread) and channel.owner_id == self._wire.me
        if not ours and not self._is_to_us(message):
            return None
        where = Conversation(PLATFORM, f"{guild}/{channel.id}")
        if isinstance(channel, discord.Thread):
            where = Conversation(PLATFORM, f"{guild}/{channel.parent_id}", str(channel.id))
        # A thread of ours that is not known is one whose run has ended, and needs no reading back.
        ear = self._ears[channel.id] = _Ear(where, message.id - 1, kept=not where.thread)
        return ear

    def _is_to_us(self, message: discord.Message) -> bool:
        return is_to(self._wire.me, message)

    # --- one channel ------------------------------------------------------------------------------------------------

    def _work(self, channel: int, ear: _Ear) -> None:
        if self._group is not None and ear.task is None:
            ear.task = self._group.create_task(self._listen(channel, ear), name=f"discord {channel}")

    async def _listen(self, channel: int, ear: _Ear) -> None:
        """Take what waits, in its order, until nothing does."""
        while ear.queue or ear.missed:
            if not ear.queue:
                ear.missed = False
                ear.queue.append(None)
            message = ear.queue.popleft()
            try:
                if message is None:
                    await self._read_back(channel, ear)
                else:
                    await self._hear(ear, message)
            except Exception:
                self.aside += 1
                log.exception("a message was set aside", channel=channel)
        ear.task = None
        if not ear.kept:
            self._ears.pop(channel, None)

    async def _hear(self, ear: _Ear, message: discord.Message) -> None:
        if message.id <= ear.last:
            return
        if message.author.bot or message.webhook_id is not None or message.type not in _SAID:
            pass
        elif ear.where.thread or self._is_to_us(message):
            try:
                await self._bring(ear, message)
            except Exception:
                self.aside += 1
                log.exception("a message was set aside", key=key_of(message))
        await self._heard(ear, message.channel.id, message.id)

    async def _heard(self, ear: _Ear, channel: int, last: int) -> None:
        """Note how far this channel was heard."""
        ear.last = last
        if not ear.kept:
            return
        try:
            await self._notes.put({f"live/{channel}": f"{ear.where.chat} {last}"})
        except Broken as why:  # it is read back once more then, and known by its key
            log.warning("not noted how far a channel was heard", channel=channel, why=str(why))

    async def _bring(self, ear: _Ear, message: discord.Message) -> None:
        """Until it is taken, or refused."""
        attached = Attached(
            attachments_of(message), key=key_of(message), session=self._wire.files, artifacts=self._artifacts
        )
        for tries, pause in enumerate(chain(PAUSES, repeat(PAUSES[-1])), 1):
            try:
                inbound = await self._inbound(ear, message, attached, patient=tries < FILE_TRIES)
                if not inbound.text and not inbound.files and self._may(inbound.person, ear.where):
                    raise Refused(NOTHING_SAID)  # noqa: TRY301
                assert self._receive is not None
                await self._receive(inbound)
            except Refused as why:
                self._quiet.refused(message, str(why), aloud=not ear.where.thread)
            except Gone as why:
                log.info("a message went before it was heard", why=str(why))
            except Trouble as why:
                log.warning("a message was not taken", again_in=pause, why=str(why))
                if tries == TOLD_AT:
                    self._quiet.late(message, str(why))
                await asyncio.sleep(pause)
                continue
            return

    async def _inbound(self, ear: _Ear, message: discord.Message, attached: Attached, *, patient: bool) -> Inbound:
        person = await self._people.of(message.author, int(ear.where.chat.partition("/")[0]))
        if self._may(person, ear.where):
            await attached.come(patient=patient)
        return Inbound(
            key=key_of(message),
            where=ear.where,
            person=person,
            text="\n\n".join(filter(None, (text_of(self._wire.me, message), *attached.words))),
            files=tuple(attached.files),
            quoted=bool(message.message_snapshots),
            message=MessageId(str(message.id)),
        )

    # --- reading back -----------------------------------------------------------------------------------------------

    async def _read_back(self, channel: int, ear: _Ear) -> None:
        """Hear what was said since the last message that was heard, oldest first."""
        pages = 0
        for pause in chain(PAUSES, repeat(PAUSES[-1])):
            try:
                while found := await self._page(channel, ear):
                    for id_, message in found:
                        if message is None:
                            await self._heard(ear, channel, id_)
                        else:
                            await self._hear(ear, message)
                    pages += 1
                    if len(found) < PAGE or (not ear.where.thread and pages >= MOST_PAGES_ELSEWHERE):
                        break
            except (Gone, Refused) as why:
                log.info("a channel is not read back any more", channel=channel, why=str(why))
                ear.kept = False
                await self._notes.put({f"live/{channel}": None})
            except Trouble as why:
                patience = max(pause, why.seconds + 1) if isinstance(why, Busy) else pause
                log.warning("a channel could not be read back", channel=channel, again_in=patience, why=str(why))
                await asyncio.sleep(patience)
                continue
            return

    async def _page(self, channel: int, ear: _Ear) -> list[tuple[int, discord.Message | None]]:
        """What comes next, oldest first: ids and messages, nothing in the place of one that cannot be read."""
        guild = int(ear.where.chat.partition("/")[0])

        async def read(client: discord.Client) -> list[tuple[int, discord.Message | None]]:
            place = client.get_partial_messageable(channel, guild_id=guild)
            past = await client.http.logs_from(channel, PAGE, after=ear.last)
            return sorted(((int(one["id"]), self._made(client, place, one)) for one in past), key=lambda one: one[0])

        async with self._reading:
            await asyncio.sleep(READ_EVERY)
            return await self._wire.ask(read)

    def _made(
        self, client: discord.Client, place: discord.PartialMessageable, raw: MessagePayload
    ) -> discord.Message | None:
        try:
            return client._connection.create_message(channel=place, data=raw)  # noqa: SLF001
        except Exception as error:  # noqa: BLE001 - whatever the library raises over one message
            self.aside += 1
            log.warning("a message of the past could not be read", channel=place.id, error=type(error).__name__)
            return None
