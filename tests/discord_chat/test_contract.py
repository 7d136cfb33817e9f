"""Discord does what every chat does; the sentences stand in `tests/contract/test_chat.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from adapters.discord.chat import DiscordChat
from orchestrator.errors import Refused
from orchestrator.nouns import Conversation, MessageId
from tests.contract.test_chat import ChatContract, Ear, Stage
from tests.discord_chat.stage import TOKEN, Home
from tests.discordapi import Discord, Interaction, Message

pytestmark = pytest.mark.looptime


class DiscordStage:
    """What a member of the guild sees and does."""

    def __init__(self, home: Home, chat: DiscordChat) -> None:
        self.chat = chat
        self.home = home.where
        self._home = home
        self._person = home.api.person(None, "Ann")
        self._said: dict[str, Message] = {}
        self._pressed: dict[str, Interaction] = {}

    def _channel(self, where: Conversation) -> int:
        return int(where.thread or where.chat.partition("/")[2])

    async def seen(self, where: Conversation) -> Sequence[str]:
        bot = self._home.api.world.me
        found = [one for one in self._home.api.messages(self._channel(where)) if one.author is bot]
        return [_words(message) for message in found]

    async def says(self, where: Conversation, text: str, *, update: str) -> None:
        api = self._home.api
        await api.sockets.connected()
        before = len(api.calls)
        if update in self._said:
            api.town.tell_message("MESSAGE_CREATE", self._said[update])
        else:
            mention = "" if where.thread else f"<@{api.world.me.id}> "
            self._said[update] = await self._person.says(self._channel(where), mention + text)
        await asyncio.sleep(2)
        for message in api.messages(self._channel(where)):
            if message.reference == self._said[update].id and len(api.calls) > before:
                raise Refused(message.text)

    async def presses(self, where: Conversation, message: MessageId, token: str, *, update: str) -> None:
        api = self._home.api
        await api.sockets.connected()
        shown = api.world.message(api.place(self._channel(where)), int(message))
        if update in self._pressed:
            data = {"component_type": 2, "custom_id": f"army:{token}"}
            api.town.begin(self._pressed[update], data)
        else:
            self._pressed[update] = await self._person.presses(shown, f"army:{token}")
        await asyncio.sleep(2)


def _words(message: Message) -> str:
    labels = [button.label for button in message.buttons]
    return "\n".join(filter(None, (_bare(message.text), *labels)))


def _bare(text: str) -> str:
    """Without the signs that Discord takes off when it shows the words."""
    out, escaped = "", False
    for character in text:
        if character == "\\" and not escaped:
            escaped = True
            continue
        out, escaped = out + character, False
    return out


class TestDiscord(ChatContract):
    @pytest.fixture
    async def stage(self) -> AsyncIterator[Stage]:
        async with Discord(token=TOKEN) as api:
            home = Home(api)
            async with home.chat() as chat:
                yield DiscordStage(home, chat)

    async def test_the_stage_hears_refusals(self, stage: Stage, ear: Ear) -> None:
        """The words come from the platform, not from the core."""
        ear.trouble = Refused("Not you.")
        with pytest.raises(Refused, match="Not you"):
            await stage.says(stage.home, "please", update="1")
