"""Tables, which Telegram does not have: aligned columns when a phone can show them, else a list of what each row says.

They are found by the parser that also reads the rest (pyromark, beneath telegramify-markdown), so that the two never
differ on what a table is. They are taken out before the conversion, because what it makes of one cannot be told from
code any more, counts Chinese characters as one column, and has lost the links. How a cell is read is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

import pyromark

from adapters.telegram.styled import Span, Styled, plain
from orchestrator.words import width

WIDEST = 40
"""Columns of equal width that a phone shows side by side."""

_OPTIONS = pyromark.Options.ENABLE_TABLES


@dataclass(slots=True)
class Table:
    """Where a table stands, in bytes, and its cells as they are written, those of the header first."""

    start: int
    end: int
    sides: tuple[str, ...]
    rows: list[list[str]] = field(default_factory=list)


def tables(text: str) -> Sequence[Table]:
    """The tables of a text, in order."""
    if "|" not in text or "-" not in text:
        return ()
    source = text.encode()
    found: list[Table] = []
    last = 0
    for event, place in pyromark.events_with_range(text, options=_OPTIONS):
        match event:
            case {"Start": {"Table": sides}}:
                found.append(Table(place["start"], place["end"], tuple(str(side) for side in sides)))
            case {"Start": "TableHead" | "TableRow"}:
                found[-1].rows.append([])
                last = place["start"]
            case {"Start": "TableCell"}:
                found[-1].rows[-1].append(_cell(source[place["start"] : place["end"]]))
                last = max(last, place["end"])
            case {"End": "TableHead" | "TableRow"}:
                # cells beyond the header's are no cells to the parser; their words must be seen all the same
                if (rest := _cell(source[last : place["end"]]).strip("| ")) and found[-1].rows[-1]:
                    found[-1].rows[-1][-1] += f" {rest}"
            case _:
                pass
    return found


def _cell(source: bytes) -> str:
    return " ".join(source.decode("utf-8", "replace").split()).replace("\\|", "|")


def shown(table: Table, read: Callable[[Sequence[str]], Sequence[Styled]]) -> Styled:
    """The table as it looks; `read` turns the markdown of cells into text."""
    cells = iter(read([cell for row in table.rows for cell in row]))
    rows = [[next(cells) for _ in row] for row in table.rows]
    widths = [max(width(cell.text) for cell in column) for column in zip_longest(*rows, fillvalue=Styled())]
    linked = any(span.kind == "text_link" for row in rows for cell in row for span in cell.spans)
    if sum(widths) + 2 * (len(widths) - 1) <= WIDEST and not linked:
        return _columns(rows, widths, table.sides)
    return _list(rows)


def _columns(rows: Sequence[Sequence[Styled]], widths: Sequence[int], sides: Sequence[str]) -> Styled:
    lines = [_line([cell.text for cell in row], widths, sides) for row in rows]
    lines.insert(1, "  ".join("─" * most for most in widths))
    return plain("\n".join(lines), "pre")


def _line(cells: Sequence[str], widths: Sequence[int], sides: Sequence[str]) -> str:
    parts = []
    for cell, most, side in zip_longest(cells, widths, sides, fillvalue=""):
        spare = int(most or 0) - width(cell)
        left = {"Right": spare, "Center": spare // 2}.get(side, 0)
        parts.append(" " * left + cell + " " * (spare - left))
    return "  ".join(parts).rstrip()


def _list(rows: Sequence[Sequence[Styled]]) -> Styled:
    head, *body = rows
    if not body:
        return _joined([cell for cell in head if cell.text], ", ")
    return _joined([_row(head, row) for row in body], "\n\n")


def _row(head: Sequence[Styled], row: Sequence[Styled]) -> Styled:
    """A line for each cell, the first one bold; a cell without words still says which one it is."""
    lines = []
    for number, (name, cell) in enumerate(zip_longest(head, row, fillvalue=Styled())):
        words = cell if cell.text else Styled("—")
        line = Styled(f"{name.text}: ") + words if name.text else words
        bold = (Span(0, len(line.text), "bold"),) if number == 0 else ()
        lines.append(replace(line, spans=(*bold, *line.spans)))
    return _joined(lines, "\n")


def _joined(parts: Sequence[Styled], between: str) -> Styled:
    whole, spans = "", []
    for number, part in enumerate(parts):
        whole += between if number else ""
        by = len(whole)
        spans += [Span(span.start + by, span.end + by, span.kind, span.value) for span in part.spans]
        whole += part.text
    return Styled(whole, tuple(spans))
