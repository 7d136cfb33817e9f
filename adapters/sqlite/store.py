"""The port Store over two connections: the writer's, and one that only reads and never waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import aiosqlite

from adapters.sqlite.rows import (
    Row,
    agent_of_row,
    body_of,
    entry_of_row,
    place,
    plain,
    readable,
    row_of_entry,
    sent_of_row,
)  # fmt: skip
from adapters.sqlite.troubles import rows
from adapters.sqlite.writer import Step, Writer
from orchestrator.events import Entry
from orchestrator.nouns import Agent, Conversation, MessageId, RunId
from orchestrator.ports import Change, Sent

PAGE = 300
"""Entries that are read at once."""

REMEMBER = "INSERT INTO inbox (key, at) VALUES (?, ?) ON CONFLICT (key) DO NOTHING"
APPEND = (
    "INSERT INTO journal (run, key, at, kind, body, place) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (run, key) DO NOTHING"
)
POST = "INSERT INTO outbox (key, run, edits, body, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"
TRY = "UPDATE outbox SET tries = tries + 1, at = ? WHERE key = ?"
DELIVER = "UPDATE outbox SET message_id = ?, at = ? WHERE key = ?"
GIVE_UP = "UPDATE outbox SET lost = ?, at = ? WHERE key = ?"
KEEP_AGENT = "INSERT INTO agents (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body"
DROP_AGENT = "DELETE FROM agents WHERE name = ?"

JOURNAL = "SELECT seq, run, key, at, kind, body FROM journal WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?"
LIVE = """
SELECT run FROM journal AS launched WHERE kind = 'launched' AND NOT EXISTS (
    SELECT 1 FROM journal AS ended WHERE ended.run = launched.run AND ended.kind = 'ended'
) AND seq = (
    SELECT min(seq) FROM journal AS first WHERE first.run = launched.run AND first.kind = 'launched'
) ORDER BY seq"""
RECENT = """
SELECT launched.run, launched.key, launched.at, launched.kind, launched.body,
       ended.run, ended.key, ended.at, ended.kind, ended.body
FROM journal AS ended CROSS JOIN journal AS launched
WHERE ended.kind = 'ended' AND launched.seq = (
    SELECT min(seq) FROM journal AS first WHERE first.run = ended.run AND first.kind = 'launched'
) AND NOT EXISTS (
    SELECT 1 FROM journal AS later WHERE later.run = ended.run AND later.kind = 'ended' AND later.seq > ended.seq
) ORDER BY ended.seq DESC LIMIT ?"""
RUN_AT = "SELECT run FROM journal WHERE place = ? ORDER BY seq DESC LIMIT 1"
UNSENT = "SELECT body, message_id, tries, lost FROM outbox WHERE message_id IS NULL AND lost IS NULL ORDER BY seq"
SENT = "SELECT body, message_id, tries, lost FROM outbox WHERE key = ?"
AGENTS = "SELECT body FROM agents ORDER BY name"


class SqliteStore:
    """The journal, the outbox and the agents as tables."""

    def __init__(self, writer: Writer, reader: aiosqlite.Connection, *, path: Path, now: Callable[[], float]) -> None:
        self._writer = writer
        self._reader = reader
        self._path = path
        self._now = now

    async def write(self, change: Change) -> bool:
        """All of it in one transaction, in which whatever else waits may be too."""
        now = self._now()
        steps = [
            Step("journal", APPEND, [row_of_entry(entry) for entry in change.entries]),
            Step(
                "outbox",
                POST,
                [
                    (plain(letter.key), plain(letter.run), plain(letter.edits), body_of(letter), now)
                    for letter in change.letters
                ],
            ),
        ]
        guard = Step("inbox", REMEMBER, [(plain(change.once), now)]) if change.once else None
        return await self._writer.do(*(step for step in steps if step.rows), guard=guard)

    async def journal(self, run: RunId) -> AsyncIterator[Sequence[Entry]]:
        """Page by page, each a short read of its own: a slow caller holds nothing up."""
        seen = 0
        while page := await self._rows(JOURNAL, plain(run), seen, PAGE):
            yield [entry_of_row(row[1:]) for row in page]
            seen = page[-1][0]

    async def live(self) -> Sequence[RunId]:
        """From the index of beginnings and ends."""
        return [RunId(run) for (run,) in await self._rows(LIVE)]

    async def recent(self, limit: int) -> Sequence[tuple[Entry, Entry]]:
        """From the index of beginnings and ends."""
        pairs = await self._rows(RECENT, max(0, limit))
        return [(entry_of_row(row[:5]), entry_of_row(row[5:])) for row in pairs]

    async def run_at(self, where: Conversation) -> RunId | None:
        """From the index of places."""
        found = await self._rows(RUN_AT, place(where))
        return RunId(found[0][0]) if found else None

    async def unsent(self) -> Sequence[Sent]:
        """From the index of what is on its way; unreadable letters are logged and left out."""
        return readable(await self._rows(UNSENT), sent_of_row)

    async def sent(self, key: str) -> Sent | None:
        """By its key."""
        found = readable(await self._rows(SENT, plain(key)), sent_of_row)
        return found[0] if found else None

    async def trying(self, key: str) -> None:
        """A key that is not there is fine."""
        await self._change("outbox", TRY, self._now(), plain(key))

    async def delivered(self, key: str, message_id: MessageId) -> None:
        """A key that is not there is fine."""
        await self._change("outbox", DELIVER, plain(message_id), self._now(), plain(key))

    async def given_up(self, key: str, why: str) -> None:
        """A key that is not there is fine."""
        await self._change("outbox", GIVE_UP, plain(why), self._now(), plain(key))

    async def agents(self) -> Sequence[Agent]:
        """Unreadable ones are logged and left out."""
        return readable(await self._rows(AGENTS), agent_of_row)

    async def keep_agent(self, agent: Agent) -> None:
        """By its name."""
        await self._change("agents", KEEP_AGENT, plain(agent.name), body_of(agent))

    async def drop_agent(self, name: str) -> None:
        """By its name."""
        await self._change("agents", DROP_AGENT, plain(name))

    async def _change(self, table: str, sql: str, *row: object) -> None:
        await self._writer.do(Step(table, sql, [row]))

    async def _rows(self, sql: str, *values: object) -> list[Row]:
        return await rows(self._reader, sql, *values, path=self._path)
