"""The control interface, and the server as a process of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup
from telegram.error import NetworkError

from tests.botapi import TOKEN, BotApi
from tests.botapi.client import client
from tests.botapi.control import control

ROOT = Path(__file__).parents[2]
KEYS = InlineKeyboardMarkup([[InlineKeyboardButton("Stop", callback_data="t1")]])


@dataclass
class Hand:
    """Somebody at a terminal."""

    net: aiohttp.ClientSession
    url: str

    async def __call__(self, verb: str, **given: Any) -> Any:
        async with self.net.post(f"{self.url}/control/{verb}", json=given) as answer:
            body = await answer.json()
            if answer.status != 200:
                raise ValueError(body["error"])
            return body["result"]


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[BotApi, Hand, Bot]]:
    async with BotApi(also=control) as api, aiohttp.ClientSession() as net, client(api) as bot:
        yield api, Hand(net, api.url), bot


async def test_a_talk_is_led_by_hand() -> None:
    async with stage() as (_, hand, bot):
        await hand("private", id=7, name="Ann")
        await hand("say", person=7, chat=7, text="/launch x")
        waiting = asyncio.create_task(hand("wait", chat=7, text="running"))
        sent = await bot.send_message(7, "starting", reply_markup=KEYS)
        await bot.edit_message_text("running", 7, sent.message_id, reply_markup=KEYS)
        assert (await waiting)["edits"] == 1
        pressed = asyncio.create_task(hand("press", person=7, chat=7, message=sent.message_id, button="Stop"))
        update = (await bot.get_updates(timeout=5, offset=-1))[-1]
        while update.callback_query is None:
            update = (await bot.get_updates(timeout=5, offset=update.update_id + 1))[-1]
        await bot.answer_callback_query(update.callback_query.id, "ok")
        assert await pressed == {"text": "ok"}
        assert [message["text"] for message in await hand("messages", chat=7)] == ["/launch x", "running"]
        assert [call["method"] for call in await hand("calls", chat=7)] == ["sendMessage", "editMessageText"]
        state = await hand("state")
        assert (state["violations"], state["told_to_wait"]) == ([], 0)


async def test_everything_else_can_be_done_by_hand() -> None:
    async with stage() as (api, hand, bot):
        await hand("private", id=7)
        group = await hand("group", id=-1001000000001, forum=True)
        topic = await hand("topic", chat=group["id"], name="Run", person=7)
        said = await hand("say", person=7, chat=group["id"], text="one", thread=topic)
        await hand("edit", person=7, chat=group["id"], message=said["id"], text="two")
        await hand("forward", person=7, chat=7, text="evil")
        await hand("document", person=7, chat=7, name="a.txt", content="words")
        assert len(await bot.get_updates()) == 5
        await hand("remove", chat=group["id"], message=said["id"])
        await hand("bot", chat=7, status="kicked", person=7)
        await hand("raw", update={"odd": {}})
        assert len(api.world.updates.waiting) == 7
        await hand("fail", method="getMe", kind="proxy")
        with pytest.raises(NetworkError):
            await bot.get_me()
        for mistake in ({"method": "getMe", "kind": "nonsense"}, {"method": "getMe"}):
            with pytest.raises(ValueError, match=r"nonsense|missing"):
                await hand("fail", **mistake)
        with pytest.raises(ValueError, match="the verbs are: bot, calls"):
            await hand("fly")


async def test_the_server_goes_away_for_a_while_and_comes_back() -> None:
    async with stage() as (_, hand, bot):
        await hand("refuse", seconds=0.3)
        await asyncio.sleep(0.1)
        with pytest.raises(NetworkError):
            await bot.get_me()
        async with asyncio.timeout(10):
            while True:
                try:
                    await bot.get_me()
                except NetworkError:
                    await asyncio.sleep(0.05)
                else:
                    break


async def test_it_runs_as_a_process() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.botapi", stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
        base = line.strip().removeprefix("TELEGRAM_API_BASE=")
        async with aiohttp.ClientSession() as net, Bot(TOKEN, base_url=base + "/bot") as bot:
            hand = Hand(net, base)
            await hand("private", id=7)
            await bot.send_message(7, "hello")
            assert [message["text"] for message in await hand("messages", chat=7)] == ["hello"]
    finally:
        process.terminate()
        await process.wait()
