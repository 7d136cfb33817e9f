"""That a run has ended is shown on its thread in the end, whatever went wrong when it was first to be shown."""

from __future__ import annotations

import asyncio

import pytest

from adapters.discord.chat import DiscordChat
from orchestrator.errors import Broken, Refused, Trouble
from orchestrator.nouns import Conversation, Phase, Standing
from tests.discord_chat.stage import Home
from tests.discordapi import Fault, Permission

pytestmark = pytest.mark.looptime

PATCH = "PATCH /channels/{}"
ENDED = Standing(Phase.ENDED, "completed")


def noted(home: Home) -> list[str]:
    return [name for name in home.notes.texts if name.startswith(("live/", "end/"))]


async def not_shown(home: Home, chat: DiscordChat) -> Conversation:
    """The thread of a run of which the platform did not take that it has ended."""
    where = await chat.open(home.where, "a", key="a")
    home.api.fail(PATCH, Fault.broken(502))
    with pytest.raises(Broken):
        await chat.sign(where, ENDED)
    return where


@pytest.mark.parametrize("fault", [Fault.broken(502), Fault.busy(20), Fault.cut_after(), Fault.refused(50013)])
async def test_one_bad_answer(home: Home, fault: Fault) -> None:
    forum = home.api.forum(tags=["running", "waiting", "failed", "done"])
    async with home.living() as chat:
        where = await chat.open(home.of(forum), "a", key="a")
        home.api.fail(PATCH, fault)
        with pytest.raises(Trouble):
            await chat.sign(where, ENDED)
        await asyncio.sleep(130)
    assert (home.api.tags(home.thread(where)), home.thread(where).archived) == (["done"], True)
    assert noted(home) == []


async def test_a_bad_answer_before_a_restart(home: Home) -> None:
    async with home.chat() as chat:
        where = await not_shown(home, chat)
    async with home.living():
        await asyncio.sleep(5)
    assert home.thread(where).archived
    assert noted(home) == []


async def test_a_thread_that_went_meanwhile(home: Home) -> None:
    async with home.living() as chat:
        where = await not_shown(home, chat)
        home.api.town.close_channel(home.thread(where))
        await asyncio.sleep(130)
    assert noted(home) == []


async def test_what_can_never_be_shown_is_tried_rarely(home: Home) -> None:
    async with home.living() as chat:
        where = await chat.open(home.where, "a", key="a")
        home.api.forbid(home.thread(where), Permission.VIEW_CHANNEL)
        home.api.fail(PATCH, Fault.refused(50013), times=10_000)
        with pytest.raises(Refused):
            await chat.sign(where, ENDED)
        await asyncio.sleep(86_400)
    tries = [call for call in home.api.calls if call.method == "PATCH"]
    assert 5 < len(tries) < 20


async def test_a_thread_that_lives_again_is_not_closed(home: Home) -> None:
    async with home.living() as chat:
        where = await not_shown(home, chat)
        await chat.sign(where, Standing(Phase.WORKING))
        await asyncio.sleep(130)
    assert not home.thread(where).archived
    assert noted(home) == [f"live/{where.thread}"]
