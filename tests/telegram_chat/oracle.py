"""What Telegram takes and what it would make of it, written from the Bot API's rules and from nothing of ours.

It answers with sentences, one for each fault; no sentence is a good message.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from telegram import InlineKeyboardMarkup, MessageEntity

STYLES = {"bold", "italic", "underline", "strikethrough", "spoiler"}
QUOTES = {"blockquote", "expandable_blockquote"}
OURS = STYLES | QUOTES | {"code", "pre", "text_link", "date_time"}
FIELDS = {"text_link": {"url"}, "pre": {"language"}, "date_time": {"unix_time", "date_time_format"}}
BIDI = {"\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)), "\ufeff"}
MENTION = re.compile(r"(?<!\w)@[A-Za-z0-9_]")
COMMAND = re.compile(r"(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/<>])")


# --- a message ------------------------------------------------------------------------------------------------------


def faults(text: str, entities: Sequence[MessageEntity]) -> list[str]:
    """What Telegram would refuse, drop or misread in a message."""
    found = _text_faults(text)
    size = len(text.encode("utf-16-le", "surrogatepass")) // 2
    if size > 4096:
        found.append(f"too long: {size} units")
    if len(entities) > 100:
        found.append(f"too many entities: {len(entities)}")
    plain = [json.loads(entity.to_json()) for entity in entities]
    edges = _edges(text)
    for entity in plain:
        found += _entity_faults(entity, size, edges)
    found += _nesting_faults(plain)
    return found + _link_faults(text, plain)


def covered(text: str, entity: dict[str, Any] | MessageEntity) -> str:
    """The words that an entity covers."""
    start, length = (
        (entity.offset, entity.length)
        if isinstance(entity, MessageEntity)
        else (int(entity["offset"]), int(entity["length"]))
    )
    return text.encode("utf-16-le")[start * 2 : (start + length) * 2].decode("utf-16-le", "replace")


def _text_faults(text: str) -> list[str]:
    found = [] if text.strip() else ["nothing to see"]
    for c in sorted(set(text)):
        if 0xD800 <= ord(c) <= 0xDFFF:
            found.append("half a character")
        elif c in BIDI or (unicodedata.category(c) == "Cc" and c not in "\n\t"):
            found.append(f"a character that lies: {c!r}")
    return found


def _edges(text: str) -> set[int]:
    """The offsets between characters; the others are inside of a surrogate pair."""
    edges, at = {0}, 0
    for c in text:
        at += 2 if ord(c) > 0xFFFF else 1
        edges.add(at)
    return edges


def _entity_faults(entity: dict[str, Any], size: int, edges: set[int]) -> list[str]:
    kind, start, end = entity["type"], entity["offset"], entity["offset"] + entity["length"]
    found = []
    if kind not in OURS:
        found.append(f"no entity of ours: {kind}")
    if not 0 <= start < end <= size:
        found.append(f"out of range: {entity}")
    if not {start, end} <= edges:
        found.append(f"inside of a surrogate pair: {entity}")
    if extra := set(entity) - {"type", "offset", "length"} - FIELDS.get(kind, set()):
        found.append(f"fields that do not belong to {kind}: {extra}")
    if kind == "text_link" and not re.match(r"https?://[^\s/]*[.:][^\s]*$", entity["url"], re.IGNORECASE):
        found.append(f"a link that is none: {entity['url']!r}")
    if kind == "pre" and not re.fullmatch(r"\S{1,64}", entity.get("language", "x")):
        found.append(f"a language that is none: {entity['language']!r}")
    if kind == "date_time" and (not isinstance(entity["unix_time"], int) or entity["date_time_format"] != "r"):
        found.append(f"a time that is none: {entity}")
    return found


def _nesting_faults(entities: Sequence[dict[str, Any]]) -> list[str]:
    found = []
    order = [(entity["offset"], -entity["length"]) for entity in entities]
    if order != sorted(order):
        found.append("not sorted")
    for number, one in enumerate(entities):
        end = one["offset"] + one["length"]
        for other in entities[number + 1 :]:
            if other["offset"] >= end:
                break
            if other["offset"] + other["length"] > end:
                found.append(f"crossing: {one} {other}")
            elif not _may_hold(one["type"], other["type"]):
                found.append(f"{one['type']} holds {other['type']}")
    return found


def _may_hold(outer: str, inner: str) -> bool:
    if outer in {"code", "pre"} or outer == inner:
        return False
    if inner in {"code", "pre"}:
        return outer in QUOTES
    if inner in QUOTES:
        return outer in STYLES
    return outer in STYLES | QUOTES or inner in STYLES


def _link_faults(text: str, entities: Sequence[dict[str, Any]]) -> list[str]:
    """Mentions that would notify somebody, commands that a tap would send."""
    shut = [
        range(entity["offset"], entity["offset"] + entity["length"])
        for entity in entities
        if entity["type"] in {"code", "pre", "text_link"}
    ]
    found = []
    for what, pattern in (("mention", MENTION), ("command", COMMAND)):
        for match in pattern.finditer(text):
            at = len(text[: match.start()].encode("utf-16-le")) // 2
            if not any(at in place for place in shut):
                found.append(f"a {what}: {text[match.start() : match.start() + 20]!r}")
    return found


def keyboard_faults(markup: InlineKeyboardMarkup) -> list[str]:
    """What Telegram would refuse in a keyboard."""
    lines = markup.to_dict()["inline_keyboard"]
    found = [f"{len(line)} beside each other" for line in lines if not 1 <= len(line) <= 8]
    taps = [tap for line in lines for tap in line]
    if len(taps) > 100:
        found.append(f"{len(taps)} buttons")
    for tap in taps:
        if not 1 <= len(tap["callback_data"].encode()) <= 64:
            found.append(f"data of {len(tap['callback_data'].encode())} bytes")
        if set(tap) - {"text", "callback_data", "style"} or tap.get("style", "danger") not in {"danger", "success"}:
            found.append(f"fields: {tap}")
        found += _text_faults(tap["text"])
    return found


# --- what must be seen ----------------------------------------------------------------------------------------------


def letters(text: str) -> Counter[str]:
    """Letters and digits, which no rendering may lose."""
    return Counter(c for c in text if c.isalnum())


def visible(markdown: str) -> tuple[str, list[str]]:
    """What another parser would show of a text (addresses of links are not), and the bodies of its blocks of code."""
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.disable("reference")
    parser.validateLink = lambda url: isinstance(url, str)  # type: ignore[method-assign]  # any link has words
    tokens = parser.parse(markdown)
    bodies = [token.content.removesuffix("\n") for token in tokens if token.type in {"fence", "code_block"}]
    for item, before, token in zip(tokens, tokens[1:], tokens[2:], strict=False):
        begins = before.hidden or item.type == "list_item_open"  # the paragraphs of a loose list are not hidden
        if before.type == "paragraph_open" and begins and token.children:  # a task's box is drawn
            token.children[0].content = token.children[0].content.removeprefix("[x]").removeprefix("[X]")
    return " ".join(_words(tokens)), [body for body in bodies if body.strip()]


def _words(tokens: Iterable[Token]) -> Iterable[str]:
    for token in tokens:
        if token.type in {"fence", "code_block", "code_inline", "text"}:
            yield token.content
        elif token.children:
            yield from _words(token.children)


# --- a rich message -------------------------------------------------------------------------------------------------

_VOID = {"br", "hr"}
_BLOCKS = {
    "p",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "pre",
    "blockquote",
    "ul",
    "ol",
    "li",
    "table",
    "tr",
    "details",
    "hr",
}
_TAGS = {
    **dict.fromkeys(_BLOCKS | {"b", "i", "s", "code", "br", "summary"}, frozenset[str]()),
    "ol": {"start"},
    "code": {"class"},
    "th": {"align"},
    "td": {"align"},
    "a": {"href"},
    "tg-time": {"unix", "format"},
}


class _Rich(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.found: list[str] = []
        self.words: list[str] = []
        self.loose: list[str] = []
        self.blocks = self.cells = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS or {name for name, _ in attrs} - set(_TAGS[tag]):
            self.found.append(f"a tag that is not ours: <{tag} {attrs}>")
        if tag == "a" and not re.match(r"https?://[^\s/]*[.:]", dict(attrs).get("href") or "", re.IGNORECASE):
            self.found.append(f"a link that is none: {attrs}")
        if tag in _BLOCKS and set(self.open) & {"p", "pre", "b", "i", "s", "a", "code"}:
            self.found.append(f"<{tag}> inside of {self.open}")
        if tag == "a" and "a" in self.open:
            self.found.append("a link in a link")
        self.blocks += tag in _BLOCKS
        self.cells = 0 if tag == "tr" else self.cells + (tag in {"td", "th"})
        if self.cells > 20:
            self.found.append("too many columns")
        if tag not in _VOID:
            self.open.append(tag)
            if len(self.open) > 16:
                self.found.append("nested too deep")

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.found.append(f"</{tag}> closes nothing")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if not set(self.open) & {"pre", "code", "a"}:
            self.loose.append(data)


def rich_faults(html: str) -> tuple[list[str], str]:
    """What Telegram would refuse in a rich message, and the words that it shows."""
    parser = _Rich()
    parser.feed(html)
    parser.close()
    words = "".join(parser.words)
    found = [*parser.found, *_text_faults(words)]
    if parser.open:
        found.append(f"left open: {parser.open}")
    if len(html.encode()) > 32768:
        found.append(f"too long: {len(html.encode())} bytes")
    if parser.blocks > 500:
        found.append(f"too many blocks: {parser.blocks}")
    found += [f"a mention: {data!r}" for data in parser.loose if MENTION.search(data)]
    found += [f"a command: {data!r}" for data in parser.loose if COMMAND.search(data)]
    return found, words
