"""Untrusted words as Discord takes them for words: cleaned, escaped, measured and cut where no character breaks.

It knows Discord's marks and its mentions, and no markdown of anybody else's.
"""

from __future__ import annotations

import unicodedata

GAP = "\u200b"
"""A space of no width: it takes apart what Discord would read as one mark."""

_DROP: dict[int, str | None] = {
    **dict.fromkeys([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0)]),  # control
    **dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]),  # bidi and BOM
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),  # half characters that UTF-8 cannot carry
    0x0D: "\n",
    0x2028: "\n",
    0x2029: "\n",
}

_MARKS = {ord(mark): f"\\{mark}" for mark in "\\*_~|<>[]`"}
_OPENS_A_MENTION = ("@", "#", ":", "t:", "a:", "id:")
_EVERYBODY = ("everyone", "here")
_JOINER = "\u200d"
_LONGEST_CHARACTER = 64
"""Code points that are looked at for where a character begins; a longer one is cut."""


def clean(text: str) -> str:
    """The text without what could lie about it: control characters and those that turn the direction of writing."""
    return text.replace("\r\n", "\n").translate(_DROP)


def size(text: str) -> int:
    """How long Discord finds it, in UTF-16 units: never less than in characters."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def clip(text: str, most: int) -> str:
    """The beginning of a text, with an ellipsis where it was longer."""
    if size(text) <= most:
        return text
    stop = min(len(text), most)
    while size(text[:stop]) > most - 1:
        stop -= 1
    return text[: whole(text, stop)] + "…"


def escaped(text: str) -> str:
    """Words in which Discord finds no mark, no mention, no emoji and no address; the text is clean already."""
    if "<" in text:
        text = _without_mentions(text)
    if "@" in text:
        text = _without_everybody(text)
    text = text.translate(_MARKS)
    if ":" in text:
        text = _without_colons(text)
    return "\n".join(map(_line_start, text.split("\n")))


def _without_mentions(text: str) -> str:
    first, *others = text.split("<")
    return first + "".join(f"<{GAP}{rest}" if _is_mention(rest) else f"<{rest}" for rest in others)


def _is_mention(rest: str) -> bool:
    """Whether what follows a `<` could be a person, a role, a channel, an emoji, a time or a command."""
    return rest[:3].lower().startswith(_OPENS_A_MENTION) or (rest.startswith("/") and ":" in rest.partition(">")[0])


def _without_everybody(text: str) -> str:
    first, *others = text.split("@")
    return first + "".join(
        f"@{GAP}{rest}" if rest[:8].lower().startswith(_EVERYBODY) else f"@{rest}" for rest in others
    )


def _without_colons(text: str) -> str:
    """Neither `://`, which is made a link and fetched, nor `:smile:`, be it that the words after these hold its end."""
    first, *others = text.split(":")
    parts = [first]
    for left, word in enumerate(others, 1 - len(others)):
        is_name = word.split(None, 1) == [word] if word else left < 0
        parts += ("\\:" if is_name or word.startswith("//") else ":", word)
    return "".join(parts)


def _line_start(line: str) -> str:
    """A line that begins no heading, list or small print."""
    bare = line.lstrip(" \t")
    if bare[:1] in {"#", "-", "+"}:
        return f"{line[: len(line) - len(bare)]}\\{bare}"
    if bare[:1].isdigit():
        number = len(bare) - len(bare.lstrip("0123456789"))
        if bare[number : number + 1] in {".", ")"}:
            at = len(line) - len(bare) + number
            return f"{line[:at]}\\{line[at:]}"
    return line


def width(text: str) -> int:
    """How many columns it takes in a fixed-width font."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def whole(text: str, at: int) -> int:
    """The nearest place at or before `at` where a cut goes through no character that people see as one."""
    lowest = max(0, at - _LONGEST_CHARACTER)
    for place in range(at, lowest, -1):
        if not _is_inside(text, place):
            return place
    return at if lowest else 0


def _is_inside(text: str, at: int) -> bool:
    if at <= 0 or at >= len(text):
        return False
    before, after = text[at - 1], text[at]
    if before.isascii() and after.isascii():
        return False
    if _JOINER in {before, after} or _is_skin(after):
        return True
    if unicodedata.category(after) in {"Mn", "Mc", "Me"}:
        return True
    return _is_flag(before) and _is_flag(after) and _flags_before(text, at) % 2 == 1


def _flags_before(text: str, at: int) -> int:
    count = 0
    while at - count > 0 and count < _LONGEST_CHARACTER and _is_flag(text[at - count - 1]):
        count += 1
    return count


def _is_skin(character: str) -> bool:
    return "\U0001f3fb" <= character <= "\U0001f3ff"


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
