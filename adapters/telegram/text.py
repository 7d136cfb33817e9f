"""What is done to words before Telegram sees them: cleaned, counted as it counts, and kept from being more than words.

It knows no markdown and no message.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import accumulate

WORD_JOINER = "\u2060"
"""Invisible, joins what stands around it, and is no part of a name: behind an @ or a / it leaves plain words."""

_DROP: dict[int, str | None] = {
    **dict.fromkeys([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0)]),  # control
    **dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]),  # bidi and BOM
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),  # half characters that UTF-8 cannot carry
    0x0D: "\n",
    0x2028: "\n",
    0x2029: "\n",
}
_DOUBTFUL = re.compile(f"[{''.join(map(re.escape, map(chr, _DROP)))}]")

_PINGS = re.compile(r"(?<!\w)@(?=[A-Za-z0-9_])|(?<![\w/<>])/(?=[A-Za-z0-9_]+(?![\w/]))")
_TONES = range(0x1F3FB, 0x1F400)
_FLAGS = range(0x1F1E6, 0x1F200)
_ZWJ = "\u200d"
_LONGEST_GRAPHEME = 40


def clean(text: str) -> str:
    """The text without what could lie about it: control characters and those that turn the direction of writing."""
    return text.replace("\r\n", "\n").translate(_DROP) if _DOUBTFUL.search(text) else text


def marked(text: str) -> str:
    """The same for a text whose offsets are already known: each such character shows as one that cannot be shown."""
    return _DOUBTFUL.sub("\ufffd", text)


def pings(text: str) -> Sequence[int]:
    """Behind which characters a word joiner has to stand so that Telegram links no mention and no command.

    A mention would notify people, and a tap on a command would send it in the name of whoever taps.
    """
    return [found.end() for found in _PINGS.finditer(text)]


def calm(text: str) -> str:
    """Plain text in which nothing notifies anybody or sends anything when it is tapped."""
    return _PINGS.sub(lambda found: found[0] + WORD_JOINER, text)


def units(text: str) -> int:
    """The length as Telegram counts: in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def offsets(text: str) -> Sequence[int]:
    """The UTF-16 offset of each character, and of the end."""
    if text.isascii() or max(text, default="") <= "\uffff":
        return range(len(text) + 1)
    return [0, *accumulate(1 if c <= "\uffff" else 2 for c in text)]


def places(text: str) -> Sequence[int]:
    """The character at each UTF-16 offset, and at the end: `offsets` the other way round."""
    if text.isascii() or max(text, default="") <= "\uffff":
        return range(len(text) + 1)
    found: list[int] = []
    for at, c in enumerate(text):
        found.extend([at] if c <= "\uffff" else [at, at])
    return [*found, len(text)]


def between(text: str, at: int) -> int:
    """The last place at or before `at` where a cut parts no letter from its accents and no emoji from its parts."""
    for place in range(at, max(0, at - _LONGEST_GRAPHEME), -1):
        if not _joined(text, place):
            return place
    return at


def _joined(text: str, at: int) -> bool:
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if after.isascii():
        return before == "\r" and after == "\n"
    if _ZWJ in {before, after} or ord(after) in _TONES or unicodedata.category(after) in {"Mn", "Me", "Mc"}:
        return True
    if ord(after) not in _FLAGS:
        return False
    flags = 0
    while flags < at and ord(text[at - 1 - flags]) in _FLAGS:
        flags += 1
    return flags % 2 == 1


def width(text: str) -> int:
    """How many columns a text takes in a typeface of equal widths: Chinese characters and emoji take two."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(c: str) -> int:
    if c == _ZWJ or unicodedata.category(c) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(c) in {"W", "F"} else 1
