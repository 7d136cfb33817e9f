"""What was sent, written down: which messages a key became, and which ids a chat has reached. It sends nothing.

A record is put before its first message leaves and after every one, so that a life that ended in between can go on
where it stopped. The ids tell where to look for a message of which nobody knows whether it arrived.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Self

from orchestrator.errors import Gone
from orchestrator.nouns import MessageId
from orchestrator.ports import Notes

KEPT = 3 * 86400.0
"""Seconds after which nobody asks for a key again."""

MOST_KNOWN = 10_000
MOST_RECORDS = 2_000
_ACCOUNT = 0
_SUPERGROUPS = -1_000_000_000_000


@dataclass(frozen=True, slots=True)
class Ids:
    """The messages that make up one: its texts, and the files behind them."""

    texts: tuple[int, ...] = ()
    files: tuple[int, ...] = ()

    @classmethod
    def read(cls, message_id: MessageId) -> Self:
        """As `str` wrote it: `12,13+14`. Raises `Gone` for what no message here is called."""
        texts, _, files = message_id.partition("+")
        try:
            return cls(*(tuple(map(int, filter(None, part.split(",")))) for part in (texts, files)))
        except ValueError:
            raise Gone("No message of Telegram's has this name.") from None

    @property
    def all(self) -> tuple[int, ...]:
        """Every one of them, in order."""
        return self.texts + self.files

    def __str__(self) -> str:
        texts, files = (",".join(map(str, ids)) for ids in (self.texts, self.files))
        return f"{texts}+{files}" if files else texts


@dataclass(frozen=True, slots=True)
class Record:
    """How far a key has come. `whole`: all of it stands. `after`: the highest id before the next part left."""

    chat: int
    ids: Ids = Ids()
    whole: bool = False
    after: int = -1
    at: float = 0.0


class Records:
    """The records of the last days, and what is known of the ids of each chat."""

    def __init__(self, notes: Notes, *, now: Callable[[], float] = time.time) -> None:
        self._notes = notes
        self._now = now
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._known: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._high: dict[int, int] = {}
        self._loaded = False

    # --- ids --------------------------------------------------------------------------------------------------------

    def saw(self, chat: int, message: int) -> None:
        """A message with this id stands, or stood, in this chat."""
        space = _space(chat)
        self._high[space] = max(self._high.get(space, 0), message)
        self._known[space, message] = None
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    def high(self, chat: int) -> int:
        """The highest id that was seen where this chat's ids are counted."""
        return self._high.get(_space(chat), 0)

    def knows(self, chat: int, message: int) -> bool:
        """Whether it is known whose message this is."""
        return (_space(chat), message) in self._known

    # --- records ----------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Learn from the last days' records, and drop those that are older. Once is enough."""
        if not self._loaded:
            for record in await self.prune():
                for message in record.ids.all:
                    self.saw(record.chat, message)
            self._loaded = True

    async def prune(self) -> Sequence[Record]:
        """Drop the records that are too old to be asked for; returns the others."""
        kept: list[Record] = []
        old: dict[str, str | None] = {}
        async for name, text in every(self._notes, "sent/"):
            record = _parsed(text)
            if record is None or record.at < self._now() - KEPT:
                old[name] = None
            else:
                kept.append(record)
        if old:
            await self._notes.put(old)
        return kept

    async def get(self, key: str) -> Record | None:
        """How far this key has come."""
        name = named("sent", key)
        if name not in self._records and (text := await one(self._notes, name)) and (record := _parsed(text)):
            self._remember(name, record)
        return self._records.get(name)

    async def put(self, key: str, record: Record, *, more: Mapping[str, str] | None = None) -> None:
        """It has come so far; known here at once, even when the note cannot be written. `more` is written with it."""
        name = named("sent", key)
        self._remember(name, record)
        body = asdict(record) | {"ids": str(record.ids), "at": self._now()}
        await self._notes.put({name: json.dumps(body), **(more or {})})

    def _remember(self, name: str, record: Record) -> None:
        self._records[name] = record
        self._records.move_to_end(name)
        while len(self._records) > MOST_RECORDS:
            self._records.popitem(last=False)


def named(kind: str, key: str) -> str:
    """The name of a note about a key of any length."""
    return f"{kind}/{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"


async def one(notes: Notes, name: str) -> str | None:
    """The note of exactly this name."""
    found = await notes.scan(name, limit=1)
    return found[0][1] if found and found[0][0] == name else None


async def every(notes: Notes, prefix: str) -> AsyncIterator[tuple[str, str]]:
    """All notes that begin so, in order."""
    after = ""
    while found := await notes.scan(prefix, after=after):
        for name, text in found:
            yield name, text
        after = found[-1][0]


def _space(chat: int) -> int:
    """Where ids are counted: a supergroup by itself, everything else by the bot's whole account."""
    return chat if chat < _SUPERGROUPS else _ACCOUNT


def _parsed(text: str) -> Record | None:
    try:
        body = json.loads(text)
        ids = Ids.read(MessageId(body["ids"]))
        return Record(int(body["chat"]), ids, bool(body["whole"]), int(body["after"]), float(body["at"]))
    except (ValueError, KeyError, TypeError, Gone):
        return None
