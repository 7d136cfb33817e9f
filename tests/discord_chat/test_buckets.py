"""A used-up bucket makes what comes next wait, and never what has just been done."""

from __future__ import annotations

import asyncio

import pytest

from adapters.discord.buckets import LONGEST_REST, Bucket
from adapters.discord.chat import DiscordChat
from orchestrator.errors import Busy
from orchestrator.nouns import Phase, Standing
from tests.discord_chat.stage import Home, now
from tests.discordapi import Fault

pytestmark = pytest.mark.looptime

PATCH = "PATCH /channels/{}"


async def test_what_was_done_is_told_at_once(home: Home, chat: DiscordChat) -> None:
    where = await chat.open(home.where, "A run", key="k")
    home.api.limits.set(PATCH, 1, per=300)
    began = now()
    await chat.sign(where, Standing(Phase.ENDED, "completed"))
    assert now() - began < 1
    assert home.thread(where).archived
    calls = len(home.api.calls)
    with pytest.raises(Busy) as told:
        await chat.sign(where, Standing(Phase.ENDED, "completed"))
    assert 290 < told.value.seconds <= 300
    assert len(home.api.calls) == calls, "and nothing leaves before there is room"


async def test_nothing_leaves_into_a_penalty_on_any_route(home: Home, chat: DiscordChat) -> None:
    home.api.fail("POST /channels/{}/threads", Fault.busy(30))
    for _ in range(3):
        with pytest.raises(Busy):
            await chat.open(home.where, "A run", key="k")
    await asyncio.sleep(30)
    await chat.open(home.where, "A run", key="k")
    assert (home.api.told_to_wait, home.api.into_penalty) == (1, 0)


async def test_many_at_once_go_one_after_another_and_all_go(home: Home, chat: DiscordChat) -> None:
    where = await chat.open(home.where, "A run", key="k")
    home.api.limits.set(PATCH, 2, per=1)
    client = await chat._wire.client()
    await asyncio.gather(
        *(
            chat._wire.ask(lambda _, n=n: client.http.edit_channel(int(where.thread), name=f"run {n}"))  # type: ignore[misc]
            for n in range(10)
        )
    )
    assert len([call for call in home.api.calls if call.method == "PATCH"]) == 10
    assert home.api.told_to_wait == 0


async def test_places_that_are_asked_for_the_first_time_at_once_keep_their_own_room(
    home: Home, chat: DiscordChat
) -> None:
    """What a route's bucket is called is known from its first answer; the others under way then are not forgotten."""
    places = [await chat.open(home.where, f"Run {n}", key=f"k{n}") for n in range(3)]
    home.api.limits.set("POST /channels/{}/typing", 1, per=1)
    client = await chat._wire.client()

    async def type_on(thread: int) -> None:
        for _ in range(3):
            await chat._wire.ask(lambda _: client.http.send_typing(thread))

    async with asyncio.TaskGroup() as people:
        for where in places:
            people.create_task(type_on(int(where.thread)))
    assert home.api.told_to_wait == 0


async def test_who_waits_for_one_that_never_answers_goes_when_it_is_given_up() -> None:
    bucket = Bucket(None)

    async def take(seconds: float) -> float:
        async with bucket:
            await asyncio.sleep(seconds)
        return now()

    began = now()
    first = asyncio.create_task(take(3600))
    await asyncio.sleep(1)
    second = asyncio.create_task(take(0))
    await asyncio.sleep(LONGEST_REST)
    assert not second.done()
    first.cancel()
    assert await second - began == pytest.approx(LONGEST_REST + 1)
