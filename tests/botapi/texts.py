"""Text with its marks, as the platform takes it: measured in UTF-16, trimmed, and with ranges that make sense.

It knows no messages. Where the platform would drop a mark without a word, it raises `Careless`.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

from tests.botapi.refusal import Careless, Json, Refusal, bad

MOST_TEXT = 4096
MOST_CAPTION = 1024
MOST_ENTITIES = 100
ALONE = frozenset({"pre", "code"})
QUOTES = frozenset({"blockquote", "expandable_blockquote"})
SIMPLE = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "tg-spoiler": "spoiler", "code": "code",
    "pre": "pre", "blockquote": "blockquote", "a": "text_link", "span": "spoiler", "tg-emoji": "custom_emoji",
}  # fmt: skip
STRAY = re.compile(r"<(?!/?[a-zA-Z])")
KNOWN = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}


class TooLong(Refusal):
    """More text than there may be."""


def units(text: str) -> int:
    """The length as the platform counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def taken(text: str, entities: list[Json] | None, parse_mode: str | None, *, most: int) -> tuple[str, list[Json]]:
    """The text and its marks as they will stand, or a refusal."""
    if parse_mode and parse_mode.lower() == "html":
        text, marks = from_html(text)
    elif parse_mode:
        raise Careless(f"this server cannot judge parse_mode {parse_mode}; send entities")
    else:
        marks = [dict(entity) for entity in entities or []]
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise bad("strings must be encoded in UTF-8")
    _judge(text, marks)
    text, marks = _trimmed(text, marks)
    if units(text) > most:
        raise TooLong(400, f"Bad Request: message {'' if most == MOST_TEXT else 'caption '}is too long")
    return text, marks


def commands(text: str) -> list[Json]:
    """The marks on the commands in what a person types: without them no library sees a command."""
    found = re.finditer(r"(?<![\w/])/[a-zA-Z0-9_]{1,32}(?:@\w{3,32})?", text)
    return [
        {"type": "bot_command", "offset": units(text[: match.start()]), "length": len(match.group())} for match in found
    ]


def _judge(text: str, marks: list[Json]) -> None:
    if len(marks) > MOST_ENTITIES:
        raise Careless(f"{len(marks)} entities: all beyond {MOST_ENTITIES} lose their look")
    length = units(text)
    edges = _edges(text)
    for mark in marks:
        begin, end = mark["offset"], mark["offset"] + mark["length"]
        if begin < 0 or mark["length"] <= 0 or end > length:
            raise Careless(f"entity {mark['type']} {begin}..{end} lies outside of a text of {length}")
        if not {begin, end} <= edges:
            raise Careless(f"entity {mark['type']} {begin}..{end} cuts a character in two")
    _nest(sorted(marks, key=lambda mark: (mark["offset"], -mark["length"])))


def _edges(text: str) -> set[int]:
    at, edges = 0, {0}
    for char in text:
        at += 2 if ord(char) > 0xFFFF else 1
        edges.add(at)
    return edges


def _nest(marks: list[Json]) -> None:
    around: list[Json] = []
    for mark in marks:
        begin, end = mark["offset"], mark["offset"] + mark["length"]
        around = [outer for outer in around if outer["offset"] + outer["length"] > begin]
        for outer in around:
            _pair(outer, mark, overlaps=outer["offset"] + outer["length"] < end)
        around.append(mark)


def _pair(outer: Json, inner: Json, *, overlaps: bool) -> None:
    kinds = (outer["type"], inner["type"])
    if overlaps:
        raise Careless(f"entities {kinds[0]} and {kinds[1]} overlap without one being inside the other")
    if set(kinds) <= QUOTES:
        raise Careless("a quotation inside a quotation")
    if set(kinds) & ALONE and not set(kinds) & QUOTES:
        raise Careless(f"entity {kinds[1]} together with {kinds[0]}: code bears no other mark")


def _trimmed(text: str, marks: list[Json]) -> tuple[str, list[Json]]:
    """Blanks go at the end, and at the beginning up to the first mark; marks shrink with the text."""
    text = text.replace("\r", "") if not marks else text
    first = min((mark["offset"] for mark in marks), default=units(text))
    start = 0
    while start < min(first, len(text)) and text[start] in " \n":
        start += 1
    text = text[start:].rstrip()
    length = units(text)
    kept = []
    for mark in marks:
        begin = mark["offset"] - start
        end = min(begin + mark["length"], length)
        if end > begin:
            kept.append(mark | {"offset": begin, "length": end - begin})
    return text, kept


def from_html(source: str) -> tuple[str, list[Json]]:
    """Text and marks of the small HTML; anything that is not balanced or not known is refused."""
    reader = _Reader()
    if stray := STRAY.search(source):
        raise bad(f"can't parse entities: unexpected character at byte offset {len(source[: stray.start()].encode())}")
    reader.feed(source)
    reader.close()
    if reader.open:
        raise bad(f"can't parse entities: can't find end tag corresponding to start tag \"{reader.open[-1][0]}\"")
    return "".join(reader.words), [mark for mark in reader.marks if mark["length"]]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.words: list[str] = []
        self.open: list[tuple[str, Json]] = []
        self.marks: list[Json] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in SIMPLE or (tag == "span" and given.get("class") != "tg-spoiler"):
            raise bad(f'can\'t parse entities: unsupported start tag "{tag}"')
        mark: Json = {"type": SIMPLE[tag], "offset": units("".join(self.words))}
        match tag:
            case "a":
                mark["url"] = given.get("href") or ""
            case "tg-emoji":
                mark["custom_emoji_id"] = given.get("emoji-id") or ""
            case "blockquote" if "expandable" in given:
                mark["type"] = "expandable_blockquote"
            case "code" if self.open and self.open[-1][0] == "pre" and given.get("class"):
                self.open[-1][1]["language"] = (given["class"] or "").removeprefix("language-")
            case _:
                pass
        self.open.append((tag, mark))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1][0] != tag:
            raise bad(f'can\'t parse entities: unexpected end tag "{tag}"')
        _, mark = self.open.pop()
        if tag == "code" and self.open and self.open[-1][0] == "pre":
            return
        self.marks.append(mark | {"length": units("".join(self.words)) - mark["offset"]})

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_entityref(self, name: str) -> None:
        self.words.append(KNOWN.get(name, f"&{name};"))

    def handle_charref(self, name: str) -> None:
        self.words.append(chr(int(name[1:], 16) if name[:1] in "xX" else int(name)))
