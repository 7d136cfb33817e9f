"""What people do in Telegram through the real client: who is heard, who is told what and how often, taps and files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.telegram.chat import TelegramChat
from orchestrator.errors import Broken, Refused
from orchestrator.gate import Gate, Rule
from orchestrator.nouns import Button, Inbound, Message
from tests.botapi import BotApi, Fault, Kind, Person
from tests.botapi.world import RIGHTS, Standing
from tests.telegram_chat.scene import ANN, GROUP, Core, Scene, scene, until

EVE = 666
RULE = Rule(people=frozenset({str(ANN)}), chats=frozenset({str(GROUP)}))
ALLOWED = {"allowed_users": [ANN], "allowed_chats": [GROUP]}


class Gated(Core):
    """A core with the real gate in front."""

    async def __call__(self, inbound: Inbound) -> None:
        try:
            Gate({"telegram": RULE}).check(inbound.person, inbound.where)
        except Refused:
            self.asked.append(inbound)
            raise
        await super().__call__(inbound)


@asynccontextmanager
async def gated(**options: Any) -> AsyncIterator[tuple[Scene, TelegramChat, Person]]:
    """A bot with the real gate, and Eve, who is on no list."""
    async with scene() as s:
        s.core = Gated()
        eve = s.api.person(EVE, "Eve")
        s.api.private(eve)
        s.api.street.member(s.group, eve)
        async with s.life(**options) as chat:
            yield s, chat, eve


def told(s: Scene, chat: int) -> list[str]:
    return [message.text for message in s.api.messages(chat) if message.own]


# --- strangers --------------------------------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_a_stranger_is_told_once_in_ten_minutes() -> None:
    async with gated() as (s, _, eve):
        home = s.api.world.chats[EVE]
        for _ in range(3):
            await eve.says(home, "/launch evil")
        await until(lambda: told(s, EVE))
        await asyncio.sleep(5)
        (words,) = told(s, EVE)
        assert str(EVE) in words
        await asyncio.sleep(700)
        await eve.says(home, "/launch evil")
        await until(lambda: len(told(s, EVE)) == 2)
        assert not s.core.heard


async def test_a_stranger_in_a_group_is_told_only_when_we_were_meant_and_once() -> None:
    async with gated() as (s, _, eve):
        await eve.says(s.group, "just talking")
        await s.ann.says(s.group, "hello")
        await s.hears()
        assert told(s, GROUP) == []
        for _ in range(3):
            await eve.says(s.group, "/launch evil")
        await s.ann.says(s.group, "again")
        await s.hears(2)
        assert len(told(s, GROUP)) == 1
        assert s.core.texts == ["hello", "again"]


async def test_ann_may_not_in_a_chat_that_is_not_listed() -> None:
    async with gated() as (s, _, _):
        other = s.api.group(-1001000000042)
        await s.ann.says(other, "/launch evil")
        await until(lambda: told(s, other.id))
        assert str(other.id) in told(s, other.id)[0]
        assert not s.core.heard


async def test_a_tap_of_a_stranger_is_answered_with_words_every_time() -> None:
    async with gated() as (s, chat, eve):
        id_ = await chat.post(s.there, Message(text="Sure?", buttons=(Button("Yes", "ask:1"),)), key="k")
        for _ in range(2):
            answer = await eve.presses(s.group.standing[int(id_)], "Yes")
            assert answer
            assert str(EVE) in answer["text"]
            assert answer["show_alert"] is True
        assert not s.core.heard


async def test_a_strangers_files_are_not_fetched() -> None:
    async with gated(**ALLOWED) as (s, _, eve):
        await eve.sends_document(s.api.world.chats[EVE], "evil.bin", b"x" * 1000)
        await eve.sends_document(s.group, "evil.bin", b"x" * 1000)
        await s.ann.sends_document(s.group, "good.txt", b"words")
        await s.ann.sends_document(s.home, "home.txt", b"home")
        await s.hears(2)
        await until(lambda: len(s.core.asked) == 4)
        assert len(s.api.called("getFile")) == 2
        assert sorted(file.name for inbound in s.core.heard for file in inbound.files) == ["good.txt", "home.txt"]


async def test_the_ways_around_the_gate_are_shut() -> None:
    """Each line is a way in which bots were made to run something; none of them brings words to the core."""
    async with gated() as (s, _, eve):
        channel = s.api.channel(-1009000000001)
        said = await s.ann.says(s.home, "harmless")
        await s.hears()
        s.core.asked.clear()
        edited = said.json() | {"text": "/launch evil", "edit_date": said.date + 1}
        s.api.push_raw({"edited_message": edited})
        s.api.street.posts(channel, "/launch evil", into=s.group)
        await s.ann.says_as(channel, s.group, "/launch evil")
        await s.ann.says(s.group, "/launch evil", anonymously=True)
        await s.ann.says(s.group, "/launch@other_bot evil")
        own = s.api.world.put(s.group, {"text": "/launch evil"}, sender=s.api.world.bot, own=True)
        s.api.push_raw({"message": own.json()})
        s.api.push_raw({"stopped_message_generation": {"chat": s.home.json(), "draft_id": 1}})
        await eve.says(s.group, "/launch evil")
        await s.ann.forwards(s.home, "/launch evil")
        await s.ann.says(s.home, "done")
        await s.hears(3)
        assert [(inbound.text, inbound.quoted) for inbound in s.core.heard[1:]] == [
            ("Forwarded from Stranger:\n/launch evil", True),
            ("done", False),
        ]
        assert {inbound.person.id for inbound in s.core.asked} == {str(ANN), str(EVE)}


async def test_who_hides_is_told_to_write_as_oneself() -> None:
    async with scene() as s, s.life():
        for _ in range(2):
            await s.ann.says(s.group, "/runs", anonymously=True)
        await until(lambda: told(s, GROUP))
        await s.rest()
        assert len(told(s, GROUP)) == 1
        assert "Write as yourself" in told(s, GROUP)[0]


async def test_a_forged_tap_is_only_a_tap() -> None:
    """Any data on any message: it locates, and the core decides."""
    async with scene() as s, s.life():
        hers = await s.ann.says(s.home, "x")
        await s.ann.press_data(hers, "stop:other")
        heard = await s.hears(2)
        assert {inbound.on for inbound in heard if inbound.press == "stop:other"} == {str(hers.id)}


# --- taps -------------------------------------------------------------------------------------------------------------


async def tapped(s: Scene, chat: Any) -> Standing:
    id_ = await chat.post(s.here, Message(text="?", buttons=(Button("Yes", "ask:1"),)), key="k")
    return s.home.standing[int(id_)]


async def test_a_tap_is_answered_while_the_core_thinks() -> None:
    async with scene() as s, s.life() as chat:
        message = await tapped(s, chat)
        s.core.door.clear()
        assert await s.ann.presses(message, "Yes") == {}
        assert not s.core.heard
        s.core.door.set()
        (heard,) = await s.hears()
        assert heard.key.startswith("telegram/cb/")


async def test_a_late_refusal_of_a_tap_is_said_in_the_chat() -> None:
    async with scene() as s, s.life() as chat:
        message = await tapped(s, chat)
        s.core.door.clear()
        s.core.troubles = [Refused("You may not.")]
        await s.ann.presses(message, "Yes")
        s.core.door.set()
        await until(lambda: "Ann: You may not." in s.words(s.home))


@pytest.mark.looptime
async def test_a_tap_that_could_not_be_stored_says_so_and_comes_again() -> None:
    async with scene() as s, s.life() as chat:
        message = await tapped(s, chat)
        s.core.troubles = [Broken("The disk is full.")]
        answer = await s.ann.presses(message, "Yes")
        assert answer
        assert "The disk is full" in answer["text"]
        await until(lambda: s.core.heard, seconds=60)


async def test_an_answer_that_fails_takes_nothing_down() -> None:
    async with scene() as s, s.life() as chat:
        message = await tapped(s, chat)
        s.api.fail("answerCallbackQuery", Fault(Kind.CUT_BEFORE))
        await s.ann.press(message, "Yes")
        await s.hears()
        assert await s.ann.presses(message, "Yes") == {}


# --- files ------------------------------------------------------------------------------------------------------------


async def test_every_kind_of_file_arrives() -> None:
    async with scene() as s, s.life():
        big = bytes(range(256)) * 4000
        await s.ann.sends_document(s.home, "big.bin", big, caption="look at this")
        await s.ann.sends_photo(s.home, b"picture")
        await s.ann.sends_voice(s.home, b"voice")
        heard = await s.hears(3)
        files = [inbound.files[0] for inbound in heard]
        assert [s.artifacts.files[file.artifact] for file in files] == [big, b"picture", b"voice"]
        assert files[0].name == "big.bin"
        assert heard[0].text == "look at this"


async def test_a_file_that_is_too_large_is_told_and_its_words_are_heard() -> None:
    async with scene() as s, s.life():
        await s.ann.sends_document(s.home, "huge.zip", caption="here", size=30_000_000)
        (heard,) = await s.hears()
        assert heard.files == ()
        assert heard.text.startswith("here\n")
        assert "huge.zip is missing: it has 30 MB" in heard.text
        assert "huge.zip" in s.words(s.home)[0]


@pytest.mark.looptime
async def test_a_file_comes_through_a_bad_network_or_is_missed_in_words() -> None:
    async with scene() as s, s.life():
        s.api.fail("file", Fault(Kind.CUT_BEFORE), times=2)
        await s.ann.sends_document(s.home, "a.txt", b"a")
        await until(lambda: len(s.core.heard) == 1, seconds=60)
        s.api.fail("getFile", Fault(Kind.PROXY), times=9)
        await s.ann.sends_document(s.home, "b.txt", b"b", caption="and this")
        await until(lambda: len(s.core.heard) == 2, seconds=120)
        first, second = s.core.heard
        assert [file.name for file in first.files] == ["a.txt"]
        assert second.files == ()
        assert "send it again" in second.text


@pytest.mark.looptime
async def test_a_file_that_cannot_be_kept_waits_for_the_disk() -> None:
    async with scene() as s, s.life():
        s.artifacts.fails = "The disk is full."
        await s.ann.sends_document(s.home, "a.txt", b"a")
        await asyncio.sleep(20)
        assert not s.core.asked
        s.artifacts.fails = ""
        await until(lambda: s.core.heard, seconds=120)
        assert s.core.heard[0].files


async def test_an_album_is_one() -> None:
    async with scene() as s, s.life():
        first, *_ = await s.ann.sends_album(s.home, ["a.txt", "b.txt", "c.txt"], caption="all of these")
        await s.ann.says(s.home, "and words")
        album, words = await s.hears(2)
        assert [file.name for file in album.files] == ["a.txt", "b.txt", "c.txt"]
        assert (album.text, album.key) == ("all of these", f"telegram/{ANN}/{first.id}")
        assert words.text == "and words"


# --- nothing of the token anywhere ------------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_no_log_and_no_trouble_holds_the_token(caplog: pytest.LogCaptureFixture, capsys: Any) -> None:
    caplog.set_level("INFO")
    secret = BotApi().token.partition(":")[2]
    words = []
    async with scene() as s, s.life() as chat:
        for kind in (Kind.CUT_BEFORE, Kind.PROXY, Kind.MALFORMED, Kind.HALF_OPEN):
            s.api.fail("sendMessage", Fault(kind))
            s.api.fail("getUpdates", Fault(kind))
            s.api.fail("file", Fault(kind), times=5)
            await s.ann.sends_document(s.home, "a.txt", b"a")
            with pytest.raises(Broken) as caught:
                await chat.post(s.here, Message(text="x"), key=f"{kind}")
            words.append(repr(caught.value) + repr(caught.value.__cause__) + chat.pulse().trouble)
        await s.api.refuse()
        with pytest.raises(Broken) as caught:
            await chat.post(s.here, Message(text="x"), key="refused")
        words.append(repr(caught.value))
        await asyncio.sleep(30)
        words.append(chat.pulse().trouble)
        await s.api.listen()
    ours = "".join(
        record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))
    )
    printed = capsys.readouterr()
    everything = "".join(words) + ours + printed.out + printed.err
    assert "not heard" in everything
    assert secret not in everything


async def test_a_bot_without_rights_in_a_group_hears_commands_and_replies() -> None:
    async with scene() as s, s.life() as chat:
        s.group.bot, s.group.rights = "member", RIGHTS - RIGHTS
        id_ = await chat.post(s.there, Message(text="hello"), key="k")
        await s.ann.says(s.group, "not for the bot")
        await s.ann.says(s.group, "/runs@army_bot")
        await s.ann.says(s.group, "this is", reply_to=s.group.standing[int(id_)])
        await s.hears(2)
        assert s.core.texts == ["/runs", "this is"]
