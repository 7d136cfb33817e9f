"""With the real post office: nothing leaves into a penalty, and a place that waits waits alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from adapters.discord.chat import DiscordChat
from adapters.discord.paces import START, Paces
from orchestrator.errors import Busy
from orchestrator.nouns import Button, Conversation, Lane, Letter, Message, Phase, Row, RunId
from orchestrator.pacing import Budget
from orchestrator.ports import Change
from orchestrator.post import PostOffice
from tests.discord_chat.stage import Home, now
from tests.discordapi import Fault
from tests.fakes.store import MemoryStore

pytestmark = pytest.mark.looptime

SEND = "POST /channels/{}/messages"
EDIT = "PATCH /channels/{}/messages/{}"


class Post:
    """A post office over Discord."""

    def __init__(self, chat: DiscordChat) -> None:
        self.chat = chat
        self.store = MemoryStore()
        self.office: PostOffice

    @classmethod
    @asynccontextmanager
    async def open(cls, chat: DiscordChat) -> AsyncIterator[Post]:
        post = cls(chat)
        begun = asyncio.Event()

        async def live() -> None:
            async with asyncio.TaskGroup() as group:
                post.office = PostOffice({"discord": chat}, post.store, group)
                begun.set()
                await asyncio.Event().wait()

        life = asyncio.create_task(live())
        await begun.wait()
        yield post
        life.cancel()
        await asyncio.wait([life])

    async def send(self, key: str, where: Conversation, message: Message, *, lane: Lane = Lane.FIRST) -> None:
        letter = Letter(key, where, message, lane)
        await self.store.write(Change(letters=[letter]))
        self.office.take([letter])

    async def lands(self, *keys: str) -> None:
        await until(lambda: all((sent := self.store.outbox.get(key)) and sent.message_id for key in keys))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(3600):
        while not condition():  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0.01)


async def test_patience_in_one_channel_delays_no_other_and_no_button(home: Home) -> None:
    other = home.of(home.api.text_channel("other"))
    async with home.living() as chat, Post.open(chat) as post:
        await post.send("shown", home.where, Message(text="x", buttons=(Button("Stop", "stop:1"),)))
        await post.lands("shown")
        home.api.fail(SEND, Fault.busy(30.0), channel=home.channel)
        began = now()
        await post.send("late", home.where, Message(text="late"))
        await asyncio.sleep(0.5)
        await post.send("early", other, Message(text="early"))
        await post.lands("early")
        assert now() - began < 2
        pressed = await home.api.person(None, "Ann").presses(home.api.messages(home.channel)[0], "Stop")
        assert pressed.took is not None
        assert pressed.took < 1
        await home.core.hears(1)
        await post.lands("late")
        assert 30 <= now() - began < 40
    assert home.api.into_penalty == 0
    assert home.api.told_to_wait == 1


async def test_a_429_comes_out_at_once_and_leaves_nothing_behind(home: Home) -> None:
    async with home.chat() as chat:
        await chat.post(home.where, Message(text="x"), key="x")
        for scope, everywhere in (("user", False), ("shared", False), ("global", True)):
            home.api.fail(SEND, Fault.busy(30.0, scope=scope))
            began = now()
            with pytest.raises(Busy) as told:
                await chat.post(home.where, Message(text="y"), key=scope)
            assert now() - began < 1
            assert (told.value.seconds, told.value.everywhere) == (30.0, everywhere)
            calls = len(home.api.calls)
            with pytest.raises(Busy):
                await chat.post(home.where, Message(text="y"), key=scope)
            assert len(home.api.calls) == calls, "nothing leaves into a penalty, whoever asks"
            await asyncio.sleep(31)
            await chat.post(home.where, Message(text="y"), key=scope)
        client = chat._wire._client
        assert client is not None
        assert all(bucket.outgoing == 0 for bucket in client.http._buckets.values())
    assert home.api.into_penalty == 0


async def test_a_penalty_for_everything_leaves_the_buttons_alone(home: Home) -> None:
    other = home.of(home.api.text_channel("other"))
    async with home.living() as chat:
        await chat.post(home.where, Message(text="x", buttons=(Button("Stop", "stop:1"),)), key="x")
        home.api.fail(SEND, Fault.busy(30.0, scope="global"))
        for where in (home.where, other):
            with pytest.raises(Busy):
                await chat.post(where, Message(text="y"), key=str(where))
        pressed = await home.api.person(None, "Ann").presses(home.api.messages(home.channel)[0], "Stop")
        assert pressed.took is not None
        assert pressed.took < 1
        await home.core.hears(1)
    assert home.api.into_penalty == 0


async def test_many_runs_and_long_answers_are_never_told_to_wait(home: Home) -> None:
    """Twelve threads with live pages and long answers at once, for two minutes."""
    long = "\n\n".join(f"paragraph {number} " + "word " * 60 for number in range(14))
    async with home.living() as chat, Post.open(chat) as post:
        places = [await chat.open(home.where, f"run {number}", key=f"{number}") for number in range(12)]
        for where in places:
            await post.send(f"page/{where.thread}", where, Message(text="starting", since=1.0))
        ticks = 0

        def look(_: float) -> Message:
            return Message(text=f"working {ticks}", since=1.0)

        for ticks in range(120):
            for where in places:
                post.office.show(f"page/{where.thread}", where, look)
                if ticks % 40 == 5:
                    await post.send(f"answer/{where.thread}/{ticks}", where, Message(text=long, rings=True))
            await asyncio.sleep(1)
        await post.lands(*(f"answer/{where.thread}/{tick}" for where in places for tick in (5, 45, 85)))
        await asyncio.sleep(30)
        for where in places:
            shown = [one.text for one in home.api.messages(home.thread(where))]
            assert f"working {ticks}" in shown[0]
            assert len(shown) == 1 + 3 * 3
    assert home.api.told_to_wait == 0
    edits = [
        call
        for call in home.api.calls
        if call.route == EDIT.replace("{}", "{channel_id}", 1).replace("{}", "{message_id}")
    ]
    assert len(edits) > 12 * 30, "and still they live"


async def test_the_headers_say_what_a_channel_bears(home: Home) -> None:
    home.api.limits.set(SEND, 3, per=10)
    home.api.limits.set(EDIT, 20, per=4)
    async with home.chat() as chat:
        assert chat.pace(home.where) == START
        message = await chat.post(home.where, Message(text="x"), key="x")
        assert chat.pace(home.where) == START, "a send waits for a bucket of its own"
        await chat.edit(home.where, message, Message(text="y"))
        pace = chat.pace(home.where)
        assert (pace.burst, pace.per, pace.reserve) == (20, 4.0, 1)
        assert chat.pace(home.of(home.api.text_channel("other"))) == START
    Budget(pace)


def test_headers_that_are_none_change_nothing() -> None:
    paces = Paces()
    for headers in ({}, {"X-RateLimit-Limit": "five", "X-RateLimit-Remaining": "1", "X-RateLimit-Reset-After": "1"}):
        paces.learn("POST", "/api/v10/channels/1/messages", headers, now=0.0)
    full = {"X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "1.2"}
    paces.learn("GET", "/api/v10/channels/1/messages", full, now=0.0)
    paces.learn("POST", "/api/v10/channels/1/messages/2/threads", full, now=0.0)
    assert paces.of("1") == START
    paces.learn("PATCH", "/api/v10/channels/1/messages/2", full, now=0.0)
    pace = paces.of("1")
    assert (pace.burst, pace.reserve, pace.per) == (1, 0, 1.5)
    for number in range(5000):
        paces.learn("POST", f"/api/v10/channels/{number}/messages", full, now=0.0)
    assert len(paces._channels) <= 2000


async def test_a_dashboard_of_fifty_one_minutes_is_posted_anew(home: Home) -> None:
    def look(_: float) -> Message:
        row = Row(RunId("r1"), "A run", "claude", Phase.WORKING, 1.0, 0.0, None, words=f"{now():.0f}")
        return Message(rows=(row,), board=True)

    async with home.living() as chat, Post.open(chat) as post:
        await post.send("board", home.where, look(0), lane=Lane.BOARD)
        await post.lands("board")
        first = home.api.messages(home.channel)[0]
        for _ in range(51 * 2):
            post.office.show("board", home.where, look, lane=Lane.BOARD)
            await asyncio.sleep(30)
        await asyncio.sleep(5)
        (shown,) = home.api.messages(home.channel)
        assert shown.id != first.id
        assert shown.pinned
        post.office.show("board", home.where, look, lane=Lane.BOARD)
        await asyncio.sleep(5)
        assert f"{now() - 5:.0f}"[:-1] in shown.text
    assert home.api.told_to_wait == 0


async def test_a_limit_that_names_no_time_silences_nobody_else(home: Home) -> None:
    other = home.of(home.api.text_channel("other"))
    async with home.chat() as chat:
        posted = await chat.post(home.where, Message(text="x"), key="x")
        home.api.fail(EDIT, Fault.curt())
        with pytest.raises(Busy) as told:
            await chat.edit(home.where, posted, Message(text="y"))
        assert not told.value.everywhere
        await chat.post(other, Message(text="elsewhere"), key="y")
