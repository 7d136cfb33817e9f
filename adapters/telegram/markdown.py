"""Untrusted GitHub markdown as text with spans, by telegramify-markdown; what that leaves open is closed here.

Marks that it must not read are kept from it by a guard. Links that Telegram would drop, or worse, become words with
their target, and bare links get a name. It knows no message and no limits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import structlog
from telegramify_markdown import MessageEntity as Converted
from telegramify_markdown import RenderConfig, convert

from adapters.telegram.guard import Guard
from adapters.telegram.styled import Span, Styled, calmed
from adapters.telegram.tables import Table, shown, tables
from adapters.telegram.text import marked, places
from orchestrator.words import clean

log = structlog.get_logger(__name__)

LONGEST_LINK = 2000
"""Characters of an address that is linked; a longer one is shown as words."""

LONGEST_LANGUAGE = 64

MOST_FENCES = 1000
"""A text with more is shown as it is: the conversion would look back from each one over all before it."""

_DEEP = re.compile(r"^(?:[ \t]*(?:>|[*+-][ \t]|\d{1,9}[.)][ \t])){40}", re.MULTILINE)
_KNOWN = frozenset(
    {"bold", "italic", "underline", "strikethrough", "spoiler", "blockquote", "code", "pre", "text_link"}
)


def to_styled(markdown: str) -> Styled:
    """GitHub markdown as words and what covers them, of any length and not nested yet."""
    text = clean(markdown)
    try:
        styled = Styled(text) if is_hopeless(text) else _converted(text)
    except Exception:  # a text that trips the parser must not take the page down; it is shown as it is
        log.exception("markdown not parsed", size=len(text))
        styled = Styled(text)
    return calmed(styled)


def is_hopeless(text: str) -> bool:
    """Whether reading it as markdown would take seconds."""
    return text.count("```") + text.count("~~~") > MOST_FENCES or _DEEP.search(text) is not None


def _converted(text: str) -> Styled:
    guard = Guard.beside(text)
    text = guard.put(text)
    found = tables(text)
    text = guard.without(text, found)

    return _read(text, guard, [as_words(table, guard) for table in found])


def as_words(table: Table, guard: Guard) -> Styled:
    """A table as columns or as a list."""
    return shown(table, lambda cells: _cells(cells, guard))


def _cells(cells: Sequence[str], guard: Guard) -> Sequence[Styled]:
    """All cells at once, each a paragraph that begins with a mark, so that none of them can begin a list."""
    together = _read("\n\n".join(f"{guard.cell} {guard.bars(cell)}" for cell in cells), guard, ())
    starts = [at for at, c in enumerate(together.text) if c == guard.cell]
    ends = [*starts[1:], len(together.text)]
    found = []
    for start, end in zip(starts, ends, strict=True):
        inside = together.text[start + 1 : end]
        first = start + 1 + len(inside) - len(inside.lstrip())
        found.append(together.cut(first, max(first, start + 1 + len(inside.rstrip()))))
    return found


def _read(text: str, guard: Guard, found: Sequence[Styled]) -> Styled:
    shown_text, entities = convert(text, latex_escape=False, config=_CONFIG)
    shown_text = marked(guard.back(shown_text))
    at = places(shown_text)
    spans = [span for entity in entities if (span := _span(entity, at, guard)) is not None]
    edits = [
        *_put_tables(shown_text, guard, found),
        *_put_names(shown_text, spans, guard),
        *_put_targets(spans, shown_text),
    ]
    kept = tuple(span for span in spans if span.kind != "text_link" or is_safe(span.value))
    return Styled(shown_text, kept).edited(sorted(edits, key=lambda edit: edit[:2]))


def _span(entity: Converted, at: Sequence[int], guard: Guard) -> Span | None:
    if entity.type not in _KNOWN:
        return None
    value = (entity.url if entity.type == "text_link" else entity.language) or ""
    if value:
        value = marked(guard.back(value)).replace(guard.nameless, "")
    if entity.type == "pre":
        value = next(iter(value.split()), "")[:LONGEST_LANGUAGE]
    return Span(at[entity.offset], at[entity.offset + entity.length], entity.type, value)


def _put_tables(text: str, guard: Guard, found: Sequence[Styled]) -> list[tuple[int, int, Styled]]:
    if not found:
        return []
    where = [at for at, c in enumerate(text) if c == guard.table]
    edits = []
    for at, table in zip(where, found, strict=True):
        before = Styled("" if at == 0 or text[at - 1] == "\n" else "\n")
        after = Styled("" if at + 1 == len(text) or text[at + 1] == "\n" else "\n")
        edits.append((at, at + 1, before + table + after))
    return edits


def _put_names(text: str, spans: Sequence[Span], guard: Guard) -> list[tuple[int, int, Styled]]:
    """A link that has no words gets some; what only looked like one, in code, stays as it was."""
    where = [at for at, c in enumerate(text) if c == guard.nameless]
    links = {span.start for span in spans if span.kind == "text_link"}
    return [(at, at + 1, Styled("link" if at in links else "")) for at in where]


def _put_targets(spans: Sequence[Span], text: str) -> list[tuple[int, int, Styled]]:
    """Behind the words of a link that is none: where it wanted to go."""
    edits = []
    for span in spans:
        target = span.value.removeprefix("mailto:")
        if span.kind == "text_link" and not is_safe(span.value) and target not in text[span.start : span.end]:
            edits.append((span.end, span.end, Styled(f" ({target})")))
    return edits


def is_safe(address: str) -> bool:
    """Whether Telegram may link it: http or https to a host that can be on the internet; others it drops, or worse."""
    if (
        len(address) > LONGEST_LINK
        or not address.lower().startswith(("http://", "https://"))
        or not address.isprintable()
    ):
        return False
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return False
    return ("." in host or ":" in host) and not any(c.isspace() for c in address)


def _plain_marks() -> RenderConfig:
    """Headings and tasks without pictures."""
    config = RenderConfig.isolated()
    config.cite_expandable = False
    marks = config.markdown_symbol
    marks.heading_level_1 = marks.heading_level_2 = marks.heading_level_3 = marks.heading_level_4 = ""
    marks.image = "🖼 "
    marks.task_completed, marks.task_uncompleted = "☑", "☐"
    marks.unordered_list_item = "•"
    marks.horizontal_rule = "———"
    return config


_CONFIG = _plain_marks()
