"""The writer: groups, the one that fails among them, a full disk, a locked file, callers that go away."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from adapters.sqlite import Database, database, open_store, writer
from agent.wire import Wrote
from orchestrator.errors import Broken
from orchestrator.events import Entry
from orchestrator.nouns import Conversation, Letter, Message, MessageId, RunId
from orchestrator.ports import Change

RUN = RunId("r-1")
ROOM = Conversation("web", "hall")


def wrote(key: str, text: str = "x", *, at: float = 1.0) -> Change:
    return Change(entries=[Entry(RUN, key, at, Wrote(text))])


async def keys(db: Database, run: RunId = RUN) -> list[str]:
    return [entry.key async for page in db.store.journal(run) for entry in page]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def db(path: Path) -> AsyncIterator[Database]:
    async with open_store(path) as db:
        yield db


async def statements(db: Database) -> list[str]:
    """A list that grows with every statement that is run."""
    seen: list[str] = []
    await db.store._writer._db.set_trace_callback(seen.append)
    return seen


async def test_what_waits_is_committed_together(db: Database) -> None:
    seen = await statements(db)
    await asyncio.gather(*(db.store.write(wrote(str(n))) for n in range(100)))
    assert 1 <= seen.count("COMMIT") <= 2
    assert len([one for one in seen if one.startswith("INSERT")]) == 100
    assert await keys(db) == [str(n) for n in range(100)]


async def test_a_group_is_a_few_calls_into_the_drivers_thread(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, calls = db.store._writer._db, list[int]()
    executemany = raw.executemany

    async def counted(sql: str, rows: Sequence[tuple[object, ...]]) -> object:
        calls.append(len(rows))
        return await executemany(sql, rows)

    monkeypatch.setattr(raw, "executemany", counted)
    letters = [Letter(f"l-{n}", ROOM, Message("x")) for n in range(100)]
    work = [db.store.write(Change(entries=wrote(str(n)).entries, letters=[letters[n]])) for n in range(100)]
    await asyncio.gather(*work)
    assert sum(calls) == 200
    assert len(calls) <= 4


async def test_different_tables_in_one_group(db: Database) -> None:
    letters = [Letter(f"l-{n}", ROOM, Message("x")) for n in range(10)]
    work = [
        db.store.write(Change(once=f"web/{n}", entries=wrote(str(n)).entries, letters=[letters[n]])) for n in range(10)
    ]
    await asyncio.gather(
        *work,
        *(db.store.trying(f"l-{n}") for n in range(10)),
        *(db.store.delivered(f"l-{n}", MessageId(str(n))) for n in range(0, 10, 2)),
        db.notes("a").put({"x": "1"}),
        db.notes("a").put({"x": "2", "y": None}),
        db.notes("a").put({"x": None, "y": "3"}),
    )
    assert [(one.letter.key, one.tries) for one in await db.store.unsent()] == [(f"l-{n}", 1) for n in range(1, 10, 2)]
    assert list(await db.notes("a").scan()) == [("y", "3")]


async def test_one_bad_change_takes_nobody_with_it(db: Database) -> None:
    """A time that is no number cannot be stored; everybody else in its group can."""
    changes = [wrote(str(n), at=math.nan if n == 3 else 1.0) for n in range(8)]
    results = await asyncio.gather(*(db.store.write(change) for change in changes), return_exceptions=True)
    assert [type(result) for result in results] == [Broken if n == 3 else bool for n in range(8)]
    assert await keys(db) == ["0", "1", "2", "4", "5", "6", "7"]
    assert await db.store.write(wrote("3"))


async def test_after_a_bad_change_the_same_inbound_is_still_new(db: Database) -> None:
    bad = Change(once="web/1", entries=wrote("1", at=math.nan).entries)
    good = Change(once="web/1", entries=wrote("2").entries)
    first, second, third = await asyncio.gather(*(db.store.write(c) for c in (bad, good, good)), return_exceptions=True)
    assert isinstance(first, Broken)
    assert (second, third) == (True, False)
    assert await keys(db) == ["2"]


async def test_a_full_disk_ends_nothing(db: Database) -> None:
    """SQLite's own "full", raised at once for all who wait; small changes that still fit are stored."""
    raw = db.store._writer._db
    ((pages,),) = await raw.execute_fetchall("PRAGMA page_count")
    await raw.execute_fetchall(f"PRAGMA max_page_count = {pages + 5}")
    changes = [wrote("small"), *(wrote(str(n), "x" * 100_000) for n in range(4))]
    results = await asyncio.gather(*(db.store.write(change) for change in changes), return_exceptions=True)
    assert results[0] is True
    for result in results[1:]:
        assert isinstance(result, Broken)
        assert "The disk is full" in str(result)
        assert str(db.path) in str(result)
        assert not result.unsure
    assert await keys(db) == ["small"]

    await raw.execute_fetchall("PRAGMA max_page_count = 1000000")
    assert await asyncio.gather(*(db.store.write(change) for change in changes)) == [True] * 5
    assert await keys(db) == ["small", "0", "1", "2", "3"]


async def test_a_locked_file_is_told_to_all_who_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.05)
    async with open_store(path) as db:
        with closing(sqlite3.connect(path, isolation_level=None)) as theirs:
            theirs.execute("BEGIN IMMEDIATE")
            with capture_logs() as logs:
                work = [db.store.write(wrote(str(n))) for n in range(5)]
                results = await asyncio.gather(*work, return_exceptions=True)
            assert all(isinstance(result, Broken) and "locked" in str(result) for result in results)
            assert len(logs) == 1, "the lock was waited for more than once"
            assert await keys(db) == []
        assert await db.store.write(wrote("1"))
        assert await keys(db) == ["1"]


async def test_a_caller_that_goes_away_harms_nobody(db: Database) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(db.store.write(wrote(str(n)))) for n in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
    assert [str(n) for n in range(1, 20, 2)] == [key for key in await keys(db) if int(key) % 2]
    assert await db.store.write(wrote("after"))


async def test_a_disk_that_does_not_answer_is_told(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "DEADLINE", 0.05)
    raw = db.store._writer._db
    hold = asyncio.Event()
    execute = raw.execute

    async def slow(sql: str) -> object:
        await hold.wait()
        return await execute(sql)

    monkeypatch.setattr(raw, "execute", slow)
    first, second = await asyncio.gather(*(db.store.write(wrote(str(n))) for n in range(2)), return_exceptions=True)
    assert isinstance(first, Broken)
    assert isinstance(second, Broken)
    assert first.unsure
    with pytest.raises(Broken, match="not stored anything") as caught:
        await db.store.write(wrote("late"))
    assert not caught.value.unsure
    hold.set()
    assert await db.store.write(wrote("3"))
    assert await keys(db) == ["0", "1", "3"]


async def test_reading_does_not_wait_for_writing(path: Path) -> None:
    async with open_store(path) as db:
        await db.store.write(wrote("1"))
        with closing(sqlite3.connect(path, isolation_level=None)) as theirs:
            theirs.execute("BEGIN IMMEDIATE")
            waiting = asyncio.ensure_future(db.store.write(wrote("2")))
            assert await keys(db) == ["1"]
            assert not waiting.done()
            theirs.execute("ROLLBACK")
        assert await waiting
        assert await keys(db) == ["1", "2"]


async def test_more_callers_than_the_queue_holds(db: Database) -> None:
    many = writer.QUEUE + 500
    await asyncio.gather(*(db.store.write(wrote(str(n))) for n in range(many)))
    assert sorted(await keys(db), key=int) == [str(n) for n in range(many)]


async def test_closing_serves_even_those_who_wait_for_a_place_in_the_queue(path: Path) -> None:
    many = writer.QUEUE + 500
    async with asyncio.TaskGroup() as group, open_store(path) as db:
        tasks = [group.create_task(db.store.write(wrote(str(n)))) for n in range(many)]
        await asyncio.sleep(0)
    assert all(task.result() for task in tasks)
