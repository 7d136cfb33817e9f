"""Makes a report fit for the journal: credentials are masked, long texts cut. Pure; it knows no file and no CLI."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from agent.wire import Choice, FilePiece, Noticed, Report, TextSoFar, ToolReturned, kind_of

OUTPUT_BYTES = 16 << 10
TEXT_CHARS = 200_000
SHORT_CHARS = 100_000
MASK = "•••"
SHORTEST_SECRET = 12
GLIMPSE = 6  # characters of a secret that may stand at the edge of a live text: a longer part of it is masked

_NAMED = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
_ENDINGS = ("_TOKEN", "_KEY", "_SECRET", "_PASSWORD")
_PASSWORD = re.compile(r"://(?:[^/\s:@]*:)?([^/\s:@]+)@")
_IDENTITY = frozenset({"id", "call", "ask", "file", "sha256", "data", "session", "kind", "outcome", "reason"})

T = TypeVar("T")


def secrets_of(env: Mapping[str, str], urls: Iterable[str] = ()) -> tuple[str, ...]:
    """What nobody may read: values of the environment by their names, and the passwords in its URLs and in these.

    Longest first, so that one inside another leaves no rest.
    """
    named = [value.strip() for name, value in env.items() if name in _NAMED or name.endswith(_ENDINGS)]
    inside = [match[1] for text in (*env.values(), *urls) for match in _PASSWORD.finditer(text)]
    return tuple(sorted({one for one in (*named, *inside) if len(one) >= SHORTEST_SECRET}, key=len, reverse=True))


def mask(text: str, secrets: tuple[str, ...]) -> str:
    """The text without any of the secrets."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, MASK)
    return text


def mask_live(live: TextSoFar, secrets: tuple[str, ...]) -> TextSoFar:
    """The same for a text that is still growing and whose beginning is cut: parts of a secret at its edges go too."""
    text = mask(live.text, secrets)
    for secret in secrets:
        for length in range(len(secret) - 1, GLIMPSE - 1, -1):
            if text.endswith(secret[:length]):
                text = text[:-length] + MASK
                break
        for length in range(len(secret) - 1, GLIMPSE - 1, -1):
            if text.startswith("…" + secret[-length:]):
                text = "…" + MASK + text[1 + length :]
                break
    return replace(live, text=text)


def mask_report(report: T, secrets: tuple[str, ...]) -> T:
    """The report with every text masked; what identifies something stays as it is."""
    if not secrets or isinstance(report, FilePiece):
        return report
    thing: Any = report
    changed: dict[str, Any] = {}
    for field in fields(thing):
        value = getattr(thing, field.name)
        if field.name in _IDENTITY:
            continue
        if isinstance(value, str) and (masked := mask(value, secrets)) != value:
            changed[field.name] = masked
        elif isinstance(value, tuple):
            changed[field.name] = tuple(
                mask_report(item, secrets) if isinstance(item, Choice) else item for item in value
            )
    return replace(thing, **changed) if changed else report


def sizes(report: Report) -> Iterator[Report]:
    """The report, then ever shorter versions of it, for a line that has a limit; the last always fits."""
    first = _cut_output(report) if isinstance(report, ToolReturned) else _cut_texts(report, TEXT_CHARS)
    yield first
    if not isinstance(report, ToolReturned | FilePiece):
        yield _cut_texts(report, SHORT_CHARS)
    yield Noticed("warning", "too-long", f"A report of the agent ({kind_of(report)}) was too long and was left out.")


def _cut_output(report: ToolReturned) -> ToolReturned:
    raw = report.output.encode("utf-8", "replace")
    if len(raw) <= OUTPUT_BYTES:
        return report
    half = OUTPUT_BYTES // 2
    head = raw[:half].decode("utf-8", "ignore")  # a character that the cut went through is left out whole
    tail = raw[-half:].decode("utf-8", "ignore")
    kept = len(head.encode()) + len(tail.encode())
    return replace(report, output=head + tail, cut=report.cut + len(raw) - kept)


def _cut_texts(report: Report, limit: int) -> Report:
    thing: Any = report
    changed = {
        field.name: cut_text(value, limit)
        for field in fields(thing)
        if isinstance(value := getattr(thing, field.name), str) and len(value) > limit and field.name != "data"
    }
    return replace(thing, **changed) if changed else report


def cut_text(text: str, limit: int) -> str:
    """Beginning and end of a long text, with a line between them that says what is missing."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n\n[… {len(text) - 2 * half} characters left out …]\n\n{text[-half:]}"
