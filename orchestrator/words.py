"""Words of anybody, before an adapter writes them anywhere: cleaned, measured, and cut where no character breaks.

It knows no markdown and no platform; what a platform takes for a mark is the adapter's to know.
"""

from __future__ import annotations

import re
import unicodedata

DROPPED: dict[int, str | None] = {
    **dict.fromkeys([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0)]),  # control
    **dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]),  # bidi and BOM
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),  # half characters that UTF-8 cannot carry
    0x0D: "\n",
    0x2028: "\n",
    0x2029: "\n",
}
"""What could lie about a text, and what stands there instead."""

DOUBTFUL = re.compile(f"[{''.join(map(re.escape, map(chr, DROPPED)))}]")

_JOINER = "\u200d"
_TONES = range(0x1F3FB, 0x1F400)
_FLAGS = range(0x1F1E6, 0x1F200)
_LONGEST_CHARACTER = 64
"""Code points that are looked at for where a character begins; a longer one is cut."""


def clean(text: str) -> str:
    """The text without what could lie about it: control characters and those that turn the direction of writing."""
    return text.replace("\r\n", "\n").translate(DROPPED) if DOUBTFUL.search(text) else text


def units(text: str) -> int:
    """The length in UTF-16 units, as platforms count."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def width(text: str) -> int:
    """How many columns a text takes in a typeface of equal widths: Chinese characters and emoji take two."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def whole(text: str, at: int) -> int:
    """The last place at or before `at` where a cut parts no letter from its accents and no emoji from its parts."""
    lowest = max(0, at - _LONGEST_CHARACTER)
    for place in range(at, lowest, -1):
        if not _is_inside(text, place):
            return place
    return at if lowest else 0


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _is_inside(text: str, at: int) -> bool:
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if after.isascii():
        return before == "\r" and after == "\n"
    if _JOINER in {before, after} or ord(after) in _TONES or unicodedata.category(after) in {"Mn", "Mc", "Me"}:
        return True
    return ord(before) in _FLAGS and ord(after) in _FLAGS and _flags_before(text, at) % 2 == 1


def _flags_before(text: str, at: int) -> int:
    count = 0
    while count < min(at, _LONGEST_CHARACTER) and ord(text[at - count - 1]) in _FLAGS:
        count += 1
    return count
