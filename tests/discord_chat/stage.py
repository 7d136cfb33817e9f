"""The adapter with the platform around it, for tests: what it is given, and a core that writes down what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from adapters.discord.chat import DiscordChat
from orchestrator.commands import COMMANDS
from orchestrator.errors import Refused, Trouble
from orchestrator.nouns import Conversation, Inbound, Person
from tests.discordapi import Channel, Discord
from tests.fakes.artifacts import MemoryArtifacts
from tests.fakes.notes import MemoryNotes

TOKEN = "MTA0.secret-of-the-bot.x_Y-z"


def now() -> float:
    """Seconds of the loop's own time, which a test with virtual time moves."""
    return asyncio.get_running_loop().time()


class Core:
    """Takes everything once, each in `slow` seconds; `troubles` are raised first, one after another."""

    def __init__(self) -> None:
        self.heard: list[Inbound] = []
        self.asked: list[tuple[Person, Conversation, str]] = []
        self.troubles: list[Trouble] = []
        self.deaf: Trouble | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.slow = 0.0

    async def receive(self, inbound: Inbound) -> None:
        await self.gate.wait()
        await asyncio.sleep(self.slow)
        if self.deaf:
            raise self.deaf
        if self.troubles:
            raise self.troubles.pop(0)
        if inbound.key not in {known.key for known in self.heard}:
            self.heard.append(inbound)

    async def suggest(self, person: Person, where: Conversation, typed: str) -> Sequence[tuple[str, str]]:
        self.asked.append((person, where, typed))
        if self.deaf:
            raise self.deaf
        return [(name, "writes code") for name in ("claude", "codex") if name.startswith(typed)]

    async def hears(self, count: int) -> list[str]:
        """What was said, once it is so much."""
        async with asyncio.timeout(600):
            while len(self.heard) < count:  # noqa: ASYNC110 - it has no event to wait for
                await asyncio.sleep(0.05)
        return self.texts

    @property
    def texts(self) -> list[str]:
        """What was said, in order."""
        return [inbound.text for inbound in self.heard]


class Home:
    """A platform, an adapter on it, and a channel of theirs. `again` is the same bot's next life."""

    def __init__(self, api: Discord, *, token: str = TOKEN) -> None:
        self.api = api
        self.core = Core()
        self.strangers: set[str] = set()
        self.notes = MemoryNotes()
        self.artifacts = MemoryArtifacts()
        self.channel: Channel = api.text_channel("general")
        self.where = self.of(self.channel)
        self.token = token

    def of(self, channel: Channel) -> Conversation:
        """A channel or thread as the house calls it."""
        if channel.parent is not None:
            return Conversation("discord", f"{channel.guild}/{channel.parent}", str(channel.id))
        return Conversation("discord", f"{channel.guild}/{channel.id}")

    def thread(self, where: Conversation) -> Channel:
        """A conversation as the platform knows it."""
        return self.api.world.channel(int(where.thread))

    def chat(self) -> DiscordChat:
        """A new life of the bot."""
        return DiscordChat(
            self.notes,
            self.artifacts,
            token=self.token,
            guilds=[str(self.api.guild.id)],
            may=lambda person, _where: person.id not in self.strangers,
            api_base=self.api.rest,
            gateway_url=self.api.gateway,
            commands=COMMANDS,
            suggest=self.core.suggest,
            clock=self.api.clock.now,
        )

    @asynccontextmanager
    async def living(self) -> AsyncIterator[DiscordChat]:
        """A life of the bot that hears people, from its connection to its end."""
        async with self.chat() as chat:
            serving = asyncio.create_task(chat.serve(self.core.receive))
            try:
                await self.api.sockets.connected()
                yield chat
            finally:
                serving.cancel()
                await asyncio.wait([serving])
            if not serving.cancelled() and (error := serving.exception()) and not isinstance(error, Refused):
                raise error
