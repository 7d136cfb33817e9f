"""What the doctor says about Discord: each finding is one sentence with what, where and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

import pytest

from adapters.discord.checkup import NEEDED, NO_WAY, SECONDS, asking, checkup
from orchestrator.checkup import Finding
from tests.discord_chat.stage import TOKEN, Home
from tests.discordapi import Discord, Fault, Permission
from tests.discordapi.gateway import MESSAGE_CONTENT
from tests.discordapi.world import Channel, Overwrite

pytestmark = pytest.mark.looptime

ALL_WELL = "the bot may all it needs"


@pytest.fixture
async def api() -> AsyncIterator[Discord]:
    async with Discord(token=TOKEN) as api:
        yield api


async def findings(
    api: Discord,
    *,
    guilds: Collection[int] = (),
    channels: Collection[int] = (),
    roles: Collection[int] = (),
    token: str = TOKEN,
) -> list[Finding]:
    wire = asking(token=token, api_base=api.rest, gateway_url=api.gateway)
    await wire.open()
    try:
        return await checkup(
            wire,
            guilds=[str(one) for one in guilds or [api.guild.id]],
            channels=[str(one) for one in channels],
            roles=[str(one) for one in roles],
        )
    finally:
        await wire.close()


async def said(
    api: Discord, *, guilds: Collection[int] = (), channels: Collection[int] = (), roles: Collection[int] = ()
) -> list[str]:
    """What a person reads about the lists, without the two lines that every look at a good bot begins with."""
    found = [str(one) for one in await findings(api, guilds=guilds, channels=channels, roles=roles)]
    assert found[:2] == [
        "✓ discord      the token is accepted; the bot is army#0000",
        "✓ discord      the Message Content intent is on: the bot can read what is said in its threads",
    ]
    return found[2:]


async def test_a_bot_with_nothing_wrong(api: Discord) -> None:
    assert await said(api) == [f"✓ discord      “home” ({api.guild.id}): {ALL_WELL}"]


async def test_a_wrong_token(api: Discord) -> None:
    (found,) = await findings(api, token="MTA.of-another.bot")
    assert str(found) == (
        "✗ discord      DISCORD_TOKEN is not accepted by Discord: it was reset, or is not the token of a bot. Make a "
        "new one in the developer portal, under Bot, Reset Token."
    )


async def test_nobody_answers(api: Discord) -> None:
    await api.down()
    (found,) = await findings(api)
    assert str(found) == f"⚠ discord      Discord could not be reached (ClientConnectorError). {NO_WAY}"


async def test_discord_has_trouble_of_its_own(api: Discord) -> None:
    api.fail("GET /users/@me", Fault.broken(503), times=9)
    (found,) = await findings(api)
    assert found.words == f"Discord has trouble of its own (503). {NO_WAY}"


async def test_a_network_that_goes_meanwhile_is_no_server_that_is_missing(api: Discord) -> None:
    api.fail("GET /guilds/{}", Fault.cut(), times=9)
    (found,) = await said(api)
    assert found == f"⚠ discord      Discord could not be reached (ServerDisconnectedError). {NO_WAY}"


async def test_one_who_asks_too_often_is_told_when_to_ask_again(api: Discord) -> None:
    api.fail("GET /guilds/{}", Fault.busy(7))
    assert await said(api) == ["⚠ discord      Discord asks for patience. Try again in 7 s"]


async def test_an_answer_that_never_comes_is_waited_for_not_too_long(api: Discord) -> None:
    api.fail("GET /guilds/{}", Fault.hang())
    began = asyncio.get_running_loop().time()
    assert await said(api) == ["⚠ discord      Discord did not answer all questions within 10 s; try again."]
    assert asyncio.get_running_loop().time() - began < SECONDS + 1


async def test_the_intent_without_which_nothing_is_read(api: Discord) -> None:
    api.sockets.disallowed = MESSAGE_CONTENT
    found = (await findings(api))[1]
    assert str(found) == (
        "✗ discord      Discord does not let this bot read messages: switch on “Message Content Intent” for it in the "
        "developer portal, under Bot, and start again."
    )


async def test_an_address_in_the_portal_that_takes_all_buttons(api: Discord) -> None:
    api.interactions_at = "https://others.example/interactions"
    assert (await said(api))[0] == (
        "✗ discord      an Interactions Endpoint URL is set: commands and buttons go there and never reach this bot. "
        "Empty it in the developer portal (General Information)"
    )


async def test_a_server_without_the_bot(api: Discord) -> None:
    assert await said(api, guilds=[api.guild.id, 4711]) == [
        f"✓ discord      “home” ({api.guild.id}): {ALL_WELL}",
        (
            "⚠ discord      the bot is not in server 4711 of DISCORD_ALLOWED_GUILDS: open its install link from the "
            "developer portal and choose that server, or take the entry out"
        ),
    ]


@pytest.mark.parametrize("lacking", NEEDED)
async def test_a_permission_that_the_bot_lacks_in_the_server(api: Discord, lacking: str) -> None:
    for role in api.guild.roles.values():
        role.permissions &= ~Permission[lacking.upper()]
    assert await said(api) == [
        (
            f"⚠ discord      “home” ({api.guild.id}): the bot lacks {NEEDED[lacking]}. Give its role this in the "
            "server's settings, under Roles"
        )
    ]


async def test_a_bot_with_no_right_but_to_be_there(api: Discord) -> None:
    for role in api.guild.roles.values():
        role.permissions = 0
    assert await said(api) == [
        (
            f"⚠ discord      “home” ({api.guild.id}): the bot lacks View Channels, Send Messages, Create Public "
            "Threads, Send Messages in Threads, Manage Threads, Manage Messages, Pin Messages, Attach Files, Read "
            "Message History, Add Reactions. Give its role these in the server's settings, under Roles"
        )
    ]


async def test_an_administrator_may_everything(api: Discord) -> None:
    room = api.text_channel("general")
    api.forbid(room, Permission.SEND_MESSAGES)
    for role in api.guild.roles.values():
        role.permissions = Permission.ADMINISTRATOR
    assert await said(api, channels=[room.id]) == [f"✓ discord      {named(api, room)}: {ALL_WELL}"]


def named(api: Discord, room: Channel) -> str:
    return f"#{room.name} ({room.id}) in “home” ({api.guild.id})"


async def test_a_channel_in_which_the_bot_may_less(api: Discord) -> None:
    room, forum = api.text_channel("general"), api.forum("runs")
    api.forbid(room, Permission.SEND_MESSAGES, Permission.ATTACH_FILES)
    assert await said(api, channels=[room.id, forum.id]) == [
        (
            f"⚠ discord      {named(api, room)}: the bot lacks Send Messages, Attach Files. Give its role these in the "
            "channel's settings"
        ),
        f"✓ discord      {named(api, forum)}: {ALL_WELL}",
        (
            f"⚠ discord      {named(api, forum)}: the forum lacks the tags running, waiting, failed, done, by which "
            "its posts show how their runs stand. Make them in the forum's settings, or give the bot Manage Channels "
            "there"
        ),
    ]


async def test_a_forum_with_our_tags_or_where_we_may_make_them(api: Discord) -> None:
    api.forum("made", tags=["Running", "waiting", "failed", "done"])
    ours, half = api.forum("ours"), api.forum("half", tags=["done"])
    api.allow(ours, Permission.MANAGE_CHANNELS)
    _, found = await said(api)
    assert f"{named(api, half)}: the forum lacks the tags running, waiting, failed, by which" in found


async def test_what_a_channel_gives_back_to_the_bot_counts(api: Discord) -> None:
    """To everybody, then to roles, then to itself: each says more than the one before."""
    room, quiet = api.text_channel("general"), api.text_channel("quiet")
    everyone = api.guild.id
    (own,) = api.guild.members[api.world.me.id].roles
    room.overwrites = [Overwrite(everyone, 0, deny=Permission.SEND_MESSAGES)]
    room.overwrites += [Overwrite(own, 0, allow=Permission.SEND_MESSAGES)]
    quiet.overwrites = [Overwrite(own, 0, allow=Permission.ADD_REACTIONS)]
    quiet.overwrites += [Overwrite(api.world.me.id, 1, deny=Permission.ADD_REACTIONS)]
    for place, words in ((room, ALL_WELL), (quiet, "the bot lacks Add Reactions. Give its role this")):
        (found,) = await said(api, channels=[place.id])
        assert words in found


async def test_channels_in_which_no_run_can_be(api: Discord) -> None:
    voice = api.text_channel("Voice")
    voice.kind = 2
    assert await said(api, channels=[voice.id]) == [
        (
            f"⚠ discord      {named(api, voice)} is neither a text channel nor a forum: no run can have a thread "
            "there. Take another"
        )
    ]


async def test_a_channel_that_does_not_exist(api: Discord) -> None:
    assert await said(api, channels=[4711]) == [
        (
            "⚠ discord      channel 4711 of DISCORD_ALLOWED_CHANNELS does not exist in the allowed servers, or the bot "
            "may not see it. Copy its id anew"
        )
    ]


async def test_a_thread_where_a_channel_should_be(api: Discord) -> None:
    home = Home(api)
    async with home.chat() as chat:
        where = await chat.open(home.where, "a run", key="k")
    assert await said(api, channels=[int(where.thread)]) == [
        (
            f"⚠ discord      channel {where.thread} of DISCORD_ALLOWED_CHANNELS is a thread: name the channel that it "
            f"is in, {home.channel.id}"
        )
    ]


async def test_a_channel_of_another_server(api: Discord) -> None:
    elsewhere = api.town.new_channel(api.world.found("office"), "general", kind=0)
    assert await said(api, channels=[elsewhere.id]) == [
        (
            f"⚠ discord      channel {elsewhere.id} of DISCORD_ALLOWED_CHANNELS is in none of the servers of "
            "DISCORD_ALLOWED_GUILDS: nobody is heard there. Add its server, or take the entry out"
        )
    ]


async def test_a_role_that_nobody_has(api: Discord) -> None:
    api.person(None, "Ann", roles=["crew"])
    crew = next(role.id for role in api.guild.roles.values() if role.name == "crew")
    assert await said(api, roles=[crew, 4711]) == [
        f"✓ discord      “home” ({api.guild.id}): {ALL_WELL}",
        (
            "⚠ discord      no role 4711 of DISCORD_ALLOWED_ROLES is in the allowed servers: nobody has it. Copy its "
            "id anew"
        ),
    ]


async def test_it_keeps_away_from_the_gateway(api: Discord) -> None:
    """A bot that runs meanwhile keeps its session, and the day's sessions are not used up."""
    await said(api)
    assert api.sockets.connections == 0
    assert {call.method for call in api.calls} == {"GET"}
