"""Small signs beside the messages: reactions, that somebody types, and the icon of a topic whose run has ended."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from telegram import ReactionTypeEmoji
from telegram.constants import ChatAction

from adapters.telegram.errors import Same
from adapters.telegram.keyed import Newest
from adapters.telegram.line import Line
from adapters.telegram.places import chat_id, topic_id
from adapters.telegram.sent import Ids
from orchestrator.errors import Gone, Refused
from orchestrator.nouns import Conversation, Got, MessageId, Phase, Receipt, Sign, Standing, Typing

log = structlog.get_logger()

REACTIONS = {Got.SEEN: "👀", Got.HEARD: "👍", Got.REFUSED: "💔"}
DONE = ("✅", "☑", "✔", "🏁", "🎉")
MOST_REFUSALS = 3
"""So many refused reactions in a row: then the chat allows none. A single one may be about its message alone."""

FAILED = ("❗", "‼", "⚠", "⁉", "❓", "💔", "🔥")
WELL = frozenset({"completed", "stopped"})


class Signs:
    """Shows them; where a chat allows none, that is remembered."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._refusals: Newest[int, int] = Newest(1_000)
        self._icons: Mapping[str, str] | None = None

    async def show(self, where: Conversation, sign: Sign) -> None:
        """One sign, with one request at most once the icons are known."""
        match sign:
            case Receipt(message=message, got=got):
                await self._react(where, message, got)
            case Typing():
                async with self._line.told(chat=chat_id(where)) as bot:
                    await bot.send_chat_action(chat_id(where), ChatAction.TYPING, message_thread_id=topic_id(where))
            case Standing(phase=Phase.ENDED, reason=reason):
                await self._end(where, reason)
            case Standing():
                pass  # each change would cost the chat as much as a message

    async def _react(self, where: Conversation, message: MessageId, got: Got) -> None:
        chat, ids = chat_id(where), Ids.read(message).all
        refusals = self._refusals.get(chat) or 0
        if not ids or refusals >= MOST_REFUSALS:
            return
        try:
            async with self._line.told(chat=chat) as bot:
                await bot.set_message_reaction(chat, ids[0], ReactionTypeEmoji(REACTIONS[got]))
            self._refusals.pop(chat)
        except Refused as why:
            log.info("no reaction", chat=chat, why=str(why))
            if "reaction" in str(why).lower():
                self._refusals.put(chat, refusals + 1)
        except Gone as why:
            log.info("nothing to react to", chat=chat, why=str(why))

    async def _end(self, where: Conversation, reason: str) -> None:
        topic = topic_id(where)
        if topic is None:
            return
        if self._icons is None:
            async with self._line.told() as bot:
                stickers = await bot.get_forum_topic_icon_stickers()
            self._icons = {(s.emoji or "").replace("\ufe0f", ""): s.custom_emoji_id or "" for s in stickers}
        wanted = DONE if reason.partition(":")[0].strip().lower() in WELL else FAILED
        icon = next((self._icons[emoji] for emoji in wanted if self._icons.get(emoji)), "")
        if not icon:
            return
        try:
            async with self._line.told(chat=chat_id(where)) as bot:
                await bot.edit_forum_topic(chat_id(where), topic, icon_custom_emoji_id=icon)
        except (Same, Refused) as why:
            log.info("no icon", where=str(where), why=str(why))
