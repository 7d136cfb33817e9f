"""What is done to words before Telegram sees them: placed as it counts, and kept from being more than words.

It knows no markdown and no message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate
from string import punctuation

from orchestrator.words import DOUBTFUL

WORD_JOINER = "\u2060"
"""Invisible, joins what stands around it, and is no part of a name: behind an @ or a / it leaves plain words."""

_PINGS = re.compile(r"(?<!\w)@(?=[A-Za-z0-9_])|(?<![\w/<>])/(?=[A-Za-z0-9_]+(?![\w/]))")


def marked(text: str) -> str:
    """The same for a text whose offsets are already known: each such character shows as one that cannot be shown."""
    return DOUBTFUL.sub("\ufffd", text)


def pings(text: str) -> Sequence[int]:
    """Behind which characters a word joiner has to stand so that Telegram links no mention and no command.

    A mention would notify people, and a tap on a command would send it in the name of whoever taps.
    """
    return [found.end() for found in _PINGS.finditer(text)]


def calm(text: str) -> str:
    """Plain text in which nothing notifies anybody or sends anything when it is tapped."""
    return _PINGS.sub(lambda found: found[0] + WORD_JOINER, text)


def literally(text: str) -> str:
    """Words of a name as markdown that shows them as they are, on one line."""
    return "".join(f"\\{c}" if c in punctuation else c for c in " ".join(text.split()))


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
