"""A home in Discord and the bot's chat in it.

The client library is imported here first: it asks for a module of sound that Python is about to drop, and says so.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator

import pytest

from tests.discordapi import Discord

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from adapters.discord.chat import DiscordChat
    from tests.discord_chat.stage import TOKEN, Home


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    async with Discord(token=TOKEN) as api:
        yield Home(api)


@pytest.fixture
async def chat(home: Home) -> AsyncIterator[DiscordChat]:
    """With nobody heard; a test that wants to be heard lives in the home instead."""
    async with home.chat() as chat:
        yield chat
