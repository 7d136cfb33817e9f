"""Tags of a forum's posts: made together, lost by nobody, and done without where the bot may not."""

from __future__ import annotations

import asyncio

import pytest

from adapters.discord.chat import DiscordChat
from orchestrator.errors import Refused
from orchestrator.nouns import Phase, Standing
from tests.discord_chat.stage import Home
from tests.discordapi import Permission
from tests.discordapi.world import REQUIRE_TAG

pytestmark = pytest.mark.looptime


async def test_two_runs_in_a_new_forum_at_once(home: Home, chat: DiscordChat) -> None:
    forum = home.api.forum()
    home.api.allow(forum, Permission.MANAGE_CHANNELS)
    first, second = await asyncio.gather(
        chat.open(home.of(forum), "a", key="a"), chat.open(home.of(forum), "b", key="b")
    )
    await asyncio.gather(chat.sign(first, Standing(Phase.ASKING)), chat.sign(second, Standing(Phase.ENDED, "failed")))
    assert home.api.tags(home.thread(first)) == ["waiting"]
    assert home.api.tags(home.thread(second)) == ["failed"]
    assert [tag["name"] for tag in forum.tags] == ["running", "waiting", "failed", "done"]
    made = [call for call in home.api.calls if call.method == "PATCH" and call.channel == forum.id]
    assert len(made) == 1, "all of them in one request"


async def test_a_forum_in_which_the_bot_may_later(home: Home, chat: DiscordChat) -> None:
    forum = home.api.forum()
    before = await chat.open(home.of(forum), "a", key="a")
    home.api.allow(forum, Permission.MANAGE_CHANNELS)
    await asyncio.sleep(3600)
    after = await chat.open(home.of(forum), "b", key="b")
    assert [home.api.tags(home.thread(one)) for one in (before, after)] == [[], ["running"]]


async def test_a_full_forum_gets_what_there_is_room_for(home: Home, chat: DiscordChat) -> None:
    forum = home.api.forum(tags=[f"tag {n}" for n in range(19)])
    home.api.allow(forum, Permission.MANAGE_CHANNELS)
    where = await chat.open(home.of(forum), "a", key="a")
    await chat.sign(where, Standing(Phase.ENDED, "completed"))
    assert (len(forum.tags), home.api.tags(home.thread(where))) == (20, ["running"])


async def test_a_forum_that_wants_a_tag_gets_one_of_its_own(home: Home, chat: DiscordChat) -> None:
    forum = home.api.forum(tags=["urgent"])
    forum.flags |= REQUIRE_TAG
    where = await chat.open(home.of(forum), "a", key="a")
    assert home.api.tags(home.thread(where)) == ["urgent"]
    forum.tags = []
    with pytest.raises(Refused, match="wants a tag"):
        await chat.open(home.of(forum), "b", key="b")
