"""A long text over several messages, each within what Telegram takes: 4096 UTF-16 units and 100 entities.

Cut between paragraphs, else lines, else words, else letters. It does not know what the text says.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.telegram.styled import SOLID, Span, Styled
from adapters.telegram.text import between, offsets, units

MOST_UNITS = 4096
MOST_ENTITIES = 100


def split(styled: Styled, *, most: int) -> list[Styled] | None:
    """The parts, each fit to be sent; None when there were more than `most`. The spans are nested already.

    A part that would show nothing is left out.
    """
    text, at = styled.text, offsets(styled.text)
    solid = [span for span in styled.spans if span.kind in SOLID]
    parts: list[Styled] = []
    start = _lines_end(text, 0, solid)
    while start < len(text):
        end = _reach(styled.spans, at, start)
        stop, after = (end, end) if end == len(text) else _best_cut(text, start, end, solid)
        part = styled.cut(start, _words_end(text, start, stop, solid))
        if part.text.strip():
            parts.append(Styled(part.text, part.spans[:MOST_ENTITIES]))
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


def _best_cut(text: str, start: int, end: int, solid: Sequence[Span]) -> tuple[int, int]:
    """Where a part ends and where the next one begins."""
    half = start + (end - start) // 2
    place = text.rfind("\n\n", half, end + 1)
    if place > start and not _inside(place, solid):
        return place, _lines_end(text, place, solid)
    place = text.rfind("\n", half, end + 1)
    if place > start:
        return (place, place + 1) if _inside(place, solid) else (place, _lines_end(text, place, solid))
    place = text.rfind(" ", half, end + 1)
    if place > start:
        return (place, place) if _inside(place, solid) else (place, place + 1)
    place = between(text, end)
    return (place, place) if place > start else (end, end)


def _inside(place: int, solid: Sequence[Span]) -> bool:
    return any(span.start <= place < span.end for span in solid)


def _lines_end(text: str, place: int, solid: Sequence[Span]) -> int:
    """Behind the empty lines that begin here, but never inside of code."""
    while place < len(text) and text[place].isspace() and not _inside(place, solid):
        place += 1
    return place


def _words_end(text: str, start: int, stop: int, solid: Sequence[Span]) -> int:
    while stop > start and text[stop - 1].isspace() and not _inside(stop - 1, solid):
        stop -= 1
    return stop


def _forward(text: str, start: int) -> int:
    while start < len(text) and between(text, start) != start:
        start += 1
    return start
