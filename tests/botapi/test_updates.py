"""Hearing: long polls, the conflict of two of them, what is confirmed, and the webhook with its secret."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from telegram.error import BadRequest, Conflict
from telegram.warnings import PTBUserWarning

from tests.botapi import BotApi
from tests.botapi.client import client


@pytest.mark.looptime
async def test_a_poll_waits_for_what_happens_and_no_longer_than_it_said() -> None:
    async with BotApi() as api, client(api) as bot:
        ann = api.person(7, "Ann")
        home = api.private(ann)
        clock = asyncio.get_running_loop().time
        began = clock()
        assert not await bot.get_updates(timeout=20)
        assert 20 <= clock() - began < 21
        polling = asyncio.create_task(bot.get_updates(timeout=20))
        await asyncio.sleep(5)
        await ann.says(home, "hello")
        (update,) = await polling
        assert update.message is not None
        assert update.message.text == "hello"
        assert clock() - began < 26


async def test_an_update_comes_until_it_is_confirmed() -> None:
    async with BotApi() as api, client(api) as bot:
        ann = api.person(7, "Ann")
        home = api.private(ann)
        for word in ("one", "two", "three"):
            await ann.says(home, word)
        first = await bot.get_updates(limit=2)
        assert [update.message and update.message.text for update in first] == ["one", "two"]
        assert len(await bot.get_updates()) == 3
        assert len(await bot.get_updates(offset=first[-1].update_id + 1)) == 1
        assert len(await bot.get_updates()) == 1
        assert len(await bot.get_updates(offset=-1)) == 1


@pytest.mark.looptime
async def test_of_two_polls_the_older_is_sent_away() -> None:
    async with BotApi() as api, client(api) as bot, client(api) as other:
        older = asyncio.create_task(bot.get_updates(timeout=30))
        await asyncio.sleep(1)
        newer = asyncio.create_task(other.get_updates(timeout=30))
        with pytest.raises(Conflict, match="terminated by other getUpdates request"):
            await older
        assert not newer.done()
        back = asyncio.create_task(bot.get_updates(timeout=30))
        with pytest.raises(Conflict):
            await newer
        assert not await back


async def test_only_what_was_asked_for_is_told() -> None:
    async with BotApi() as api, client(api) as bot:
        ann = api.person(7, "Ann")
        said = await ann.says(api.private(ann), "one")
        await ann.reacts(said, "👍")
        assert [update.update_id for update in await bot.get_updates()] == [731_000_001]
        await bot.get_updates(offset=731_000_002, allowed_updates=["message_reaction"])
        await ann.says(7, "two")
        await ann.reacts(said, "👎")
        (update,) = await bot.get_updates()
        assert update.message_reaction is not None


@pytest.mark.looptime
async def test_what_nobody_hears_for_a_day_is_gone() -> None:
    async with BotApi() as api, client(api) as bot:
        ann = api.person(7, "Ann")
        await ann.says(api.private(ann), "yesterday")
        await asyncio.sleep(24 * 3600 + 1)
        await ann.says(7, "today")
        (update,) = await bot.get_updates()
        assert update.message is not None
        assert update.message.text == "today"


@pytest.mark.looptime
async def test_one_update_that_cannot_be_read_blinds_the_typed_way() -> None:
    async with BotApi() as api, client(api) as bot:
        ann = api.person(7, "Ann")
        api.private(ann)
        api.street.push_unreadable()
        await ann.says(7, "good")
        with pytest.raises((AttributeError, TypeError, ValueError)):
            await bot.get_updates()
        with pytest.warns(PTBUserWarning, match=r"Bot\.getUpdates"):  # it would rather be asked in the typed way
            raw: Any = await bot.do_api_request("getUpdates")
        assert [update["message"]["text"] for update in raw] == ["?", "good"]


@dataclass
class Ear:
    """A webhook that answers as it is told to."""

    status: int = 200
    heard: list[tuple[str, Any]] = field(default_factory=list)
    url: str = ""

    async def hear(self, request: web.Request) -> web.Response:
        secret = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
        self.heard.append((secret, json.loads(await request.text())))
        return web.Response(status=self.status)


@asynccontextmanager
async def listening() -> AsyncIterator[Ear]:
    ear = Ear()
    app = web.Application()
    app.router.add_post("/hook", ear.hear)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ear.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield ear
    finally:
        await runner.cleanup()


@pytest.mark.looptime
async def test_a_webhook_is_brought_each_update_until_it_takes_it() -> None:
    async with listening() as ear, BotApi() as api, client(api) as bot:
        ann = api.person(7, "Ann")
        api.private(ann)
        ear.status = 503
        await bot.set_webhook(ear.url, secret_token="s3cret")
        await ann.says(7, "one")
        await ann.says(7, "two")
        await asyncio.sleep(10)
        assert len(ear.heard) >= 3
        assert {(secret, body["message"]["text"]) for secret, body in ear.heard} == {("s3cret", "one")}
        info = await bot.get_webhook_info()
        assert info.pending_update_count == 2
        assert info.last_error_message == "Wrong response from the webhook: 503 Service Unavailable"
        with pytest.raises(Conflict, match="webhook is active"):
            await bot.get_updates()
        ear.status, ear.heard = 200, []
        await asyncio.sleep(60)
        assert [body["message"]["text"] for _, body in ear.heard] == ["one", "two"]
        await bot.delete_webhook()
        await ann.says(7, "three")
        assert len(await bot.get_updates()) == 1


async def test_a_webhook_elsewhere_or_with_a_bad_secret_is_refused() -> None:
    async with BotApi() as api, client(api) as bot:
        with pytest.raises(BadRequest, match=r"127\.0\.0\.1 only"):
            await bot.set_webhook("https://example.org/hook")
        with pytest.raises(BadRequest, match=r"(?i)secret token"):
            await bot.set_webhook("http://127.0.0.1:1/hook", secret_token="no spaces")
