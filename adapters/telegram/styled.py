"""Text and what covers its parts, counted in characters; and in the end as Telegram wants it, in UTF-16 and nested.

It does not know where the spans come from. What Telegram forbids (a quote in a quote, bold code, spans that cross) is
put right here, whatever comes in.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import heapify, heappop, heappush
from itertools import accumulate
from typing import NamedTuple

from telegram import MessageEntity
from telegram.constants import MessageEntityDateTimeFormats

from adapters.telegram.text import WORD_JOINER, offsets, pings

QUOTES = frozenset({"blockquote", "expandable_blockquote"})
SOLID = frozenset({"pre", "code"})
STYLES = ("bold", "italic", "underline", "strikethrough", "spoiler")
_RANK = {kind: rank for rank, kind in enumerate((*sorted(QUOTES), *STYLES, "text_link", "date_time", *sorted(SOLID)))}


class Span(NamedTuple):
    """What covers some characters. `value`: a link's address, a language, or a time in Unix seconds."""

    start: int
    end: int
    kind: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one message says, as it is sent."""

    text: str
    entities: tuple[MessageEntity, ...] = ()


@dataclass(frozen=True, slots=True)
class Styled:
    """A text with its spans, in any order."""

    text: str = ""
    spans: tuple[Span, ...] = ()

    def __add__(self, other: Styled) -> Styled:
        by = len(self.text)
        return Styled(self.text + other.text, self.spans + tuple(_moved(other.spans, by)))

    def cut(self, start: int, end: int) -> Styled:
        """The part between two characters; what reaches over an end covers what is left of it."""
        kept = (
            Span(max(span.start, start) - start, min(span.end, end) - start, span.kind, span.value)
            for span in self.spans
            if span.start < end and span.end > start
        )
        return Styled(self.text[start:end], tuple(kept))

    def covered(self, *kinds: str) -> Styled:
        """The same text with all of it covered."""
        return Styled(self.text, (*(Span(0, len(self.text), kind) for kind in kinds), *self.spans))

    def edited(self, edits: Sequence[tuple[int, int, Styled]]) -> Styled:
        """With parts replaced; in order, none overlapping. What is put in between two spans belongs to neither."""
        if not edits:
            return self
        parts: list[str] = []
        spans: list[Span] = []
        done = size = 0
        for start, end, new in edits:
            parts += (self.text[done:start], new.text)
            size += start - done
            spans += _moved(new.spans, size)
            size += len(new.text)
            done = end
        begins = [start for start, _, _ in edits]
        ends = [end for _, end, _ in edits]
        grown = [0, *accumulate(len(new.text) - (end - start) for start, end, new in edits)]
        for span in self.spans:
            first = span.start + grown[bisect_right(ends, span.start)]
            behind = bisect_left(begins, span.end)
            spans.append(Span(first, max(first, span.end + grown[behind]), span.kind, span.value))
        return Styled("".join(parts) + self.text[done:], tuple(spans))


def plain(text: str, *kinds: str, value: str = "") -> Styled:
    """A text all of which is covered by these."""
    return Styled(text, tuple(Span(0, len(text), kind, value) for kind in kinds) if text else ())


def clock(since: float) -> Styled:
    """A moment that the reader's client shows as how long ago it was, and keeps fresh."""
    moment = int(since)
    return plain(f"{datetime.fromtimestamp(moment, UTC):%H:%M} UTC", "date_time", value=str(moment))


def calmed(styled: Styled) -> Styled:
    """Mentions and commands outside of code and links are words; inside of them Telegram looks for none."""
    found = pings(styled.text)
    if not found:
        return styled
    shut = sorted((span.start, span.end) for span in styled.spans if span.kind in SOLID or span.kind == "text_link")
    begins = [start for start, _ in shut]
    reach = list(accumulate((end for _, end in shut), max))
    joiner = Styled(WORD_JOINER)
    edits = []
    for at in found:
        before = bisect_left(begins, at) - 1
        if before < 0 or reach[before] < at:
            edits.append((at, at, joiner))
    return styled.edited(edits)


def _moved(spans: Iterable[Span], by: int) -> Iterable[Span]:
    return (Span(span.start + by, span.end + by, span.kind, span.value) for span in spans)


# --- as Telegram allows it ------------------------------------------------------------------------------------------


def nested(styled: Styled) -> Styled:
    """The same with spans that Telegram accepts, sorted: none empty, none crossing, no quote in a quote, bare code."""
    text = styled.text
    by_kind: dict[str, list[Span]] = {}
    for span in styled.spans:
        if span.kind not in SOLID:
            span = _tight(text, span)  # noqa: PLW2901  # the same span without the space around it
        if span.start < span.end and not text[span.start : span.end].isspace():
            by_kind.setdefault("quote" if span.kind in QUOTES else span.kind, []).append(span)
    quotes = _apart(by_kind.pop("quote", []))
    shut = _apart(by_kind.pop("pre", []))
    links = _apart(by_kind.pop("text_link", []) + by_kind.pop("date_time", []), around=shut)
    shut = sorted(shut + _apart(by_kind.pop("code", []), around=sorted(shut + links)))
    begins = [span.start for span in shut]
    styles = [
        _tight(text, part)
        for kind in STYLES
        for span in _apart(by_kind.get(kind, []))
        for part in _without(span, shut, begins)
    ]
    quotes = _whole(quotes, sorted(shut + links))
    spans = _uncrossed([*quotes, *links, *shut, *(span for span in styles if span.start < span.end)])
    return Styled(text, tuple(spans))


def _tight(text: str, span: Span) -> Span:
    inside = text[span.start : span.end]
    if not inside or not (inside[0].isspace() or inside[-1].isspace()):
        return span
    start = span.start + len(inside) - len(inside.lstrip())
    return Span(start, max(start, span.start + len(inside.rstrip())), span.kind, span.value)


def _apart(spans: Iterable[Span], around: Sequence[Span] = ()) -> list[Span]:
    """Those that overlap none before them and none of the spans they have to go around; longer ones go first."""
    kept: list[Span] = []
    begins = [span.start for span in around]
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        before = bisect_left(begins, span.end) - 1
        if (kept and kept[-1].end > span.start) or (before >= 0 and around[before].end > span.start):
            continue
        kept.append(span)
    return kept


def _whole(quotes: Iterable[Span], inside: Sequence[Span]) -> list[Span]:
    """The quotes that end in the middle of no code and no link, and stand in none."""
    begins = [span.start for span in inside]
    kept = []
    for quote in quotes:
        first, last = bisect_right(begins, quote.start) - 1, bisect_left(begins, quote.end) - 1
        begun = first >= 0 and inside[first].start < quote.start < inside[first].end
        if not begun and (last < 0 or inside[last].end <= quote.end):
            kept.append(quote)
    return kept


def _without(span: Span, shut: Sequence[Span], begins: Sequence[int]) -> Iterable[Span]:
    """The parts of a span outside of code."""
    at = span.start
    for number in range(max(0, bisect_right(begins, at) - 1), len(shut)):
        other = shut[number]
        if other.start >= span.end:
            break
        if other.end <= at:
            continue
        if other.start > at:
            yield Span(at, other.start, span.kind)
        at = other.end
    if at < span.end:
        yield Span(at, span.end, span.kind)


def _uncrossed(spans: Iterable[Span]) -> Iterable[Span]:
    """In order, the outer before the inner; one that crosses the end of another goes on behind it as a second one."""
    waiting = [(span.start, -span.end, _RANK[span.kind], span) for span in spans]
    heapify(waiting)
    open_ends: list[int] = []
    while waiting:
        start, minus_end, rank, span = heappop(waiting)
        while open_ends and open_ends[-1] <= start:
            open_ends.pop()
        if open_ends and open_ends[-1] < -minus_end:
            cut = open_ends[-1]
            heappush(waiting, (cut, minus_end, rank, Span(cut, span.end, span.kind, span.value)))
            span = Span(span.start, cut, span.kind, span.value)
        open_ends.append(span.end)
        yield span


def piece(styled: Styled) -> Piece:
    """As it is sent; the spans are nested already."""
    at = offsets(styled.text)
    return Piece(styled.text, tuple(_entity(span, at) for span in styled.spans))


def _entity(span: Span, at: Sequence[int]) -> MessageEntity:
    offset, length = at[span.start], at[span.end] - at[span.start]
    match span.kind:
        case "text_link":
            return MessageEntity(span.kind, offset, length, url=span.value)
        case "pre":
            return MessageEntity(span.kind, offset, length, language=span.value or None)
        case "date_time":
            moment = datetime.fromtimestamp(int(span.value), UTC)
            look = MessageEntityDateTimeFormats.RELATIVE
            return MessageEntity(span.kind, offset, length, unix_time=moment, date_time_format=look)
        case _:
            return MessageEntity(span.kind, offset, length)
