"""What went wrong, said once: the library's exceptions and the platform's words as the four troubles of the house.

It knows no message and sends nothing. Addresses hold the bot's token, so no word of an exception leaves here unmasked.
"""

from __future__ import annotations

import httpx
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, NetworkError, TelegramError

from orchestrator.errors import Broken, Busy, Gone, Refused, Trouble

NO_TOKEN = (
    "Telegram does not accept TELEGRAM_TOKEN. @BotFather shows the right one (/mybots, API Token) or makes a new one."  # noqa: S105 - words, no token
)

_NO_PLACE = (
    "chat not found",
    "message thread not found",
    "topic_deleted",
    "topic_id_invalid",
    "topic_closed",
    "peer_id_invalid",
    "group chat was deactivated",
    "user not found",
)
_NO_MESSAGE = ("message to edit not found", "message to delete not found", "message_id_invalid")
_NOT_OURS = (
    "message can't be edited",
    "there is no text in the message to edit",
    "there is no caption in the message to edit",
)
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


class Same(Refused):
    """The message looks like this already."""


class NotOurs(Refused):
    """The message was written by somebody else, or is of another kind."""


class Missing(Gone):
    """The message is no more, or never was; its chat may well be there."""


class Moved(Gone):
    """The group goes on under another id."""

    def __init__(self, to: int) -> None:
        super().__init__(f"This group became a supergroup with the new id {to}; allow that id, and go on there.")
        self.to = to


class Locked(Broken):
    """The token is not accepted: nothing will work until the operator has changed it."""


class Rival(Broken):
    """Somebody else hears this bot's updates."""


class Flood(TelegramError):
    """Too many requests: the platform wants to be left alone for so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Too many requests, wait {seconds:g} s")
        self.seconds = seconds


class Garbled(NetworkError):
    """An answer that is not the platform's: a proxy's page, or half of one."""


def trouble(error: TelegramError, *, token: str) -> Trouble:
    """The trouble that an exception of the library is."""
    words = masked(error.message, token)
    match error:
        case Flood():
            return Busy("Telegram asks for patience.", seconds=error.seconds)
        case ChatMigrated():
            return Moved(error.new_chat_id)
        case Forbidden():
            return Gone(f"Telegram: {words}")
        case InvalidToken():
            return Locked(NO_TOKEN)
        case Conflict():
            return Rival(f"Telegram: {words}")
        case BadRequest():
            return _refusal(words)
        case _:
            return Broken(f"Telegram cannot be reached: {words}", unsure=not isinstance(error.__cause__, _UNSENT))


def masked(words: str, token: str) -> str:
    """The words without the token, also where only its secret half stands."""
    secret = token.partition(":")[2] or token
    return words.replace(token, "***").replace(secret, "***")


def _refusal(words: str) -> Trouble:
    low = words.lower()
    if "message is not modified" in low:
        return Same(words)
    if any(known in low for known in _NO_MESSAGE):
        return Missing("The message is no more.")
    if any(known in low for known in _NO_PLACE):
        return Gone(f"Telegram: {words}")
    if any(known in low for known in _NOT_OURS):
        return NotOurs(words)
    return Refused(f"Telegram: {words}")
