"""Telegram keeps the contract of every chat: in a private chat with topics, and in a group that has none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from adapters.telegram.chat import TelegramChat
from orchestrator.errors import Refused
from orchestrator.nouns import Conversation, MessageId
from tests.botapi.world import Chat, Standing
from tests.contract.test_chat import ChatContract
from tests.telegram_chat.scene import Scene, scene, until


class TelegramStage:
    """What Ann sees and does on her phone."""

    def __init__(self, scene: Scene, chat: TelegramChat, room: Chat) -> None:
        self.chat = chat
        self.home = Conversation("telegram", str(room.id))
        self._scene = scene
        self._room = room
        self._said: dict[str, Standing] = {}
        self._hello = scene.api.world.put(room, {"text": "hello"}, sender=scene.api.world.bot, own=True)

    async def seen(self, where: Conversation) -> Sequence[str]:
        words = [_words(message) for message in self._scene.api.messages(self._room.id) if self._is_in(message, where)]
        return [word for word in words if word]

    def _is_in(self, message: Standing, where: Conversation) -> bool:
        if message is self._hello or message.service or not message.own:
            return False
        if where.thread.startswith("r"):
            return message.reply_to is not None and f"r{message.reply_to.id}" == where.thread
        return str(message.thread or "") == where.thread

    async def says(self, where: Conversation, text: str, *, update: str) -> None:
        root = where.thread.removeprefix("r")
        replied = self._room.standing[int(root)] if root != where.thread else self._hello
        said = self._said.get(update)
        if said is None:
            thread = 0 if root != where.thread else int(where.thread or 0)
            said = await self._scene.ann.says(self._room, text, thread=thread, reply_to=None if thread else replied)
            self._said[update] = said
        else:
            self._scene.api.push_raw({"message": said.json()})
        await self._told(said)

    async def presses(self, where: Conversation, message: MessageId, token: str, *, update: str) -> None:
        pressed = self._room.standing[int(message)]
        if update in self._said:
            return  # a tap that was answered does not come again
        self._said[update] = pressed
        await self._scene.ann.presses(pressed, token)

    async def _told(self, said: Standing) -> None:
        """Ann waits for what comes of her words; a refusal stands below them."""
        updates = self._scene.api.world.updates
        await until(lambda: not updates.waiting or (updates.polled and updates.last_poll))
        await until(lambda: not updates.waiting)
        await self._scene.rest()
        for message in self._scene.api.messages(self._room.id):
            if message.own and message.reply_to is said:
                raise Refused(message.text)


def _words(message: Standing) -> str:
    buttons = [button["text"] for button in message.buttons]
    return " ".join([message.text.replace("\u2060", ""), *buttons]).strip()


class TestTelegram(ChatContract):
    """In a private chat whose runs have topics."""

    @pytest.fixture
    async def stage(self) -> AsyncIterator[TelegramStage]:
        async with scene(topics=True) as around, around.chat() as chat:
            yield TelegramStage(around, chat, around.home)


class TestTelegramChains(ChatContract):
    """In a group without topics, where runs are chains of replies."""

    @pytest.fixture
    async def stage(self) -> AsyncIterator[TelegramStage]:
        async with scene() as around, around.chat() as chat:
            yield TelegramStage(around, chat, around.group)


class TestTelegramForum(ChatContract):
    """In a group with topics."""

    @pytest.fixture
    async def stage(self) -> AsyncIterator[TelegramStage]:
        async with scene(forum=True) as around, around.chat() as chat:
            yield TelegramStage(around, chat, around.group)
