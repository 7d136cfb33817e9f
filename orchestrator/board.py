"""The dashboards: messages with every live run, kept up to date where they were asked for last.

A chat has at most one, and one more in its threads: each further one would take its share of what the chat bears from
the runs' pages. Where a dashboard stands is remembered in a drawer of its own. It knows runs only by their lines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from orchestrator.keys import last_look
from orchestrator.nouns import Conversation, Lane, Letter, Message, Row
from orchestrator.ports import Change, Notes, Store
from orchestrator.post import PostOffice
from orchestrator.run import short

PAST = 20
"""Ended runs that a dashboard shows below the live ones."""


class Boards:
    """All dashboards. `live` gives the live runs' lines as seen from a place, `past` those of runs that are over."""

    def __init__(
        self,
        *,
        store: Store,
        notes: Notes,
        office: PostOffice,
        live: Callable[[Conversation], Sequence[Row]],
        past: Sequence[Row] = (),
    ) -> None:
        self._store = store
        self._notes = notes
        self._office = office
        self._live = live
        self.past: list[Row] = list(past)
        self._boards: dict[Conversation, str] = {}
        self._always: frozenset[Conversation] = frozenset()
        self._putting = asyncio.Lock()

    async def recover(self, always: Sequence[Conversation]) -> None:
        """Take up the dashboards of before; in the conversations of `always` there is one in any case."""
        self._always = frozenset(always)
        begun: list[tuple[Conversation, str]] = []
        for note, text in await self._notes.scan("board/"):
            key, where = note.removeprefix("board/"), Conversation(*text.split("\n"))
            if await self._store.sent(last_look(key)):
                await self._notes.put({note: None})
            elif await self._store.sent(key):
                self._boards[where] = key
            else:
                begun.append((where, key))
        for where, key in begun:
            await self._put(where, key, once="")
        for where in always:
            if where not in self._boards:
                await self.post(where, once="")
        self.changed()

    async def post(self, where: Conversation, *, once: str) -> None:
        """A new dashboard here; the one that this chat, or its threads, had before is kept up to date no longer."""
        await self._put(where, f"board/{short(once or str(where), 16)}", once=once)

    async def _put(self, where: Conversation, key: str, *, once: str) -> None:
        """The note comes first: one whose letter is not there is a dashboard that `recover` brings to its end."""
        async with self._putting:  # of two at a time, both would end the one before, and none of them the other
            await self._notes.put({f"board/{key}": f"{where.platform}\n{where.chat}\n{where.thread}"})
            letters = [Letter(key, where, self._look(where, 0.0), Lane.FIRST)]
            before = {old: there for there, old in self._boards.items() if old != key and self._makes_way(there, where)}
            for old, there in before.items():
                words = "the dashboard has moved" + (" down" if there == where else "")
                letters.append(Letter(last_look(old), there, Message(status=words), Lane.FIRST, edits=old))
            if not await self._store.write(Change(once=once, letters=letters)) and not await self._stands(key):
                return
            for there in before.values():
                self._boards.pop(there)
            self._boards[where] = key
            self._office.take(letters)
            self.changed()
            await self._notes.put({f"board/{old}": None for old in before})

    def _makes_way(self, old: Conversation, new: Conversation) -> bool:
        """Whether the dashboard here ends when one is asked for there."""
        return old == new or (_slot(old) == _slot(new) and old not in self._always)

    async def _stands(self, key: str) -> bool:
        """Whether a dashboard was written when nobody knew, and has not ended."""
        return await self._store.sent(key) is not None and await self._store.sent(last_look(key)) is None

    def kept(self) -> list[str]:
        """The letters that are dashboards: they are edited for as long as they stand, however old they are."""
        return list(self._boards.values())

    def changed(self) -> None:
        """Some run is not what it was."""
        for where, key in self._boards.items():
            self._office.show(key, where, partial(self._look, where), lane=Lane.BOARD)

    def _look(self, where: Conversation, slowed: float) -> Message:
        live = list(self._live(where))
        words = f"{len(live)} live run{'' if len(live) == 1 else 's'}" if live else "no live run"
        if slowed:
            words += " · updates come slowly: the platform asked for patience"
        rows = (*live, *self.past[:PAST])
        return Message(status=words, rows=rows, board=True)


def _slot(where: Conversation) -> tuple[Conversation, bool]:
    """What has at most one dashboard: the chat itself, and all of its threads together."""
    return where.outside, bool(where.thread)
