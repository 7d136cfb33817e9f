"""The menu of commands, and updates that are brought instead of fetched."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from adapters.telegram.webhook import PATH, SECRET, Webhook
from orchestrator.commands import COMMANDS
from orchestrator.errors import Refused
from tests.botapi import Fault, Kind
from tests.botapi.settings import menu
from tests.telegram_chat.scene import ANN, GROUP, Scene, scene, until

# --- the menu ---------------------------------------------------------------------------------------------------------


def shown(s: Scene, chat: int, language: str = "") -> list[str]:
    found = s.api.world.commands.get(menu({"type": "chat", "chat_id": chat}, language), [])
    return [f"{one['command']}: {one['description']}" for one in found]


async def test_the_menu_is_shown_where_one_may_and_sent_once() -> None:
    options = {"commands": COMMANDS, "allowed_users": [ANN], "allowed_chats": [GROUP]}
    async with scene() as s:
        async with s.life(**options):
            await until(lambda: "menu" in s.notes.texts)
        for chat in (ANN, GROUP):
            assert [line.partition(":")[0] for line in shown(s, chat)] == [name for name, _, _ in COMMANDS]
            assert shown(s, chat)[0].startswith("launch: [agent] <task>: ")
            assert "Aufgabe" in shown(s, chat, "de")[0]
        assert not s.api.world.commands.get(menu({}, ""))
        sent = len(s.api.called("setMyCommands"))
        async with s.life(**options):
            await s.ann.says(s.home, "hello")
            await s.hears()
        assert len(s.api.called("setMyCommands")) == sent == 4
        # another word in it, and a chat less
        async with s.life(commands=COMMANDS[:2], allowed_users=[ANN]):
            await until(lambda: len(shown(s, ANN)) == 2 and not shown(s, GROUP) and not shown(s, GROUP, "de"))


@pytest.mark.looptime
async def test_a_chat_that_is_not_known_yet_gets_its_menu_in_another_life() -> None:
    options = {"commands": COMMANDS, "allowed_users": [ANN, 4711]}
    async with scene() as s:
        s.api.fail("setMyCommands", Fault(Kind.PROXY))
        async with s.life(**options) as chat:
            await until(lambda: "menu" in s.notes.texts, seconds=60)
            assert chat.pulse().trouble == ""
        s.api.private(s.api.person(4711, "Bob"))
        async with s.life(**options):
            await until(lambda: shown(s, 4711), seconds=60)


# --- the webhook ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def door(s: Scene) -> AsyncIterator[str]:
    """A listener with the bot's route, and the bot; the address of the route."""
    base = f"http://127.0.0.1:{unused_port()}"
    webhook = Webhook(base, "s3cret")
    bot = s.chat(webhook=webhook)
    app = web.Application()
    bot.add_routes(app)
    async with TestServer(app, port=int(base.rpartition(":")[2])), s.serving(bot):
        await until(lambda: s.api.world.updates.webhook)
        yield base + PATH


async def knock(url: str, body: bytes, *, secret: str | None = "s3cret") -> int:
    headers = {SECRET: secret} if secret is not None else {}
    async with aiohttp.ClientSession() as session, session.post(url, data=BytesIO(body), headers=headers) as answer:
        return answer.status


async def test_updates_are_brought() -> None:
    async with scene() as s, door(s):
        await s.ann.says(s.home, "hello")
        await s.hears()
        assert s.core.texts == ["hello"]
        assert not s.api.called("getUpdates")


async def test_who_knocks_without_the_secret_is_sent_away() -> None:
    async with scene() as s, door(s) as url:
        body = b'{"update_id": 5, "message": {}}'
        for secret in (None, "", "wrong", "s3cre", "s3cret ü"):
            assert await knock(url, body, secret=secret) == 403
        assert await knock(url, b"no json") == 400
        assert await knock(url, b"[]") == 400
        assert await knock(url, b" " * (2 << 20)) == 413
        assert not s.core.asked
        assert not any(name.startswith(("in/", "aside/")) for name in s.notes.texts)


async def test_what_is_not_stored_is_not_taken() -> None:
    async with scene() as s, door(s) as url:
        said = await s.ann.says(s.home, "first")
        await s.hears()
        s.notes.fails = "The disk is full."
        message = said.json() | {"message_id": said.id + 100, "text": "x"}
        body = json.dumps({"update_id": 900, "message": message}).encode()
        assert await knock(url, body) == 503
        s.notes.fails = ""
        assert await knock(url, body) == 200
        await s.hears(2)
    assert s.core.texts == ["first", "x"]


async def test_a_door_to_nobody_is_shut_and_one_without_a_secret_is_not_built() -> None:
    with pytest.raises(Refused):
        Webhook("https://example.org", "")
    async with scene() as s:
        bot = s.chat(webhook=Webhook("http://127.0.0.1:1", "s3cret"))
        app = web.Application()
        bot.add_routes(app)
        async with bot, TestServer(app) as server:
            assert await knock(str(server.make_url(PATH)), b'{"update_id": 5}') == 503
