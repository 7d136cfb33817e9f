"""A `Message` as rich messages, for chats whose operator switched them on: tables and headings as Telegram has them.

The text goes through telegramify-markdown's HTML, never through Telegram's own markdown, in which an agent could forge
a button; what comes out is tamed. A message that does not fit into a few rich ones is none: it goes as entities.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from html.parser import HTMLParser
from typing import Any

import structlog
from telegramify_markdown import InputRichMessage, richify, split_rich

from adapters.telegram.guard import Guard
from adapters.telegram.markdown import as_words, is_hopeless
from adapters.telegram.render import LONGEST, MOST_MESSAGES, Link, log_of, rows_of, status_of
from adapters.telegram.styled import Styled, nested
from adapters.telegram.tables import tables
from adapters.telegram.tame import BLOCKS, MOST_BLOCKS, Tamer
from adapters.telegram.text import calm, marked
from orchestrator.nouns import Message
from orchestrator.words import clean

log = structlog.get_logger(__name__)

MOST_BYTES = 32_000
LEAST_BYTES = 4_000  # so little holds fewer blocks than Telegram takes
MOST_COLUMNS = 20

_TAGS = {"bold": "b", "italic": "i", "underline": "u", "strikethrough": "s", "code": "code", "pre": "pre"}


def rich(message: Message, *, link: Link) -> Sequence[dict[str, Any]]:
    """The `InputRichMessage`s in order; none when it cannot be shown in a few of them."""
    if len(message.text) > LONGEST:
        return ()
    text = clean(message.text)
    try:
        html = _top(message) + _text(text) + _paragraphs(nested(rows_of(message, link)))
        found = _parts(html) if html else []
    except Exception:  # a text that trips the parser must not take the page down; it is shown as entities
        log.exception("rich message not made", size=len(text))
        return ()
    return [part.to_dict() for part in found] if len(found) <= MOST_MESSAGES else ()


def _parts(html: str) -> list[InputRichMessage]:
    """Smaller and smaller parts until each has few enough blocks; the splitter counts only the outer ones."""
    most = MOST_BYTES
    while True:
        found = split_rich(InputRichMessage(html=html), byte_limit=most, block_limit=MOST_BLOCKS)
        read = [_Read(str(part.html)) for part in found]
        if max((one.columns for one in read), default=0) > MOST_COLUMNS:  # richify reads footnotes too: it may differ
            raise ValueError("a table that is too wide")
        if all(one.blocks <= MOST_BLOCKS and one.size <= MOST_BYTES for one in read):
            return [part for part, one in zip(found, read, strict=True) if one.says_something]
        if most <= LEAST_BYTES:
            raise ValueError("a block that cannot be split")
        most = most * 3 // 4


class _Read(HTMLParser):
    """What is counted of a part: bytes, blocks of any depth, and whether there is a word in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.size = len(html.encode())
        self.blocks = 0
        self.columns = self._cells = 0
        self.says_something = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.blocks += tag in BLOCKS
        self._cells = 0 if tag == "tr" else self._cells + (tag in {"td", "th"})
        self.columns = max(self.columns, self._cells)

    def handle_data(self, data: str) -> None:
        self.says_something = self.says_something or bool(data.strip())


def _text(text: str) -> str:
    if not text.strip():
        return ""
    if is_hopeless(text):
        return _paragraphs(Styled(calm(text)))
    guard = Guard.beside(text)
    source = guard.put(text)
    found = tables(source)
    wide = [table for table in found if max(map(len, table.rows)) > MOST_COLUMNS]
    source = guard.without(source, wide, [table for table in found if table not in wide])
    lists = iter([as_words(table, guard).text for table in wide])

    def words(data: str, first: bool) -> str:  # noqa: FBT001 - the tamer's own question
        data = data.replace(guard.nameless, "")
        while guard.table in data:
            data = data.replace(guard.table, next(lists), 1)
        if first and data[:2] in {"✅ ", "☑ "}:  # as a task's box was written
            data = ("☑ " if data[0] == "✅" else "☐ ") + data[2:]
        return marked(guard.back(data))

    tamer = Tamer(words, lambda address: marked(guard.back(address)).replace(guard.nameless, ""))
    tamer.feed(str(richify(source, mode="html").html))
    tamer.close()
    return "".join(tamer.parts)


# --- ours -----------------------------------------------------------------------------------------------------------


def _top(message: Message) -> str:
    done = [f"<p>{escape(line, quote=False)}</p>" for line in log_of(message)]
    count = "1 step" if len(message.log) == 1 else f"{len(message.log)} steps"
    folded = f"<details><summary>{count}</summary>{''.join(done)}</details>" if done else ""
    return _paragraphs(nested(status_of(message))) + folded


def _paragraphs(styled: Styled) -> str:
    """Text with spans as paragraphs; the spans are nested already and none reaches over an empty line."""
    if not styled.text.strip():
        return ""
    opens: dict[int, str] = {}
    closes: dict[int, str] = {}
    for span in styled.spans:
        tag = _TAGS.get(span.kind, "")
        start, end = f"<{tag}>", f"</{tag}>"
        if span.kind == "text_link":
            start, end = f'<a href="{escape(span.value)}">', "</a>"
        elif span.kind == "date_time":
            start, end = f'<tg-time unix="{span.value}" format="r">', "</tg-time>"
        opens[span.start] = opens.get(span.start, "") + start
        closes[span.end] = end + closes.get(span.end, "")
    html = "".join(
        closes.get(at, "") + opens.get(at, "") + escape(styled.text[at : at + 1], quote=False)
        for at in range(len(styled.text) + 1)
    )
    blocks = [block.strip("\n").replace("\n", "<br/>") for block in html.split("\n\n")]
    return "".join(f"<p>{block}</p>" for block in blocks if block.strip())
