"""The codec: whatever can be said comes through whole, whatever else arrives is only ever `Malformed`."""

from __future__ import annotations

import contextlib
import json
import typing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.wire import (
    LIVE,
    MAX_LINE,
    ORDERS,
    REPORTS,
    Choice,
    Command,
    Frame,
    Lines,
    Malformed,
    Other,
    Resume,
    Say,
    Unknown,
    Wrote,
    line_of,
    pack,
    parse_down,
    parse_up,
    unpack,
)  # fmt: skip

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
FLOAT = st.floats(allow_nan=False, allow_infinity=False)


def instances(cls: type) -> st.SearchStrategy[Any]:
    """Every field drawn by its type."""
    by_type: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        int: st.integers(-(1 << 60), 1 << 60),
        bool: st.booleans(),
        float: FLOAT,
        tuple[str, ...]: st.lists(TEXT, max_size=4).map(tuple),
        tuple[int, ...]: st.lists(st.integers(0, 99), max_size=4).map(tuple),
        tuple[Choice, ...]: st.lists(st.builds(Choice, TEXT, TEXT), max_size=4).map(tuple),
    }
    return st.builds(cls, **{name: by_type[hint] for name, hint in typing.get_type_hints(cls).items()})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOAT | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.one_of([instances(cls) for cls in REPORTS.values()]), st.integers(1, 1 << 50), FLOAT)
def test_any_report_comes_through(report: Any, n: int, at: float) -> None:
    frame = Frame(n=n, epoch="e", at=at, report=report)
    line = line_of(frame)
    assert line.count(b"\n") == 1
    assert parse_up(line) == frame


@given(st.one_of([instances(cls) for cls in LIVE.values()]))
def test_any_live_frame_comes_through(live: Any) -> None:
    assert parse_up(line_of(live, at=1.5)) == live


@given(st.one_of([instances(cls) for cls in ORDERS.values()]), st.text(min_size=1, max_size=20).filter(str.isprintable))
def test_any_command_comes_through(order: Any, command_id: str) -> None:
    command = Command(command_id, order)
    assert parse_down(line_of(command)) == command


@given(instances(Resume))
def test_resume_comes_through(resume: Resume) -> None:
    assert parse_down(line_of(resume)) == resume


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), st.data())
def test_lines_are_the_same_however_they_are_torn(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"\n".join(lines) + b"\nrest"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    cutter = Lines(limit=20)
    got: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += cutter.feed(stream[start:end])
    assert got == [line for line in lines if len(line) < 20 and line.strip()]
    assert cutter.dropped == sum(len(line) >= 20 for line in lines)


def _fuzz(line: bytes) -> None:
    for parse in (parse_up, parse_down):
        with contextlib.suppress(Malformed):
            parse(line)


@given(st.binary(max_size=200))
def test_noise_is_malformed_and_nothing_else(line: bytes) -> None:
    _fuzz(line)


@given(JSON)
def test_any_json_is_malformed_and_nothing_else(value: Any) -> None:
    _fuzz(json.dumps(value).encode())


KINDS = st.sampled_from([*REPORTS, *LIVE, *ORDERS, "resume", "dance"])
FIELDS = st.sampled_from(["id", "text", "ask", "choices", "n", "epoch", "after", "picks", "files", "offset", "data"])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(KINDS, KINDS, st.dictionaries(FIELDS, JSON, max_size=6) | JSON, JSON, JSON, JSON, JSON)
def test_anything_that_looks_like_a_frame_is_malformed_and_nothing_else(
    kind: str, do: str, body: Any, n: Any, epoch: Any, at: Any, command_id: Any
) -> None:
    _fuzz(json.dumps({"kind": kind, "body": body, "n": n, "epoch": epoch, "at": at}).encode())
    _fuzz(json.dumps({"do": do, "body": body, "id": command_id}).encode())
    _fuzz(json.dumps({"kind": kind, "do": do, "id": "x", "n": 1, "epoch": "e", "at": 1, "body": body}).encode())


@pytest.mark.parametrize("line", [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b"\xff\xfe", b"NaN", b'"n"'])
def test_hostile_lines(line: bytes) -> None:
    _fuzz(line)


def test_a_kind_of_the_future_is_kept_and_a_field_of_the_future_ignored() -> None:
    frame = parse_up(b'{"n":1,"epoch":"e","at":1,"kind":"dreamt","body":{"of":"sheep"}}')
    assert isinstance(frame, Frame)
    assert frame.report == Other("dreamt", '{"of": "sheep"}')
    assert unpack(Wrote, {"text": "x", "colour": "red"}) == Wrote("x")


def test_an_unknown_order_can_be_refused() -> None:
    assert isinstance(parse_down(b'{"id":"a","do":"dance","body":{}}'), Unknown)
    assert isinstance(parse_down(b'{"id":"a","do":"say","body":{}}'), Unknown)
    with pytest.raises(Malformed, match="without an id"):
        parse_down(b'{"do":"say","body":{"text":"x"}}')


def test_what_does_not_fit_into_a_line_is_refused_by_the_writer() -> None:
    with pytest.raises(Malformed, match="more than a line may have"):
        line_of(Command("a", Say("x" * MAX_LINE)))


def test_defaults_are_left_out() -> None:
    assert pack(Say("x")) == {"text": "x"}
