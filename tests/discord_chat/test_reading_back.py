"""What people write while nobody listens is heard afterwards: all of it, once, in its order."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.errors import Broken
from orchestrator.nouns import Conversation, Phase, Standing
from tests.discord_chat.stage import Home
from tests.discordapi import Fault
from tests.discordapi.people import Person

pytestmark = pytest.mark.looptime


async def opened(home: Home, key: str = "run-1") -> Conversation:
    """A thread of a run, opened in an earlier life in which it was also written to."""
    ann = home.api.person(None, "Ann", roles=["crew"])
    async with home.living() as chat:
        where = await chat.open(home.where, "Fix the test", key=key)
        await ann.says(home.thread(where), "first")
        await home.core.hears(1)
    return where


async def says(home: Home, where: Conversation, *words: str) -> None:
    ann = next(Person(home.api, user) for user in home.api.world.users.values() if user.name == "Ann")
    for text in words:
        await ann.says(home.thread(where), text)


async def test_words_from_while_the_bot_was_down(home: Home) -> None:
    where = await opened(home)
    await says(home, where, "second", "/stop", "third")
    async with home.living():
        await says(home, where, "fourth")
        assert await home.core.hears(5) == ["first", "second", "/stop", "third", "fourth"]
        await asyncio.sleep(60)
    assert len(home.core.heard) == 5
    assert {inbound.where for inbound in home.core.heard} == {where}
    assert len({(one.person.id, one.person.name, one.person.roles) for one in home.core.heard}) == 1, "roles and all"


async def test_words_from_while_the_gateway_was_cut_and_the_session_lost(home: Home) -> None:
    where = await opened(home)
    async with home.living():
        await says(home, where, "second")
        await home.core.hears(2)
        home.api.sockets.refuse_resumes = 1
        home.api.sockets.refuse_connections = 2
        home.api.sockets.cut()
        await says(home, where, "third", "fourth")
        await asyncio.sleep(0.5)
        await says(home, where, "fifth")
        assert await home.core.hears(5) == ["first", "second", "third", "fourth", "fifth"]
        await asyncio.sleep(120)
        assert len(home.core.heard) == 5
        assert home.api.sockets.identifies == 3


async def test_many_pages_are_read_back_in_order(home: Home) -> None:
    where = await opened(home)
    wanted = [f"word {number}" for number in range(250)]
    await says(home, where, *wanted)
    async with home.living():
        await says(home, where, "last")
        assert await home.core.hears(252) == ["first", *wanted, "last"]


async def test_what_was_not_taken_comes_again_before_what_followed(home: Home) -> None:
    where = await opened(home)
    async with home.living():
        home.core.troubles = [Broken("The disk is full.")] * 5
        await says(home, where, "second", "third")
        assert await home.core.hears(3) == ["first", "second", "third"]


async def test_more_than_can_wait_is_read_back(home: Home) -> None:
    where = await opened(home)
    wanted = [f"word {number}" for number in range(700)]
    async with home.living():
        await asyncio.sleep(5)  # what is read back at the start would otherwise be all of it
        home.core.gate.clear()
        await says(home, where, *wanted)
        await asyncio.sleep(5)
        home.core.gate.set()
        assert await home.core.hears(701) == ["first", *wanted]


async def test_what_is_missed_while_a_full_line_is_taken_is_not_skipped(home: Home) -> None:
    """One is taken between one that finds no room and the next, which does."""
    where = await opened(home)
    wanted = [f"word {number}" for number in range(520)]
    async with home.living():
        await asyncio.sleep(5)
        home.core.gate.clear()
        await says(home, where, *wanted[:510])
        await asyncio.sleep(5)
        home.core.slow = 0.5
        home.core.gate.set()
        await home.core.hears(20)
        await says(home, where, *wanted[510:])
        assert await home.core.hears(521) == ["first", *wanted]


async def test_reading_back_outlives_trouble(home: Home) -> None:
    where = await opened(home)
    await says(home, where, "second")
    for fault in (Fault.broken(500), Fault.cut(), Fault.busy(40.0), Fault.garbled()):
        home.api.fail("GET /channels/{}/messages", fault)
    async with home.living():
        assert await home.core.hears(2) == ["first", "second"]
    assert home.api.into_penalty == 0


async def test_a_thread_that_was_deleted_is_not_read_back_for_ever(home: Home) -> None:
    where = await opened(home)
    home.api.town.close_channel(home.thread(where))
    async with home.living():
        await asyncio.sleep(60)
        assert not [name for name in home.notes.texts if name == f"live/{where.thread}"]


async def test_a_thread_in_which_nobody_said_anything_for_a_month_is_left_alone(home: Home) -> None:
    where = await opened(home)
    old = home.api.clock.snowflake(home.api.clock.now() - 31 * 86_400)
    home.notes.texts[f"live/{where.thread}"] = f"{where.chat} {old}"
    async with home.living():
        await asyncio.sleep(5)
    assert f"live/{where.thread}" not in home.notes.texts


async def test_an_ended_run_needs_no_reading_back_and_its_thread_is_still_heard(home: Home) -> None:
    where = await opened(home)
    async with home.living() as chat:
        await chat.sign(where, Standing(Phase.ENDED, "completed"))
        assert home.thread(where).archived
        assert f"live/{where.thread}" not in home.notes.texts
        await says(home, where, "are you there?")
        assert await home.core.hears(2) == ["first", "are you there?"]
        await asyncio.sleep(1)
        assert f"live/{where.thread}" not in home.notes.texts


async def test_a_hundred_threads_are_read_back_within_what_discord_allows(home: Home) -> None:
    ann = home.api.person(None, "Ann")
    async with home.chat() as chat:
        home.api.limits.set("POST /channels/{}/threads", 1000, per=1)
        threads = []
        for number in range(100):
            threads.append(await chat.open(home.where, f"run {number}", key=f"run-{number}"))
            await asyncio.sleep(0.05)
    for where in threads:
        await ann.says(home.thread(where), where.thread)
    async with home.living():
        await home.core.hears(100)
    assert sorted(home.core.texts) == sorted(where.thread for where in threads)
    assert home.api.told_to_wait == 0


async def test_words_to_the_bot_in_a_channel_it_was_spoken_to_before(home: Home) -> None:
    ann = home.api.person(None, "Ann")
    me = f"<@{home.api.world.me.id}>"
    async with home.living():
        await ann.says(home.channel, f"{me} one")
        await home.core.hears(1)
    await ann.says(home.channel, "among ourselves")
    await ann.says(home.channel, f"{me} two")
    async with home.living():
        assert await home.core.hears(2) == ["one", "two"]
        await asyncio.sleep(30)
        assert len(home.core.heard) == 2


async def test_one_message_that_cannot_be_read_hides_no_other(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    where = await opened(home)
    await says(home, where, "bad", "second", "third")
    bad = next(one.id for one in home.api.messages(home.thread(where)) if one.content == "bad")
    shown = home.api.town.shown
    monkeypatch.setattr(
        home.api.town, "shown", lambda one: {**shown(one), **({"attachments": [{}]} if one.id == bad else {})}
    )
    async with home.living() as chat:
        assert await home.core.hears(3) == ["first", "second", "third"]
        assert chat.pulse().aside == 1
    reads = len([call for call in home.api.calls if call.method == "GET" and call.route.endswith("messages")])
    async with home.living() as chat:
        await asyncio.sleep(60)
        assert chat.pulse().aside == 0, "it is not read again"
    assert len([call for call in home.api.calls if call.method == "GET" and call.route.endswith("messages")]) > reads
