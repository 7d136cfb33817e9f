"""The gateway's ways to fail, and how the real client comes back from each."""

from __future__ import annotations

import asyncio

import discord
import pytest

from tests.discordapi import Discord, pointed
from tests.discordapi.client import INTENTS, TOKEN, Listener, running
from tests.discordapi.gateway import MESSAGE_CONTENT

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize("way", ["close", "cut", "reconnect", "invalid, resumable"])
async def test_a_lost_socket_is_resumed_and_nothing_is_missed(way: str) -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann")
        async with running(api) as client:
            match way:
                case "close":
                    api.sockets.close(4000, "unknown error")
                case "cut":
                    api.sockets.cut()
                case "reconnect":
                    api.sockets.reconnect()
                case _:
                    api.sockets.invalidate(resumable=True)
            await ann.says(room, "while you were away")
            await asyncio.sleep(5)
            await ann.says(room, "after")
            await asyncio.sleep(0.1)
            assert client.words() == ["while you were away", "after"]
        assert (api.sockets.identifies, api.sockets.resumes) == (1, 1)
        assert "RESUMED" in client.events


async def test_a_refused_resume_begins_anew_and_what_was_said_is_in_the_history() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann")
        async with running(api) as client:
            api.sockets.refuse_resumes = 1
            api.sockets.cut()
            said = await ann.says(room, "missed")
            await asyncio.sleep(20)
            await ann.says(room, "after")
            await asyncio.sleep(0.1)
            assert client.words() == ["after"]
            assert [m.id async for m in client.room(room.id).history(limit=2)][-1] == said.id
        assert (api.sockets.identifies, api.sockets.resumes) == (2, 1)


async def test_a_half_open_socket_is_given_up_after_a_minute() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann")
        async with running(api) as client:
            api.sockets.go_silent()
            await ann.says(room, "into silence")
            await asyncio.sleep(50)
            assert client.words() == []
            await asyncio.sleep(20)
            assert client.words() == ["into silence"]
        assert api.sockets.resumes == 1


async def test_a_day_goes_by_on_one_socket() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann")
        async with running(api) as client:
            await asyncio.sleep(86_400)
            await ann.says(room, "good morning")
            await asyncio.sleep(0.1)
            assert client.words() == ["good morning"]
        assert api.sockets.connections == 1


async def test_a_client_that_does_not_even_get_its_first_connection_fails_as_the_library_does() -> None:
    async with Discord(token=TOKEN) as api:
        api.sockets.refuse_connections = 1
        with pytest.raises(AttributeError):
            async with running(api):
                pass


@pytest.mark.parametrize("code", [4004, 4014])
async def test_closes_that_cannot_be_mended_end_the_client(code: int) -> None:
    async with Discord(token=TOKEN) as api:
        if code == 4014:
            api.sockets.disallowed = MESSAGE_CONTENT
        else:
            api.sockets.identifies_left = 0
        expected = discord.PrivilegedIntentsRequired if code == 4014 else discord.ConnectionClosed
        with pytest.raises(expected):
            async with running(api):
                pass


async def test_a_wrong_token_is_refused_and_never_repeated() -> None:
    async with Discord(token=TOKEN) as api:
        with pointed(api.rest, api.gateway):
            client = Listener()
            with pytest.raises(discord.LoginFailure):
                await client.login("another.wrong.token")
            await client.close()
        assert TOKEN not in repr(api) + repr(api.calls) + repr(api.violations)
        assert "wrong" not in repr(api.calls)


async def test_without_the_intent_messages_come_bare_unless_they_speak_to_the_bot() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann")
        async with running(api, intents=discord.Intents(guilds=True, messages=True)) as client:
            await ann.says(room, "secret")
            await ann.says(room, f"<@{api.world.me.id}> you")
            await ann.says(None, "in private")
            await asyncio.sleep(0.1)
            assert client.words() == ["", f"<@{api.world.me.id}> you", "in private"]


async def test_an_event_that_cannot_be_read_ends_the_client_with_its_own_exception() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        with pointed(api.rest, api.gateway):
            client = Listener(intents=INTENTS)
            await client.login(TOKEN)
            connection = asyncio.create_task(client.connect())
            await client.wait_until_ready()
            api.send_raw_event("MESSAGE_CREATE", {"id": "nonsense", "channel_id": str(room.id)})
            with pytest.raises((KeyError, ValueError)):
                await connection
            await client.close()


async def test_the_server_goes_and_comes_back_on_its_port() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann")
        async with running(api) as client:
            before = api.rest
            await api.down()
            with pytest.raises(OSError, match="Cannot connect"):
                await client.room(room.id).send("nobody there")
            await api.up()
            assert api.rest == before
            await ann.says(room, "back")
            await asyncio.sleep(60)
            assert client.words() == ["back"]
        assert api.sockets.resumes == 1
