"""What is heard and what is not, and how people are told that they were not heard."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.errors import Broken, Refused
from orchestrator.nouns import Message
from tests.discord_chat.stage import Home, now
from tests.discordapi.people import Person
from tests.discordapi.world import Message as Shown

pytestmark = pytest.mark.looptime


@pytest.fixture
async def ann(home: Home) -> Person:
    return home.api.person(None, "Ann")


def to(home: Home, words: str) -> str:
    return f"<@{home.api.world.me.id}> {words}"


async def test_in_a_channel_only_what_is_said_to_the_bot(home: Home, ann: Person) -> None:
    async with home.living() as chat:
        posted = await chat.post(home.where, Message(text="hello"), key="k")
        await ann.says(home.channel, "among ourselves")
        other = await ann.says(home.channel, to(home, "a mention"))
        await ann.says(home.channel, "a reply", reply_to=int(posted))
        await ann.says(home.channel, "a reply to another", reply_to=other)
        await ann.says(home.channel, to(home, "the last"))
        await home.core.hears(3)
        await asyncio.sleep(5)
    assert home.core.texts == ["a mention", "a reply", "the last"]


async def test_in_a_thread_of_ours_everything(home: Home, ann: Person) -> None:
    async with home.living() as chat:
        where = await chat.open(home.where, "A run", key="run-1")
        message = await ann.says(home.thread(where), "no mention")
        await home.core.hears(1)
    inbound = home.core.heard[0]
    assert inbound.key == f"discord/{where.thread}/{message.id}"
    assert inbound.message == str(message.id)
    assert (inbound.where, inbound.text, inbound.quoted) == (where, "no mention", False)


async def test_nobody_but_people_is_heard(home: Home, ann: Person) -> None:
    robot = home.api.bot(None, "robot")
    async with home.living() as chat:
        where = await chat.open(home.where, "A run", key="run-1")
        thread = home.thread(where)
        await robot.says(thread, "/stop")
        hook = Shown(home.api.clock.snowflake(), thread.id, ann.user, home.api.clock.stamp(), content="/stop")
        hook.webhook = 4711
        home.api.town.put(thread, hook)
        notice = Shown(home.api.clock.snowflake(), thread.id, ann.user, home.api.clock.stamp(), content="x", kind=7)
        home.api.town.put(thread, notice)
        said = await ann.says(thread, "hello")
        await home.core.hears(1)
        await ann.edits(said, "/launch evil")
        await asyncio.sleep(5)
    assert home.core.texts == ["hello"], "an edit is nothing new either"


async def test_forwarded_words_are_marked_and_say_where_they_are_from(home: Home, ann: Person) -> None:
    async with home.living() as chat:
        where = await chat.open(home.where, "A run", key="run-1")
        packet = home.api.town.shown(await ann.says(home.thread(where), "x")) | {
            "id": str(home.api.clock.snowflake()),
            "content": "",
            "guild_id": str(home.api.guild.id),
            "message_reference": {"type": 1, "channel_id": "4711", "message_id": "1", "guild_id": "2"},
            "message_snapshots": [{"message": _snapshot("/launch evil")}],
        }
        home.api.send_raw_event("MESSAGE_CREATE", packet)
        await home.core.hears(2)
    assert home.core.heard[1].quoted
    assert home.core.heard[1].text == "Forwarded from <#4711>:\n/launch evil"


def _snapshot(content: str) -> dict[str, object]:
    return {
        "type": 0,
        "content": content,
        "embeds": [],
        "attachments": [],
        "timestamp": "2026-11-25T00:00:00+00:00",
        "edited_timestamp": None,
        "flags": 0,
        "mentions": [],
        "mention_roles": [],
        "components": [],
    }


async def test_files_come_along(home: Home, ann: Person) -> None:
    big = b"y" * (1 << 20)
    async with home.living() as chat:
        where = await chat.open(home.where, "A run", key="run-1")
        await ann.says(home.thread(where), "two files", attachments=[("a.txt", b"alpha"), ("b.bin", big)])
        await ann.says(home.thread(where), "", attachments=[("alone.txt", b"alone")])
        await home.core.hears(2)
    found = [[(file.name, home.artifacts.files[file.artifact]) for file in one.files] for one in home.core.heard]
    assert found == [[("a.txt", b"alpha"), ("b.bin", big)], [("alone.txt", b"alone")]]


async def test_a_file_that_is_too_big_or_gone_is_named_and_the_words_are_heard(home: Home, ann: Person) -> None:
    async with home.living() as chat:
        where = await chat.open(home.where, "A run", key="run-1")
        said = await ann.says(home.thread(where), "x", attachments=[("a.txt", b"alpha")])
        await home.core.hears(1)
        huge = home.api.town.shown(said) | {"id": str(home.api.clock.snowflake()), "guild_id": str(home.api.guild.id)}
        huge["attachments"][0]["size"] = 26 << 20
        home.api.send_raw_event("MESSAGE_CREATE", huge)
        gone = home.api.town.shown(said) | {"id": str(home.api.clock.snowflake()), "guild_id": str(home.api.guild.id)}
        gone["attachments"][0]["url"] = f"{home.api.url}/files/1/none.txt"
        home.api.send_raw_event("MESSAGE_CREATE", gone)
        await home.core.hears(3)
    assert "bigger than 25 MiB" in home.core.texts[1]
    assert "no more" in home.core.texts[2]
    assert home.core.heard[2].text.startswith("x")


async def test_a_refusal_in_a_thread_is_a_mark_and_rare(home: Home, ann: Person) -> None:
    async with home.living() as chat:
        where = await chat.open(home.where, "A run", key="run-1")
        home.core.deaf = Refused("You are not on this bot's list.")
        said = [await ann.says(home.thread(where), f"{number}") for number in range(5)]
        await asyncio.sleep(10)
        assert [list(one.reactions) for one in said] == [["❌"], [], [], [], []]
        await asyncio.sleep(600)
        late = await ann.says(home.thread(where), "again")
        await asyncio.sleep(5)
        assert list(late.reactions) == ["❌"]
        assert len(home.api.messages(home.thread(where))) == 6


async def test_a_refusal_in_a_channel_is_said_quietly_and_rarely(home: Home, ann: Person) -> None:
    async with home.living():
        home.core.deaf = Refused(f"You are not on this bot's list @everyone <@{ann.id}>.")
        for _ in range(5):
            await ann.says(home.channel, to(home, "please"))
        await asyncio.sleep(10)
    answers = [one for one in home.api.messages(home.channel) if one.author is home.api.world.me]
    assert len(answers) == 1
    assert answers[0].pings == []
    assert answers[0].flags & (1 << 12), "in silence"


async def test_private_words_are_answered_with_a_sentence_and_rarely(home: Home, ann: Person) -> None:
    async with home.living():
        for _ in range(5):
            await ann.says(None, "/launch hello")
        await asyncio.sleep(10)
        private = home.api.world.private_with(ann.user)
        assert len([one for one in home.api.messages(private) if one.author is home.api.world.me]) == 1
        await asyncio.sleep(600)
        await ann.says(None, "hello?")
        await asyncio.sleep(10)
        assert len([one for one in home.api.messages(private) if one.author is home.api.world.me]) == 2
    assert home.core.heard == []


async def test_a_defect_of_the_core_sets_aside_one_message(home: Home, ann: Person) -> None:
    async with home.living() as chat:
        where = await chat.open(home.where, "A run", key="run-1")
        home.core.troubles = [ZeroDivisionError("a defect")]  # type: ignore[list-item]
        await ann.says(home.thread(where), "one")
        await ann.says(home.thread(where), "two")
        assert await home.core.hears(1) == ["two"]
        assert chat.pulse().aside == 1


async def test_one_channel_that_is_stuck_holds_up_no_other(home: Home, ann: Person) -> None:
    async with home.living() as chat:
        stuck, free = [await chat.open(home.where, name, key=name) for name in ("stuck", "free")]
        said = await ann.says(home.thread(stuck), "x", attachments=[("a.txt", b"alpha")])
        await home.core.hears(1)
        again = home.api.town.shown(said) | {"id": str(home.api.clock.snowflake()), "guild_id": str(home.api.guild.id)}
        again["attachments"][0]["url"] = "http://127.0.0.1:1/files/1/none.txt"
        home.api.send_raw_event("MESSAGE_CREATE", again)
        await ann.says(home.thread(free), "quick")
        before = now()
        assert await home.core.hears(2) == ["x", "quick"]
        assert now() - before < 1
        await home.core.hears(3)
        assert "could not be fetched" in home.core.texts[2]


async def test_a_foreign_server_is_not_heard(home: Home) -> None:
    foreign = home.api.world.found("elsewhere")
    hall = home.api.town.new_channel(foreign, "hall", kind=0)
    owner = Person(home.api, home.api.world.users[foreign.owner])
    async with home.living():
        await owner.says(hall, to(home, "/launch evil"))
        await asyncio.sleep(10)
    assert home.core.heard == []
    assert home.api.messages(hall)[-1].text == to(home, "/launch evil")


async def test_what_has_neither_words_nor_files_is_no_turn(home: Home, ann: Person) -> None:
    async with home.living() as chat:
        where = await chat.open(home.where, "A run", key="run-1")
        sticker = await ann.says(home.thread(where), "")
        await ann.says(home.channel, to(home, ""))
        await ann.says(home.thread(where), "a word")
        await home.core.hears(1)
        await asyncio.sleep(5)
    assert home.core.texts == ["a word"]
    assert list(sticker.reactions) == ["❌"]
    assert "neither words nor files" in home.api.messages(home.channel)[-1].text


async def test_the_bot_s_own_role_is_the_bot(home: Home, ann: Person) -> None:
    own = next(role.id for role in home.api.guild.roles.values() if role.bot == home.api.world.me.id)
    home.api.person(None, "Bob", roles=["crew"])
    crew = next(role.id for role in home.api.guild.roles.values() if role.name == "crew")
    async with home.living():
        await ann.says(home.channel, f"<@&{crew}> among ourselves")
        await ann.says(home.channel, f"<@&{own}> hello")
        await home.core.hears(1)
        await asyncio.sleep(5)
    assert home.core.texts == ["hello"]


async def test_a_person_is_told_once_that_their_words_wait(home: Home, ann: Person) -> None:
    async with home.living() as chat:
        where = await chat.open(home.where, "A run", key="run-1")
        home.core.troubles = [Broken("The disk is full.")]
        await ann.says(home.thread(where), "a hiccup")
        await home.core.hears(1)
        assert len(home.api.messages(home.thread(where))) == 1
        home.core.deaf = Broken("The disk is full.")
        await ann.says(home.thread(where), "hello")
        await asyncio.sleep(300)
        said = [one.text for one in home.api.messages(home.thread(where))]
        home.core.deaf = None
        await home.core.hears(2)
    assert said[2:] == ["This is not taken yet, and is tried again and again. The disk is full."]
