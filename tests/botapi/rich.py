"""Rich messages: what may be in one, what a person reads of it, and the buttons that hide in it.

The HTML is read, not rendered: characters, blocks, levels, media and columns are counted and tags must be balanced.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

from tests.botapi.refusal import Careless, Json, bad

MOST_CHARACTERS = 32_768
MOST_BLOCKS = 500
MOST_LEVELS = 16
MOST_MEDIA = 50
MOST_COLUMNS = 20
BLOCKS = frozenset(
    [
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "pre",
        "ul",
        "ol",
        "li",
        "blockquote",
        "aside",
        "table",
        "tr",
        "details",
        "hr",
        "footer",
        "figure",
        "tg-math-block",
        "tg-map",
        "tg-collage",
        "tg-slideshow",
        "tg-button-row",
        "tg-thinking",
    ]
)
INLINE = frozenset(
    [
        "b",
        "strong",
        "i",
        "em",
        "u",
        "ins",
        "s",
        "strike",
        "del",
        "code",
        "mark",
        "sub",
        "sup",
        "a",
        "span",
        "cite",
        "summary",
        "caption",
        "th",
        "td",
        "thead",
        "tbody",
        "tfoot",
        "figcaption",
        "tg-spoiler",
        "tg-emoji",
        "tg-math",
        "tg-time",
        "tg-reference",
        "tg-button",
    ]
)
MEDIA = frozenset(["img", "video", "audio", "tg-document"])
VOID = frozenset(["br", "hr", "img", "input", "tg-map"])


class Reading(HTMLParser):
    """What a rich message in HTML amounts to."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.buttons: list[Json] = []
        self.blocks = 0
        self.media = 0
        self.levels = 0
        self.columns = 0
        self._open: list[str] = []
        self._cells = 0
        self._in_button = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in BLOCKS | INLINE | MEDIA | VOID:
            raise bad(f'can\'t parse rich message: unsupported tag "{tag}"')
        if tag in BLOCKS and (inside := [outer for outer in self._open if outer in {"tg-spoiler", "a", "p"}]):
            raise Careless(f"a rich message's <{tag}> inside <{inside[-1]}>")
        self.blocks += tag in BLOCKS
        self.media += tag in MEDIA
        self._cells = 0 if tag == "tr" else self._cells
        if tag in {"td", "th"}:
            span = dict(attrs).get("colspan") or "1"
            self._cells += int(span) if span.isdecimal() else 1
            self.columns = max(self.columns, self._cells)
        if tag in VOID:
            self.words.append("\n" if tag == "br" else "")
            return
        self._open.append(tag)
        self.levels = max(self.levels, sum(outer in BLOCKS for outer in self._open))
        if tag == "tg-button":
            given = dict(attrs)
            self._in_button = True
            self.buttons.append({"text": "", "callback_data": given.get("data") or "", "type": given.get("type")})

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self._open or self._open[-1] != tag:
            raise bad(f'can\'t parse rich message: unexpected end tag "{tag}"')
        self._open.pop()
        self._in_button = self._in_button and tag != "tg-button"
        self.words.append("\n" if tag in BLOCKS else " " if tag in {"td", "th"} else "")

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._in_button:
            self.buttons[-1]["text"] += data

    def end(self) -> None:
        """Nothing comes after this."""
        self.close()
        if self._open:
            raise bad(f"can't parse rich message: can't find end tag corresponding to start tag \"{self._open[-1]}\"")


def read(rich: Json) -> tuple[str, tuple[Json, ...]]:
    """The words and the hidden buttons of a rich message, or a refusal when it is more than one may be."""
    if len({"html", "markdown", "blocks"} & {name for name in rich if rich[name] is not None}) != 1:
        raise bad("exactly one of html, markdown and blocks must be specified")
    if "html" in rich:
        return _read_html(rich["html"])
    words = rich["markdown"] if "markdown" in rich else "\n".join(_texts(rich["blocks"]))
    _bound("characters", len(words), MOST_CHARACTERS)
    if not words.strip():
        raise bad("message text is empty")
    buttons = tuple(_buttons(rich.get("blocks", [])))
    if "blocks" in rich:
        _bound("blocks", _count(rich["blocks"]), MOST_BLOCKS)
        _bound("levels", _depth(rich["blocks"]), MOST_LEVELS)
    elif "<tg-button" in words:
        raise Careless(
            "a rich message in markdown holds a button of its own: somebody else's words may speak HTML there"
        )
    return words, buttons


def _read_html(source: str) -> tuple[str, tuple[Json, ...]]:
    reading = Reading()
    reading.feed(source)
    reading.end()
    words = "".join(reading.words).strip()
    if not words and not reading.media:
        raise bad("message text is empty")
    _bound("characters", len(words), MOST_CHARACTERS)
    _bound("blocks", reading.blocks, MOST_BLOCKS)
    _bound("levels", reading.levels, MOST_LEVELS)
    _bound("media", reading.media, MOST_MEDIA)
    _bound("table columns", reading.columns, MOST_COLUMNS)
    return words, tuple(button for button in reading.buttons if button["callback_data"])


def _bound(what: str, found: int, most: int) -> None:
    if found > most:
        raise bad(f"rich message is too long: {found} {what}, at most {most}")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, dict):
        for name in ("text", "summary", "blocks", "items", "cells", "caption", "buttons"):
            yield from _texts(value.get(name))


def _buttons(value: object) -> Iterator[Json]:
    if isinstance(value, list):
        for part in value:
            yield from _buttons(part)
    elif isinstance(value, dict):
        if "callback_data" in value:
            yield value | {"text": "".join(_texts(value.get("text")))}
        for name in ("text", "blocks", "items", "cells", "buttons", "button"):
            yield from _buttons(value.get(name))


def _count(value: object) -> int:
    if isinstance(value, list):
        return sum(_count(part) for part in value)
    if isinstance(value, dict):
        return 1 + sum(_count(value.get(name)) for name in ("blocks", "items"))
    return 0


def _depth(value: object) -> int:
    if isinstance(value, list):
        return max((_depth(part) for part in value), default=0)
    if isinstance(value, dict):
        return 1 + max(_depth(value.get(name)) for name in ("blocks", "items"))
    return 0
