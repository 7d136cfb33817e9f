"""A `Message` as the HTML that stands in the log. Everything in it is untrusted; the markup is ours alone."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from adapters.web.markdown import plain, to_html
from orchestrator.nouns import Button, Conversation, File, Message, Phase, Row

PLATFORM = "web"

LONGEST = 20_000
"""Characters of a text that are shown; the rest is fetched as a file."""

LOG_LINES = 200
"""Lines of the log that are shown, the newest ones."""

_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_PREVIEW = 8 << 20

_PHASES = {
    Phase.QUEUED: "queued",
    Phase.STARTING: "starting",
    Phase.WORKING: "working",
    Phase.ASKING: "asking",
    Phase.IDLE: "idle",
    Phase.STOPPING: "stopping",
    Phase.ENDED: "ended",
}


def phase_class(phase: Phase) -> str:
    """The phase as one word that a style sheet can name."""
    return _PHASES[phase]


def place_of(where: Conversation) -> str:
    """The word that names a conversation on this page: `lobby`, `runs`, or a thread's id."""
    return where.thread or where.chat


def message_html(message: Message, *, raw: str) -> str:
    """The whole message; `raw` is the address where its text can be fetched in full."""
    parts = [
        _status(message),
        _log(message.log),
        _text(message.text, raw),
        _board(message) if message.board or message.rows else "",
        _files(message.files),
        _buttons(message.buttons),
    ]
    return "".join(parts)


def said_html(text: str, files: tuple[File, ...], *, raw: str) -> str:
    """What a person said: their words as they typed them, not as markdown."""
    words, rest = clip(text)
    body = f'<p class="said">{plain(words)}</p>' if words else ""
    return body + _rest(rest, raw) + _files(files)


def opened_html(title: str, thread: str) -> str:
    """The line that leads to a thread."""
    return f'<a class="opened" href="#{escape(thread)}"><span>{plain(title)}</span><b>Open thread</b></a>'


def clip(text: str) -> tuple[str, int]:
    """The part of a text that is shown, cut at a line's end where there is one, and how many characters are left."""
    if len(text) <= LONGEST:
        return text, 0
    end = text.rfind("\n", LONGEST // 2, LONGEST)
    end = LONGEST if end < 0 else end
    return text[:end], len(text) - end


def _status(message: Message) -> str:
    if not message.status and not message.since:
        return ""
    look = "status live" if message.since else "status trouble" if message.status.startswith("⚠") else "status"
    clock = f" {_clock(message.since)}" if message.since else ""
    return f'<p class="{look}"><span class="status-words">{plain(message.status)}</span>{clock}</p>'


def _clock(since: float) -> str:
    return f'<time role="timer" data-since="{since:.0f}"></time>'


def _log(lines: tuple[str, ...]) -> str:
    if not lines:
        return ""
    shown = lines[-LOG_LINES:]
    before = len(lines) - len(shown)
    items = "".join(f"<li>{plain(line)}</li>" for line in shown)
    more = f'<p class="quiet">{before} earlier steps are not shown.</p>' if before else ""
    count = "1 step" if len(lines) == 1 else f"{len(lines)} steps"
    return f'<details class="log"><summary>{count}</summary>{more}<ol start="{before + 1}">{items}</ol></details>'


def _text(text: str, raw: str) -> str:
    words, rest = clip(text)
    return (f'<div class="md">{to_html(words)}</div>' if words.strip() else "") + _rest(rest, raw)


def _rest(rest: int, raw: str) -> str:
    if not rest:
        return ""
    return f'<p class="cut"><a href="{escape(raw)}" download>{rest:,} more characters: the whole text as a file</a></p>'


def _board(message: Message) -> str:
    if not message.rows:
        return (
            '<div class="empty"><p>Nothing is running.</p><p class="quiet">Launch an agent in the '
            '<a href="#lobby">lobby</a>; it appears here and in the list of threads.</p></div>'
        )
    return f'<ul class="cards">{"".join(_card(row) for row in message.rows)}</ul>'


def _card(row: Row) -> str:
    name = plain(row.title) or plain(row.run)
    here = row.where is not None and row.where.platform == PLATFORM
    title = f'<a href="#{plain(place_of(row.where))}">{name}</a>' if row.where and here else name
    elsewhere = f"<span>on {plain(row.where.platform)}</span>" if row.where and not here else ""
    cost = f"<span>${row.cost_usd:.2f}</span>" if row.cost_usd else ""
    age = _clock(row.since) if row.since else ""
    words = f'<p class="quiet">{plain(row.words)}</p>' if row.words else ""
    return (
        f'<li class="card {phase_class(row.phase)}"><div class="card-head"><h3>{title}</h3>'
        f'<span class="phase {phase_class(row.phase)}">{escape(row.phase)}</span></div>'
        f'<p class="facts"><span>{plain(row.agent)}</span>{age}{cost}{elsewhere}</p>{words}{_buttons(row.buttons)}</li>'
    )


def _files(files: tuple[File, ...]) -> str:
    return f'<ul class="files">{"".join(_file(file) for file in files)}</ul>' if files else ""


def _file(file: File) -> str:
    name = plain(file.name) or "file"
    address = f"/files/{_quoted(file.artifact)}/{_quoted(file.name)}"
    size = f'<span class="quiet">{size_words(file.size)}</span>'
    link = f'<a class="file" href="{address}" download>{name} {size}</a>'
    if file.size <= _PREVIEW and file.name.lower().endswith(_PICTURES):
        link += f'<img class="preview" src="{address}?view=1" alt="{name}" loading="lazy">'
    return f"<li>{link}</li>"


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe="") or "file"


def size_words(size: int) -> str:
    """A size as people say it."""
    if size < 1024:
        return f"{size} B"
    amount = float(size)
    for unit in ("KB", "MB"):
        amount /= 1024
        if amount < 1024:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1024:.1f} GB"


def _buttons(buttons: tuple[Button, ...]) -> str:
    if not buttons:
        return ""
    taps = "".join(
        f'<button type="button" class="tap {escape(button.style)}" data-press="{escape(clean_token(button.token))}">'
        f"{plain(button.label) or 'OK'}</button>"
        for button in buttons
    )
    return f'<div class="buttons">{taps}</div>'


def clean_token(token: str) -> str:
    """A button's token as it can stand in an attribute and come back the same."""
    return "".join(c for c in token if c.isascii() and c.isprintable())
