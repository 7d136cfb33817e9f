"""A real client of discord.py for these tests: it writes down what it hears and answers what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import discord
from discord import app_commands

from tests.discordapi import Discord, pointed

TOKEN = "the.bots.token"
INTENTS = discord.Intents(guilds=True, messages=True, message_content=True, reactions=True)

Answering = Callable[[discord.Interaction], Awaitable[None]]


class Listener(discord.Client):
    """It hears everything and decides nothing."""

    def __init__(self, *, intents: discord.Intents = INTENTS) -> None:
        super().__init__(intents=intents, guild_ready_timeout=0.05)
        self.tree = app_commands.CommandTree(self)
        self.heard: list[discord.Message] = []
        self.events: list[str] = []
        self.answering: Answering | None = None
        self.failed: list[Exception] = []

    async def on_message(self, message: discord.Message) -> None:
        self.heard.append(message)

    async def on_socket_event_type(self, event: str) -> None:
        self.events.append(event)

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        if self.answering is not None:
            try:
                await self.answering(interaction)
            except discord.DiscordException as wrong:
                self.failed.append(wrong)

    def room(self, channel_id: int) -> discord.TextChannel:
        room = self.get_channel(channel_id)
        assert isinstance(room, discord.TextChannel)
        return room

    def words(self) -> list[str]:
        return [m.content for m in self.heard if m.author != self.user]


@asynccontextmanager
async def running(api: Discord, *, intents: discord.Intents = INTENTS) -> AsyncIterator[Listener]:
    """The client, connected and ready."""
    with pointed(api.rest, api.gateway):
        client = Listener(intents=intents)
        await client.login(TOKEN)
        connection = asyncio.create_task(client.connect())
        ready = asyncio.create_task(client.wait_until_ready())
        try:
            await asyncio.wait([connection, ready], return_when=asyncio.FIRST_COMPLETED)
            if connection.done():
                await connection
            yield client
        finally:
            ready.cancel()
            await client.close()
            await asyncio.wait([connection, ready])
