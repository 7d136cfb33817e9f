"""What a text consists of once it is parsed: prose and code, each of which can be written for Discord and cut.

A block is written anew for every message that it is in, so that whatever it opens it also closes. It knows no parser.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from adapters.discord import links
from adapters.discord.words import GAP, escaped
from orchestrator.words import units, whole

BOLD, ITALIC, STRIKE, CODE = "**", "_", "~~", "`"


@dataclass(frozen=True, slots=True)
class Span:
    """Words with the marks around them, outermost first; a mark that is none of the four is the address of a link."""

    text: str
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prose:
    """A paragraph, heading or list item. `lead` stands before its first line, `rest` before each other one.

    `gap`: newlines between the block before it and this one.
    """

    spans: tuple[Span, ...]
    lead: str = ""
    rest: str = ""
    gap: int = 2

    def __len__(self) -> int:
        return sum(len(span.text) for span in self.spans)

    def __str__(self) -> str:
        lines = [line.rstrip() for line in written(self.spans).strip("\n").split("\n")]
        return (self.lead + f"\n{self.rest}".join(lines)).rstrip()

    def part(self, start: int, stop: int) -> Prose:
        """The words between two places, as a block of their own."""
        return replace(self, spans=tuple(_part(self.spans, start, stop)), lead=self.rest if start else self.lead)

    def words(self) -> str:
        """Its words without any mark."""
        return "".join(span.text for span in self.spans)

    def plain(self) -> Prose:
        """The same words without any mark, for a place that is too narrow for them."""
        return replace(self, spans=(Span(self.words()),), lead="", rest="")


@dataclass(frozen=True, slots=True)
class Code:
    """Lines in a fixed-width font, as they are."""

    body: str
    language: str = ""
    gap: int = 1

    def __len__(self) -> int:
        return len(self.body)

    def __str__(self) -> str:
        body = _without_fences(self.body) if self.body.strip("\n") else GAP  # Discord knows no empty block
        return f"```{self.language}\n{body}\n```"

    def part(self, start: int, stop: int) -> Code:
        """The characters between two places, as a block of their own."""
        return replace(self, body=self.body[start:stop])

    def words(self) -> str:
        """What stands in it."""
        return self.body

    def plain(self) -> Code:
        """The same code without its language, for a place that is too narrow for it."""
        return replace(self, language="")


Block = Prose | Code


def _without_fences(body: str) -> str:
    return body.replace("``", f"`{GAP}`") if "```" in body else body


def _part(spans: Sequence[Span], start: int, stop: int) -> Iterator[Span]:
    at = 0
    for span in spans:
        text = span.text[max(0, start - at) : max(0, stop - at)]
        at += len(span.text)
        if text:
            yield Span(text, span.marks)
        if at >= stop:
            return


# --- writing --------------------------------------------------------------------------------------------------------


def written(spans: Sequence[Span], depth: int = 0) -> str:
    """The words with Discord's marks around them."""
    if len(spans) == 1 and len(spans[0].marks) == depth:
        return escaped(spans[0].text)
    out = ""
    for mark, group in groupby(spans, lambda span: span.marks[depth] if len(span.marks) > depth else ""):
        inside = list(group)
        if not mark:
            piece = escaped("".join(span.text for span in inside))
        elif mark == CODE:
            piece = _code("".join(span.text for span in inside))
        elif mark in {BOLD, ITALIC, STRIKE}:
            piece = _marked(mark, inside, depth)
        else:
            piece = _linked(mark, inside, depth)
        if out.endswith(":") and not piece[:1].isspace():
            out = out[:-1] + "\\:"  # an emoji's name might end in an address
        out += _between(out, piece) + piece
    return out


def _marked(mark: str, spans: Sequence[Span], depth: int) -> str:
    inside = written(spans, depth + 1)
    core = inside.strip()
    verbatim = "".join(part for span in spans for part in _verbatim(span))
    if mark == ITALIC and "_" in verbatim:
        mark = "*" if "*" not in inside else ""
    if not core or not mark or mark in verbatim:
        return inside
    before, _, after = inside.partition(core)
    return f"{before}{mark}{core}{mark}{after}"


def _verbatim(span: Span) -> Iterator[str]:
    """What Discord would look for a mark's end in, although it stands in code or in an address."""
    for mark in span.marks:
        if mark == CODE:
            yield span.text
        elif mark not in {BOLD, ITALIC, STRIKE}:
            yield mark


def _code(text: str) -> str:
    """Words in a fixed-width font. No three backticks are ever written in a row: they would open a block."""
    text = " ".join(text.split("\n"))
    if not text.strip():
        return text
    if "`" not in text:
        return f"`{text}`"
    for _ in range(2):  # the first round leaves pairs of an odd run's last
        text = text.replace("``", f"`{GAP}`")
    return f"`` {text} ``"


def _linked(address: str, spans: Sequence[Span], depth: int) -> str:
    words = "".join(span.text for span in spans)
    target = links.written(address)
    if not words.strip() or links.says(words, address):
        return target
    if links.could_deceive(words):
        return f"{escaped(words)} ({target})"
    return f"[{written(spans, depth + 1).strip()}]({target})".replace("\n", " ")


def _between(before: str, after: str) -> str:
    """What keeps two pieces apart that would otherwise be read as one mark."""
    if not before or not after:
        return ""
    last, first = before[-1], after[0]
    if last == first and first in "*_~`":
        return GAP
    if "_" in {last, first} and (last == "~" or _is_word(first if last == "_" else last)):
        return GAP
    return ""


def _is_word(character: str) -> bool:
    return character.isascii() and character.isalnum()


# --- cutting --------------------------------------------------------------------------------------------------------


def head(block: Block, room: int) -> tuple[Block | None, Block | None]:
    """As much of a block's beginning as there is room for, and the rest."""
    near = block.part(0, room)  # what is written is never shorter than its words
    low, high = 0, len(near)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if units(str(near.part(0, middle))) <= room else (low, middle - 1)
    words = block.words()
    stop = _good_stop(words, low)
    while stop and units(str(near.part(0, stop))) > room:
        stop = whole(words, stop - 1)
    if not stop:
        return None, block
    return near.part(0, stop), _rest(block, stop)


def tail(block: Block, room: int) -> Block | None:
    """As much of a block's end as there is room for."""
    length = len(block)
    if room < length:
        block, length = block.part(length - room, length), room
    low, high = 0, length
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if units(str(block.part(middle, length))) <= room else (middle + 1, high)
    start = _good_start(block.words(), low)
    while start < length and units(str(block.part(start, length))) > room:
        start += 1
    return block.part(start, length) if start < length else None


def _rest(block: Block, start: int) -> Block | None:
    words = block.words()
    if isinstance(block, Prose):
        start += len(words) - start - len(words[start:].lstrip())
    elif words[start : start + 1] == "\n":
        start += 1
    return block.part(start, len(words)) if start < len(words) else None


def _good_stop(words: str, most: int) -> int:
    """A place to cut, not after `most`: at a line's end, or a word's, or at least not inside a character."""
    if most >= len(words):
        return most
    for mark, least in (("\n", most // 2), (" ", most * 2 // 3)):
        found = words.rfind(mark, least, most + 1)
        if found > 0:
            return found
    return whole(words, most)


def _good_start(words: str, least: int) -> int:
    """A place to begin, not before `least`."""
    left = len(words) - least
    for mark, most in (("\n", least + left // 2), (" ", least + left // 3)):
        found = words.find(mark, max(0, least - 1), most)
        if found >= 0:
            return found + 1
    start = least
    while start < len(words) and whole(words, start) != start:
        start += 1
    return start
