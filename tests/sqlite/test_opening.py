"""The file at its worst: damaged, foreign, newer, locked, unreachable. Each gets a sentence that says what to do."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.sqlite import database, open_store
from adapters.sqlite.schema import APPLICATION_ID, BEGIN, STEPS, migrate
from agent.wire import Wrote
from orchestrator.errors import Broken
from orchestrator.events import Entry
from orchestrator.nouns import RunId
from orchestrator.ports import Change

RUN = RunId("r-1")


def wrote(key: str, text: str = "x") -> Change:
    return Change(entries=[Entry(RUN, key, 1.0, Wrote(text))])


async def trouble_with(path: Path) -> str:
    """What is said instead of opening this."""
    with pytest.raises(Broken) as caught:
        async with open_store(path):
            pass
    words = str(caught.value)
    assert str(path) in words
    assert words.endswith(".")
    return words


async def keys(path: Path) -> list[str]:
    async with open_store(path) as db:
        return [entry.key async for page in db.store.journal(RUN) for entry in page]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


async def test_a_missing_folder_is_made_and_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "store.db"
    async with open_store(path) as db:
        await db.store.write(wrote("1"))
        modes = {one.name: one.stat().st_mode & 0o077 for one in files_beside(path)}
    assert modes
    assert set(modes.values()) == {0}


def files_beside(path: Path) -> list[Path]:
    return list(path.parent.iterdir())


async def test_the_file_says_whose_it_is_and_how_it_is_kept(path: Path) -> None:
    async with open_store(path) as db:
        pragmas = {}
        for name in ("application_id", "user_version", "journal_mode", "synchronous", "foreign_keys"):
            ((pragmas[name],),) = await db.store._writer._db.execute_fetchall(f"PRAGMA {name}")
    full = 2
    assert pragmas == {
        "application_id": APPLICATION_ID,
        "user_version": len(STEPS),
        "journal_mode": "wal",
        "synchronous": full,
        "foreign_keys": 1,
    }


async def test_closing_leaves_one_file_with_everything_in_it(path: Path) -> None:
    async with open_store(path) as db:
        await db.store.write(wrote("1"))
    assert {one.name for one in files_beside(path)} == {"store.db"}
    assert await keys(path) == ["1"]


async def test_what_waits_is_written_before_the_file_is_closed(path: Path) -> None:
    async with asyncio.TaskGroup() as group, open_store(path) as db:
        for n in range(50):
            group.create_task(db.store.write(wrote(str(n))))
        await asyncio.sleep(0)
    assert await keys(path) == [str(n) for n in range(50)]


async def test_a_closed_store_says_so(path: Path) -> None:
    async with open_store(path) as db:
        pass
    with pytest.raises(Broken, match=r"closed\."):
        await db.store.write(wrote("1"))
    with pytest.raises(Broken, match=r"closed\."):
        await db.store.live()


async def test_errors_of_the_body_come_out_as_they_are(path: Path) -> None:
    async def body() -> None:
        async with open_store(path) as db:
            await db.store.write(wrote("1"))
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await body()
    assert await keys(path) == ["1"]


async def test_an_inbound_is_once_even_among_two_who_have_the_file_open(path: Path) -> None:
    async with open_store(path) as one, open_store(path) as two:
        changes = [Change(once=f"web/{n}", entries=wrote(str(n)).entries) for n in range(30)]
        written = await asyncio.gather(*(db.store.write(change) for change in changes for db in (one, two)))
    assert sum(written) == len(changes)
    assert sorted(await keys(path), key=int) == [str(n) for n in range(30)]


def overwrite(path: Path, content: bytes, *, page: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(page * 4096)
        file.write(content)


@pytest.fixture
def empty_file(path: Path) -> Path:
    path.touch()
    return path


@pytest.fixture
def folder_at_path(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.fixture
def forbidden(tmp_path: Path) -> Iterator[Path]:
    tmp_path.chmod(0o500)
    yield tmp_path / "store.db"
    tmp_path.chmod(0o700)


async def test_a_file_that_is_no_database(empty_file: Path) -> None:
    path = empty_file
    overwrite(path, b"this is not a database at all, it only is long enough to look at" * 100)
    words = await trouble_with(path)
    assert "damaged or is no database" in words
    assert "copy a backup to its place" in words


async def test_a_damaged_page_is_seen_when_the_file_is_opened(path: Path) -> None:
    async with open_store(path) as db:
        for n in range(200):
            await db.store.write(wrote(str(n), "text " * 100))
    overwrite(path, b"\xff" * 4096 * 10, page=5)
    assert "damaged" in await trouble_with(path)


async def test_damage_in_a_file_too_large_to_check_is_told_when_it_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(path) as db:
        for n in range(200):
            await db.store.write(wrote(str(n), "text " * 100))
    overwrite(path, b"\xff" * 4096 * 20, page=20)
    monkeypatch.setattr(database, "CHECK_BYTES", 0)
    async with open_store(path) as db:
        with pytest.raises(Broken, match="damaged") as caught:
            assert [page async for page in db.store.journal(RUN)]
    assert str(path) in str(caught.value)


async def test_an_empty_file_is_a_new_store(empty_file: Path) -> None:
    assert await keys(empty_file) == []


async def test_another_programs_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (a)")
    assert "another program" in await trouble_with(path)
    with closing(sqlite3.connect(path)) as db:
        assert [name for (name,) in db.execute("SELECT name FROM sqlite_master")] == ["theirs"]
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)


async def test_a_newer_file_is_left_alone(path: Path) -> None:
    async with open_store(path) as db:
        await db.store.write(wrote("1"))
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    words = await trouble_with(path)
    assert "newer version of the bot" in words
    assert f"its format is {len(STEPS) + 1}" in words
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {len(STEPS)}")
    assert await keys(path) == ["1"]


async def test_a_step_of_a_migration_happens_whole_or_not_at_all(path: Path) -> None:
    async with open_store(path) as db:
        await db.store.write(wrote("1"))
        raw = db.store._writer._db
        worse = "ALTER TABLE journal ADD COLUMN more TEXT; CREATE TABLE more (a); SELECT nonsense FROM nowhere"
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            await migrate(raw, path, steps=[BEGIN, worse])
        ((version,),) = await raw.execute_fetchall("PRAGMA user_version")
        ((columns,),) = await raw.execute_fetchall("SELECT count(*) FROM pragma_table_info('journal')")
        assert (version, columns) == (1, 7)

        better = "ALTER TABLE journal ADD COLUMN more TEXT NOT NULL DEFAULT 'm'"
        await migrate(raw, path, steps=[BEGIN, better, "CREATE TABLE third (a)"])
        ((version,),) = await raw.execute_fetchall("PRAGMA user_version")
        found = await raw.execute_fetchall("SELECT key, more FROM journal")
        assert (version, [tuple(row) for row in found]) == (3, [("1", "m")])


async def test_locked_by_another_program(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as theirs:
        theirs.execute("BEGIN EXCLUSIVE")
        assert "locked" in await trouble_with(path)
    assert await keys(path) == []


async def test_a_folder_in_the_place_of_the_file(folder_at_path: Path) -> None:
    assert "cannot be opened" in await trouble_with(folder_at_path)


async def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    assert "owns the folder" in await trouble_with(tmp_path / "var" / "store.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
async def test_a_folder_that_may_not_be_written(forbidden: Path) -> None:
    assert "owns the folder" in await trouble_with(forbidden)
