"""Private characters in place of marks that no parser behind this may read.

Some of what telegramify-markdown reads is no GitHub markdown, or would take words away: HTML, formulas between prices,
hidden words between bars, definitions of references. One character stands for one, so that no place shifts, and they
are put back afterwards; that costs no second parse. What the text means is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.telegram.tables import Table

_NEEDED = 10
_MARKS = re.compile(
    r"""\\. | < | \$ | (?<=\]): | \[\](?=\() | https?://[^\s<>()\[\]`"|\\]*[^\s<>()\[\]`"|\\*_~$]""",
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Guard:
    """Private characters that stand in for marks; `table`, `cell` and `nameless` stand for themselves.

    Stars, underlines and tildes are exchanged in addresses alone, where they are no emphasis.
    """

    less: str
    dollar: str
    colon: str
    bar: str
    star: str
    underline: str
    tilde: str
    table: str
    cell: str
    nameless: str

    @classmethod
    def beside(cls, text: str) -> Guard:
        """With characters that the text does not use."""
        free = [c for c in map(chr, range(0xE000, 0xE100)) if c not in text]
        if len(free) < _NEEDED:
            free = sorted({chr(code) for code in range(0xE000, 0xF900)} - set(text))
        return cls(*free[:_NEEDED])

    def put(self, text: str) -> str:
        """The text with its marks exchanged, all but bars."""
        marks = {"<": self.less, "$": self.dollar, ":": self.colon, "[]": f"[{self.nameless}]"}
        inside = str.maketrans({"*": self.star, "_": self.underline, "~": self.tilde, "$": self.dollar})

        def other(found: re.Match[str]) -> str:
            mark = found[0]
            return marks.get(mark) or (mark.translate(inside) if mark.startswith("http") else mark)

        return _MARKS.sub(other, text)

    def without(self, text: str, taken: Sequence[Table], kept: Sequence[Table] = ()) -> str:
        """The text with a mark in place of each table that is taken, and with its double bars exchanged.

        In a table that is kept, two bars are an empty cell and stay one.
        """
        source = text.encode()
        parts, done = [], 0
        for table in sorted((*taken, *kept), key=lambda table: table.start):
            parts.append(self.bars(source[done : table.start].decode()))
            inside = source[table.start : table.end].decode()
            parts.append(f"{self.table}\n" if table in taken else inside.replace("||", "| |"))
            done = table.end
        return "".join((*parts, self.bars(source[done:].decode())))

    def bars(self, text: str) -> str:
        """The text with its double bars exchanged."""
        return text.replace("||", self.bar * 2)

    def back(self, text: str) -> str:
        """The marks are themselves again."""
        marks = (self.less, self.dollar, self.colon, self.bar, self.star, self.underline, self.tilde)
        return text.translate(str.maketrans("".join(marks), "<$:|*_~"))
