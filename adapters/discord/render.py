"""A `Message` as the texts that stand on Discord. Everything in it is untrusted; the markup is ours alone.

It sends nothing: what does not fit into a few messages is named, and goes along as a file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from adapters.discord.blocks import Block
from adapters.discord.markdown import parsed
from adapters.discord.pack import LIMIT, newest, packed
from adapters.discord.words import clip, escaped
from orchestrator.nouns import Message
from orchestrator.words import clean, units

MOST_MESSAGES = 3
"""Messages that a text may take; a longer one is its newest part and a file."""

LOG_LINES = 8
"""Lines of what was done that are shown, the newest ones."""

_STATUS = 300
_LOG_LINE = 120
_OPENING = 1200
_CUT = "…"


@dataclass(frozen=True, slots=True)
class Pieces:
    """The texts of one message or several, none of them empty. `whole` is the text to go along as a file, or empty."""

    texts: tuple[str, ...]
    whole: str = ""


def pieces(message: Message) -> Pieces:
    """A new message."""
    blocks = parsed(message.text)
    opening = header(message)
    texts = _within(blocks, opening, MOST_MESSAGES)
    if texts is not None:
        return Pieces(texts)
    return Pieces(_tail(blocks, opening, 1), whole=clean(message.text))


def fit(message: Message, count: int) -> Pieces:
    """The new look of a message that stands as `count` messages: at most as many texts, the newest words in them.

    Where there are fewer texts than messages, the last messages have nothing to say any more.
    """
    blocks = parsed(message.text)
    opening = header(message)
    texts = _within(blocks, opening, count)
    if texts is not None:
        return Pieces(texts)
    return Pieces(_tail(blocks, opening, count), whole=clean(message.text))


def header(message: Message) -> str:
    """The status with its clock, and the last lines of what was done in small print."""
    lines = []
    status = escaped(clip(clean(message.status).strip(), _STATUS))
    clock = f"<t:{int(message.since)}:R>" if message.since else ""
    if status or clock:
        lines.append(" · ".join(filter(None, (f"**{status}**" if status else "", clock))))
    return "\n".join([*lines, *_log(message.log, _OPENING - sum(map(units, lines)))])


def _log(log: tuple[str, ...], room: int) -> list[str]:
    shown: list[str] = []
    for done in reversed(log[-LOG_LINES:]):
        line = f"-# {escaped(clip(clean(done).strip(), _LOG_LINE)) or _CUT}"
        room -= units(line) + 1
        if room < 0:
            break
        shown.append(line)
    before = len(log) - len(shown)
    if before:
        shown.append(f"-# {_CUT} {before} earlier")
    return shown[::-1]


def _within(blocks: tuple[Block, ...], opening: str, most: int) -> tuple[str, ...] | None:
    """All of it in so many messages, or nothing."""
    texts: list[str] = []
    for text in packed(blocks, opening=opening):
        if len(texts) == most:
            return None
        texts.append(text)
    return tuple(texts) or (_CUT,)


def _tail(blocks: tuple[Block, ...], opening: str, count: int) -> tuple[str, ...]:
    """The newest of it in so many messages."""
    opening = f"{opening}\n{_CUT}" if opening else _CUT
    room = count * LIMIT - units(opening)
    while room > 0:
        kept = newest(blocks, room=room)
        kept = (replace(kept[0], gap=1), *kept[1:]) if kept else ()
        texts = _within(kept, opening, count)
        if texts is not None:
            return texts
        room -= LIMIT // 10  # what stays empty at the end of each message
    return (opening,)
