"""What somebody who may nothing can make the bot do: nothing that costs. And how long a file holds others up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.discord.files import MESSAGE_SECONDS
from tests.discord_chat.stage import Home
from tests.discordapi.people import Person

pytestmark = pytest.mark.looptime


@pytest.fixture
async def eve(home: Home) -> Person:
    """A member of the server who is on no list."""
    eve = home.api.person(None, "Eve")
    home.strangers.add(str(eve.id))
    return eve


@asynccontextmanager
async def silence() -> AsyncIterator[str]:
    """An address where nobody ever answers."""
    held = asyncio.Event()

    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.txt"
        held.set()


async def test_nothing_that_a_stranger_attached_is_fetched(home: Home, eve: Person) -> None:
    async with home.living() as chat:
        where = await chat.open(home.where, "A run", key="run-1")
        await eve.says(home.thread(where), "x", attachments=[(f"{n}.bin", b"%d" % n * 1000) for n in range(3)])
        await home.core.hears(1)
    assert home.core.heard[0].files == (), "the gate hears of it all the same"
    assert home.artifacts.files == {}


async def test_files_that_do_not_come_hold_nobody_up_for_long(home: Home) -> None:
    ann, bob = home.api.person(None, "Ann"), home.api.person(None, "Bob")
    loop = asyncio.get_running_loop()
    async with silence() as address, home.living() as chat:
        where = await chat.open(home.where, "A run", key="run-1")
        said = await ann.says(home.thread(where), "first", attachments=[("a.txt", b"alpha")])
        await home.core.hears(1)
        slow = home.api.town.shown(said) | {"id": str(home.api.clock.snowflake()), "guild_id": str(home.api.guild.id)}
        slow["attachments"] = [{**slow["attachments"][0], "url": address}] * 3
        home.api.send_raw_event("MESSAGE_CREATE", slow)
        await bob.says(home.thread(where), "stop it please")
        began = loop.time()
        await home.core.hears(3)
        assert loop.time() - began < MESSAGE_SECONDS + 5
    assert home.core.texts[1].count("(The file a.txt took too long to come and was left out.)") == 3
    assert home.core.texts[2] == "stop it please"
