"""A `Message`'s buttons as Telegram's keyboard, in lines that a phone can show. Who may press is not decided here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog
from telegram import InlineKeyboardButton, InlineKeyboardMarkup
from telegram.constants import KeyboardButtonStyle

from orchestrator.nouns import Button, Message, Row, Style
from orchestrator.words import clean, width

log = structlog.get_logger(__name__)

MOST_BUTTONS = 100
MOST_BESIDE = 8
MOST_TOKEN = 64

ROOM = 30
"""Columns of labels that a phone shows in a row before it shortens them."""

_EDGE = 4  # what a button's frame takes, in columns
_SHORT_NAME = 14

_STYLES = {Style.PLAIN: None, Style.GOOD: KeyboardButtonStyle.SUCCESS, Style.DANGER: KeyboardButtonStyle.DANGER}


def keyboard(message: Message) -> InlineKeyboardMarkup | None:
    """The rows' buttons, a line for each run, and the message's own below; None when there are none."""
    own = list(_taps(message.buttons))[:MOST_BUTTONS]
    room = MOST_BUTTONS - len(own)
    lines: list[Sequence[InlineKeyboardButton]] = []
    several = len(message.rows) > 1
    for row in message.rows:
        taps = list(_taps(row.buttons, name=_short_name(row) if several else ""))[:room]
        room -= len(taps)
        lines += _lines(taps)
    lines += _lines(own)
    return InlineKeyboardMarkup(lines) if lines else None


def _taps(buttons: Iterable[Button], *, name: str = "") -> Iterable[InlineKeyboardButton]:
    for button in buttons:
        if not (button.token.isascii() and 0 < len(button.token) <= MOST_TOKEN):
            log.error("button left out: its token cannot be sent", label=button.label, size=len(button.token))
            continue
        label = " ".join(clean(button.label).split()) or "…"
        yield InlineKeyboardButton(
            f"{name}: {label}" if name else label, callback_data=button.token, style=_STYLES[button.style]
        )


def _short_name(row: Row) -> str:
    words = " ".join(clean(row.title).split()) or row.run
    return words if len(words) <= _SHORT_NAME else words[: _SHORT_NAME - 1].rstrip() + "…"


def _lines(taps: Sequence[InlineKeyboardButton]) -> list[Sequence[InlineKeyboardButton]]:
    """As many beside each other as there is room for."""
    lines: list[list[InlineKeyboardButton]] = []
    left = 0
    for tap in taps:
        needs = width(tap.text) + _EDGE
        if not lines or needs > left or len(lines[-1]) == MOST_BESIDE:
            lines.append([])
            left = ROOM
        lines[-1].append(tap)
        left -= needs
    return list(lines)
