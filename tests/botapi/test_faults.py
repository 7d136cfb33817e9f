"""Bad days on demand, as the real client meets them: what was done, what was not, and that it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from telegram import Bot
from telegram.error import Conflict, InvalidToken, NetworkError, RetryAfter, TelegramError, TimedOut

from tests.botapi import ANY, BotApi, Fault, Kind
from tests.botapi.client import client

FORUM = -1001000000001


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with BotApi() as api:
        api.private(api.person(7, "Ann"))
        api.group(FORUM, forum=True)
        yield api


@pytest.fixture
async def bot(api: BotApi) -> AsyncIterator[Bot]:
    async with client(api) as bot:
        yield bot


@pytest.mark.parametrize(
    ("fault", "raised", "stands"),
    [
        (Fault(Kind.CUT_BEFORE), NetworkError, []),
        (Fault(Kind.CUT_AFTER), NetworkError, ["first"]),
        (Fault(Kind.PROXY, status=502), NetworkError, []),
        (Fault(Kind.STATUS, status=500, words="Internal Server Error"), NetworkError, []),
        (Fault(Kind.MALFORMED), TelegramError, ["first"]),
        (Fault.unauthorized(), InvalidToken, []),
        (Fault.conflict(), Conflict, []),
    ],
    ids=str,
)
async def test_trouble_hits_one_call_and_the_next_goes_through(
    api: BotApi, bot: Bot, fault: Fault, raised: type[Exception], stands: list[str]
) -> None:
    api.fail("sendMessage", fault)
    with pytest.raises(raised):
        await bot.send_message(7, "first")
    assert [message.text for message in api.messages(7)] == stands
    await bot.send_message(7, "second")
    assert api.messages(7)[-1].text == "second"


async def test_trouble_is_for_one_chat_and_so_many_calls(api: BotApi, bot: Bot) -> None:
    api.fail(ANY, Fault(Kind.PROXY), chat=7, times=2)
    await bot.send_message(FORUM, "elsewhere")
    for _ in range(2):
        with pytest.raises(NetworkError):
            await bot.send_chat_action(7, "typing")
    await bot.send_message(7, "again")
    assert [message.text for message in api.messages(7)] == ["again"]
    api.fail(ANY, Fault(Kind.PROXY))
    assert not await bot.get_updates()  # polls come all the time and are spared
    api.faults.clear()
    await bot.send_message(7, "and again")


@pytest.mark.looptime
async def test_a_429_closes_its_chat_alone(api: BotApi, bot: Bot) -> None:
    api.fail("editMessageText", Fault(Kind.WAIT, seconds=30), chat=FORUM)
    with pytest.raises(RetryAfter) as wait:
        await bot.edit_message_text("x", FORUM, 1)
    assert wait.value.retry_after == timedelta(seconds=30)
    await bot.send_message(7, "somebody else")
    await asyncio.sleep(10)
    with pytest.raises(RetryAfter) as wait:
        await bot.send_message(FORUM, "into it")
    assert wait.value._retry_after > timedelta(seconds=30)
    assert (api.told_to_wait, api.into_penalty) == (2, 1)


@pytest.mark.looptime
@pytest.mark.parametrize(("kind", "done"), [(Kind.HANGS, 0), (Kind.HANGS_AFTER, 1)])
async def test_a_request_hangs_until_it_is_released(api: BotApi, bot: Bot, kind: Kind, done: int) -> None:
    api.fail("sendMessage", Fault(kind))
    sending = asyncio.create_task(bot.send_message(7, "x", read_timeout=600))
    await asyncio.sleep(60)
    assert not sending.done()
    assert len(api.messages(7)) == done
    api.release()
    assert (await sending).text == "x"
    assert len(api.messages(7)) == 1


@pytest.mark.looptime
async def test_who_gives_up_on_a_hanging_request_did_nothing(api: BotApi, bot: Bot) -> None:
    api.fail("sendMessage", Fault(Kind.HANGS))
    with pytest.raises(TimedOut):
        await bot.send_message(7, "x", read_timeout=5)
    await asyncio.sleep(1)
    api.release()
    await asyncio.sleep(1)
    assert api.messages(7) == []


@pytest.mark.looptime
async def test_a_half_open_poll_is_never_answered(api: BotApi, bot: Bot) -> None:
    api.fail("getUpdates", Fault(Kind.HALF_OPEN))
    polling = asyncio.create_task(bot.get_updates(timeout=10, read_timeout=500))
    await asyncio.sleep(1)
    api.push_raw({"message": {}})
    await asyncio.sleep(400)
    assert not polling.done()
    with pytest.raises(TimedOut):
        await polling
    assert len(api.called("getUpdates")) == 1
    assert api.called("getUpdates")[0].status == 0


async def test_connections_are_refused_and_then_taken_on_the_same_port(api: BotApi, bot: Bot) -> None:
    url = api.url
    await api.refuse()
    with pytest.raises(NetworkError):
        await bot.send_message(7, "x")
    await api.listen()
    assert api.url == url
    await bot.send_message(7, "y")
    assert [message.text for message in api.messages(7)] == ["y"]


@pytest.mark.looptime
async def test_a_waiting_poll_breaks_when_the_server_goes(api: BotApi, bot: Bot) -> None:
    polling = asyncio.create_task(bot.get_updates(timeout=30))
    await asyncio.sleep(1)
    assert len(api.called("getUpdates")) == 1
    await api.refuse()
    with pytest.raises(NetworkError):
        await polling
    await asyncio.sleep(1)
    assert not api.world.updates.polled
    await api.listen()


async def test_a_second_server_takes_over_the_port() -> None:
    async with BotApi() as first:
        port = int(first.url.rpartition(":")[2])
    async with BotApi(port=port) as second, client(second) as bot:
        assert (await bot.get_me()).is_bot


async def test_a_download_fails_as_well(api: BotApi, bot: Bot) -> None:
    ann = api.person(7, "Ann")
    said = await ann.sends_voice(7)
    assert said.file is not None
    file = await bot.get_file(said.file.id)
    api.fail("file", Fault(Kind.CUT_BEFORE))
    with pytest.raises(NetworkError):
        await file.download_as_bytearray()
    assert bytes(await file.download_as_bytearray()) == b"OggSvoice"


async def test_the_token_is_in_no_line_of_the_server(api: BotApi, bot: Bot, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for fault in (Fault(Kind.CUT_BEFORE), Fault(Kind.CUT_AFTER), Fault(Kind.PROXY)):
            api.fail("sendMessage", fault)
            with pytest.raises(NetworkError):
                await bot.send_message(7, "x")
    own = [record.getMessage() for record in caplog.records if record.name.startswith(("aiohttp", "tests", "asyncio"))]
    assert not [line for line in own if api.token in line]
    assert api.token not in repr(api.calls)
