"""Files on a slow line: given the time that their size asks for, and left out where they do not come through at all."""

from __future__ import annotations

import asyncio

import pytest

from adapters.discord.chat import DiscordChat
from adapters.discord.files import Upload
from adapters.discord.parts import Part, bare, new
from orchestrator.errors import Broken
from orchestrator.nouns import File, Message
from tests.discord_chat.stage import Home, now
from tests.discordapi import Fault

pytestmark = pytest.mark.looptime

SEND = "POST /channels/{}/messages"


async def kept(home: Home, size: int) -> File:
    """A file that is stored."""
    await home.artifacts.piece("u", 0, b"x" * size)
    return File(await home.artifacts.complete("u"), "log.txt", size)


async def test_a_bigger_file_has_more_time(home: Home, chat: DiscordChat) -> None:
    file = await kept(home, 8 << 20)
    home.api.fail(SEND, Fault.hang_after(90))
    await chat.post(home.where, Message(text="see", files=(file,)), key="k")
    home.api.fail(SEND, Fault.hang_after(90))
    with pytest.raises(Broken):
        await chat.post(home.where, Message(text="no file"), key="l")


@pytest.mark.parametrize("text", ["see", ""])
async def test_a_file_that_does_not_come_through_makes_way(home: Home, chat: DiscordChat, text: str) -> None:
    message = Message(text=text, files=(await kept(home, 1000),))
    home.api.fail(SEND, Fault.hang(3600), times=4)
    began = now()
    for tries in range(20):
        try:
            await chat.post(home.where, message, key="k", again=tries > 0)
        except Broken:
            await asyncio.sleep(60)
        else:
            break
    assert now() - began < 600
    (stands,) = home.api.messages(home.channel)
    assert "Left out" in stands.text
    assert "log.txt" in stands.text
    assert stands.attachments == []


async def test_a_hiccup_costs_no_file(home: Home, chat: DiscordChat) -> None:
    message = Message(text="see", files=(await kept(home, 1000),))
    home.api.fail(SEND, Fault.broken(502), times=5)
    for tries in range(5):
        with pytest.raises(Broken):
            await chat.post(home.where, message, key="k", again=tries > 0)
        await asyncio.sleep(5)
    await chat.post(home.where, message, key="k", again=True)
    (stands,) = home.api.messages(home.channel)
    assert [one.name for one in stands.attachments] == ["log.txt"]


def test_words_without_room_stand_behind() -> None:
    parts = new(Message(text="x" * 2000), [Upload("a.txt", b"a")], [])
    instead = bare(parts)
    assert instead[:-1] == [Part(text=part.text) for part in parts]
    assert "a.txt" in instead[-1].text
