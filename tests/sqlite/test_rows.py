"""Rows that this version cannot read, and texts that SQLite cannot hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from adapters.sqlite import Database, open_store
from adapters.sqlite.rows import plain
from agent.wire import Other, Wrote
from orchestrator.events import Entry, Opened
from orchestrator.nouns import Agent, Conversation, Letter, Message, MessageId, RunId
from orchestrator.ports import Change

RUN = RunId("r-1")
ROOM = Conversation("web", "hall")
HALF = "\ud83d"


async def run_sql(db: Database, sql: str) -> None:
    await db.store._writer._db.execute(sql)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


async def test_an_unreadable_entry_is_kept_as_other_and_logged(path: Path) -> None:
    async with open_store(path) as db:
        await db.store.write(Change(entries=[Entry(RUN, str(n), 1.0, Wrote("x")) for n in range(4)]))
        await run_sql(db, "UPDATE journal SET body = '{\"text\": 5}' WHERE key = '1'")
        await run_sql(db, "UPDATE journal SET body = '{' WHERE key = '2'")
        await run_sql(db, "UPDATE journal SET kind = 'from_tomorrow' WHERE key = '3'")
        with capture_logs() as logs:
            events = [entry.event async for page in db.store.journal(RUN) for entry in page]
    assert events == [
        Wrote("x"),
        Other("wrote", '{"text": 5}'),
        Other("wrote", "{"),
        Other("from_tomorrow", '{"text":"x"}'),
    ]
    assert [one["key"] for one in logs] == ["1", "2"]


async def test_an_unreadable_letter_or_agent_hides_no_other(path: Path) -> None:
    async with open_store(path) as db:
        await db.store.write(Change(letters=[Letter(key, ROOM, Message("x")) for key in "abc"]))
        for name in "abc":
            await db.store.keep_agent(Agent(name, "claude"))
        await run_sql(db, "UPDATE outbox SET body = '{}' WHERE key = 'b'")
        await run_sql(db, "UPDATE agents SET body = 'nonsense' WHERE name = 'b'")
        with capture_logs() as logs:
            assert [one.letter.key for one in await db.store.unsent()] == ["a", "c"]
            assert [agent.name for agent in await db.store.agents()] == ["a", "c"]
            assert await db.store.sent("b") is None
    assert len(logs) == 3


async def test_half_a_character_is_no_reason_to_lose_anything(path: Path) -> None:
    where = Conversation("web", f"chat{HALF}")
    run, key = RunId(f"r{HALF}"), f"k{HALF}"
    letter = Letter(key, where, Message(f"text{HALF}"))
    agent = Agent(f"name{HALF}", "claude", about=HALF)
    async with open_store(path) as db:
        assert await db.store.write(
            Change(once=key, entries=[Entry(run, key, 1.0, Wrote(f"a{HALF}b")), Entry(run, "2", 1.0, Opened(where))],
                   letters=[letter])
        )  # fmt: skip
        assert not await db.store.write(Change(once=key))
        assert [e.event async for page in db.store.journal(run) for e in page] == [Wrote(f"a{HALF}b"), Opened(where)]
        assert await db.store.run_at(where) == plain(run)
        await db.store.delivered(key, MessageId(HALF))
        sent = await db.store.sent(key)
        assert sent is not None
        assert sent.letter == letter
        await db.store.given_up(key, HALF)
        await db.store.keep_agent(agent)
        assert await db.store.agents() == [agent]
        await db.store.drop_agent(agent.name)
        assert await db.store.agents() == []
        await db.notes("n").put({f"a{HALF}": HALF})
        assert list(await db.notes("n").scan(f"a{HALF}")) == [("a\\ud83d", "\\ud83d")]
        await db.notes("n").put({f"a{HALF}": None})
        assert list(await db.notes("n").scan()) == []
