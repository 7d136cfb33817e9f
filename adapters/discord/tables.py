"""Tables, which Discord does not have: drawn with aligned columns where they are narrow, else row by row as a list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from adapters.discord.blocks import BOLD, CODE, ITALIC, STRIKE, Span
from adapters.discord.words import clip
from orchestrator.words import width

WIDEST = 60
"""Columns that a phone shows without breaking lines, more or less."""

_LATER = 40

Cells = Sequence[tuple[Span, ...]]


def drawn(rows: Sequence[Cells], aligns: Sequence[str]) -> str:
    """The table for a fixed-width font, or nothing when it is too wide for one."""
    texts = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(map(width, column), default=0) for column in zip(*texts, strict=True)]
    if not widths or sum(widths) + 3 * (len(widths) - 1) > WIDEST:
        return ""
    lines = [" │ ".join(map(_padded, row, widths, aligns)).rstrip() for row in texts]
    lines.insert(1, "─┼─".join("─" * columns for columns in widths))
    return "\n".join(lines)


def listed(rows: Sequence[Cells]) -> Iterator[tuple[Span, ...]]:
    """Each row as one line: what the column is called, in the later rows within reason, and what stands there."""
    names, *others = rows
    titles = ["".join(span.text for span in name) for name in names]
    for row in others or [names]:
        spans: list[Span] = []
        for title, cell in zip(titles, row, strict=True):
            if row is not rows[1 % len(rows)] and not any(span.text.strip() for span in cell):
                continue
            spans += [Span(" · ")] * bool(spans)
            if others:
                spans += [Span(f"{title}:", (BOLD,)), Span(" ")]
            spans += cell
        if spans:
            yield tuple(spans)
        titles = [clip(title, _LATER) for title in titles]  # long ones again and again would be more than the table


def _cell(spans: tuple[Span, ...]) -> str:
    """Its words, and where its links go."""
    parts: list[str] = []
    for address, group in groupby(spans, _address):
        words = "".join(span.text for span in group)
        parts.append(f"{words} ({address})" if address and address != words else words)
    return " ".join("".join(parts).split())


def _address(span: Span) -> str:
    return next((mark for mark in span.marks if mark not in {BOLD, ITALIC, STRIKE, CODE}), "")


def _padded(text: str, columns: int, align: str) -> str:
    left = columns - width(text)
    match align:
        case "right":
            return " " * left + text
        case "center":
            return " " * (left // 2) + text + " " * (left - left // 2)
        case _:
            return text + " " * left
