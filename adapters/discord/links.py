"""Addresses: which of them Discord may make a link of, and which words must not stand in front of one.

Only http and https become links. Words that look like an address of their own never hide another one.
"""

from __future__ import annotations

import unicodedata

SAFE = ("http://", "https://")

LONGEST = 1000
"""Characters of an address that is made a link; a longer one is words, which can be cut."""

_ENDS = ".,:;!?'\"*_~"
_PAIRS = {")": "(", "]": "["}
_STOPS = frozenset('<>`"|\\')
_QUOTED = {ord(mark): f"%{ord(mark):02X}" for mark in "()<>\\|`[]\"' \n\t"}
_DOTS = {ord(mark): "." for mark in "。．｡․"}


def is_safe(address: str) -> bool:
    """Whether it may be followed at all."""
    return address.lower().startswith(SAFE)


def written(address: str) -> str:
    """The address as a link without a preview, or nothing when it cannot be one."""
    if not is_safe(address):
        return ""
    scheme, _, rest = address.partition("://")
    quoted = rest.translate(_QUOTED)
    if rest.startswith("["):  # the one place where brackets must stay: an IPv6 host
        host, closed, path = rest.partition("]")
        quoted = host + closed + path.translate(_QUOTED) if closed else quoted
    whole = f"<{scheme}://{quoted}>"
    return whole if rest and whole.isprintable() and len(whole) <= LONGEST else ""


def says(words: str, address: str) -> bool:
    """Whether the words are the address itself."""
    words, address = words.strip(), address.rstrip("/")
    return words.rstrip("/") in {address, address.partition("://")[2]}


def could_deceive(words: str) -> bool:
    """Whether a person could take the words for an address, or Discord the brackets in them for the link's own."""
    if "[" in words or "]" in words:
        return True
    plain = "".join(c for c in unicodedata.normalize("NFKC", words) if unicodedata.category(c) != "Cf")
    return "://" in plain or any(map(_is_like_a_host, plain.translate(_DOTS).split()))


def _is_like_a_host(word: str) -> bool:
    name = word.strip("\"'()<>{},;:!?").partition("/")[0].partition("?")[0].rpartition("@")[2].partition(":")[0]
    before, dot, last = name.rstrip(".").rpartition(".")
    return bool(before.strip(".") and dot) and len(last) >= 2 and any(c.isalpha() for c in last)


def end_of(text: str, start: int, most: int) -> int:
    """Where an address ends: not with the sentence's punctuation, and not with a bracket that it did not open."""
    end = start
    most = min(most, start + 2 * LONGEST)
    while end < most and not text[end].isspace() and text[end] not in _STOPS:
        end += 1
    while end > start:
        last = text[end - 1]
        opener = _PAIRS.get(last)
        unopened = opener is not None and text.count(last, start, end) > text.count(opener, start, end)
        if last not in _ENDS and not unopened:
            break
        end -= 1
    return end
