"""Untrusted GitHub markdown as HTML that is safe to stand on the page.

A parser reads it, its tokens are tamed here, and only then is anything written: no raw HTML, links to http, https and
mailto alone, images as links, no style and no script. It knows no message and no chat.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from typing import Any

import structlog
from markdown_it import MarkdownIt
from markdown_it.token import Token

from orchestrator.words import clean

log = structlog.get_logger(__name__)

MOST_BRACKETS = 2000
"""A text with more opening brackets is shown as it is: the parser would look from each one to the end, for seconds."""

DEEPEST = 60
"""Quotes and lists nested deeper than this are shown as plain text: the parser would leave their words out."""

SAFE = ("http://", "https://", "mailto:")
_ENDS = ".,:;!?'\"*_~"
_PAIRS = {")": "(", "]": "["}
_ALIGN = {"text-align:left": "left", "text-align:right": "right", "text-align:center": "center"}


def plain(text: str) -> str:
    """Text for HTML, as it is."""
    return escape(clean(text))


def to_html(text: str) -> str:
    """GitHub markdown as safe HTML."""
    text = clean(text)
    if text.count("[") > MOST_BRACKETS:
        return f'<p class="raw">{escape(text)}</p>'
    try:
        tokens = _PARSER.parse(text)
        if max((token.level for token in tokens), default=0) < DEEPEST - 2:
            return str(_PARSER.renderer.render(_tame(tokens), _PARSER.options, {}))
    except Exception:  # a text that trips the parser must not take the page down; it is shown as it is
        log.exception("markdown not parsed", size=len(text))
    return f'<p class="raw">{escape(text)}</p>'


def _tame(tokens: list[Token]) -> list[Token]:
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"  # h1 and h2 belong to the page
        elif token.type in {"th_open", "td_open"}:
            align = _ALIGN.get(str(token.attrs.pop("style", "")))
            token.attrs = {"class": align} if align else {}
        elif token.type == "inline" and token.children:
            token.children = list(_inline(token.children))
    _tick_boxes(tokens)
    return tokens


def _inline(tokens: Sequence[Token]) -> Iterable[Token]:
    """The tokens of one paragraph: unsafe links as words with their target, images as links, bare addresses linked."""
    open_links: list[tuple[str | None, list[str]]] = []  # the unsafe target, if it is that, and the words inside
    for token in tokens:
        if open_links and token.content:
            open_links[-1][1].append(token.content)
        if token.type == "link_open":
            href = str(token.attrs.get("href", ""))
            open_links.append((None if _is_safe(href) else href, []))
            yield _link(href) if _is_safe(href) else Token("ref_open", "span", 1, attrs={"class": "ref"})
        elif token.type == "link_close":
            unsafe, words = open_links.pop() if open_links else (None, [])
            if unsafe and unsafe != "".join(words):
                yield _text(f" ({unsafe})")
            yield token if unsafe is None else Token("ref_close", "span", -1)
        elif token.type == "image":
            yield from _image(token, inside=bool(open_links))
        elif token.type == "text" and not open_links:
            yield from _bare_links(token.content)
        else:
            yield token


def _image(token: Token, *, inside: bool) -> Iterable[Token]:
    source = str(token.attrs.get("src", ""))
    label = token.content or source
    if inside:
        yield _text(label)
    elif _is_safe(source):
        yield from (_link(source), _text(label), Token("link_close", "a", -1))
    else:
        yield _text(label if label == source else f"{label} ({source})")


def _bare_links(text: str) -> Iterable[Token]:
    while (start := _next_address(text)) >= 0:
        end = start
        while end < len(text) and not text[end].isspace() and text[end] not in '<>`"|':
            end += 1
        end = _without_tail(text, start, end)
        yield _text(text[:start])
        address = text[start:end]
        if address.endswith("://"):
            yield _text(address)
        else:
            yield from (_link(_PARSER.normalizeLink(address)), _text(address), Token("link_close", "a", -1))
        text = text[end:]
    yield _text(text)


def _next_address(text: str) -> int:
    found = [at for at in (text.find("http://"), text.find("https://")) if at >= 0]
    return min(found, default=-1)


def _without_tail(text: str, start: int, end: int) -> int:
    """Where an address ends: not with the sentence's punctuation, and not with a bracket it did not open."""
    while end > start:
        last = text[end - 1]
        opener = _PAIRS.get(last)
        unopened = opener is not None and text.count(last, start, end) > text.count(opener, start, end)
        if last not in _ENDS and not unopened:
            break
        end -= 1
    return max(end, start + len("http://"))


def _tick_boxes(tokens: list[Token]) -> None:
    """`- [ ] todo` gets a box to see; it cannot be ticked."""
    for before, token in pairwise(tokens):
        if token.type == "inline" and token.children and before.type == "paragraph_open" and before.hidden:
            first = token.children[0]
            if first.content[:4] in {"[ ] ", "[x] ", "[X] "}:
                first.content = ("☐ " if first.content[1] == " " else "☑ ") + first.content[4:]


def _is_safe(href: str) -> bool:
    return href.lower().startswith(SAFE)


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _link(href: str) -> Token:
    return Token("link_open", "a", 1, attrs={"href": href, "target": "_blank", "rel": "noopener noreferrer nofollow"})


# --- blocks that get more than the parser's own look ----------------------------------------------------------------


def _fence(_self: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    token = tokens[index]
    title = token.info.strip()
    lines = _diff(token.content) if title.partition(" ")[0] in {"diff", "patch"} else escape(token.content)
    return (
        f'<div class="code"><div class="code-head"><span>{escape(title) or "text"}</span>'
        f'<button type="button" class="copy">Copy</button></div>'
        f'<pre tabindex="0"><code>{lines}</code></pre></div>\n'
    )


def _diff(text: str) -> str:
    marks = {"+": "add", "-": "del", "@": "hunk"}
    return "".join(
        f'<span class="{marks[line[0]]}">{escape(line)}</span>' if line[0] in marks else escape(line)
        for line in text.splitlines(keepends=True)
    )


def _table_open(_self: Any, _tokens: Any, _index: int, _options: Any, _env: Any) -> str:
    return '<div class="table" tabindex="0" role="group" aria-label="Table">\n<table>\n'


def _table_close(_self: Any, _tokens: Any, _index: int, _options: Any, _env: Any) -> str:
    return "</table>\n</div>\n"


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "xhtmlOut": False, "maxNesting": DEEPEST})
    parser.enable(["table", "strikethrough"])
    parser.disable("reference")  # `[note]: words` would vanish; a chat must show what was written
    parser.validateLink = lambda url: isinstance(url, str)  # type: ignore[method-assign]  # unsafe ones are told apart in `_inline`
    for name, rule in {
        "fence": _fence,
        "code_block": _fence,
        "table_open": _table_open,
        "table_close": _table_close,
    }.items():
        parser.add_render_rule(name, rule)
    return parser


_PARSER = _parser()
