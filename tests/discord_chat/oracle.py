"""Discord's side of a text, written from how its client reads marks: what is shown, and what must never be sent.

It shares nothing with the renderer. `expected` reads the source with a parser of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token

GAP = "\u200b"
FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
MENTION = re.compile(
    r"@everyone|@here|<@[!&]?\w|<#\w|<a?:\w+:\w*|<t:-?\d|</[^<>\n]*:|<id:\w", re.IGNORECASE
)  # whether or not a backslash stands before it: the server does not ask the client's parser
_FENCE = re.compile(r"```(?:([a-z0-9_+\-.#]+?)\n)?\n*([^\n][\s\S]*?)\n*```", re.IGNORECASE)
_LINE = re.compile(r"^(?:> )?(?: *(?:[-*] |\d+\.(?: |$))*)?(?:#{1,3} |-# )?", re.MULTILINE)

_RULES = [
    ("escape", re.compile(r"\\([^0-9A-Za-z\s])")),
    ("autolink", re.compile(r"<(https?://[^\s>]+)>")),
    ("bare", re.compile(r"https?://[^\s<]+")),
    ("link", re.compile(r"\[((?:\[[^\]]*\]|[^\[\]]|\](?=[^\[]*\]))*)\]\(\s*<(https?://[^\s<>]*)>\s*\)")),
    ("strong", re.compile(r"\*\*((?:\\[\s\S]|[^\\])+?)\*\*(?!\*)")),
    ("under", re.compile(r"__((?:\\[\s\S]|[^\\])+?)__(?!_)")),
    ("em", re.compile(r"_((?:__|\\[\s\S]|[^\\_])+?)_\b(?<!\w\b)|_((?:__|\\[\s\S]|[^\\_])+?)_(?![A-Za-z0-9_])")),
    ("em", re.compile(r"\*(?=\S)((?:\*\*|\s+(?:[^*\s]|\*\*)|[^\s*])+?)\*(?!\*)")),
    ("strike", re.compile(r"~~([\s\S]+?)~~(?!_)")),
    ("spoiler", re.compile(r"\|\|([\s\S]+?)\|\|")),
    ("code", re.compile(r"(`+)([\s\S]*?[^`])\1(?!`)")),
    ("emoji", re.compile(r":[^\s:]+:")),
]


@dataclass
class Reading:
    """A message as a person sees it."""

    words: str = ""
    codes: list[tuple[str, str]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)  # what stands outside of code, with a break where a mark was
    links: list[tuple[str, str]] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)  # what each rule found last


def read(text: str) -> Reading:
    """Read one message."""
    reading = Reading()
    words: list[str] = []
    at = 0
    for fence in _FENCE.finditer(text):
        words += (_inline(_LINE.sub("", text[at : fence.start()]), reading), fence[2], "\n")
        reading.codes.append((fence[1] or "", fence[2]))
        at = fence.end()
    words.append(_inline(_LINE.sub("", text[at:]), reading))
    reading.words = "".join(words)
    return reading


def _inline(text: str, reading: Reading) -> str:
    out: list[str] = []
    at = 0
    while at < len(text):
        name, found = next(((name, m) for name, rule in _RULES if (m := rule.match(text, at))), ("", None))
        if found is None:
            out.append(text[at])
            reading.raw.append(text[at])
            at += 1
            continue
        reading.seen[name] = found[0]
        reading.raw.append(found[0] if name in {"escape", "bare", "emoji"} else "\0")
        match name:
            case "escape" | "autolink":
                out.append(found[1])
            case "link":
                words = _inline(found[1], reading)
                reading.links.append((words, found[2]))
                out.append(words)
            case "code":
                out.append(found[2])
            case "bare" | "emoji":
                out.append(found[0])
            case _:
                out.append(_inline(found[found.lastindex or 1], reading))
        reading.raw.append("" if name in {"escape", "bare", "emoji"} else "\0")
        at = found.end()
    return "".join(out)


def troubles(texts: Sequence[str], *, limit: int = 2000) -> Iterator[str]:
    """What Discord would refuse or misread."""
    for at, text in enumerate(texts):
        units = len(text.encode("utf-16-le", "surrogatepass")) // 2
        if not 0 < units <= limit or not text.strip():
            yield f"{at}: {units} units"
        if found := FORBIDDEN.search(text):
            yield f"{at}: character {found[0]!r}"
        outside = _FENCE.sub("", text)
        if "```" in outside:
            yield f"{at}: a fence is open: {outside!r}"
        runs = re.findall(r"`{3,}", text)
        fences = [line for line in text.split("\n") if line.startswith("```")]
        if len(runs) != len(fences) or len(runs) % 2 or any(run != "```" for run in runs):
            yield f"{at}: {len(runs)} runs of backticks, {len(fences)} fences"
        reading = read(text)
        if found := MENTION.search("".join(reading.raw)):
            yield f"{at}: mention {found[0]!r}"
        seen = reading.seen
        for name in ("spoiler", "under", "bare", "emoji"):
            if name in seen:
                yield f"{at}: {name} {seen[name]!r} in {text!r}"


# --- the source -----------------------------------------------------------------------------------------------------


MOST_LEVELS = 58
"""A text of more is not laid out; the parser of the product leaves out what is nested deeper."""


@dataclass
class Expected:
    """What a text says."""

    words: str  # outside of code blocks and in them, in order
    codes: list[str]
    plain: bool  # without links, pictures, tables or boxes, for which words are added or moved
    table: bool
    deep: bool  # nested so deeply that it is shown as it was written, code and all


def expected(text: str) -> Expected:
    """Read the source, after the characters that nobody may see are gone."""
    text = re.sub("[\u2028\u2029\r]", "\n", text.replace("\r\n", "\n"))
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    tokens = _reader().parse(FORBIDDEN.sub("", text))
    words: list[str] = []
    codes: list[str] = []
    for token in tokens:
        if token.type in {"fence", "code_block"}:
            codes.append(token.content)
            words.append(token.content)
        elif token.type == "hr":
            words.append("──────────")
        elif token.type == "inline":
            words += _words(token)
    every = [token for outer in tokens for token in (outer, *(outer.children or ()))]
    types = {token.type for token in every}
    boxes = any(token.content[:4].lower() in {"[ ] ", "[x] "} for token in every if token.type == "inline")
    addresses = any("://" in token.content for token in every)
    plain = not types & {"link_open", "image", "table_open"} and not boxes and not addresses
    deep = max((token.level for token in tokens), default=0) >= MOST_LEVELS
    return Expected("".join(words), codes, plain, "table_open" in types, deep)


def _words(inline: Token) -> Iterator[str]:
    children = inline.children or []
    if children and children[0].content[:4].lower() == "[x] ":  # it becomes a box
        children[0].content = children[0].content[4:]
    for child in children:
        yield " " if child.type in {"softbreak", "hardbreak"} else child.content


def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False, "maxNesting": MOST_LEVELS + 2}).enable(["table", "strikethrough"])
    reader.validateLink = lambda url: isinstance(url, str)  # type: ignore[method-assign]
    return reader.disable(["reference", "html_block", "html_inline"])


def letters(text: str) -> str:
    """What is compared: everything but space and what has no width."""
    return "".join(text.replace(GAP, "").split())


def lost(source: Expected, texts: Sequence[str]) -> str:
    """The first words of the source that nobody sees, or nothing."""
    seen = letters("".join(read(text).words for text in texts))
    wanted = letters(source.words)
    if source.plain:
        return "" if seen == wanted else f"{wanted!r} is not {seen!r}"
    wanted = "".join(filter(str.isalnum, wanted))
    seen = "".join(filter(str.isalnum, letters("".join(texts))))
    if source.table:
        return "".join((Counter(wanted) - Counter(seen)).elements())
    rest = iter(seen)
    return "".join(c for c in wanted if c not in rest)


def changed_code(source: Expected, texts: Sequence[str]) -> str:
    """Code that does not stand as it was written, or nothing; tables are drawn as code too and make that unsure."""
    wanted = letters("".join(source.codes))
    seen = letters("".join(body for text in texts for _, body in read(text).codes))
    return "" if source.table or source.deep or wanted == seen else f"{wanted!r} is not {seen!r}"
