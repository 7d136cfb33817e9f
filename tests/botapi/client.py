"""The real client, pointed at the server: what tests of this server and of the adapter speak through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from telegram import Bot

from tests.botapi import BotApi


@asynccontextmanager
async def client(api: BotApi, *, token: str = "") -> AsyncIterator[Bot]:
    """A bot that asked who it is."""
    async with Bot(token or api.token, base_url=api.url + "/bot", base_file_url=api.url + "/file/bot") as bot:
        yield bot
