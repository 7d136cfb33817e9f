"""An adapter's `Notes` as shelves of texts, each in the order in which it was put there, each under a key of its own.

It knows no message. `Notes` sorts by name and can only be read forwards, so names count down: the newest comes first,
and "the newest hundred" or "the hundred before this one" is one short read however long the shelf is.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from weakref import WeakValueDictionary

from orchestrator.ports import Notes

_TOP = 10**16
"""More microseconds than any clock will show for centuries; an id is such a number with sixteen digits."""


class Drawer:
    """Texts on shelves. Everything that is written is durable when the call returns."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._last = 0
        self._adding: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def add(self, shelf: str, body: str, *, key: str) -> tuple[str, bool]:
        """Put a text on the shelf and return its id, and whether it is new: the same key is the same place for ever.

        Two callers with one key wait for each other, else both would find nothing and both would write.
        """
        name = _key_name(shelf, key)
        lock = self._adding.setdefault(name, asyncio.Lock())
        async with lock:
            if (known := await self._get(name)) is not None:
                return known, False
            id_ = self._next()
            await self._notes.put({_name(shelf, id_): body, name: id_})
            return id_, True

    async def find(self, shelf: str, *, key: str) -> str | None:
        """The id that this key was given."""
        return await self._get(_key_name(shelf, key))

    async def get(self, shelf: str, id_: str) -> str | None:
        """The text with this id."""
        return await self._get(_name(shelf, id_)) if _is_id(id_) else None

    async def replace(self, bodies: Mapping[tuple[str, str], str]) -> None:
        """Other texts under ids that exist, all or none."""
        await self._notes.put({_name(shelf, id_): body for (shelf, id_), body in bodies.items()})

    async def newest(self, shelf: str, limit: int, *, before: str = "") -> list[tuple[str, str]]:
        """Ids and texts, oldest first: the last ones on the shelf, or the last ones before an id."""
        prefix = f"m/{shelf}/"
        after = _name(shelf, before) if _is_id(before) else ""
        found = await self._notes.scan(prefix, after=after, limit=limit)
        ids = [(f"{_TOP - int(name.removeprefix(prefix)):016}", body) for name, body in reversed(found)]
        self._last = max(self._last, int(ids[-1][0]) if ids else 0)  # a clock set back must not sort new below old
        return ids

    async def _get(self, name: str) -> str | None:
        found = await self._notes.scan(name, limit=1)
        return found[0][1] if found and found[0][0] == name else None

    def _next(self) -> str:
        self._last = max(self._last + 1, time.time_ns() // 1000)
        return f"{self._last:016}"


def short(key: str) -> str:
    """A key of any length as 32 hexadecimal digits."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _name(shelf: str, id_: str) -> str:
    return f"m/{shelf}/{_TOP - int(id_):016}"


def _key_name(shelf: str, key: str) -> str:
    return f"k/{shelf}/{short(key)}"


def _is_id(text: str) -> bool:
    return len(text) == 16 and text.isascii() and text.isdigit() and text.strip("0") != ""
