"""Messages of ours: posted part by part, changed, taken away. What stands is written down, so that no key stands twice.

Before the first part leaves, the key and the time are noted; after each part its id. A part whose answer did not come
is covered by its nonce for some minutes, and after that looked for among what stands in the channel.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from typing import Any

import discord
import structlog

from adapters.discord.cards import is_card
from adapters.discord.errors import ARCHIVED, BAD_FORM, Declined
from adapters.discord.files import Upload, carried
from adapters.discord.locks import Locks
from adapters.discord.parts import Part, bare, changed, new, words_of
from adapters.discord.wire import Wire
from orchestrator.errors import Broken, Gone, Refused, Trouble
from orchestrator.nouns import Conversation, Message, MessageId
from orchestrator.ports import Artifacts, Notes

log = structlog.get_logger()

OLD = 50 * 60.0
"""Discord allows only few edits of messages that are older than an hour."""

KEPT = 2 * 86_400.0
"""Seconds for which what became of a key is kept."""

SKEW = 30.0
"""Seconds by which Discord's clock and ours may differ."""

MOST_UPLOADS = 3
UPLOADING = 300.0
"""Files that did not come through in so many tries and seconds are left out: what stands behind them waits."""

MOST_LOOKS = 4000
PAGE = 100
NOBODY = discord.AllowedMentions.none()


class Speaking:
    """What the bot says. One request at a time for a key; others do not wait for it."""

    def __init__(
        self, wire: Wire, notes: Notes, artifacts: Artifacts, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._wire = wire
        self._notes = notes
        self._artifacts = artifacts
        self._clock = clock
        self._locks = Locks()
        self._uploads: OrderedDict[str, tuple[float, int]] = OrderedDict()  # keys: when files first failed, how often
        self._looks: OrderedDict[int, str] = OrderedDict()  # the newest look of a message
        self._wholes: OrderedDict[int, MessageId] = OrderedDict()  # parts, and the message that they are of
        self._recalled = False  # what was said in former lives is looked through once
        self._cards: OrderedDict[int, bool] = OrderedDict()  # whether a message is a card, where that is known

    async def post(self, where: Conversation, message: Message, *, key: str, again: bool) -> MessageId:
        """See `orchestrator.ports.Chat.post`."""
        async with self._locks.of(key):
            channel = channel_of(where)
            note = f"sent/{sha256(key.encode()).hexdigest()}"
            began, ids = await self._noted(note)
            uploads, words = await carried(message.files, self._artifacts)
            parts = new(message, uploads, words)
            if not began:
                began = self._clock()
                await self._notes.put({note: _note(began, ids)})
            whole = list(parts)
            if self._is_hopeless(key):
                parts[len(ids) :] = bare(parts[len(ids) :])
            for at in range(len(ids), len(parts)):
                id_ = None
                if again:
                    after = ids[-1] if ids else _born(began - SKEW)
                    id_ = await self._found(channel, [*whole[at : at + 1], parts[at]], after=after)
                if id_ is None:
                    silent = at > 0 or not message.rings
                    id_ = await self._uploaded(channel, parts[at], key=key, nonce=_nonce(key, at), silent=silent)
                ids.append(id_)
                await self._notes.put({note: _note(began, ids)})
                self._seen(id_, parts[at])
            if message.board:
                await self._pin(channel, ids[0])
            self._joined(ids)
            self._uploads.pop(key, None)
            return MessageId(",".join(map(str, ids)))

    async def edit(self, where: Conversation, message_id: MessageId, message: Message) -> None:
        """See `orchestrator.ports.Chat.edit`."""
        channel, ids = channel_of(where), ids_of(message_id)
        uploads, _ = await carried(message.files, self._artifacts)
        as_card = is_card(message) or self._cards.get(ids[0], False)
        try:
            await self._change(channel, ids, changed(message, len(ids), uploads, as_card=as_card))
        except Declined as why:
            if why.code != BAD_FORM or as_card:
                raise
            # It was posted in a former life, as a card: that it stays.
            await self._change(channel, ids, changed(message, len(ids), uploads, as_card=True))

    async def remove(self, where: Conversation, message_id: MessageId) -> None:
        """See `orchestrator.ports.Chat.remove`."""
        channel = channel_of(where)
        for id_ in ids_of(message_id):
            with suppress(Gone):
                await self._awake(channel, partial(_removed, channel=channel, id_=id_), method="DELETE")
            self._looks.pop(id_, None)
            self._cards.pop(id_, None)

    async def whole(self, part: int) -> MessageId:
        """The message of which this is a part."""
        if not self._recalled and part not in self._wholes:
            after = ""
            while found := await self._notes.scan("sent/", after=after):
                after = found[-1][0]
                for _, text in found:
                    self._joined([int(id_) for id_ in text.partition(" ")[2].split(",") if id_])
            self._recalled = True
        return self._wholes.get(part, MessageId(str(part)))

    def stale(self, message_id: MessageId) -> bool:
        """See `orchestrator.ports.Chat.stale`."""
        return discord.utils.snowflake_time(ids_of(message_id)[0]).timestamp() < self._clock() - OLD

    async def forget(self) -> None:
        """Drop what became of keys that nobody will ask for any more."""
        after = ""
        while found := await self._notes.scan("sent/", after=after):
            after = found[-1][0]
            old = [name for name, text in found if float(text.partition(" ")[0]) < self._clock() - KEPT]
            if old:
                await self._notes.put(dict.fromkeys(old))

    # --- posting ----------------------------------------------------------------------------------------------------

    async def _noted(self, note: str) -> tuple[float, list[int]]:
        """When this key was first tried, 0 when it never was, and what stands of it."""
        for name, text in await self._notes.scan(note, limit=1):
            if name == note:
                began, _, ids = text.partition(" ")
                return float(began), [int(id_) for id_ in ids.split(",") if id_]
        return 0.0, []

    def _is_hopeless(self, key: str) -> bool:
        """Whether the files of this letter were tried often enough, and for long enough."""
        began, tries = self._uploads.get(key, (0.0, 0))
        return tries >= MOST_UPLOADS and self._clock() - began >= UPLOADING

    async def _uploaded(self, channel: int, part: Part, *, key: str, nonce: str, silent: bool) -> int:
        """Send it, and count how often its files did not come through."""
        try:
            return await self._send(channel, part, nonce=nonce, silent=silent)
        except Broken as why:
            if part.files and why.unsure:
                began, tries = self._uploads.get(key, (self._clock(), 0))
                self._uploads[key] = (began, tries + 1)
                if len(self._uploads) > MOST_LOOKS:
                    self._uploads.popitem(last=False)
            raise

    async def _send(self, channel: int, part: Part, *, nonce: str, silent: bool) -> int:
        async def send(client: discord.Client) -> discord.Message:
            place = client.get_partial_messageable(channel)
            if isinstance(part.view, discord.ui.LayoutView):
                return await place.send(view=part.view, nonce=nonce, allowed_mentions=NOBODY, silent=silent)
            files = [file.made() for file in part.files]
            options: dict[str, Any] = {"view": part.view} if part.view else {}
            options |= {"files": files} if files else {}
            return await place.send(
                part.text or None,
                nonce=nonce,
                allowed_mentions=NOBODY,
                silent=silent,
                suppress_embeds=True,
                **options,
            )

        return (await self._wire.speak("POST", channel, send, size=part.size)).id

    async def _found(self, channel: int, looks: Sequence[Part], *, after: int) -> int | None:
        """A message of ours with one of these looks that nobody knows of: the answer to an earlier attempt was lost."""
        claimed = await self._claimed()

        async def read(client: discord.Client) -> list[discord.Message]:
            past = client.get_partial_messageable(channel).history(
                limit=PAGE, after=discord.Object(id=after), oldest_first=True
            )
            return [message async for message in past]

        for message in await self._wire.ask(read):
            if message.author.id != self._wire.me or message.id in claimed:
                continue
            stands = words_of(message.content, [one.to_dict() for one in message.components])
            if any(stands == look.words and len(message.attachments) == len(look.files) for look in looks):
                return message.id
        return None

    async def _claimed(self) -> set[int]:
        claimed: set[int] = set()
        after = ""
        while found := await self._notes.scan("sent/", after=after):
            after = found[-1][0]
            for _, text in found:
                claimed.update(int(id_) for id_ in text.partition(" ")[2].split(",") if id_)
        return claimed

    async def _pin(self, channel: int, id_: int) -> None:
        """The newest dashboard is pinned; where the bot may not, it stands there all the same."""
        note = f"board/{channel}"
        before = [int(text) for name, text in await self._notes.scan(note, limit=1) if name == note]
        try:
            await self._wire.ask(lambda client: client.http.pin_message(channel, id_))
            await self._notes.put({note: str(id_)})
            for old in before:
                if old != id_:
                    await self._wire.ask(partial(_unpinned, channel=channel, id_=old))
        except Trouble as why:
            log.info("dashboard not pinned", channel=channel, why=str(why))

    # --- changing ---------------------------------------------------------------------------------------------------

    async def _change(self, channel: int, ids: Sequence[int], parts: Sequence[Part]) -> None:
        for id_, part in zip(ids, parts, strict=True):
            if self._looks.get(id_) != part.look:
                edited = partial(_edited, channel=channel, id_=id_, part=part)
                await self._awake(channel, edited, method="PATCH", size=part.size)
                self._seen(id_, part)

    async def _awake(
        self, channel: int, what: Callable[[discord.Client], Awaitable[None]], *, method: str, size: int = 0
    ) -> None:
        """Do this in a thread that may have been archived meanwhile."""
        try:
            await self._wire.speak(method, channel, what, size=size)
        except Declined as why:
            if why.code != ARCHIVED:
                raise
            await self._wire.ask(lambda client: client.http.edit_channel(channel, archived=False))
            await self._wire.speak(method, channel, what, size=size)

    def _joined(self, ids: Sequence[int]) -> None:
        """Remember what belongs together; what stands alone is its own name."""
        if len(ids) > 1:
            for id_ in ids:
                self._wholes[id_] = MessageId(",".join(map(str, ids)))
                if len(self._wholes) > MOST_LOOKS:
                    self._wholes.popitem(last=False)

    def _seen(self, id_: int, part: Part) -> None:
        self._looks[id_] = part.look
        self._cards[id_] = part.is_card
        for known in (self._looks, self._cards):
            if len(known) > MOST_LOOKS:
                known.popitem(last=False)


async def _removed(client: discord.Client, *, channel: int, id_: int) -> None:
    await client.http.delete_message(channel, id_)


async def _unpinned(client: discord.Client, *, channel: int, id_: int) -> None:
    await client.http.unpin_message(channel, id_)


async def _edited(client: discord.Client, *, channel: int, id_: int, part: Part) -> None:
    message = client.get_partial_messageable(channel).get_partial_message(id_)
    files: Sequence[Upload] = part.files
    attached = [file.made() for file in files] if files else discord.utils.MISSING
    await message.edit(
        content=None if part.is_card else part.text, view=part.view, attachments=attached, allowed_mentions=NOBODY
    )


def channel_of(where: Conversation) -> int:
    """The channel in which a conversation's messages stand."""
    text = where.thread or where.chat.rpartition("/")[2]
    if not text.isdecimal():
        raise Refused("This is no place on Discord.")
    return int(text)


def ids_of(message_id: MessageId) -> list[int]:
    """A message's parts."""
    parts = message_id.split(",")
    if not all(part.isdecimal() for part in parts):
        raise Gone("This is no message on Discord.")
    return [int(part) for part in parts]


def _born(moment: float) -> int:
    """An id that is older than every message since then."""
    return (int(moment * 1000) - discord.utils.DISCORD_EPOCH) << 22


def _nonce(key: str, at: int) -> str:
    return sha256(f"{key}\0{at}".encode()).hexdigest()[:24]


def _note(began: float, ids: Sequence[int]) -> str:
    return f"{began:.3f} {','.join(map(str, ids))}"
