"""Hearing through whatever the network, the platform and a restart do: all of it, in order."""

from __future__ import annotations

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from orchestrator.errors import Broken, Refused
from orchestrator.nouns import Button, Message
from tests.botapi import Fault, Kind
from tests.telegram_chat.scene import scene, until

FAST = pytest.mark.looptime


@FAST
async def test_a_server_that_is_not_there_at_first() -> None:
    async with scene() as s:
        await s.api.refuse()
        async with s.chat() as chat:
            task = asyncio.ensure_future(chat.serve(s.core))
            await until(lambda: chat.pulse().trouble, seconds=60)
            assert chat.pulse().heard == 0
            await s.api.listen()
            await s.ann.says(s.home, "hello")
            await until(lambda: s.core.texts == ["hello"], seconds=120)
            assert chat.pulse().trouble == ""
            assert chat.pulse().heard > 0
            task.cancel()
            await asyncio.wait([task])


FAULTS = [
    Fault(Kind.CUT_BEFORE),
    Fault(Kind.CUT_AFTER),
    Fault(Kind.HALF_OPEN),
    Fault(Kind.MALFORMED),
    Fault(Kind.PROXY),
    Fault(Kind.PROXY, status=404, words="Not Found"),
    Fault(Kind.PROXY, status=401, words="Unauthorized"),
    Fault(Kind.PROXY, status=200, words="Welcome to the hotel"),
    Fault(Kind.STATUS, status=500, words="Internal Server Error"),
    Fault(Kind.WAIT, seconds=40),
    Fault.conflict(),
]


@FAST
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind} {fault.status}")
async def test_it_hears_again_after(fault: Fault) -> None:
    async with scene() as s:
        s.api.fail("getUpdates", fault, times=3)
        async with s.life() as chat:
            for number in range(3):
                await s.ann.says(s.home, f"{number}")
            await until(lambda: len(s.core.heard) == 3, seconds=600)
            assert s.core.texts == ["0", "1", "2"]
            assert len(s.core.asked) == 3
            await until(lambda: not chat.pulse().trouble, seconds=60)


@FAST
@pytest.mark.parametrize("method", ["getMe", "deleteWebhook"])
async def test_the_start_is_as_patient(method: str) -> None:
    async with scene() as s:
        s.api.fail(method, Fault(Kind.PROXY), times=4)
        await s.ann.says(s.home, "hello")
        async with s.life():
            await until(lambda: s.core.texts == ["hello"], seconds=300)


@FAST
async def test_a_rival_is_named_and_outlived() -> None:
    async with scene() as s, s.life() as chat:
        s.api.fail("getUpdates", Fault.conflict(), times=3)
        await s.ann.says(s.home, "wakes the poll")
        await until(lambda: "Another program" in chat.pulse().trouble, seconds=120)
        await s.ann.says(s.home, "hello")
        await until(lambda: "hello" in s.core.texts, seconds=300)
        await until(lambda: not chat.pulse().trouble, seconds=60)


@FAST
async def test_a_webhook_of_before_is_taken_away() -> None:
    async with scene() as s:
        s.api.world.updates.hook({"url": "http://127.0.0.1:9/", "secret": ""})
        async with s.life():
            await s.ann.says(s.home, "hello")
            await until(lambda: s.core.texts == ["hello"], seconds=120)
            # somebody sets one while it polls
            s.api.world.updates.hook({"url": "http://127.0.0.1:9/", "secret": ""})
            await s.ann.says(s.home, "again")
            await until(lambda: s.core.texts == ["hello", "again"], seconds=300)


async def test_a_token_that_is_not_accepted_ends_it_with_a_sentence() -> None:
    async with scene() as s, s.chat(token="4242:" + "x" * 35) as chat:
        with pytest.raises(Refused, match=r"TELEGRAM_TOKEN.*BotFather"):
            await chat.serve(s.core)
        calls = len(s.api.calls)
        with pytest.raises(Broken, match="TELEGRAM_TOKEN"):
            await chat.post(s.here, Message(text="x"), key="k")
        assert len(s.api.calls) == calls
        assert "TELEGRAM_TOKEN" in chat.pulse().trouble


async def test_a_token_that_is_revoked_later_ends_it_too() -> None:
    async with scene() as s, s.chat() as chat:
        serving = asyncio.ensure_future(chat.serve(s.core))
        await until(lambda: s.api.called("getUpdates"))
        s.api.fail("getUpdates", Fault.unauthorized())
        await s.ann.says(s.home, "wakes the poll")
        with pytest.raises(Refused, match="TELEGRAM_TOKEN"):
            async with asyncio.timeout(10):
                await serving


async def test_what_cannot_be_read_is_put_aside_and_counted() -> None:
    async with scene() as s:
        await s.ann.says(s.home, "before")
        s.api.push_raw({"message": {"message_id": 1, "date": "yesterday", "chat": {"id": 7}, "text": "secret words"}})
        s.api.push_raw({"message": "not even a message"})
        await s.ann.says(s.home, "behind")
        with capture_logs() as logs:
            async with s.life() as chat:
                await s.hears(2)
                assert chat.pulse().aside == 2
                assert chat.pulse().trouble == ""
        assert s.core.texts == ["before", "behind"]
        assert len([name for name in s.notes.texts if name.startswith("aside/")]) == 2
        assert "secret words" not in repr(logs)
        assert len([entry for entry in logs if entry["event"] == "update put aside"]) == 2
        async with s.life() as chat:
            await until(lambda: chat.pulse().aside == 2)


async def test_a_defect_over_one_update_does_not_stop_the_rest() -> None:
    async with scene() as s, s.life() as chat:
        s.core.troubles = [ZeroDivisionError("boom")]
        await s.ann.says(s.home, "trips it")
        await s.ann.says(s.home, "goes on")
        await s.hears(1)
        assert s.core.texts == ["goes on"]
        assert chat.pulse().aside == 1


async def test_what_was_stored_and_not_done_is_done_in_the_next_life_first() -> None:
    async with scene() as s:
        s.core.door.clear()
        async with s.life():
            for text in ("one", "two"):
                await s.ann.says(s.home, text)
            await until(lambda: s.core.asked and not s.api.world.updates.waiting)
        assert not s.core.heard
        s.core.door.set()
        await s.ann.says(s.home, "three")
        async with s.life():
            await s.hears(3)
        assert s.core.texts == ["one", "two", "three"]


async def test_nothing_is_confirmed_before_it_is_stored() -> None:
    async with scene() as s, s.life():
        s.notes.fails = "The disk is full."
        await s.ann.says(s.home, "keep this")
        polls = len(s.api.called("getUpdates"))
        await until(lambda: len(s.api.called("getUpdates")) > polls)
        assert s.api.world.updates.waiting
        assert not s.core.asked
        s.notes.fails = ""
        await s.hears(1)
        assert s.core.texts == ["keep this"]


@FAST
async def test_what_the_core_could_not_store_is_brought_again_in_order() -> None:
    async with scene() as s, s.life():
        s.core.troubles = [Broken("The disk is full.")] * 5
        for text in ("one", "two"):
            await s.ann.says(s.home, text)
        await until(lambda: len(s.core.heard) == 2, seconds=300)
        assert s.core.texts == ["one", "two"]


async def test_one_chat_does_not_hold_up_another_nor_a_button() -> None:
    async with scene() as s, s.life() as chat:
        message = await chat.post(s.there, Message(text="?", buttons=(Button("Stop", "stop:x"),)), key="k")
        s.core.stuck = {"stuck"}
        s.core.door.clear()
        await s.ann.says(s.home, "stuck")
        await until(lambda: s.core.asked)
        await s.ann.says(s.home, "behind it")
        await s.ann.says(s.group, "elsewhere")
        await s.ann.presses(s.group.standing[int(message)], "Stop")
        await until(lambda: len(s.core.heard) == 2)
        assert {inbound.text or inbound.press for inbound in s.core.heard} == {"elsewhere", "stop:x"}
        s.core.door.set()
        await s.hears(4)
        assert s.core.texts[-2:] == ["stuck", "behind it"]


async def test_it_takes_no_more_than_it_can_hold() -> None:
    async with scene() as s:
        s.core.door.clear()
        for number in range(1150):
            await s.ann.says(s.home, f"{number}")
        async with s.life():
            await until(lambda: len([name for name in s.notes.texts if name.startswith("in/")]) >= 1000)
            polls = len(s.api.called("getUpdates"))
            await asyncio.sleep(0.1)
            assert len(s.api.called("getUpdates")) == polls
            assert len([name for name in s.notes.texts if name.startswith("in/")]) <= 1100
            s.core.door.set()
            await s.hears(1150)
        assert s.core.texts == [f"{number}" for number in range(1150)]


async def test_the_notes_hold_updates_as_they_came() -> None:
    async with scene() as s, s.life():
        s.core.door.clear()
        await s.ann.says(s.home, "héllo")
        await until(lambda: s.core.asked)
        (name,) = [name for name in s.notes.texts if name.startswith("in/")]
        assert json.loads(s.notes.texts[name])["message"]["text"] == "héllo"
        s.core.door.set()
        await s.rest()
