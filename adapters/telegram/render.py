"""A `Message` as the texts that stand in a Telegram chat. Everything in it is untrusted; what covers it is ours alone.

A new message is at most three, whatever the text: a longer one is its tail, and the whole goes along as a file. It
sends nothing and keeps nothing; the keyboard is made next door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from adapters.telegram.markdown import is_safe, to_styled
from adapters.telegram.split import MOST_ENTITIES, MOST_UNITS, split, tail
from adapters.telegram.styled import Piece, Styled, calmed, clock, nested, piece, plain
from adapters.telegram.text import calm
from orchestrator.nouns import Conversation, Message, Phase, Row
from orchestrator.words import clean, units

Link = Callable[[Conversation], str | None]
"""The address under which a conversation can be opened, if it has one."""

MOST_MESSAGES = 3

LONGEST = 40_000
"""Characters that are read as markdown; of a longer text only the end can be shown, and the rest is not looked at."""

LOG_LINES = 40
LOG_UNITS = 1500
ROWS_UNITS = 3000
ROWS_ENTITIES = 80

_DECORATION = ({"italic", "underline", "strikethrough"}, {"code"}, {"bold"})
_LIGHTS = {
    Phase.QUEUED: "⚪",
    Phase.STARTING: "🟡",
    Phase.WORKING: "🟢",
    Phase.ASKING: "🔴",
    Phase.IDLE: "🔵",
    Phase.STOPPING: "🟠",
    Phase.ENDED: "⚫",
}


@dataclass(frozen=True, slots=True)
class Pieces:
    """The messages in order, at least one unless there is nothing to see.

    `whole` is the text to go along as a file, when these do not show all of it.
    """

    texts: tuple[Piece, ...]
    whole: str = ""


def pieces(message: Message, *, link: Link) -> Pieces:
    """A message that is new. A live page is a single one: what matters of it is its end."""
    return _laid_out(message, 1 if _is_live(message) else MOST_MESSAGES, link) or Pieces(_nothing(message))


def fit(message: Message, count: int, *, link: Link) -> Pieces:
    """The new look of a message that consists of `count` messages: that many or fewer, the end of the text in view.

    Fewer come when it has become shorter. Only a live page loses words here; for any other `whole` keeps them.
    """
    return _laid_out(message, count, link, shorter=count) or Pieces((Piece("…"),))


def _laid_out(message: Message, count: int, link: Link, *, shorter: int = 1) -> Pieces | None:
    """Over at most `count` messages; the end of it over `shorter` ones when it is too long for that."""
    text, all_of_it = _text(message)
    top, bottom = _top(message), rows_of(message, link)
    if all_of_it and units(text.text) <= count * MOST_UNITS:
        for styled in _plainer(nested(_joined(top, text, bottom)), count * MOST_ENTITIES):
            if (parts := split(styled, most=count)) is not None:
                return Pieces(tuple(map(piece, parts))) if parts else None
    parts = _tails(top, text, bottom, shorter)
    return Pieces(tuple(map(piece, parts)), "" if _is_live(message) else clean(message.text))


def _plainer(styled: Styled, entities: int) -> Iterable[Styled]:
    """The same, then with less and less decoration: words matter more, and Telegram drops what is too much anyhow."""
    yield styled
    dropped: set[str] = set()
    for kinds in _DECORATION:
        if len(styled.spans) > entities // 2:
            dropped |= kinds
            yield calmed(Styled(styled.text, tuple(span for span in styled.spans if span.kind not in dropped)))


def _tails(top: Styled, text: Styled, bottom: Styled, count: int) -> list[Styled]:
    """As much of the text's end as so many messages hold: a little less each time, until it does."""
    beside = units(top.text) + units(bottom.text) + 4
    room = count * MOST_UNITS - beside
    entities = count * MOST_ENTITIES - len(top.spans) - len(bottom.spans)
    while True:
        shorter = calmed(tail(text, room=max(room, 1), entities=max(entities, 0)))
        parts = split(nested(_joined(top, shorter, bottom)), most=count)
        if parts is not None:
            return parts
        room, entities = room * 9 // 10, entities * 9 // 10


def _is_live(message: Message) -> bool:
    return message.tail or message.board


def _nothing(message: Message) -> tuple[Piece, ...]:
    """Telegram hangs no button on nothing."""
    return (Piece("…"),) if message.buttons else ()


def _text(message: Message) -> tuple[Styled, bool]:
    """The text, and whether it is all of it."""
    text = message.text
    if len(text) <= LONGEST:
        return to_styled(text), True
    start = text.find("\n", len(text) - LONGEST) + 1 or len(text) - LONGEST
    return to_styled(_open_fence(text[:start]) + text[start:]), False


def _open_fence(text: str) -> str:
    """The fence that is open at the end of this, if one is: without it code and words would change places."""
    opened = ""
    for line in text.split("\n"):
        mark = line.lstrip()
        if mark.startswith(opened or ("```", "~~~")):
            opened = "" if opened else mark[:3]
    return f"{opened}\n" if opened else ""


def _joined(*parts: Styled) -> Styled:
    whole = Styled()
    for part in parts:
        if part.text.strip():
            whole = whole + Styled("\n\n") + part if whole.text else part
    return whole


def _words(text: str) -> Styled:
    return calmed(Styled(clean(text)))


# --- what stands above and below the text ---------------------------------------------------------------------------


def _top(message: Message) -> Styled:
    status, done = status_of(message), plain("\n".join(log_of(message)), "expandable_blockquote")
    return status + Styled("\n") + done if status.text and done.text else status if status.text else done


def status_of(message: Message) -> Styled:
    """The line on top, with its clock."""
    status = _words(message.status).covered("bold") if message.status.strip() else Styled()
    if message.since:
        status = (status + Styled(" · ") if status.text else status) + Styled("started ") + clock(message.since)
    return status


def log_of(message: Message) -> Sequence[str]:
    """The newest lines of the log; what came before them is counted."""
    lines = message.log
    shown: list[str] = []
    room = LOG_UNITS
    for line in reversed(lines[-LOG_LINES:]):
        words = calm(clean(line))
        room -= units(words) + 1
        if room < 0:
            break
        shown.insert(0, words)
    before = len(lines) - len(shown)
    if before:
        shown.insert(0, f"… {before} earlier")
    return shown


def rows_of(message: Message, link: Link) -> Styled:
    """The rows of the dashboard, as many as one message bears."""
    if message.board and not message.rows:
        return Styled("Nothing is running.")
    shown = Styled()
    for number, row in enumerate(message.rows):
        more = _joined(shown, _row(row, link))
        left = len(message.rows) - number
        if units(more.text) > ROWS_UNITS or len(more.spans) > ROWS_ENTITIES:
            return _joined(shown, Styled(f"… and {left} more"))
        shown = more
    return shown


def _row(row: Row, link: Link) -> Styled:
    title = _words(row.title if row.title.strip() else row.run).covered("bold")
    address = link(row.where) if row.where else None
    if address and is_safe(address):
        title = replace(title, spans=(*title.spans, *plain(title.text, "text_link", value=address).spans))
    facts = Styled(f"{row.phase} · ") + _words(row.agent)
    if row.since:
        facts = facts + Styled(" · started ") + clock(row.since)
    if row.cost_usd:
        facts += Styled(f" · ${row.cost_usd:.2f}")
    look = Styled(f"{_LIGHTS[row.phase]} ") + title + Styled("\n") + facts
    return look + Styled("\n") + _words(row.words) if row.words.strip() else look
