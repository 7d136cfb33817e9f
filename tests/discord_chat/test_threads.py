"""Places of runs and how they stand: threads, posts in a forum, tags, marks."""

from __future__ import annotations

import asyncio

import pytest

from adapters.discord.chat import DiscordChat
from orchestrator.errors import Broken, Refused
from orchestrator.nouns import Conversation, Got, Message, MessageId, Phase, Receipt, Standing, Typing
from tests.discord_chat.stage import Home
from tests.discordapi import Fault, Permission

pytestmark = pytest.mark.looptime

OPEN = "POST /channels/{}/threads"


async def test_a_thread_has_the_name_of_its_run_and_stays_open_for_a_week(home: Home, chat: DiscordChat) -> None:
    where = await chat.open(home.where, "Fix\nthe " + "long " * 40, key="k")
    thread = home.thread(where)
    assert thread.name.startswith("Fix the long")
    assert len(thread.name) <= 100
    assert (thread.auto_archive, thread.parent) == (10080, home.channel.id)
    assert await chat.open(home.where, "", key="nameless") != where


async def test_a_thread_opens_beside_the_one_it_was_asked_for_in(home: Home, chat: DiscordChat) -> None:
    first = await chat.open(home.where, "one", key="one")
    second = await chat.open(first, "two", key="two")
    assert second.outside == home.where


@pytest.mark.parametrize("fault", [Fault.cut(), Fault.cut_after(), Fault.hang_after(), Fault.broken(502)])
async def test_a_thread_is_opened_once_whatever_became_of_the_answer(
    home: Home, chat: DiscordChat, fault: Fault
) -> None:
    same = await chat.open(home.where, "A run", key="another with this name")
    await chat.open(home.where, "x", key="x")
    home.api.fail(OPEN, fault)
    with pytest.raises(Broken):
        await chat.open(home.where, "A run", key="k")
    where = await chat.open(home.where, "A run", key="k")
    assert where != same
    assert len(home.api.threads(home.channel)) == 3
    assert await chat.open(home.where, "A run", key="k") == where


async def test_a_thread_of_a_former_life_is_the_same(home: Home) -> None:
    async with home.chat() as chat:
        where = await chat.open(home.where, "A run", key="k")
    async with home.chat() as chat:
        assert await chat.open(home.where, "A run", key="k") == where


async def test_no_thread_where_none_may_be(home: Home, chat: DiscordChat) -> None:
    home.api.forbid(home.channel, Permission.CREATE_PUBLIC_THREADS)
    with pytest.raises(Refused, match="permission"):
        await chat.open(home.where, "A run", key="k")
    home.api.allow(home.channel, Permission.CREATE_PUBLIC_THREADS)
    home.api.guild.thread_cap = 0
    with pytest.raises(Refused, match="as many open threads"):
        await chat.open(home.where, "A run", key="k")


async def test_a_post_in_a_forum_has_the_tag_of_how_it_stands(home: Home, chat: DiscordChat) -> None:
    forum = home.api.forum(tags=["urgent"])
    home.api.allow(forum, Permission.MANAGE_CHANNELS)
    where = await chat.open(home.of(forum), "Fix @everyone", key="k")
    thread = home.thread(where)
    assert home.api.tags(thread) == ["running"]
    assert [one.pings for one in home.api.messages(thread)] == [[]]
    thread.applied.append(int(forum.tags[0]["id"]))
    for phase, reason, tags in (
        (Phase.WORKING, "", ["running", "urgent"]),
        (Phase.ASKING, "", ["waiting", "urgent"]),
        (Phase.IDLE, "", ["waiting", "urgent"]),
        (Phase.WORKING, "", ["running", "urgent"]),
        (Phase.ENDED, "failed", ["failed", "urgent"]),
    ):
        await chat.sign(where, Standing(phase, reason))
        await asyncio.sleep(20)
        assert sorted(home.api.tags(thread)) == sorted(tags), phase
    assert thread.archived
    assert not thread.locked
    done = await chat.open(home.of(forum), "Another", key="other")
    await chat.sign(done, Standing(Phase.ENDED, "completed"))
    assert home.api.tags(home.thread(done)) == ["done"]


async def test_an_announcement_channel_has_threads_of_its_own_kind(home: Home, chat: DiscordChat) -> None:
    news = home.api.town.new_channel(home.api.guild, "news", kind=5)
    where = await chat.open(home.of(news), "A run", key="k")
    assert home.thread(where).parent == news.id
    assert home.api.calls[-1].body["type"] == 10


async def test_a_forum_whose_tags_we_may_not_make_does_without(home: Home, chat: DiscordChat) -> None:
    forum = home.api.forum()
    where = await chat.open(home.of(forum), "Fix it", key="k")
    for phase in (Phase.WORKING, Phase.ASKING, Phase.ENDED):
        await chat.sign(where, Standing(phase))
    assert home.thread(where).archived
    assert home.api.tags(home.thread(where)) == []


async def test_a_run_that_ends_leaves_an_archived_thread(home: Home, chat: DiscordChat) -> None:
    where = await chat.open(home.where, "A run", key="k")
    assert f"live/{where.thread}" in home.notes.texts
    await chat.sign(where, Standing(Phase.WORKING))
    assert not home.thread(where).archived
    await chat.sign(where, Standing(Phase.ENDED, "stopped"))
    await chat.sign(where, Standing(Phase.ENDED, "stopped"))
    assert home.thread(where).archived
    assert f"live/{where.thread}" not in home.notes.texts
    await chat.post(where, Message(text="one more word"), key="late")
    assert [one.text for one in home.api.messages(home.thread(where))] == ["one more word"]


async def test_a_channel_without_a_thread_has_no_standing(home: Home, chat: DiscordChat) -> None:
    before = len(home.api.calls)
    await chat.sign(home.where, Standing(Phase.ENDED, "completed"))
    assert len(home.api.calls) == before


async def test_a_receipt_is_one_mark(home: Home) -> None:
    said = await home.api.person(None, "Ann").says(home.channel, "hello")
    source = MessageId(str(said.id))
    async with home.chat() as chat:
        await chat.sign(home.where, Receipt(source, Got.SEEN))
        assert list(said.reactions) == ["👀"]
    await asyncio.sleep(1)
    async with home.chat() as chat:
        await chat.sign(home.where, Receipt(source, Got.HEARD))
        assert list(said.reactions) == ["✅"]
        await chat.sign(home.where, Receipt(source, Got.REFUSED))
        assert list(said.reactions) == ["❌"]
        await chat.sign(home.where, Receipt(source, Got.REFUSED))
        assert list(said.reactions) == ["❌"]


async def test_somebody_is_at_work(home: Home, chat: DiscordChat) -> None:
    await chat.sign(home.where, Typing())
    assert [place for _, place in home.api.typed] == [home.channel.id]


async def test_scopes_are_channels(home: Home, chat: DiscordChat) -> None:
    where = await chat.open(home.where, "A run", key="k")
    other = await chat.open(home.where, "Another", key="l")
    assert len({chat.scope(place) for place in (home.where, where, other)}) == 3
    assert chat.scope(Conversation("discord", where.chat, where.thread)) == chat.scope(where)
