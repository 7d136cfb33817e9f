"""How reports and orders become lines and lines become them, whatever way a stream was torn.

A line is one JSON object in UTF-8, at most `MAX_LINE` bytes with its newline. It knows which kinds there are and not
what they are for; what is not of this vocabulary is told by `Malformed`, and who reads decides what that means.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, get_args

from agent.wire.bodies import Malformed, kind_name, pack, unpack
from agent.wire.bounds import MAX_LINE
from agent.wire.orders import Command, Order, Resume
from agent.wire.reports import Frame, Live, Other, Report

REPORTS: dict[str, type] = {kind_name(cls): cls for cls in get_args(Report)}
LIVE: dict[str, type] = {kind_name(cls): cls for cls in get_args(Live)}
ORDERS: dict[str, type] = {kind_name(cls): cls for cls in get_args(Order)}
_KINDS: dict[type, str] = {cls: kind for group in (REPORTS, LIVE, ORDERS) for kind, cls in group.items()}


def kind_of(thing: object) -> str:
    """`kind_name` of the thing's class."""
    cls = type(thing)
    return _KINDS.get(cls) or kind_name(cls)


def line_of(item: Frame | Live | Command | Resume, *, at: float = 0.0) -> bytes:
    """One line, newline included. Raises `Malformed` where it would be longer than `MAX_LINE`."""
    match item:
        case Frame():
            head: dict[str, Any] = {"n": item.n, "epoch": item.epoch, "at": item.at, "kind": kind_of(item.report)}
            head["body"] = pack(item.report)
        case Command():
            head = {"id": item.id, "do": kind_of(item.order), "body": pack(item.order)}
        case Resume():
            head = {"do": "resume", "body": pack(item)}
        case _:
            head = {"at": at, "kind": kind_of(item), "body": pack(item)}
    line = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
    if len(line) > MAX_LINE:
        raise Malformed(f"{head.get('kind') or head.get('do')}: {len(line)} bytes are more than a line may have")
    return line


def parse_up(line: bytes) -> Frame | Live:
    """What agentd printed. Raises `Malformed`; a kind that is not known is kept as `Other` when it is durable."""
    head = _object(line)
    kind, body = head.get("kind"), head.get("body", {})
    if not isinstance(kind, str):
        raise Malformed("a line without a kind")
    if "n" not in head:
        if kind not in LIVE:
            raise Malformed(f"a live frame of unknown kind {kind[:40]!r}")
        live: Live = unpack(LIVE[kind], body)
        return live
    n, epoch, at = head["n"], head.get("epoch"), head.get("at", 0.0)
    if type(n) is not int or n < 1 or not isinstance(epoch, str) or not epoch or type(at) not in (int, float):
        raise Malformed("a durable frame without a good n, epoch or at")
    report: Report = (
        unpack(REPORTS[kind], body) if kind in REPORTS else Other(type=kind, body=json.dumps(body, ensure_ascii=False))
    )
    return Frame(n=n, epoch=epoch, at=float(at), report=report)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A command whose order this agentd does not know: it is refused by a `Heard` with an error, never ignored."""

    id: str
    words: str


def parse_down(line: bytes) -> Command | Resume | Unknown:
    """What agentd was told. Raises `Malformed` where not even an id can be answered."""
    head = _object(line)
    do, body = head.get("do"), head.get("body", {})
    if do == "resume":
        return unpack(Resume, body)
    id_ = head.get("id")
    if not isinstance(id_, str) or not id_:
        raise Malformed("a command without an id")
    if not isinstance(do, str) or do not in ORDERS:
        return Unknown(id_, f"unknown command {str(do)[:40]!r}")
    try:
        order: Order = unpack(ORDERS[do], body)
    except Malformed as error:
        return Unknown(id_, str(error))
    return Command(id_, order)


class Lines:
    """Cuts a byte stream into lines, however it was torn into chunks. Overlong lines are dropped and counted."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self.dropped = 0
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without their newlines; blank ones are left out."""
        *whole, rest = chunk.split(b"\n")
        lines: list[bytes] = []
        for piece in whole:
            self._take(piece)
            if not self._skipping and (line := b"".join(self._parts)).strip():
                lines.append(line)
            self._parts, self._size, self._skipping = [], 0, False
        if rest:
            self._take(rest)
        return lines

    def _take(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size >= self._limit:
            self.dropped += not self._skipping
            self._skipping = True
            self._parts = []
        elif not self._skipping:
            self._parts.append(piece)


def _object(line: bytes) -> dict[str, Any]:
    try:
        head = json.loads(line)
    except (ValueError, RecursionError):
        raise Malformed(f"a line of {len(line)} bytes that is not JSON") from None
    if not isinstance(head, dict):
        raise Malformed("a line that is not an object")
    return head
