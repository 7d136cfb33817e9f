"""Something between here and Discord answers in its place: that is no word of Discord's, and ends nothing."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.errors import Broken, Refused
from orchestrator.nouns import Message, Phase, Standing
from tests.discord_chat.stage import Home
from tests.discordapi import Fault

pytestmark = pytest.mark.looptime

IN_BETWEEN = [Fault.broken(status) for status in (200, 400, 401, 403, 404)]


@pytest.mark.parametrize("fault", [*IN_BETWEEN, Fault.hollow(), Fault.garbled()])
async def test_a_post_is_tried_again(home: Home, fault: Fault) -> None:
    async with home.chat() as chat:
        home.api.fail("POST /channels/{}/messages", fault)
        with pytest.raises(Broken) as told:
            await chat.post(home.where, Message(text="x"), key="k")
        assert told.value.unsure
        await chat.post(home.where, Message(text="x"), key="k", again=True)
    assert [one.text for one in home.api.messages(home.channel)] == ["x"]


@pytest.mark.parametrize("fault", [*IN_BETWEEN, Fault.hollow()])
async def test_a_thread_and_its_marks_are_tried_again(home: Home, fault: Fault) -> None:
    async with home.chat() as chat:
        home.api.fail("POST /channels/{}/threads", fault)
        with pytest.raises(Broken):
            await chat.open(home.where, "A run", key="k")
        where = await chat.open(home.where, "A run", key="k")
        if fault.status:
            home.api.fail("PATCH /channels/{}", fault)
            with pytest.raises(Broken):
                await chat.sign(where, Standing(Phase.ENDED, "completed"))
    assert len(home.api.threads(home.channel)) == 1


@pytest.mark.parametrize("fault", [*IN_BETWEEN, Fault.hollow(), Fault.refused(0, status=403)])
@pytest.mark.parametrize("route", ["GET /users/@me", "GET /oauth2/applications/@me"])
async def test_a_login_is_tried_again(home: Home, route: str, fault: Fault) -> None:
    ann = home.api.person(None, "Ann")
    home.api.fail(route, fault)
    async with home.living() as chat:
        await ann.says(home.channel, f"<@{home.api.world.me.id}> hello")
        await home.core.hears(1)
        assert chat.pulse().trouble == ""


async def test_a_token_that_discord_itself_does_not_accept_ends_it(home: Home) -> None:
    home.api.fail("GET /users/@me", Fault.unauthorised())
    async with home.chat() as chat:
        with pytest.raises(Refused, match="DISCORD_TOKEN"):
            await asyncio.wait_for(chat.serve(home.core.receive), 600)
