"""Untrusted GitHub markdown as a flat list of blocks. A parser reads it once; nothing here looks for marks by itself.

It knows no message and no limit: `blocks` says how a block is written, `pack` how blocks become messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import structlog
from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from adapters.discord import links, tables
from adapters.discord.blocks import BOLD, CODE, ITALIC, STRIKE, Block, Code, Prose, Span
from orchestrator.words import clean

log = structlog.get_logger(__name__)

LONGEST = 50_000
"""Characters of a text that are parsed; a longer one is shown as it is, and anyway as a file."""

MOST_BRACKETS = 2000
"""A text with more opening brackets is shown as it is: the parser would look from each one to the end, for seconds."""

DEEPEST = 60
"""Quotes and lists nested deeper than this are shown as plain text: the parser would leave their words out."""

RULE = "──────────"
_DEEPEST_INDENT = 20
_LEVELS = 3
_MARKS = {"strong_open": BOLD, "em_open": ITALIC, "s_open": STRIKE}
_LANGUAGE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789+-_.#")


def parsed(text: str) -> tuple[Block, ...]:
    """The blocks of a text, in order; of one that the parser does not bear, its words as they are."""
    text = clean(text)
    if len(text) <= LONGEST and text.count("[") <= MOST_BRACKETS:
        try:
            tokens = _PARSER.parse(text)
            if max((token.level for token in tokens), default=0) < DEEPEST - 2:
                return tuple(_Walk().blocks(tokens))
        except Exception:  # a text that trips the parser must not take the message down; it is shown as it is
            log.exception("markdown not parsed", size=len(text))
    return verbatim(text)


def verbatim(text: str) -> tuple[Block, ...]:
    """Words as they are, whatever they look like."""
    return (Prose((Span(text),)),) if text.strip() else ()


@dataclass(slots=True)
class _Item:
    """A list item that is being read. `marker` stands before its first line and is then spent."""

    width: int
    marker: str


@dataclass(slots=True)
class _Walk:
    """One way through the tokens, knowing in which quotes and lists it is."""

    quotes: int = 0
    items: list[_Item] = field(default_factory=list)
    close: bool = True  # the next block follows the one before without an empty line

    def blocks(self, tokens: Sequence[Token]) -> Iterator[Block]:
        at = 0
        while at < len(tokens):
            token = tokens[at]
            match token.type:
                case "blockquote_open":
                    self.quotes += 1
                case "blockquote_close":
                    self.quotes -= 1
                    self.close = self.quotes > 0
                case "bullet_list_open" | "ordered_list_open":
                    yield from self._spent_marker()
                    self.close = True
                case "bullet_list_close" | "ordered_list_close":
                    self.close = bool(self.items)
                case "list_item_open":
                    self._open_item(token.info)
                case "list_item_close":
                    yield from self._spent_marker()
                    self.items.pop()
                case "heading_open":
                    yield from self._heading(int(token.tag[1]), list(_spans(tokens[at + 1])))
                case "paragraph_open":
                    yield self._paragraph(tokens[at + 1])
                case "fence" | "code_block":
                    yield from self._spent_marker()
                    yield Code(token.content.removesuffix("\n"), _language(token.info))
                    self.close = True
                case "hr":
                    yield self._prose((Span(RULE),))
                case "table_open":
                    yield from self._spent_marker()
                    end = next(i for i in range(at, len(tokens)) if tokens[i].type == "table_close")
                    yield from self._table(tokens[at:end])
                    at = end
                case _:
                    pass
            at += 1

    def _open_item(self, number: str) -> None:
        marker = f"{number}. " if number else "- "
        self.items.append(_Item(len(marker), marker))

    def _spent_marker(self) -> Iterator[Block]:
        """The number of an item that does not begin with words."""
        if self.items and self.items[-1].marker:
            if self.items[-1].marker != "- ":
                yield self._prose((Span(""),))
            self.items[-1].marker = ""

    def _heading(self, level: int, words: Sequence[Span]) -> Iterator[Prose]:
        if not any(span.text.strip() for span in words):
            return
        spans = [replace(span, text=span.text.replace("\n", " ")) for span in words]
        if level > _LEVELS or self.items:
            block = self._prose(tuple(_bold(spans)))
        else:
            block = self._prose(tuple(spans))
            mark = "#" * level + " "
            block = replace(block, lead=block.lead + mark, rest=block.rest + mark)
        yield block
        self.close = True

    def _paragraph(self, inline: Token) -> Prose:
        spans = list(_spans(inline))
        if self.items and self.items[-1].marker and spans and spans[0].text[:4] in {"[ ] ", "[x] ", "[X] "}:
            first = spans[0]
            spans[0] = replace(first, text=("☐ " if first.text[1] == " " else "☑ ") + first.text[4:])
        return self._prose(tuple(spans))

    def _prose(self, spans: tuple[Span, ...]) -> Prose:
        """A block where the walk now is."""
        quote = "> " if self.quotes else ""
        outer = sum(item.width for item in self.items[:-1])
        inner = outer + (self.items[-1].width if self.items else 0)
        marker = self.items[-1].marker if self.items else ""
        rest = quote + " " * min(inner, _DEEPEST_INDENT)
        lead = quote + " " * min(outer, _DEEPEST_INDENT) + marker if marker else rest
        block = Prose(spans, lead, rest, 1 if self.close or self.items else 2)
        if marker:
            self.items[-1].marker = ""
        self.close = self.quotes > 0
        return block

    def _table(self, tokens: Sequence[Token]) -> Iterator[Block]:
        rows: list[list[tuple[Span, ...]]] = []
        aligns: list[str] = []
        for token in tokens:
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "th_open":
                aligns.append(str(token.attrs.get("style", "")).rpartition(":")[2])
            elif token.type == "inline":
                rows[-1].append(tuple(_spans(token)))
        drawn = tables.drawn(rows, aligns)
        if drawn:
            yield Code(drawn)
        else:
            for spans in tables.listed(rows):
                block = self._prose(spans)
                yield replace(block, lead=block.lead + "- ", rest=block.rest + "  ", gap=1)
        self.close = bool(drawn)


def _language(info: str) -> str:
    """The name of a language as Discord reads one, or nothing."""
    word = (info.split() or [""])[0].lower()
    return word if len(word) <= 30 and _LANGUAGE.issuperset(word) else ""


def _bold(spans: Iterable[Span]) -> Iterator[Span]:
    for span in spans:
        yield replace(span, marks=(BOLD, *(mark for mark in span.marks if mark != BOLD)))


# --- within a paragraph ---------------------------------------------------------------------------------------------


def _spans(inline: Token) -> Iterator[Span]:
    """The words of a paragraph, neighbours with the same marks as one."""
    text: list[str] = []
    marks: tuple[str, ...] = ()
    for span in _inline(inline.children or ()):
        if span.marks != marks and text:
            yield Span("".join(text), marks)
            text = []
        marks = span.marks
        text.append(span.text)
    if text:
        yield Span("".join(text), marks)


def _inline(tokens: Iterable[Token]) -> Iterator[Span]:
    stack: list[str] = []  # what is open; a link that may not be one is open as nothing
    link: tuple[str, list[str]] | None = None  # the address of the open link and the words in it
    for token in tokens:
        marks = tuple(dict.fromkeys(filter(None, stack)))
        match token.type:
            case "strong_open" | "em_open" | "s_open":
                stack.append(_MARKS[token.type])
            case "link_open":
                link = (str(token.attrs.get("href", "")), [])
                stack.append(link[0] if links.written(link[0]) else "")
            case "link_close":
                address, words = link or ("", [])
                link = None
                yield from _target(address, "".join(words), marks, followed=bool(stack.pop()))
            case "strong_close" | "em_close" | "s_close":
                stack.pop()
            case "image":
                yield from _image(token, marks, inside=link is not None)
            case "softbreak" | "hardbreak":
                yield Span("\n", marks)
            case "code_inline":
                yield Span(token.content, (*marks, CODE))
            case _:
                yield Span(token.content, marks)
        if link:
            link[1].append(token.content)


def _target(address: str, words: str, marks: tuple[str, ...], *, followed: bool) -> Iterator[Span]:
    """Where a link goes, when nobody could see it otherwise."""
    if not words.strip():
        yield Span(address, marks)
    elif not followed and address and address != words:
        yield Span(f" ({address})", marks)


def _image(token: Token, marks: tuple[str, ...], *, inside: bool) -> Iterator[Span]:
    """A picture is a link to it: nobody's client fetches it unasked."""
    source = str(token.attrs.get("src", ""))
    label = token.content or source
    if inside:
        yield Span(label, marks)
    elif links.written(source):
        yield Span(label, (*marks, source))
    else:
        yield Span(label if label == source else f"{label} ({source})", marks)


def _address(state: StateInline, silent: bool) -> bool:  # noqa: FBT001  # a rule is called so
    """`https://…` in the middle of words, whole: the stars and underscores in it are no marks."""
    if not state.src.startswith("://", state.pos) or state.linkLevel > 0:
        return False
    scheme = next((name for name in ("https", "http") if state.pending.lower().endswith(name)), "")
    end = links.end_of(state.src, state.pos + 3, state.posMax) if scheme else 0
    if end <= state.pos + 3:
        return False
    if not silent:
        state.pending = state.pending[: -len(scheme)]
        address = state.src[state.pos - len(scheme) : end]
        state.push("link_open", "a", 1).attrs = {"href": address}
        state.push("text", "", 0).content = address
        state.push("link_close", "a", -1)
    state.pos = end
    return True


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": DEEPEST})
    parser.enable(["table", "strikethrough"])
    parser.disable(["reference", "html_inline", "html_block"])  # `[note]: words` would vanish
    parser.inline.ruler.before("escape", "address", _address)
    parser.validateLink = lambda url: isinstance(url, str)  # type: ignore[method-assign]  # `_inline` tells them apart
    return parser


_PARSER = _parser()
