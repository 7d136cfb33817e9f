"""How the nouns become columns and come back. It runs no statement.

A row that cannot be read any more is logged and stepped over: one bad row must not hide the good ones after it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

import structlog

from agent.wire import FilePiece, Malformed, Other, pack, unpack
from orchestrator.events import Entry, Opened, read, write
from orchestrator.nouns import Agent, Conversation, Letter, MessageId, RunId
from orchestrator.ports import Sent

log = structlog.get_logger()

Row = tuple[Any, ...]
T = TypeVar("T")


def plain(text: str) -> str:
    """Text that SQLite can hold: half of a surrogate pair, which is no character, becomes its escape.

    Inside JSON that escape means the same half again, so that bodies come back exactly as they were.
    """
    return text.encode("utf-8", "backslashreplace").decode()


def place(where: Conversation) -> str:
    """A conversation as one text; another one never has the same."""
    return json.dumps([where.platform, where.chat, where.thread])


def row_of_entry(entry: Entry) -> Row:
    """The columns run, key, at, kind, body, place. A file's content is left out: it is in `Artifacts` by then."""
    event = entry.event
    if isinstance(event, FilePiece):
        event = replace(event, data="")
    kind, body = write(event)
    return (
        plain(entry.run),
        plain(entry.key),
        entry.at,
        kind,
        plain(body),
        place(event.where) if isinstance(event, Opened) else None,
    )


def entry_of_row(row: Row) -> Entry:
    """The entry of the columns run, key, at, kind, body; `Other` where the body is not what its kind promises."""
    run, key, at, kind, body = row
    try:
        event = read(kind, body)
    except Malformed as error:
        log.warning("journal row unreadable", run=run, key=key, words=str(error))
        event = Other(type=kind, body=body)
    return Entry(RunId(run), key, at, event)


def body_of(thing: Letter | Agent) -> str:
    """A letter or an agent as JSON."""
    return plain(json.dumps(pack(thing), ensure_ascii=False, separators=(",", ":")))


def sent_of_row(row: Row) -> Sent:
    """What the columns body, message_id, tries, lost say of a letter. Raises `Malformed`."""
    body, message_id, tries, lost = row
    return Sent(_parsed(Letter, body), MessageId(message_id) if message_id is not None else None, tries, lost or "")


def agent_of_row(row: Row) -> Agent:
    """The agent of the column body. Raises `Malformed`."""
    return _parsed(Agent, row[0])


def readable(rows: Iterable[Row], of_row: Callable[[Row], T]) -> list[T]:
    """What these rows say; those that cannot be read are logged and left out."""
    things: list[T] = []
    for row in rows:
        try:
            things.append(of_row(row))
        except Malformed as error:
            log.warning("row unreadable", words=str(error), start=str(row[0])[:80])
    return things


def _parsed(cls: type[T], body: str) -> T:
    try:
        return unpack(cls, json.loads(body))
    except json.JSONDecodeError as error:
        raise Malformed(f"{cls.__name__}: {error}") from None
