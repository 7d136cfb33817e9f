"""The shape of the file, as numbered steps from an empty one to today's; `PRAGMA user_version` counts those done.

A step is never changed after a release: a new one is added below it. Each is one transaction, so that a kill in the
middle of a migration leaves the version before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import aiosqlite

from orchestrator.errors import Broken

APPLICATION_ID = 0x524A4141
"""Written into the file's header, so that another program's database is never taken for ours ("RJAA")."""

BEGIN = """
CREATE TABLE journal (
    seq   INTEGER PRIMARY KEY,
    run   TEXT NOT NULL,
    key   TEXT NOT NULL,
    at    REAL NOT NULL,
    kind  TEXT NOT NULL,
    body  TEXT NOT NULL,
    place TEXT,  -- of an `opened`: the conversation, so that a place finds its run
    UNIQUE (run, key)
);
CREATE INDEX journal_of_run ON journal (run);
CREATE INDEX journal_places ON journal (place) WHERE place IS NOT NULL;
CREATE INDEX journal_ends ON journal (kind) WHERE kind = 'launched' OR kind = 'ended';
CREATE INDEX journal_ends_of_run ON journal (run, kind) WHERE kind = 'launched' OR kind = 'ended';

CREATE TABLE inbox (
    key TEXT PRIMARY KEY,
    at  REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE outbox (
    seq        INTEGER PRIMARY KEY,
    key        TEXT NOT NULL UNIQUE,
    run        TEXT NOT NULL,
    edits      TEXT NOT NULL,
    body       TEXT NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0,
    message_id TEXT,
    lost       TEXT,
    at         REAL NOT NULL
);
CREATE INDEX outbox_unsent ON outbox (seq) WHERE message_id IS NULL AND lost IS NULL;
CREATE INDEX outbox_edits ON outbox (edits) WHERE edits <> '';

CREATE TABLE agents (
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE notes (
    space TEXT NOT NULL,
    name  TEXT NOT NULL,
    text  TEXT NOT NULL,
    PRIMARY KEY (space, name)
) WITHOUT ROWID;
"""

STEPS: tuple[str, ...] = (BEGIN,)


async def migrate(db: aiosqlite.Connection, path: Path, *, steps: Sequence[str] = STEPS) -> None:
    """Bring the file to the newest shape. Raises `Broken` for another program's file and for a newer one."""
    version = await number(db, "PRAGMA user_version")
    application = await number(db, "PRAGMA application_id")
    tables = await number(db, "SELECT count(*) FROM sqlite_master")
    if application != APPLICATION_ID and (application or version or tables):
        raise Broken(f"{path} is a database of another program. Move it away, or set DATA_DIR to another folder.")
    if version > len(steps):
        raise Broken(
            f"{path} was written by a newer version of the bot (its format is {version}, this one knows {len(steps)}). "
            "Install the newer version again, or set DATA_DIR to another folder."
        )
    for done, step in enumerate(steps[version:], start=version + 1):
        pragmas = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {done};"
        try:
            await db.executescript(f"BEGIN IMMEDIATE; {step}; {pragmas} COMMIT;")
        finally:
            if db.in_transaction:
                await db.rollback()


async def number(db: aiosqlite.Connection, sql: str) -> int:
    """The one number that this query answers with."""
    ((value,),) = await db.execute_fetchall(sql)
    return int(value)
