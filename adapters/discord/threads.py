"""Places of runs: a thread beside the channel, or a post in a forum, and how a run stands, seen from outside of it.

In a text channel a thread is made without a first message: Discord itself then writes one line there that leads into
it, which on a phone is one tap and no second copy of what stands inside.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any, Literal, TypeVar

import discord
import structlog

from adapters.discord.errors import ARCHIVED, Declined
from adapters.discord.forums import DONE, FAILED, RUNNING, WAITING, Forums
from adapters.discord.locks import Locks
from adapters.discord.people import PLATFORM
from adapters.discord.speaking import NOBODY, SKEW, channel_of, ids_of
from adapters.discord.wire import Wire
from adapters.discord.words import clip, escaped
from orchestrator.errors import Gone, Refused, Trouble
from orchestrator.nouns import Conversation, Got, MessageId, Phase, Receipt, Sign, Standing, Typing, line
from orchestrator.ports import Notes
from orchestrator.words import clean

log = structlog.get_logger()

K = TypeVar("K")
V = TypeVar("V")

FINISH_EVERY = 60.0
FINISH_RARELY = 6 * 3600.0
"""Seconds between two looks for ends that could not be shown, and between two tries of one that never can be."""

IDLE_MINUTES: Literal[10080] = 10080
NAME = 100

POST: Literal[0] = 0
NEWS_THREAD: Literal[10] = 10
THREAD: Literal[11] = 11
MOST_REMEMBERED = 2000

_MARKS = {Got.SEEN: "👀", Got.HEARD: "✅", Got.REFUSED: "❌"}
_FULFILLED = ("completed", "stopped")


class Threads:
    """Opens them, marks them, closes them. `opened` and `closed` are told of every thread of ours."""

    def __init__(
        self,
        wire: Wire,
        notes: Notes,
        *,
        opened: Callable[[Conversation], None],
        closed: Callable[[Conversation], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._wire = wire
        self._notes = notes
        self._opened = opened
        self._closed = closed
        self._clock = clock
        self._locks = Locks()
        self._forums = Forums(wire, clock=clock)
        self._kinds: OrderedDict[int, Literal[0, 10, 11]] = (
            OrderedDict()
        )  # channels, and the kind of thread that they take
        self._tags: OrderedDict[int, str] = OrderedDict()  # threads, and the tag that they have
        self._due: dict[int, tuple[float, float]] = {}  # ends that are tried again: when, and the pause after that
        self._marks: OrderedDict[str, str] = OrderedDict()  # messages, and our reaction on them

    # --- opening ----------------------------------------------------------------------------------------------------

    async def open(self, origin: Conversation, title: str, *, key: str) -> Conversation:
        """See `orchestrator.ports.Chat.open`."""
        async with self._locks.of(key):
            note = f"thread/{sha256(key.encode()).hexdigest()}"
            began, thread = await self._noted(note)
            if thread:
                return Conversation(PLATFORM, origin.chat, str(thread))
            channel = channel_of(origin.outside)
            name = clip(line(clean(title)).strip(), NAME) or "run"
            if began:
                thread = await self._found(origin, channel, name, since=began - SKEW)
            else:
                began = self._clock()
                await self._notes.put({note: f"{began:.3f} "})
            thread = thread or await self._made(channel, name)
            # Every message in a thread is younger than the thread itself: what is read back begins there.
            await self._notes.put({note: f"{began:.3f} {thread}", f"live/{thread}": f"{origin.chat} {thread}"})
            where = Conversation(PLATFORM, origin.chat, str(thread))
            self._opened(where)
            return where

    async def forget(self, *, older: float) -> None:
        """Drop the notes of openings that nobody will ask for any more."""
        after = ""
        while found := await self._notes.scan("thread/", after=after):
            after = found[-1][0]
            old = [name for name, text in found if float(text.partition(" ")[0]) < self._clock() - older]
            if old:
                await self._notes.put(dict.fromkeys(old))

    async def _noted(self, note: str) -> tuple[float, int]:
        for name, text in await self._notes.scan(note, limit=1):
            if name == note:
                began, _, thread = text.partition(" ")
                return float(began), int(thread or 0)
        return 0.0, 0

    async def _found(self, origin: Conversation, channel: int, name: str, *, since: float) -> int:
        """A thread of ours with this name that nobody knows of: the answer to an earlier attempt was lost."""
        guild = int(origin.chat.partition("/")[0])
        known = {text.partition(" ")[2] for _, text in await self._notes.scan("thread/", limit=10_000)}

        async def look(client: discord.Client) -> int:
            active = await client.http.get_active_threads(guild)
            for thread in active["threads"]:
                ours = thread["owner_id"] == str(self._wire.me) and thread["parent_id"] == str(channel)
                born = discord.utils.snowflake_time(int(thread["id"])).timestamp()
                if ours and thread["name"] == name and born >= since and thread["id"] not in known:
                    return int(thread["id"])
            return 0

        return await self._wire.ask(look)

    async def _made(self, channel: int, name: str) -> int:
        kind = await self._kind(channel)
        if kind == POST:
            return await self._posted(channel, name)

        async def start(client: discord.Client) -> int:
            made = await client.http.start_thread_without_message(
                channel, name=name, auto_archive_duration=IDLE_MINUTES, type=kind
            )
            return int(made["id"])

        return await self._wire.ask(start)

    async def _kind(self, channel: int) -> Literal[0, 10, 11]:
        """What kind of thread this channel takes."""
        if channel not in self._kinds:
            found = await self._wire.ask(lambda client: client.fetch_channel(channel))
            if not isinstance(found, (discord.TextChannel, discord.ForumChannel)):
                raise Refused("No thread can be opened in this kind of channel.")
            is_news = isinstance(found, discord.TextChannel) and found.is_news()
            kind = POST if isinstance(found, discord.ForumChannel) else NEWS_THREAD if is_news else THREAD
            _keep(self._kinds, channel, kind)
        return self._kinds[channel]

    async def _posted(self, channel: int, name: str) -> int:
        """A post in a forum, which cannot be without a first message."""
        forum = await self._forums.read(channel)
        tag = await self._forums.first(forum)
        made = await self._wire.ask(
            lambda _: forum.create_thread(
                name=name,
                content=f"-# {escaped(name)}",
                auto_archive_duration=IDLE_MINUTES,
                applied_tags=[tag] if tag else [],
                allowed_mentions=NOBODY,
                suppress_embeds=True,
            )
        )
        return made.thread.id

    # --- signs ------------------------------------------------------------------------------------------------------

    async def sign(self, where: Conversation, sign: Sign) -> None:
        """See `orchestrator.ports.Chat.sign`."""
        channel = channel_of(where)
        match sign:
            case Typing():
                await self._wire.ask(lambda client: client.http.send_typing(channel))
            case Receipt(message, got):
                await self._mark(channel, message, _MARKS[got])
            case Standing(phase, reason):
                if where.thread:
                    await self._stand(where, channel, phase, reason)

    async def _mark(self, channel: int, message: MessageId, mark: str) -> None:
        """Our reaction on somebody's message; the one before goes. After a restart it was most likely the first."""
        id_ = ids_of(message)[0]
        before = self._marks.get(message, _MARKS[Got.SEEN])
        await self._wire.ask(lambda client: client.http.add_reaction(channel, id_, mark))
        _keep(self._marks, message, mark)
        if before != mark:
            with suppress(Gone):
                await self._wire.ask(lambda client: client.http.remove_own_reaction(channel, id_, before))

    async def _stand(self, where: Conversation, thread: int, phase: Phase, reason: str) -> None:
        tag = _tag_of(phase, reason)
        if phase is Phase.ENDED:
            await self._notes.put({f"end/{thread}": f"{where.chat} {tag}"})
            await self._end(where, thread, tag)
            return
        async with self._locks.of(f"stand/{thread}"):
            if await self._is_ending(thread):
                await self._notes.put({f"end/{thread}": None})
            await self._show(where, thread, tag, {})

    async def _end(self, where: Conversation, thread: int, tag: str) -> None:
        """Show that it has ended, if that is still to be done. The note of it goes when it is shown, or nowhere to."""
        async with self._locks.of(f"stand/{thread}"):
            if not await self._is_ending(thread):
                return
            gone: Gone | None = None
            try:
                await self._show(where, thread, tag, {"archived": True})
            except Gone as why:
                gone = why
            await self._notes.put({f"live/{thread}": None, f"end/{thread}": None})
            self._due.pop(thread, None)
            self._closed(where)
            if gone is not None:
                raise gone

    async def _is_ending(self, thread: int) -> bool:
        note = f"end/{thread}"
        return any(name == note for name, _ in await self._notes.scan(note, limit=1))

    async def _show(self, where: Conversation, thread: int, name: str, changes: dict[str, Any]) -> None:
        parent = channel_of(where.outside)
        if self._tags.get(thread) != name and await self._kind(parent) == POST:
            forum = await self._forums.read(parent)
            tag = await self._forums.tag(forum, name)
            if tag is not None:
                changes["applied_tags"] = await self._forums.applied(thread, forum, tag)
        if changes:
            try:
                await self._wire.ask(lambda client: client.http.edit_channel(thread, **changes))
            except Declined as why:
                if why.code != ARCHIVED:
                    raise
                await self._wire.ask(lambda client: client.http.edit_channel(thread, **{**changes, "archived": False}))
                if changes.get("archived"):
                    await self._wire.ask(lambda client: client.http.edit_channel(thread, archived=True))
        _keep(self._tags, thread, name)

    async def finish(self) -> None:
        """Show the ends again that could not be shown: each after a pause that grows, for as long as it takes."""
        now, after = self._clock(), ""
        while found := await self._notes.scan("end/", after=after):
            after = found[-1][0]
            for name, text in found:
                thread = int(name.removeprefix("end/"))
                due, pause = self._due.get(thread, (0.0, FINISH_EVERY))
                if now < due:
                    continue
                self._due[thread] = (now + pause, min(pause * 2, FINISH_RARELY))
                chat, _, tag = text.partition(" ")
                try:
                    await self._end(Conversation(PLATFORM, chat, str(thread)), thread, tag)
                except Trouble as why:
                    log.info("an end not shown", thread=thread, again_in=pause, why=str(why))


def _tag_of(phase: Phase, reason: str) -> str:
    match phase:
        case Phase.ASKING | Phase.IDLE:
            return WAITING
        case Phase.ENDED:
            return DONE if reason in _FULFILLED else FAILED
        case Phase.QUEUED | Phase.STARTING | Phase.WORKING | Phase.STOPPING:
            return RUNNING


def _keep(known: OrderedDict[K, V], key: K, value: V) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > MOST_REMEMBERED:
        known.popitem(last=False)
