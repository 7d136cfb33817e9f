"""What a message says: to whom, which words, what came along. It asks nobody and keeps nothing."""

from __future__ import annotations

import discord

from adapters.discord.people import PLATFORM


def key_of(message: discord.Message) -> str:
    """The message's name for ever."""
    return f"{PLATFORM}/{message.channel.id}/{message.id}"


def attachments_of(message: discord.Message) -> list[discord.Attachment]:
    """What came along with it, or with what is forwarded in it."""
    return [*message.attachments, *(one for snap in message.message_snapshots for one in snap.attachments)]


def is_to(me: int, message: discord.Message) -> bool:
    """Whether it mentions the bot, be it by the role that Discord made for it, or answers it."""
    answered = message.reference.resolved if message.reference is not None else None
    mentioned = any(one.id == me for one in message.mentions) or bool(_roles_of(me, message))
    return mentioned or (isinstance(answered, discord.Message) and answered.author.id == me)


def text_of(me: int, message: discord.Message) -> str:
    """The words, without the mention that only said to whom they are; forwarded ones with where they are from."""
    text = message.content
    for mention in (f"<@{me}>", f"<@!{me}>", *(f"<@&{role}>" for role in _roles_of(me, message))):
        text = text.replace(mention, "")
    text = text.strip()
    for snapshot in message.message_snapshots:
        origin = message.reference.channel_id if message.reference is not None else 0
        text = f"{text}\n\nForwarded from <#{origin}>:\n{snapshot.content}".strip()
    return text


def _roles_of(me: int, message: discord.Message) -> list[int]:
    """The bot's own roles among those that are mentioned; a role of people's choice is none of these."""
    return [role.id for role in message.role_mentions if role.tags is not None and role.tags.bot_id == me]
