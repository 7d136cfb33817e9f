"""The gateway in all the ways it breaks: it is held again, or says in a sentence what the operator has to change."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from itertools import pairwise

import discord
import pytest

from adapters.discord.gateway import BETWEEN
from orchestrator.errors import Broken, Refused
from orchestrator.nouns import Message
from tests.discord_chat.stage import Home, now
from tests.discordapi import Discord, Fault
from tests.discordapi.gateway import MESSAGE_CONTENT

pytestmark = pytest.mark.looptime


async def spoken_to(home: Home, *, times: int = 1) -> None:
    """Somebody says something in the channel, and the core hears it."""
    ann = home.api.person(None, "Ann")
    before = len(home.core.heard)
    for number in range(times):
        await ann.says(home.channel, f"<@{home.api.world.me.id}> {number}")
    await home.core.hears(before + times)


async def test_the_first_connections_are_refused(home: Home) -> None:
    home.api.sockets.refuse_connections = 3
    async with home.living() as chat:
        await spoken_to(home)
        assert chat.pulse().trouble == ""
        assert home.api.sockets.connections == 4


async def test_discord_is_down_when_the_bot_starts(home: Home) -> None:
    address, gateway = home.api.rest, home.api.gateway
    await home.api.down()
    async with home.chat() as chat:
        assert address == discord.http.Route.BASE
        serving = asyncio.create_task(chat.serve(home.core.receive))
        await asyncio.sleep(20)
        with pytest.raises(Broken) as told:
            await chat.post(home.where, Message(text="hello?"), key="k")
        assert not told.value.unsure
        assert chat.pulse().trouble
        assert gateway
        await home.api.up()
        await home.api.sockets.connected(within=300)
        await chat.post(home.where, Message(text="hello"), key="k")
        serving.cancel()
        await asyncio.wait([serving])


async def test_the_library_points_at_its_own_server_again(home: Home) -> None:
    before = discord.http.Route.BASE
    async with home.chat():
        assert before != discord.http.Route.BASE == home.api.rest
    assert before == discord.http.Route.BASE


UNREADABLE = {"id": "1", "channel_id": "2", "guild_id": "x", "content": None}


async def test_an_event_that_cannot_be_read_costs_nothing_but_itself(home: Home) -> None:
    async with home.living() as chat:
        await spoken_to(home)
        for _ in range(3):
            home.api.send_raw_event("MESSAGE_CREATE", UNREADABLE)
            await spoken_to(home)
        assert chat.pulse().aside == 3
        assert home.api.sockets.connections == 1
        home.api.sockets.cut()
        await home.api.sockets.connected()
        await spoken_to(home)
        assert home.api.sockets.identifies == 1, "the session goes on after a bad event and a cut"


async def test_a_flood_of_unreadable_events_ends_in_another_socket(home: Home) -> None:
    async with home.living() as chat:
        for _ in range(25):
            home.api.send_raw_event("MESSAGE_CREATE", UNREADABLE)
        await asyncio.sleep(10)
        await spoken_to(home)
        assert home.api.sockets.connections == 2
        assert len(home.api.sockets.lines) == 1, "the broken one is gone"
        assert chat.pulse().trouble == ""


def cut(api: Discord) -> None:
    api.sockets.cut()


def closed(api: Discord) -> None:
    api.sockets.close(4000)


def silent(api: Discord) -> None:
    api.sockets.go_silent()


def asked_to_reconnect(api: Discord) -> None:
    api.sockets.reconnect()


@pytest.mark.parametrize("breaks", [cut, closed, silent, asked_to_reconnect])
async def test_a_socket_that_breaks_is_resumed(home: Home, breaks: Callable[[Discord], None]) -> None:
    async with home.living() as chat:
        await spoken_to(home)
        breaks(home.api)
        await spoken_to(home, times=3)
        assert home.core.texts == ["0", "0", "1", "2"]
        assert (home.api.sockets.identifies, home.api.sockets.resumes) == (1, 1)
        assert chat.pulse().trouble == ""


@pytest.mark.parametrize("resumable", [True, False])
async def test_an_invalid_session_begins_anew(home: Home, *, resumable: bool) -> None:
    async with home.living():
        await spoken_to(home)
        home.api.sockets.invalidate(resumable=resumable)
        await asyncio.sleep(30)
        await spoken_to(home)
        assert home.api.sockets.identifies == (1 if resumable else 2)


async def test_sockets_that_are_closed_at_once_do_not_use_up_the_sessions_of_a_day(home: Home) -> None:
    async with home.chat() as chat:
        serving = asyncio.create_task(chat.serve(home.core.receive))
        for _ in range(3000):
            await asyncio.sleep(1)
            home.api.sockets.invalidate()
        assert home.api.sockets.identifies < 3000 / 60, "far from a thousand a day"
        serving.cancel()
        await asyncio.wait([serving])


async def test_two_sessions_begin_seconds_apart(home: Home) -> None:
    at: list[float] = []
    async with home.living():
        for _ in range(3):
            before = home.api.sockets.identifies
            home.api.sockets.invalidate()
            while home.api.sockets.identifies == before:  # noqa: ASYNC110 - it has no event to wait for
                await asyncio.sleep(0.1)
            at.append(now())
    assert all(later - earlier >= BETWEEN for earlier, later in pairwise(at)), at


async def test_it_lives_as_long_as_it_is_acknowledged(home: Home) -> None:
    async with home.living() as chat:
        await asyncio.sleep(600)
        assert home.api.clock.now() - chat.pulse().heard < 60
        home.api.sockets.acknowledges_every = 1e9
        home.api.sockets.go_silent()
        heard = chat.pulse().heard
        home.api.sockets.refuse_connections = 100
        await asyncio.sleep(300)
        assert chat.pulse().heard - heard < 60
        assert chat.pulse().trouble


async def refused(home: Home) -> str:
    async with home.chat() as chat:
        with pytest.raises(Refused) as told:
            await asyncio.wait_for(chat.serve(home.core.receive), 60)
        calls = len(home.api.calls)
        for _ in range(3):
            with pytest.raises(Broken):
                await chat.post(home.where, Message(text="anybody?"), key="k")
        assert len(home.api.calls) == calls, "no request leaves any more"
        assert chat.pulse().trouble == str(told.value)
    return str(told.value)


async def test_a_token_that_is_not_accepted() -> None:
    async with Discord(token="another") as api:
        assert "DISCORD_TOKEN" in await refused(Home(api))


async def test_a_token_that_the_gateway_does_not_accept(home: Home) -> None:
    home.api.sockets.identifies_left = 0
    assert "DISCORD_TOKEN" in await refused(home)


async def test_a_token_that_is_reset_while_the_bot_runs(home: Home) -> None:
    async with home.chat() as chat:
        serving = asyncio.create_task(chat.serve(home.core.receive))
        await home.api.sockets.connected()
        home.api.fail("POST /channels/{}/messages", Fault.unauthorised())
        with pytest.raises(Refused, match="DISCORD_TOKEN"):
            await chat.post(home.where, Message(text="x"), key="k")
        with pytest.raises(Refused, match="DISCORD_TOKEN"):
            await asyncio.wait_for(serving, 60)


async def test_the_switch_for_reading_messages_is_named(home: Home) -> None:
    home.api.sockets.disallowed = MESSAGE_CONTENT
    assert "Message Content Intent" in await refused(home)


async def test_requests_outlive_the_hearing_and_its_socket_does_not(home: Home) -> None:
    async with home.chat() as chat:
        serving = asyncio.create_task(chat.serve(home.core.receive))
        await home.api.sockets.connected()
        serving.cancel()
        await asyncio.wait([serving])
        await asyncio.sleep(0.1)
        assert home.api.sockets.lines == []
        await chat.post(home.where, Message(text="still here"), key="k")
    with pytest.raises(Broken):
        await chat.post(home.where, Message(text="not any more"), key="l")


async def test_nothing_is_left_of_it(home: Home) -> None:
    before = set(threading.enumerate())
    tasks = asyncio.all_tasks()
    async with home.living():
        await spoken_to(home)
        assert set(threading.enumerate()) != before
    await asyncio.sleep(1)
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive(), thread
    assert asyncio.all_tasks() <= tasks
    assert home.api.sockets.sessions == {}, "it said goodbye"
