"""What a bot meets in a year: ids that went on unseen, slow lines, old notes, people who talk to each other."""

from __future__ import annotations

import asyncio

import pytest

from adapters.telegram import places
from adapters.telegram.chat import FORGET_EVERY, MENU_AGAIN, TelegramChat
from adapters.telegram.sent import KEPT
from orchestrator.commands import COMMANDS
from orchestrator.errors import Broken
from orchestrator.nouns import ArtifactId, File, Message
from tests.botapi import ROOMY, BotApi, Fault, Kind
from tests.fakes.artifacts import MemoryArtifacts
from tests.fakes.notes import MemoryNotes
from tests.telegram_chat.scene import ANN, Core, Scene, scene, until

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize("unseen", [0, 5, 15, 40])
async def test_a_final_stands_once_where_the_bot_does_not_see_what_people_write(unseen: int) -> None:
    async with scene() as s, s.life() as chat:
        await chat.post(s.there, Message(text="first"), key="a")
        s.api.street.bot_becomes(s.group, "member", by=s.ann)
        for n in range(unseen):
            await s.ann.says(s.group, f"among ourselves {n}")
        s.api.fail("sendMessage", Fault(Kind.CUT_AFTER))
        with pytest.raises(Broken):
            await chat.post(s.there, Message(text="the final"), key="b")
        await chat.post(s.there, Message(text="the final"), key="b", again=True)
        assert s.words(s.group) == ["first", "the final"]


async def test_a_twin_that_cannot_be_taken_away_is_not_joined_by_a_third() -> None:
    async with scene() as s, s.life() as chat:
        await chat.post(s.there, Message(text="first"), key="a")
        s.api.street.bot_becomes(s.group, "member", by=s.ann)
        for n in range(15):
            await s.ann.says(s.group, f"among ourselves {n}")
        s.api.fail("sendMessage", Fault(Kind.CUT_AFTER))
        with pytest.raises(Broken):
            await chat.post(s.there, Message(text="the final"), key="b")
        s.api.fail("deleteMessage", Fault(Kind.WAIT, seconds=30))
        stands = await chat.post(s.there, Message(text="the final"), key="b", again=True)
        await asyncio.sleep(31)
        assert await chat.post(s.there, Message(text="the final"), key="b", again=True) == stands
        assert s.words(s.group).count("the final") == 2


async def test_a_file_that_did_arrive_is_found_after_all_attempts() -> None:
    async with scene() as s, s.chat() as chat:
        artifact = await _kept(s, b"x" * 1000)
        message = Message(text="see the file", files=(File(artifact, "big.bin", 1000),))
        s.api.fail("sendDocument", Fault(Kind.HALF_OPEN), times=2)
        s.api.fail("sendDocument", Fault(Kind.CUT_AFTER))
        for attempt in range(3):
            with pytest.raises(Broken):
                await chat.post(s.here, message, key="a", again=attempt > 0)
        await chat.post(s.here, message, key="a", again=True)
        assert [m.file.name for m in s.api.messages(s.home.id) if m.file] == ["big.bin"]
        assert s.words(s.home)[0] == "see the file"
        assert not any("could not be sent" in words for words in s.words(s.home))


async def test_a_file_that_the_line_cannot_carry_gives_its_place_to_words() -> None:
    async with scene() as s, s.chat() as chat:
        artifact = await _kept(s, b"x" * 1000)
        message = Message(text="see the file", files=(File(artifact, "big.bin", 1000),))
        s.api.fail("sendDocument", Fault(Kind.HALF_OPEN), times=100)
        for attempt in range(3):
            with pytest.raises(Broken):
                await chat.post(s.here, message, key="a", again=attempt > 0)
        await chat.post(s.here, message, key="a", again=True)
        assert s.words(s.home)[0] == "see the file"
        assert "big.bin could not be sent" in s.words(s.home)[-1]


async def test_notes_of_long_ago_go_while_it_lives() -> None:
    now = 1_000_000.0
    async with scene() as s:
        chat = TelegramChat(s.notes, s.artifacts, token=s.api.token, api_base=s.api.url, clock=lambda: now)
        async with s.serving(chat):
            await chat.post(s.here, Message(text="old"), key="old")
            await until(lambda: any(name.startswith("sent/") for name in s.notes.texts))
            now += KEPT + 1
            await asyncio.sleep(FORGET_EVERY + 60)
            assert not any(name.startswith("sent/") for name in s.notes.texts)


async def test_the_places_of_long_ago_are_forgotten_and_undated_ones_age_from_now_on() -> None:
    now = 1_000_000_000.0
    async with scene(forum=True) as s:
        s.notes.texts["topic/of-before"] = "12"
        chat = TelegramChat(s.notes, s.artifacts, token=s.api.token, api_base=s.api.url, clock=lambda: now)
        async with s.serving(chat):
            where = await chat.open(s.there, "A run", key="r")
            await asyncio.sleep(FORGET_EVERY + 60)
            assert await chat.open(s.there, "A run", key="r") == where
            assert len([name for name in s.notes.texts if name.startswith("topic/")]) == 2
            now += places.KEPT + 1
            await asyncio.sleep(FORGET_EVERY + 60)
            assert not any(name.startswith("topic/") for name in s.notes.texts)


async def test_a_menu_comes_when_somebody_presses_start_after_the_bot_began() -> None:
    async with BotApi(limits=ROOMY) as api:
        notes, core = MemoryNotes(), Core()
        chat = TelegramChat(
            notes, MemoryArtifacts(), token=api.token, api_base=api.url, commands=COMMANDS, allowed_users=[ANN]
        )
        async with chat:
            task = asyncio.create_task(chat.serve(core))
            await until(lambda: api.called("setMyCommands"))
            await asyncio.sleep(5)
            assert f"{ANN}/" not in notes.texts.get("menu", "")
            ann = api.person(ANN, "Ann")
            await ann.says(api.private(ann), "/start")
            await asyncio.sleep(5)
            task.cancel()
            await asyncio.wait([task])
        assert f"{ANN}/" in notes.texts.get("menu", "")


async def test_a_chat_that_takes_no_menu_is_asked_once_when_it_is_heard_and_then_seldom() -> None:
    async with scene() as s:
        s.api.fail("setMyCommands", Fault(Kind.STATUS, status=400, words="Bad Request: chat not found"), times=99)
        async with s.life(commands=COMMANDS, allowed_users=[ANN]):
            await until(lambda: len(s.api.called("setMyCommands")) == 2)
            for number in range(4):
                await s.ann.says(s.home, f"{number}")
                await asyncio.sleep(5)
            assert len(s.api.called("setMyCommands")) == 4
            await asyncio.sleep(MENU_AGAIN)
            assert len(s.api.called("setMyCommands")) == 6


async def test_what_people_say_to_each_other_is_not_addressed() -> None:
    async with scene() as s, s.life():
        await s.ann.says(s.group, "Bob, are you coming to lunch?")
        await s.ann.says(s.group, "/help")
        heard = await s.hears(2)
        assert [one.addressed for one in heard] == [False, True]


async def _kept(s: Scene, content: bytes) -> ArtifactId:
    await s.artifacts.piece("up", 0, content)
    return await s.artifacts.complete("up")
