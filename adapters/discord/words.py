"""Untrusted words as Discord takes them for words: escaped, and clipped where no character breaks.

It knows Discord's marks and its mentions, and no markdown of anybody else's.
"""

from __future__ import annotations

from orchestrator.words import units, whole

GAP = "\u200b"
"""A space of no width: it takes apart what Discord would read as one mark."""

_MARKS = {ord(mark): f"\\{mark}" for mark in "\\*_~|<>[]`"}
_OPENS_A_MENTION = ("@", "#", ":", "t:", "a:", "id:")
_EVERYBODY = ("everyone", "here")


def clip(text: str, most: int) -> str:
    """The beginning of a text, with an ellipsis where it was longer."""
    if units(text) <= most:
        return text
    stop = min(len(text), most)
    while units(text[:stop]) > most - 1:
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
