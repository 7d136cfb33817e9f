"""A `Message` as a card of components, and the buttons under a plain one.

A card has no callbacks and waits for nothing: who presses is found by what stands in the button.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import discord

from adapters.discord.blocks import BOLD, Span, written
from adapters.discord.links import written as address_written
from adapters.discord.markdown import parsed
from adapters.discord.pack import newest, packed
from adapters.discord.render import header
from adapters.discord.words import clip, escaped
from orchestrator.nouns import Button, Conversation, Message, Phase, Row, Style
from orchestrator.words import clean, units

MOST_COMPONENTS = 40
MOST_TEXT = 4000

PREFIX = "army:"
"""What our buttons begin with; any other one is not ours."""

_MOST_BUTTONS = 25
_IN_A_ROW = 5
_LABEL = 80
_QUESTION = 1500
_TITLE = 100
_WORDS = 150
_REST = 600

Link = Callable[[Conversation], str | None]
"""The address of a conversation, or nothing when it has none here."""

_STYLES = {
    Style.PLAIN: discord.ButtonStyle.secondary,
    Style.GOOD: discord.ButtonStyle.success,
    Style.DANGER: discord.ButtonStyle.danger,
}

_COLOURS = {
    Phase.QUEUED: 0x6B7280,
    Phase.STARTING: 0x6366F1,
    Phase.WORKING: 0x2563EB,
    Phase.ASKING: 0xF59E0B,
    Phase.IDLE: 0x16A34A,
    Phase.STOPPING: 0xEA580C,
    Phase.ENDED: 0x374151,
}


def custom_id(token: str) -> str:
    """A button's token as Discord keeps it."""
    return PREFIX + token


def token_of(custom_id: str) -> str | None:
    """The token in a pressed button, or nothing when the button is not ours."""
    return custom_id.removeprefix(PREFIX) if custom_id.startswith(PREFIX) else None


def is_card(message: Message) -> bool:
    """Whether it is better seen as a card: a dashboard, or a question that is short enough to be whole in one."""
    if message.board or message.rows:
        return True
    return bool(message.rings and message.buttons and not message.files) and units(message.text) <= _QUESTION


def card(message: Message, *, link: Link) -> discord.ui.LayoutView:
    """The message as components: its words, its runs, its buttons."""
    view = discord.ui.LayoutView(timeout=None)
    room = _Room()
    taps = list(_distinct(message.buttons, room.seen))[:_MOST_BUTTONS]
    room.components -= len(taps) + -(-len(taps) // _IN_A_ROW)
    for text in _texts(message, 1800 if message.rows else MOST_TEXT):
        view.add_item(room.text(text))
    for item in _runs(message.rows, room, link):
        view.add_item(item)
    for row in _action_rows(taps):
        view.add_item(row)
    if not view.children:
        view.add_item(room.text("Nothing is running." if message.board else "…"))
    view.stop()  # discord.py then does not keep it for ever to listen to
    return view


def buttons(message: Message) -> discord.ui.View | None:
    """The buttons under a plain message."""
    taps = list(_distinct(message.buttons, set()))[:_MOST_BUTTONS]
    if not taps:
        return None
    view = discord.ui.View(timeout=None)
    for at, tap in enumerate(taps):
        view.add_item(_button(tap, at // _IN_A_ROW))
    view.stop()
    return view


class _Room:
    """What a card has still room for."""

    def __init__(self) -> None:
        self.components = MOST_COMPONENTS
        self.units = MOST_TEXT
        self.seen: set[str] = set()

    def text(self, text: str) -> discord.ui.TextDisplay[discord.ui.LayoutView]:
        """Words, taken off what there is room for."""
        self.components -= 1
        self.units -= units(text)
        return discord.ui.TextDisplay(text)


def _texts(message: Message, most: int) -> Iterator[str]:
    opening = header(message)
    if opening:
        yield opening
    blocks = parsed(message.text)
    room = most - units(opening)
    found = list(islice(packed(blocks, limit=room), 2))
    if len(found) > 1:
        found = ["…\n" + "\n".join(map(str, newest(blocks, room=room - 2)))]
    yield from found


def _runs(rows: Sequence[Row], room: _Room, link: Link) -> Iterator[discord.ui.Item[discord.ui.LayoutView]]:
    """A section for each run; when there are too many, the last ones as lines."""
    for at, row in enumerate(rows):
        text = _section(row, link)
        taps = list(_distinct(row.buttons, room.seen))[:_IN_A_ROW]
        cost = 2 + (1 + len(taps) if taps else 0)
        last = at == len(rows) - 1
        if cost > room.components - (not last) or units(text) > room.units - (0 if last else _REST):
            yield room.text(_lines(rows[at:], room.units, link))
            return
        room.components -= cost - 1
        yield discord.ui.Container(room.text(text), *_action_rows(taps), accent_colour=_COLOURS[row.phase])


def _section(row: Row, link: Link) -> str:
    facts = _facts(row)
    words = escaped(clip(clean(row.words).strip(), _WORDS))
    return "\n".join(filter(None, (_title(row, link), facts, f"-# {words}" if words else "")))


def _lines(rows: Sequence[Row], room: int, link: Link) -> str:
    lines: list[str] = []
    for at, row in enumerate(rows):
        line = f"- {_title(row, link)} · {_facts(row)}"
        more = f"-# … and {len(rows) - at} more"
        if units(line) + 1 + len(more) + 10 > room:
            return "\n".join([*lines, more])
        lines.append(line)
        room -= units(line) + 1
    return "\n".join(lines)


def _title(row: Row, link: Link) -> str:
    words = clip(clean(row.title).strip() or row.run, _TITLE)
    address = link(row.where) if row.where else None
    return written((Span(words, (BOLD, address) if address and address_written(address) else (BOLD,)),))


def _facts(row: Row) -> str:
    clock = f"<t:{int(row.since)}:R>" if row.since else ""
    cost = f"${row.cost_usd:.2f}" if row.cost_usd else ""
    return " · ".join(filter(None, (row.phase.value, escaped(clip(clean(row.agent), 60)), clock, cost)))


def _distinct(taps: Iterable[Button], seen: set[str]) -> Iterator[Button]:
    """Discord refuses a message in which two buttons are the same."""
    for tap in taps:
        if tap.token not in seen:
            seen.add(tap.token)
            yield tap


def _action_rows(taps: Sequence[Button]) -> Iterator[discord.ui.ActionRow[discord.ui.LayoutView]]:
    for at in range(0, len(taps), _IN_A_ROW):
        yield discord.ui.ActionRow(*(_button(tap) for tap in taps[at : at + _IN_A_ROW]))


def _button(tap: Button, row: int | None = None) -> discord.ui.Button[Any]:
    label = clip(clean(tap.label).strip(), _LABEL) or "…"
    return discord.ui.Button(label=label, style=_STYLES[tap.style], custom_id=custom_id(tap.token), row=row)
