"""A copy while the bot writes; whole and checked, or not at all."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from adapters.sqlite import Database, backup, open_store
from agent.wire import Wrote
from orchestrator.errors import Broken, Refused
from orchestrator.events import Entry
from orchestrator.nouns import RunId
from orchestrator.ports import Change

RUN = RunId("r-1")


async def write(db: Database, *keys: str) -> None:
    for key in keys:
        await db.store.write(Change(entries=[Entry(RUN, key, 1.0, Wrote("x" * 500))]))


async def keys(path: Path) -> list[str]:
    async with open_store(path) as db:
        return [entry.key async for page in db.store.journal(RUN) for entry in page]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_copy_is_a_store_of_its_own(tmp_path: Path) -> None:
    source, target = tmp_path / "store.db", tmp_path / "copies" / "monday.db"
    async with open_store(source) as db:
        await write(db, "1", "2")
        await backup(source, target)
        await write(db, "3")
    assert names_in(target.parent) == {"monday.db"}
    assert target.stat().st_mode & 0o077 == 0
    assert await keys(target) == ["1", "2"]
    assert await keys(source) == ["1", "2", "3"]


async def test_a_copy_by_another_process_while_the_bot_writes(tmp_path: Path) -> None:
    source, target = tmp_path / "store.db", tmp_path / "copy.db"
    code = (
        "import asyncio, sys; from pathlib import Path; from adapters.sqlite import backup;"
        "asyncio.run(backup(Path(sys.argv[1]), Path(sys.argv[2])))"
    )
    async with open_store(source) as db:
        await write(db, *(str(n) for n in range(100)))
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, source, target)
        more = 100
        async with asyncio.timeout(30):
            while child.returncode is None:
                await write(db, str(more))
                more += 1
        assert await child.wait() == 0
    copied = await keys(target)
    assert len(copied) >= 100
    assert copied == [str(n) for n in range(len(copied))]
    assert await keys(source) == [str(n) for n in range(more)]


async def test_nothing_is_overwritten(tmp_path: Path) -> None:
    source, target = tmp_path / "store.db", tmp_path / "copy.db"
    async with open_store(source):
        target.write_text("precious")
        with pytest.raises(Refused, match=r"exists already .* another name\."):
            await backup(source, target)
    assert target.read_text() == "precious"


async def test_without_a_store_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"no store at .*store\.db"):
        await backup(tmp_path / "store.db", tmp_path / "copy.db")
    assert names_in(tmp_path) == set()


async def test_another_programs_database_is_no_store(tmp_path: Path) -> None:
    source = tmp_path / "store.db"
    with closing(sqlite3.connect(source)) as db:
        db.execute("CREATE TABLE theirs (a)")
    with pytest.raises(Refused, match="not a store of this bot"):
        await backup(source, tmp_path / "copy.db")
    assert names_in(tmp_path) == {"store.db"}


async def test_a_damaged_store_gives_no_copy(tmp_path: Path) -> None:
    source, target = tmp_path / "store.db", tmp_path / "copy.db"
    async with open_store(source) as db:
        await write(db, *(str(n) for n in range(200)))
    with source.open("r+b") as file:
        file.seek(10 * 4096)
        file.write(b"\xff" * 4096 * 10)
    with pytest.raises(Broken, match="damaged"):
        await backup(source, target)
    assert names_in(tmp_path) == {"store.db"}


async def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    source = tmp_path / "store.db"
    (tmp_path / "file").write_text("")
    async with open_store(source):
        with pytest.raises(Broken, match=r"cannot be written: .* another place\."):
            await backup(source, tmp_path / "file" / "copy.db")
