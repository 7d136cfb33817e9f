"""The questions that are asked every minute are answered by an index, however long the journal is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from adapters.sqlite.database import FORGET_INBOX, FORGET_LETTERS
from adapters.sqlite.notes import SCAN
from adapters.sqlite.schema import BEGIN
from adapters.sqlite.store import AGENTS, JOURNAL, LIVE, RECENT, RUN_AT, SENT, UNSENT


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(BEGIN)
        rows = [(f"r-{n % 50}", str(n), 1.0, "wrote", "{}", None) for n in range(5000)]
        rows += [(f"r-{n}", kind, 1.0, kind, "{}", None) for n in range(50) for kind in ("launched", "ended")]
        db.executemany("INSERT INTO journal (run, key, at, kind, body, place) VALUES (?, ?, ?, ?, ?, ?)", rows)
        yield db


def plan(db: sqlite3.Connection, sql: str) -> list[str]:
    numbered = max((number for number in range(1, 10) if f"?{number}" in sql), default=0)
    values = [None] * (numbered or sql.count("?"))
    return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("sql", [JOURNAL, LIVE, RECENT, RUN_AT, UNSENT, SENT, AGENTS, SCAN])
def test_an_index_answers_in_order(db: sqlite3.Connection, sql: str, *, analyzed: bool) -> None:
    if analyzed:
        db.execute("ANALYZE")
    steps = plan(db, sql)
    all_of_it_is_wanted = {"SCAN agents", "SCAN outbox USING INDEX outbox_unsent"}
    for step in steps:
        assert not step.startswith("SCAN") or step in all_of_it_is_wanted, steps
        assert "TEMP B-TREE" not in step, steps
        assert "AUTOMATIC" not in step, steps


@pytest.mark.parametrize(
    ("sql", "index"),
    [
        (LIVE, "journal_ends"),
        (RECENT, "journal_ends"),
        (RUN_AT, "journal_places"),
        (UNSENT, "outbox_unsent"),
        (JOURNAL, "journal_of_run"),
    ],
)
def test_it_is_the_index_that_was_made_for_it(db: sqlite3.Connection, sql: str, index: str) -> None:
    assert any(f"INDEX {index} " in f"{step} " for step in plan(db, sql)), plan(db, sql)


def test_forgetting_looks_up_what_still_needs_a_letter(db: sqlite3.Connection) -> None:
    scanned = {step.split()[1] for step in plan(db, FORGET_LETTERS) if step.startswith("SCAN")}
    assert scanned <= {"outbox", "json_each"}, "once a day, and the few that are kept"
    assert "SCAN newer" not in str(plan(db, FORGET_LETTERS))
    assert plan(db, FORGET_INBOX) == ["SCAN inbox"]
