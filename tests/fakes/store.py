"""The store in memory, for the core's tests; it passes the same suite as the real one.

Everything goes through the same texts as on a disk, so that what could not be stored cannot pass a test here either.
Set `fails` to a sentence and every change raises `Broken` with it, until it is empty again.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TypeVar

from agent.wire import FilePiece, pack, unpack
from orchestrator.errors import Broken
from orchestrator.events import Ended, Entry, Launched, Opened, read, write
from orchestrator.nouns import Agent, Conversation, MessageId, RunId
from orchestrator.ports import Change, Sent

T = TypeVar("T")


class MemoryStore:
    """What was written, as it would be read back."""

    def __init__(self) -> None:
        self.fails = ""
        self.entries: list[Entry] = []
        self.outbox: dict[str, Sent] = {}
        self.known: set[str] = set()
        self._keys: set[tuple[RunId, str]] = set()
        self._given_up: set[str] = set()
        self._agents: dict[str, Agent] = {}

    async def write(self, change: Change) -> bool:
        self._may_fail()
        entries = [_stored(entry) for entry in change.entries]
        letters = [_through_json(letter) for letter in change.letters]
        if change.once in self.known:
            return False
        if change.once:
            self.known.add(change.once)
        for entry in entries:
            if (entry.run, entry.key) not in self._keys:
                self._keys.add((entry.run, entry.key))
                self.entries.append(entry)
        for letter in letters:
            self.outbox.setdefault(letter.key, Sent(letter))
        return True

    async def journal(self, run: RunId) -> AsyncIterator[Sequence[Entry]]:
        entries = [entry for entry in self.entries if entry.run == run]
        for start in range(0, len(entries), 300):
            yield entries[start : start + 300]

    async def live(self) -> Sequence[RunId]:
        launched = dict.fromkeys(entry.run for entry in self.entries if isinstance(entry.event, Launched))
        ended = {entry.run for entry in self.entries if isinstance(entry.event, Ended)}
        return [run for run in launched if run not in ended]

    async def recent(self, limit: int) -> Sequence[tuple[Entry, Entry]]:
        firsts: dict[RunId, Entry] = {}
        lasts: dict[RunId, Entry] = {}
        for entry in self.entries:
            if isinstance(entry.event, Launched):
                firsts.setdefault(entry.run, entry)
            elif isinstance(entry.event, Ended):
                lasts.pop(entry.run, None)
                lasts[entry.run] = entry
        pairs = [(firsts[run], last) for run, last in lasts.items() if run in firsts]
        return pairs[::-1][: max(0, limit)]

    async def run_at(self, where: Conversation) -> RunId | None:
        opened = (e.run for e in reversed(self.entries) if isinstance(e.event, Opened) and e.event.where == where)
        return next(opened, None)

    async def unsent(self) -> Sequence[Sent]:
        return [one for key, one in self.outbox.items() if one.message_id is None and key not in self._given_up]

    async def sent(self, key: str) -> Sent | None:
        return self.outbox.get(key)

    async def trying(self, key: str) -> None:
        self._may_fail()
        if one := self.outbox.get(key):
            self.outbox[key] = replace(one, tries=one.tries + 1)

    async def delivered(self, key: str, message_id: MessageId) -> None:
        self._may_fail()
        if one := self.outbox.get(key):
            self.outbox[key] = replace(one, message_id=message_id)

    async def given_up(self, key: str, why: str) -> None:
        self._may_fail()
        if one := self.outbox.get(key):
            self._given_up.add(key)
            self.outbox[key] = replace(one, lost=why)

    async def agents(self) -> Sequence[Agent]:
        return [self._agents[name] for name in sorted(self._agents)]

    async def keep_agent(self, agent: Agent) -> None:
        self._may_fail()
        self._agents[agent.name] = _through_json(agent)

    async def drop_agent(self, name: str) -> None:
        self._may_fail()
        self._agents.pop(name, None)

    def _may_fail(self) -> None:
        if self.fails:
            raise Broken(self.fails)


def _stored(entry: Entry) -> Entry:
    """The entry as it would be read back; the content of a file is not the journal's."""
    event = replace(entry.event, data="") if isinstance(entry.event, FilePiece) else entry.event
    return replace(entry, event=read(*write(event)))


def _through_json(thing: T) -> T:
    return unpack(type(thing), json.loads(json.dumps(pack(thing))))
