"""What a message becomes here: some texts, the last one with the buttons, and files. It sends nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from telegram import InlineKeyboardMarkup

from adapters.telegram.keyboard import keyboard
from adapters.telegram.places import link
from adapters.telegram.render import fit, pieces
from adapters.telegram.rich import rich
from adapters.telegram.styled import Piece
from orchestrator.errors import Gone
from orchestrator.nouns import File, Message
from orchestrator.ports import Artifacts
from orchestrator.words import clean

MOST_FILE = 50_000_000
MOST_PHOTO = 10_000_000
MOST_NAME = 80
PHOTOS = (".png", ".jpg", ".jpeg")
WHOLE = "answer.md"
NOTHING = Piece("…")


@dataclass(frozen=True, slots=True)
class Text:
    """One message of words: a piece, or blocks where a chat has rich messages."""

    piece: Piece
    keyboard: InlineKeyboardMarkup | None = None
    blocks: dict[str, Any] | None = None

    @property
    def look(self) -> str:
        """Whatever can be seen of it: the same look needs no edit."""
        entities = [entity.to_dict() for entity in self.piece.entities]
        return repr((self.piece.text, entities, self.keyboard.to_dict() if self.keyboard else None, self.blocks))


@dataclass(frozen=True, slots=True)
class Document:
    """One file."""

    name: str
    content: bytes

    @property
    def is_photo(self) -> bool:
        """Whether it is shown as a picture."""
        return self.name.lower().endswith(PHOTOS) and len(self.content) <= MOST_PHOTO


Part = Text | Document


def texts(message: Message, count: int, *, as_rich: bool) -> tuple[list[Text], str]:
    """The look of a message that stands as `count` messages, and the whole text when that is not all of it."""
    looks, rest = _rich(message) if as_rich else [], ""
    if not 0 < len(looks) <= count:
        found = fit(message, count, link=link)
        looks, rest = _with_buttons(found.texts, message), found.whole
    return looks + [Text(NOTHING)] * (count - len(looks)), rest


async def parts(message: Message, artifacts: Artifacts, *, as_rich: bool) -> list[Part]:
    """Everything that a new message consists of, in the order in which it is sent."""
    made: list[Part] = list(_rich(message) if as_rich else [])
    if not made:
        found = pieces(message, link=link)
        made += _with_buttons(found.texts, message)
        if found.whole:
            made.append(whole(found.whole))
    for file in message.files:
        made.append(await _document(file, artifacts))
    return made or [Text(NOTHING)]


def whole(text: str) -> Document:
    """All of a text as a file."""
    return Document(WHOLE, text.encode("utf-8", "replace"))


def _rich(message: Message) -> list[Text]:
    """As blocks; none for a live page, of which the end matters, and for what cannot be shown so."""
    if message.tail:
        return []
    looks = [Text(NOTHING, None, blocks) for blocks in rich(message, link=link)]
    if looks:
        looks[-1] = Text(NOTHING, keyboard(message), looks[-1].blocks)
    return looks


def _with_buttons(found: tuple[Piece, ...], message: Message) -> list[Text]:
    looks = [Text(piece) for piece in found]
    if looks:
        looks[-1] = Text(found[-1], keyboard(message))
    return looks


async def _document(file: File, artifacts: Artifacts) -> Part:
    """The file, or words in its place where Telegram would not take it."""
    try:
        size = await artifacts.size(file.artifact)
        if size > MOST_FILE:
            return _words(f"{file.name} has {size / 1e6:.0f} MB; Telegram takes at most {MOST_FILE / 1e6:.0f} MB.")
        if not size:
            return _words(f"{file.name} is empty.")
        content = bytearray()
        async for piece in _read(file, artifacts):
            content += piece
    except Gone as why:
        return _words(f"{file.name}: {why}")
    return Document(_name(file.name), bytes(content))


def _name(name: str) -> str:
    """A name that can be sent and be read; its ending says what the file is."""
    name = " ".join(clean(name).split()) or "file"
    if len(name) <= MOST_NAME:
        return name
    stem, dot, ending = name.rpartition(".")
    return f"{stem[: MOST_NAME - 12]}…{dot}{ending}" if stem and len(ending) < 10 else f"{name[: MOST_NAME - 1]}…"


def _read(file: File, artifacts: Artifacts) -> AsyncIterator[bytes]:
    return artifacts.read(file.artifact)


def _words(words: str) -> Text:
    return Text(pieces(Message(status=f"⚠ {words}"), link=link).texts[0])
