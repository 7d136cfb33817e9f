"""kill -9 at any moment: what was acknowledged is there, and nothing is there by half."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from asyncio.subprocess import PIPE
from contextlib import closing
from pathlib import Path
from random import Random

from adapters.sqlite import open_store
from tests.sqlite.child import ENTRIES, change

LIVES = 10


async def acknowledged(path: Path, life: str, *, wanted: int) -> list[str]:
    """Let a child live until it has acknowledged so many changes, kill it, and say which they were."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.sqlite.child", path, life, stdout=PIPE
    )  # fmt: skip
    assert child.stdout
    lines: list[str] = []
    try:
        async with asyncio.timeout(30):
            while len(lines) < wanted:
                line = await child.stdout.readline()
                assert line.endswith(b"\n"), "the child ended by itself"
                lines.append(line.decode().strip())
    finally:
        child.kill()
        rest = await child.stdout.read()
        await child.wait()
    return lines + rest.decode().split()


async def test_every_acknowledged_change_outlives_the_kill(tmp_path: Path) -> None:
    path, random = tmp_path / "store.db", Random(20)
    promised: list[str] = []
    for life in range(LIVES):
        promised += await acknowledged(path, f"life{life}", wanted=random.choice([1, 2, 5, 40, 150, 300]))

    async with open_store(path) as db:
        for name in promised:
            assert not await db.store.write(change(name)), f"{name} was acknowledged and is not known"
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        inbox = {name for (name,) in raw.execute("SELECT key FROM inbox")}
        letters = {name for (name,) in raw.execute("SELECT key FROM outbox")}
        entries = dict(raw.execute("SELECT run, count(*) FROM journal GROUP BY run"))
    assert set(promised) <= inbox
    assert inbox == letters == set(entries)
    assert set(entries.values()) == {ENTRIES}
