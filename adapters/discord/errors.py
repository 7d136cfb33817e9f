"""What Discord, its library and the network raise, as the four kinds of trouble. It sends nothing."""

from __future__ import annotations

from json import JSONDecodeError

import aiohttp
import discord

from orchestrator.errors import Broken, Busy, Gone, Refused, Trouble

NOT_ACCEPTED = (
    "DISCORD_TOKEN is not accepted by Discord: it was reset, or is not the token of a bot. Make a new one in the "
    "developer portal, under Bot, Reset Token."
)
NO_INTENT = (
    "Discord does not let this bot read messages: switch on “Message Content Intent” for it in the developer portal, "
    "under Bot, and start again."
)

OUTSIDE = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError, JSONDecodeError)
"""Everything that a request raises when the other side, or what is between, is to blame."""

UNREADABLE = (TypeError, LookupError, ValueError, AttributeError)
"""What the library stumbles over in an answer that is not what it expects."""

ARCHIVED = 50083
BAD_FORM = 50035
ACKNOWLEDGED = 40060
_GONE = {10003, 10004, 10007, 10008, 10014, 10015, 10062, 50001, 50027}
_WORDS = {
    50013: "The bot lacks a permission here that it needs for this.",
    160006: "This server has as many open threads as Discord allows.",
    40067: "This forum wants a tag on every post, and has none that the bot may put there.",
    40005: "This is too big for Discord.",
    30003: "This channel has as many pinned messages as Discord allows.",
}


class Declined(Refused):
    """Discord does not take it. `code` is its reason, for whoever knows another way."""

    def __init__(self, words: str, *, code: int) -> None:
        super().__init__(words)
        self.code = code


def trouble(error: BaseException, *, unsure: bool) -> Trouble:
    """The kind of trouble that this is. `unsure`: the request may have reached Discord."""
    match error:
        case Trouble():
            return error
        case discord.LoginFailure():
            return Declined(NOT_ACCEPTED, code=401)
        case discord.RateLimited():
            return Busy("Discord asks for patience.", seconds=error.retry_after)
        case discord.HTTPException():
            return _answered(error, unsure=unsure)
        case TimeoutError():
            return Broken("Discord did not answer in time.", unsure=unsure)
        case TypeError() | LookupError() | ValueError() | AttributeError():
            return Broken(f"Discord's answer could not be read ({type(error).__name__}).", unsure=unsure)
        case _:
            return Broken(f"Discord could not be reached ({type(error).__name__}).", unsure=unsure)


def _answered(error: discord.HTTPException, *, unsure: bool) -> Trouble:
    if not error.code and not error.text:
        return Broken(f"Something in between answered in Discord's place ({error.status}).", unsure=unsure)
    if error.code in _GONE:
        return Gone(f"Discord knows nothing of it ({error.code}).")
    if error.code in _WORDS:
        return Declined(_WORDS[error.code], code=error.code)
    if error.status == 401:
        return Declined(NOT_ACCEPTED, code=401)
    if error.status == 429:
        return Busy("Discord asks for patience.", seconds=60.0, everywhere=True)
    if error.status >= 500:
        return Broken(f"Discord has trouble of its own ({error.status}).", unsure=unsure)
    if error.status == 404:
        return Gone("Discord knows nothing of it.")
    return Declined(f"Discord does not take this ({error.code or error.status}).", code=error.code)
