"""The messages of the page: kept in the drawer, the newest looks in memory, each change under a growing revision.

It knows no HTTP and no HTML. A look that still moves (a running clock, a board) is written at most once a second; every
other look, and every new message, is durable before the call returns.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import structlog

from adapters.web.drawer import Drawer
from agent.wire import Malformed, pack, unpack
from orchestrator.errors import Gone, Trouble
from orchestrator.nouns import Message

log = structlog.get_logger(__name__)

SAVE_EVERY = 1.0
"""Seconds that a moving look may stand in memory alone. The core draws it again after a crash."""

_MEMORY = 16 << 20
_MANY = 4000

Author = Literal["you", "agent", "system"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A message as it is written down. `key` is the page's own name for what a person sent.

    `taken` is false until the core has stored a person's words; `fault` says why it would not. `opens` is the thread
    that this message announces.
    """

    author: str
    at: float
    message: Message
    key: str = ""
    taken: bool = True
    fault: str = ""
    opens: str = ""
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Post:
    """One look of one message. A later look has the same `id` and a higher `rev`."""

    shelf: str
    id: str
    rev: int
    kept: Kept


Watch = Callable[[Post], None]


class Posts:
    """All messages. `boot` and a revision together name a moment in this process's life, for those who come back."""

    def __init__(self, drawer: Drawer) -> None:
        self.boot = secrets.token_hex(4)
        self.rev = 0
        self._drawer = drawer
        self._recent: OrderedDict[tuple[str, str], Post] = OrderedDict()
        self._weight = 0
        self._floor = 0  # changes up to this revision may have left the memory
        self._unsaved: dict[tuple[str, str], Post] = {}
        self._saving: asyncio.Event | None = None  # set when the present writing is over
        self._watchers: set[Watch] = set()

    async def add(self, shelf: str, kept: Kept, *, key: str) -> Post:
        """A new message, durable; the same key again is the message that is there."""
        id_, new = await self._drawer.add(shelf, _write(kept), key=key)
        if not new:
            return await self.get(shelf, id_)
        return self._show(shelf, id_, kept)

    async def find(self, shelf: str, *, key: str) -> Post | None:
        """The message that was added under this key."""
        id_ = await self._drawer.find(shelf, key=key)
        return await self.get(shelf, id_) if id_ else None

    async def get(self, shelf: str, id_: str) -> Post:
        """The newest look of a message. Raises `Gone`."""
        if (shelf, id_) in self._recent:
            return self._recent[shelf, id_]
        if (shelf, id_) in self._unsaved:
            return self._unsaved[shelf, id_]
        body = await self._drawer.get(shelf, id_)
        if body is None:
            raise Gone("This message does not exist.")
        # whoever changed it while the drawer was read knows better than the drawer
        return self._recent.get((shelf, id_)) or Post(shelf, id_, 0, _read(body))

    async def change(self, shelf: str, id_: str, message: Message) -> None:
        """The message looks like this now. Raises `Gone`."""
        post = await self.get(shelf, id_)
        if post.kept.message != message:
            self._unsaved[shelf, id_] = self._show(shelf, id_, replace(post.kept, message=message))
        if not _moves(message):
            look = self._unsaved.get((shelf, id_))
            while look is not None and self._unsaved.get((shelf, id_)) is look:  # until written, or a newer one came
                await self._save(moving=False)

    async def settle(self, post: Post, *, fault: str = "") -> None:
        """What a person sent has been stored by the core, or refused by it."""
        post = await self.get(post.shelf, post.id)
        kept = replace(post.kept, taken=True, fault=fault)
        if kept != post.kept:
            self._unsaved[post.shelf, post.id] = self._show(post.shelf, post.id, kept)

    async def newest(self, shelf: str, limit: int, *, before: str = "") -> list[Post]:
        """The last messages of a conversation, or the last ones before an id; oldest first."""
        found = await self._drawer.newest(shelf, limit, before=before)
        return [
            self._recent.get((shelf, id_)) or self._unsaved.get((shelf, id_)) or Post(shelf, id_, 0, _read(body))
            for id_, body in found
        ]

    def since(self, shelf: str, rev: int) -> list[Post] | None:
        """What changed in a conversation after a revision, in that order; None when the memory does not reach back."""
        if rev < self._floor or rev > self.rev:
            return None
        return [post for post in self._recent.values() if post.shelf == shelf and post.rev > rev]

    def watch(self, watch: Watch) -> None:
        """Call `watch` with every new look, until `unwatch`."""
        self._watchers.add(watch)

    def unwatch(self, watch: Watch) -> None:
        """Do not call it any more."""
        self._watchers.discard(watch)

    async def save(self) -> None:
        """Write the looks that stand in memory alone. Raises what `Notes` raises; they then stay unsaved."""
        while self._saving:
            await self._saving.wait()
        await self._save(moving=True)

    async def _save(self, *, moving: bool) -> None:
        """Write looks, or wait for the writing that is under way, in which the caller's may be missing.

        One writing at a time, else an older look could overtake a newer one. All who waited for it go on together: a
        lock would let them through one by one, a turn of the loop each, and hundreds of them stand in line for seconds.
        """
        if self._saving:
            await self._saving.wait()
            return
        self._saving = asyncio.Event()
        try:
            looks = {place: post for place, post in self._unsaved.items() if moving or not _moves(post.kept.message)}
            if looks:
                await self._drawer.replace({place: _write(post.kept) for place, post in looks.items()})
            for place, post in looks.items():
                if self._unsaved.get(place) is post:
                    del self._unsaved[place]
        finally:
            self._saving.set()
            self._saving = None

    async def keep_saving(self) -> None:
        """Write moving looks once a second until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(SAVE_EVERY)
                await self._try_to_save()
        finally:
            await self._try_to_save()

    async def _try_to_save(self) -> None:
        try:
            async with asyncio.timeout(5):
                await self.save()
        except (Trouble, TimeoutError) as trouble:
            log.warning("looks not saved, trying again", unsaved=len(self._unsaved), error=str(trouble))

    def _show(self, shelf: str, id_: str, kept: Kept) -> Post:
        self.rev += 1
        post = Post(shelf, id_, self.rev, kept)
        old = self._recent.pop((shelf, id_), None)
        self._weight += _weight(post) - (_weight(old) if old else 0)
        self._recent[shelf, id_] = post
        while len(self._recent) > _MANY or (self._weight > _MEMORY and len(self._recent) > 1):
            _, gone = self._recent.popitem(last=False)
            self._weight -= _weight(gone)
            self._floor = gone.rev
        for watch in tuple(self._watchers):
            watch(post)
        return post


def _moves(message: Message) -> bool:
    """Whether this look will be followed by another one soon, which the core draws again after a crash."""
    return message.since > 0 or message.board


def _weight(post: Post) -> int:
    message = post.kept.message
    return 500 + len(message.text) + 80 * len(message.log) + 300 * len(message.rows)


def _write(kept: Kept) -> str:
    # a half character (a lone surrogate) is text to Python and to JSON, but no store can keep it as it is
    return json.dumps(pack(kept), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()


def _read(body: str) -> Kept:
    try:
        return unpack(Kept, json.loads(body))
    except (Malformed, ValueError) as error:
        log.warning("kept message not readable", error=str(error))
        return Kept(author="system", at=0.0, message=Message(text="(This message could not be read.)"))
