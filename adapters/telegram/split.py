"""A long text over several messages, each within what Telegram takes: 4096 UTF-16 units and 100 entities.

Cut between paragraphs, else lines, else words, else letters. It does not know what the text says.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.telegram.styled import SOLID, Span, Styled, calmed
from adapters.telegram.text import offsets
from orchestrator.words import units, whole

MOST_UNITS = 4095  # Telegram takes one more; a part that begins with a cut word may need it to stay calm
MOST_ENTITIES = 100


@dataclass(frozen=True, slots=True)
class _Code:
    """Where the code is: spaces and line breaks in it are the code's own."""

    begins: Sequence[int]
    ends: Sequence[int]

    @classmethod
    def of(cls, spans: Sequence[Span]) -> _Code:
        solid = [span for span in spans if span.kind in SOLID]
        return cls([span.start for span in solid], [span.end for span in solid])

    def holds(self, place: int) -> bool:
        before = bisect_right(self.begins, place) - 1
        return before >= 0 and place < self.ends[before]


def split(styled: Styled, *, most: int) -> list[Styled] | None:
    """The parts, each fit to be sent; None when there were more than `most`. The spans are nested already.

    A part that would show nothing is left out.
    """
    text, at = styled.text, offsets(styled.text)
    code = _Code.of(styled.spans)
    parts: list[Styled] = []
    start = _lines_end(text, 0, code)
    while start < len(text):
        end = _reach(styled.spans, at, start)
        stop, after = (end, end) if end == len(text) else _best_cut(text, start, end, code)
        part = styled.cut(start, _words_end(text, start, stop, code))
        if part.text.strip():
            parts.append(calmed(Styled(part.text, part.spans[:MOST_ENTITIES])))
        if len(parts) > most:
            return None
        start = after
    return parts


def tail(styled: Styled, *, room: int, entities: int) -> Styled:
    """The end of a text that fits, with an ellipsis in front when something is left out."""
    text, at = styled.text, offsets(styled.text)
    if at[-1] <= room and len(styled.spans) <= entities:
        return styled
    start = next((place for place in range(len(text)) if at[-1] - at[place] < room), len(text))
    ends = sorted(span.end for span in styled.spans)
    if len(ends) > entities:  # those that end behind the cut are what is left of them
        start = max(start, ends[-entities - 1])
    line = text.find("\n", start, start + (len(text) - start) // 4)
    word = text.find(" ", start, start + 40)
    start = line + 1 if line >= 0 else word + 1 if word >= 0 else _forward(text, start)
    while start < len(text) and text[start] == "\n":
        start += 1
    return Styled("…") + styled.cut(start, len(text))


def room_of(styled: Styled) -> int:
    """UTF-16 units that a message has left beside this."""
    return MOST_UNITS - units(styled.text)


def _reach(spans: Sequence[Span], at: Sequence[int], start: int) -> int:
    """How far a message that begins here can reach."""
    low, high = start, len(at) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if at[middle] - at[start] <= MOST_UNITS else (low, middle - 1)
    inside = [span.start for span in spans if span.start < low and span.end > start]
    if len(inside) > MOST_ENTITIES and inside[MOST_ENTITIES] > start:
        return inside[MOST_ENTITIES]
    return low


def _best_cut(text: str, start: int, end: int, code: _Code) -> tuple[int, int]:
    """Where a part ends and where the next one begins."""
    half = start + (end - start) // 2
    place = text.rfind("\n\n", half, end + 1)
    if place > start and not code.holds(place):
        return place, _lines_end(text, place, code)
    place = text.rfind("\n", half, end + 1)
    if place > start:
        return (place, place + 1) if code.holds(place) else (place, _lines_end(text, place, code))
    place = text.rfind(" ", half, end + 1)
    if place > start:
        return (place, place) if code.holds(place) else (place, place + 1)
    place = whole(text, end)
    return (place, place) if place > start else (end, end)


def _lines_end(text: str, place: int, code: _Code) -> int:
    """Behind the empty lines that begin here, but never inside of code."""
    while place < len(text) and text[place].isspace() and not code.holds(place):
        place += 1
    return place


def _words_end(text: str, start: int, stop: int, code: _Code) -> int:
    while stop > start and text[stop - 1].isspace() and not code.holds(stop - 1):
        stop -= 1
    return stop


def _forward(text: str, start: int) -> int:
    while start < len(text) and whole(text, start) != start:
        start += 1
    return start
