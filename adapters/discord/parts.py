"""A `Message` as the requests that make it stand on Discord: each part is one message there. It sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import discord

from adapters.discord.cards import buttons, card, is_card
from adapters.discord.files import MOST_OUT, Upload, batches
from adapters.discord.pack import LIMIT
from adapters.discord.render import Pieces, fit, pieces
from adapters.discord.words import clip, escaped
from orchestrator.nouns import Conversation, Message
from orchestrator.words import units

ANSWER = "answer.md"
NOTHING = "…"


@dataclass(frozen=True, slots=True)
class Part:
    """One message: a card, or words with buttons and files."""

    text: str = ""
    view: discord.ui.View | discord.ui.LayoutView | None = None
    files: tuple[Upload, ...] = ()

    @property
    def is_card(self) -> bool:
        """Whether it is made of components alone."""
        return isinstance(self.view, discord.ui.LayoutView)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(len(file.data) for file in self.files)

    @property
    def look(self) -> str:
        """The same for two parts that look the same."""
        components = self.view.to_components() if self.view is not None else []
        files = [sha256(file.data).hexdigest() for file in self.files]
        return sha256(repr((self.text, components, files)).encode(errors="replace")).hexdigest()

    @property
    def words(self) -> list[str]:
        """Every text in it, as it comes back from Discord."""
        return words_of(self.text, self.view.to_components() if self.is_card and self.view else [])


def new(message: Message, uploads: Sequence[Upload], notes: Sequence[str]) -> list[Part]:
    """The parts of a new message. `notes` are sentences to stand under its text."""
    if notes:
        message = replace(message, text="\n\n".join(filter(None, (message.text, *notes))))
    if is_card(message):
        return [Part(view=card(message, link=address)), *_along(uploads)]
    found = Pieces(fit(message, 1).texts) if message.tail else pieces(message)
    return _plain(message, found, uploads)


def changed(message: Message, count: int, uploads: Sequence[Upload], *, as_card: bool) -> list[Part]:
    """The new look of a message that stands as so many parts; exactly as many."""
    if as_card:
        return [Part(view=card(message, link=address)), *[Part(text=NOTHING)] * (count - 1)]
    found = fit(message, count)
    if message.tail:
        found = Pieces(found.texts)  # what its end leaves out is not missed
    parts = _plain(message, found, uploads)[:count]
    return parts + [Part(text=NOTHING)] * (count - len(parts))


def _plain(message: Message, found: Pieces, uploads: Sequence[Upload]) -> list[Part]:
    whole = found.whole.encode(errors="replace")
    if whole:
        uploads = [Upload(ANSWER, whole[:MOST_OUT]), *uploads]
    parts = [Part(text=text) for text in found.texts]
    first, *others = batches(uploads) or [()]
    parts[-1] = replace(parts[-1], view=buttons(message), files=first)
    return parts + [Part(files=batch) for batch in others]


def bare(parts: Sequence[Part]) -> list[Part]:
    """The same parts without their files, and words in the place of these; what has no room stands after them all."""
    out: list[Part] = []
    homeless: list[str] = []
    for part in parts:
        if not part.files:
            out.append(part)
            continue
        names = ", ".join(escaped(file.name) for file in part.files)
        words = clip(f"(Left out, because it could not be brought to Discord: {names})", LIMIT)
        text = "\n\n".join(filter(None, (part.text, words)))
        if units(text) > LIMIT:
            homeless.append(words)
            text = part.text
        out.append(replace(part, text=text, files=()))
    return out + [Part(text=words) for words in homeless]


def _along(uploads: Sequence[Upload]) -> list[Part]:
    return [Part(files=batch) for batch in batches(uploads)]


def address(where: Conversation) -> str | None:
    """Where a conversation is, for who has Discord."""
    if where.platform != "discord":
        return None
    guild, _, channel = where.chat.partition("/")
    return f"https://discord.com/channels/{guild}/{where.thread or channel}"


def words_of(content: str, components: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every text of a message."""
    found = [content.strip()] if content.strip() else []
    for component in components:
        text = component.get("content")
        if isinstance(text, str):
            found.append(text.strip())
        found += words_of("", component.get("components") or [])
    return found
