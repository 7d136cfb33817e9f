"""What came in and is not done yet: kept in notes before the platform forgets it, and done in order, chat by chat.

Taps wait behind nothing. What cannot be stored in the core is brought again; what cannot be read or trips over a defect
is put aside and counted, so that it never stands in the way of the rest. What an update means is not known here.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import structlog

from adapters.telegram.reading import Born, Heard, Ignored, Nobody, Press, Reading
from adapters.telegram.sent import every
from orchestrator.errors import Broken, Busy, Trouble
from orchestrator.ports import Notes

log = structlog.get_logger()

MOST_STORED = 1_000
MOST_ASIDE = 200
ALBUM_SECONDS = 0.5
"""Files that were sent together come one by one; so long the next one is waited for."""

AGAIN_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)

Read = Callable[[Mapping[str, Any]], Reading]
"""What an update means; raises anything over one that cannot be read."""

Act = Callable[[Sequence[Reading]], Awaitable[None]]
"""Does what is to be done about it; several are the parts of one album. Raises `Broken` or `Busy` to be
asked again."""


@dataclass(frozen=True, slots=True)
class Item:
    """An update and the note that holds it."""

    note: str
    raw: str
    reading: Reading


class Inbox:
    """The updates of one life. `group` owns its tasks: one for each chat with something to do, one for each tap."""

    def __init__(self, notes: Notes, group: asyncio.TaskGroup, *, read: Read, act: Act) -> None:
        self._notes = notes
        self._group = group
        self._read = read
        self._act = act
        self._lines: dict[int, deque[Item]] = {}
        self._room = asyncio.Event()
        self._room.set()
        self._stored: set[str] = set()
        self._aside: deque[str] = deque()
        self.aside = 0

    async def resume(self) -> None:
        """Go on with what a former life left."""
        self._aside = deque([name async for name, _ in every(self._notes, "aside/")])
        self.aside = len(self._aside)
        async for name, text in every(self._notes, "in/"):
            try:
                reading = self._read(json.loads(text))
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the hearing
                await self._put_aside(name, text, error)
            else:
                self._queue(Item(name, text, reading))

    async def room(self) -> None:
        """Wait until more can be taken."""
        await self._room.wait()

    @property
    def full(self) -> bool:
        """Whether no more can be taken now."""
        return not self._room.is_set()

    async def keep(self, updates: Sequence[Any]) -> None:
        """They are stored when this returns, all of them; raises `Broken` when none is."""
        items: list[Item] = []
        notes: dict[str, str | None] = {}
        unread: list[tuple[str, Exception]] = []
        for update in updates:
            number, raw = update_id(update), json.dumps(update)
            try:
                reading = self._read(update)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the hearing
                notes[f"aside/{number:020}"] = raw
                unread.append((f"aside/{number:020}", error))
                continue
            if isinstance(reading, Ignored):
                log.info("update passed over", update=number, why=reading.why)
            else:
                notes[f"in/{number:020}"] = raw
                items.append(Item(f"in/{number:020}", raw, reading))
        if notes:
            await self._notes.put(notes)
        for name, why in unread:
            self._count(name, why)
        for item in items:
            self._queue(item)
        await self._bound()

    def _queue(self, item: Item) -> None:
        if item.note in self._stored:
            return
        self._stored.add(item.note)
        if len(self._stored) >= MOST_STORED:
            self._room.clear()
        match item.reading:
            case Press():
                self._group.create_task(self._finish([item]))
            case Heard(chat=chat) | Nobody(chat=chat) | Born(chat=chat):
                line = self._lines.get(chat)
                if line is None:
                    line = self._lines[chat] = deque()
                    self._group.create_task(self._work(chat, line))
                line.append(item)
            case Ignored():
                self._group.create_task(self._finish([item]))

    async def _work(self, chat: int, line: deque[Item]) -> None:
        """One after the other, for as long as there are any."""
        while line:
            items = [line.popleft()]
            first = items[0].reading
            if isinstance(first, Heard) and first.album:
                await asyncio.sleep(ALBUM_SECONDS)
                while line and _together(first, line[0].reading):
                    items.append(line.popleft())
            await self._finish(items)
        del self._lines[chat]  # nothing is awaited since the line was empty: whoever comes next opens it anew

    async def _finish(self, items: Sequence[Item]) -> None:
        """Do it, however often it takes, and forget it."""
        for pause in chain(AGAIN_SECONDS, repeat(AGAIN_SECONDS[-1])):
            try:
                if not isinstance(items[0].reading, Ignored):
                    await self._act([item.reading for item in items])
                await self._forget(items)
            except (Broken, Busy) as error:
                log.warning("not done, brought again", note=items[0].note, again_in=pause, why=str(error))
                await asyncio.sleep(pause)
            except Exception as error:  # noqa: BLE001 - a defect must not end the hearing
                for item in items:
                    await self._drop(item, error)
                break
            else:
                break
        self._stored.difference_update(item.note for item in items)
        if len(self._stored) < MOST_STORED:
            self._room.set()

    async def _forget(self, items: Sequence[Item]) -> None:
        await self._notes.put(dict.fromkeys((item.note for item in items), None))

    # --- aside ------------------------------------------------------------------------------------------------------

    async def _drop(self, item: Item, error: Exception) -> None:
        try:
            await self._put_aside(item.note, item.raw, error)
        except Trouble as why:
            log.error("not put aside: it is tried again after a restart", note=item.note, why=str(why))

    async def _put_aside(self, note: str, raw: str, error: Exception) -> None:
        name = f"aside/{note.rpartition('/')[2]}"
        await self._notes.put({note: None, name: raw})
        self._count(name, error)
        await self._bound()

    def _count(self, name: str, error: Exception) -> None:
        """Its kind and where it happened are told; its words may be a person's."""
        place = error.__traceback__
        while place and place.tb_next:
            place = place.tb_next
        at = f"{place.tb_frame.f_code.co_name}:{place.tb_lineno}" if place else ""
        log.error("update put aside", note=name, error=type(error).__name__, at=at)
        if name not in self._aside:
            self._aside.append(name)
            self.aside += 1

    async def _bound(self) -> None:
        old: dict[str, str | None] = {}
        while len(self._aside) > MOST_ASIDE:
            old[self._aside.popleft()] = None
        if old:
            await self._notes.put(old)


def update_id(update: Any) -> int:
    """Its number; 0 for what has none, which cannot be confirmed either."""
    number = update.get("update_id") if isinstance(update, Mapping) else None
    return number if isinstance(number, int) and number >= 0 else 0


def _together(first: Heard, other: Reading) -> bool:
    return isinstance(other, Heard) and other.album == first.album and other.person == first.person
