"""What a person is told when something goes wrong on the way, and when the bot had better say nothing at all."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.errors import Broken, Busy, Refused
from orchestrator.nouns import Button, Conversation, Got, Message, MessageId, Receipt
from tests.botapi import Fault, Kind
from tests.telegram_chat.scene import GROUP, scene, until

pytestmark = pytest.mark.looptime


async def test_what_cannot_be_stored_is_told_once_from_the_second_failure_on() -> None:
    async with scene() as s, s.life():
        s.core.troubles = [Broken("The disk is full.")]
        await s.ann.says(s.home, "over in a moment")
        await until(lambda: s.core.heard, seconds=60)
        assert s.words(s.home) == []
        s.core.troubles = [Broken("The disk is full.")] * 5
        await s.ann.says(s.home, "hello")
        await until(lambda: len(s.core.heard) == 2, seconds=300)
        (words,) = s.words(s.home)
        assert "is tried again: The disk is full." in words


async def test_what_people_say_to_each_other_waits_for_the_disk_in_silence() -> None:
    async with scene() as s, s.life():
        s.core.troubles = [Broken("The disk is full.")] * 4
        await s.ann.says(s.group, "Bob, lunch?")
        await until(lambda: s.core.heard, seconds=300)
        assert s.words(s.group) == []


async def test_nothing_is_said_into_a_penalty() -> None:
    async with scene() as s:
        async with s.life() as chat:
            s.api.fail("sendMessage", Fault(Kind.WAIT, seconds=300), chat=GROUP)
            with pytest.raises(Busy):
                await chat.post(s.there, Message(text="x"), key="a")
            s.core.troubles = [Refused("You may not.")]
            await s.ann.says(s.group, "/launch x")
            await s.rest()
            with pytest.raises(Busy) as caught:
                await chat.sign(s.there, Receipt(MessageId("1"), Got.SEEN))
            assert 290 < caught.value.seconds <= 300
            await chat.post(s.here, Message(text="elsewhere"), key="b")
            assert s.api.into_penalty == 0
            await asyncio.sleep(301)
            s.core.troubles = [Refused("You may not.")]
            await s.ann.says(s.group, "/launch x")
            await until(lambda: s.words(s.group) == ["You may not."])
        assert s.api.into_penalty == 0


async def test_a_tap_in_a_penalty_is_answered() -> None:
    async with scene() as s, s.life() as chat:
        id_ = await chat.post(s.there, Message(text="?", buttons=(Button("Yes", "ask:1"),)), key="k")
        s.api.fail("sendMessage", Fault(Kind.WAIT, seconds=300), chat=GROUP)
        with pytest.raises(Busy):
            await chat.post(s.there, Message(text="x"), key="a")
        assert await s.ann.presses(s.group.standing[int(id_)], "Yes") == {}


async def test_a_tap_that_trips_over_a_defect_is_answered_in_words() -> None:
    async with scene() as s, s.life() as chat:
        id_ = await chat.post(s.here, Message(text="?", buttons=(Button("Yes", "ask:1"),)), key="k")
        s.core.troubles = [ZeroDivisionError("boom")]
        answer = await s.ann.presses(s.home.standing[int(id_)], "Yes")
        assert answer
        assert "defect" in answer["text"]
        await until(lambda: chat.pulse().aside == 1)


async def test_a_name_is_shown_as_it_is() -> None:
    async with scene() as s, s.life() as chat:
        ann = s.api.person(7, "*Ann* [x](https://evil.example) _y_")
        id_ = await chat.post(s.here, Message(text="?", buttons=(Button("Yes", "ask:1"),)), key="k")
        s.core.door.clear()
        s.core.troubles = [Refused("You may `not`.")]
        await ann.presses(s.home.standing[int(id_)], "Yes")
        s.core.door.set()
        await until(lambda: len(s.words(s.home)) == 2)
        said = s.api.messages(s.home.id)[-1]
        assert said.text == "*Ann* [x](https://evil.example) _y_: You may not."
        assert {entity["type"] for entity in said.entities} <= {"code", "url"}


async def test_a_group_that_became_another_is_told_by_the_pulse() -> None:
    async with scene() as s:
        small = s.api.group(-100200)
        async with s.life(allowed_chats=[small.id]) as chat:
            assert chat.pulse().trouble == ""
            s.api.street.migrate(small, -1001000000999)
            await until(lambda: "-1001000000999" in chat.pulse().trouble)
        async with s.life(allowed_chats=[small.id]) as chat:  # another life learns it when it speaks there
            with pytest.raises(Exception, match="-1001000000999"):
                await chat.post(Conversation("telegram", str(small.id)), Message(text="x"), key="k")
            assert "-1001000000999" in chat.pulse().trouble
        async with s.life(allowed_chats=[small.id, -1001000000999]) as chat:
            with pytest.raises(Exception, match="-1001000000999"):
                await chat.post(Conversation("telegram", str(small.id)), Message(text="x"), key="k")
            assert chat.pulse().trouble == ""
