"""Where one talks: chats, topics, and reply chains where there are no topics; opened, remembered and found again.

A chain is a message that says what it is about, and the replies to it, to those, and so on. Telegram has no word for
it, so that every message of a chain is noted here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog

from adapters.telegram.keyed import Locks, Newest
from adapters.telegram.line import Line
from adapters.telegram.reading import PLATFORM, Born
from adapters.telegram.sent import every, named, one
from orchestrator.errors import Broken, Gone, Refused
from orchestrator.nouns import Conversation, Message, MessageId
from orchestrator.ports import Notes
from orchestrator.words import clean

log = structlog.get_logger()

MOST_NAME = 128
CHAINED = "r"
ASKED = "?"
"""What is noted as a topic's id while nobody has been told it."""

KEPT = 60 * 86400.0
"""Seconds after which a message of a chain is forgotten, and the place that a key has become."""

FORUM_AGAIN = 600.0
"""Seconds after which a chat that had no topics is asked once more whether it has."""


class Post(Protocol):
    """How the first message of a chain is sent."""

    def __call__(self, where: Conversation, message: Message, *, key: str) -> Awaitable[MessageId]:
        """It stands, once for each key."""
        ...


def chat_id(where: Conversation) -> int:
    """The platform's number of a chat. Raises `Gone` for what cannot be one."""
    try:
        return int(where.chat)
    except ValueError:
        raise Gone(f"{where.chat} is no chat of Telegram's.") from None


def topic_id(where: Conversation) -> int | None:
    """The topic, if this is one."""
    return int(where.thread) if where.thread.isdecimal() else None


def root_id(where: Conversation) -> int | None:
    """The message that a chain hangs on, if this is a chain."""
    root = where.thread.removeprefix(CHAINED)
    return int(root) if root != where.thread and root.isdecimal() else None


def link(where: Conversation) -> str | None:
    """The address of a place in a supergroup; other places have none."""
    if where.platform != PLATFORM or not where.chat.startswith("-100"):
        return None
    inside = topic_id(where) or root_id(where)
    return f"https://t.me/c/{where.chat.removeprefix('-100')}/{inside}" if inside else None


class Chains:
    """Which chain a message belongs to."""

    def __init__(self, notes: Notes, *, now: Callable[[], float] = time.time) -> None:
        self._notes = notes
        self._now = now
        self._roots: Newest[str, int] = Newest(10_000)

    def link(self, where: Conversation, *messages: int) -> Mapping[str, str]:
        """These belong to this conversation; what is to be noted, if it is a chain."""
        root = root_id(where)
        if root is None:
            return {}
        names = [_member(chat_id(where), message) for message in messages]
        for name in names:
            self._roots.put(name, root)
        return dict.fromkeys(names, json.dumps([root, self._now()]))

    async def thread(self, chat: int, message: int) -> str:
        """The thread of a chain's message; empty for any other."""
        name = _member(chat, message)
        root = self._roots.get(name)
        if root is None and (text := await one(self._notes, name)):
            root, _ = _noted(text)
            self._roots.put(name, root)
        return f"{CHAINED}{root}" if root else ""

    async def prune(self) -> None:
        """Forget what is too old to be replied to."""
        old: dict[str, str | None] = {}
        async for name, text in every(self._notes, "of/"):
            if _noted(text)[1] < self._now() - KEPT:
                old[name] = None
        if old:
            await self._notes.put(old)


class Places:
    """Opens topics where it may, and chains elsewhere; the same key is the same place."""

    def __init__(
        self,
        line: Line,
        notes: Notes,
        chains: Chains,
        *,
        private_topics: Callable[[], Awaitable[bool]],
        post: Post,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._line = line
        self._notes = notes
        self._chains = chains
        self._private_topics = private_topics
        self._post = post
        self._now = now
        self._locks = Locks()
        self._no_forum: Newest[int, float] = Newest(1_000)
        self._born: Newest[tuple[int, str], int] = Newest(100)
        self._claimed: Newest[tuple[int, int], bool] = Newest(1_000)

    def born(self, seen: Born) -> None:
        """A topic of ours appeared; when nobody was answered that, it may be one that is still being asked for."""
        if (seen.chat, seen.topic) not in self._claimed:
            self._born.put((seen.chat, seen.name), seen.topic)

    async def open(self, origin: Conversation, title: str, *, key: str) -> Conversation:
        """A topic next to `origin`, or a chain."""
        name = named("topic", key)
        async with self._locks.hold(name):
            known, _ = _opened(await one(self._notes, name) or "")
            if known and known != ASKED:
                return Conversation(PLATFORM, origin.chat, known)
            chat = chat_id(origin)
            thread = await self._topic(chat, title, name, lost=known == ASKED)
            if not thread:
                thread = await self._chain(origin.outside, title, key=key)
            where = Conversation(PLATFORM, origin.chat, thread)
            root = root_id(where)
            await self._notes.put({name: self._dated(thread), **(self._chains.link(where, root) if root else {})})
            return where

    async def prune(self) -> None:
        """Forget which place a key has become, when nobody can ask for it any more."""
        async for name, text in every(self._notes, "topic/"):
            thread, at = _opened(text)
            if at < self._now() - KEPT:
                async with self._locks.hold(name):
                    if await one(self._notes, name) == text:  # one without a date begins to age now
                        await self._notes.put({name: None if at else self._dated(thread)})

    def _dated(self, thread: str) -> str:
        return f"{thread} {self._now():.0f}"

    async def _topic(self, chat: int, title: str, name: str, *, lost: bool) -> str:
        """The id of a new topic; empty where none can be made. `lost`: an earlier attempt may have made one."""
        words = " ".join(clean(title).split())[:MOST_NAME] or "…"
        if lost and (found := self._born.pop((chat, words))):
            self._claimed.put((chat, found), value=True)
            return str(found)
        if not await self._may(chat):
            return ""
        await self._notes.put({name: self._dated(ASKED)})
        try:
            async with self._line.told(chat=chat) as bot:
                topic = await bot.create_forum_topic(chat, words)
        except Refused as why:
            log.info("no topic here", chat=chat, why=str(why))
            self._no_forum.put(chat, self._now())
            return ""
        except Broken as error:
            if not error.unsure:
                await self._notes.put({name: None})
            raise
        self._claimed.put((chat, topic.message_thread_id), value=True)
        if self._born.get((chat, words)) == topic.message_thread_id:
            self._born.pop((chat, words))
        return str(topic.message_thread_id)

    async def _may(self, chat: int) -> bool:
        if chat > 0:
            return await self._private_topics()
        asked = self._no_forum.get(chat)
        return asked is None or asked < self._now() - FORUM_AGAIN

    async def _chain(self, outside: Conversation, title: str, *, key: str) -> str:
        root = await self._post(outside, Message(status=title), key=f"{key}/root")
        return f"{CHAINED}{root}"


def _noted(text: str) -> tuple[int, float]:
    """A message's root and when it was noted; nothing, and long ago, where the note says neither."""
    try:
        root, at = json.loads(text)
        return int(root), float(at)
    except (ValueError, TypeError):
        return 0, 0.0


def _opened(text: str) -> tuple[str, float]:
    """The thread that was noted, and when; 0 where the note does not say when."""
    thread, _, at = text.partition(" ")
    return thread, float(at) if at.isdecimal() else 0.0


def _member(chat: int, message: int) -> str:
    return f"of/{chat}/{message}"
