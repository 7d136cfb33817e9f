"""The post office when things go wrong at the worst moment: no letter is lost, doubled or late for another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from orchestrator.errors import Broken, Busy, Refused
from orchestrator.nouns import Conversation, Lane, Letter, Message, MessageId, Pace, Phase, Pulse, Sign, Standing
from orchestrator.ports import Change
from tests.core.office import HERE, Post, now, said, until
from tests.fakes.chat import FakeChat
from tests.fakes.store import MemoryStore

pytestmark = pytest.mark.looptime

GROUP = Pace(burst=18, per=60.0, reserve=3, edit_every=4.0)
HOUR = 3600.0
PAGE = Letter("page", HERE, Message(text="working"), Lane.LIVE)
LAST = Letter("page/last", HERE, Message(text="done"), Lane.LIVE, edits="page")


class ByContent(FakeChat):
    """Told that it may stand, it looks for a message that looks the same."""

    def __init__(self, platform: str = "fake") -> None:
        super().__init__(platform, remembers=False)

    async def post(self, where: Conversation, message: Message, *, key: str, again: bool = False) -> MessageId:
        old = next((post.id for post in self.posts if again and (post.where, post.message) == (where, message)), None)
        return old or await super().post(where, message, key=key)


@pytest.mark.parametrize("kind", [FakeChat, ByContent])
async def test_a_page_that_may_stand_gets_its_last_look(kind: Callable[[str], FakeChat]) -> None:
    async with Post(chat=kind("fake")).open() as post:
        post.chat.fail("post", Broken("cut", unsure=True))
        await post.send(PAGE)
        await until(lambda: post.chat.posts)
        await post.send(LAST)
        await until(lambda: post.office.waiting() == 0)
        assert said(post.chat) == ["done"]


@pytest.mark.parametrize("kind", [FakeChat, ByContent])
@pytest.mark.parametrize("merged", [False, True])
async def test_a_page_of_a_former_life_gets_its_last_look(kind: Callable[[str], FakeChat], *, merged: bool) -> None:
    store, chat = MemoryStore(), kind("fake")
    await store.write(Change(letters=[PAGE]))
    if merged:  # it left with its last look, and the bot died before that was noted
        await store.write(Change(letters=[LAST]))
        await store.trying(LAST.key)
    await store.trying(PAGE.key)
    await chat.post(HERE, (LAST if merged else PAGE).message, key=PAGE.key)
    await store.write(Change(letters=[LAST]))
    async with Post(chat=chat, store=store).open() as post:
        post.office.take([sent.letter for sent in await store.unsent()])
        await until(lambda: post.office.waiting() == 0)
        assert said(chat) == ["done"]
        assert post.requests("edit") == [] if merged else True


async def test_a_letter_that_failed_before_a_night_without_network_is_not_given_up_after_it() -> None:
    chat = FakeChat("fake")
    trouble = ""
    chat.pulse = lambda: Pulse(heard=1.0, trouble=trouble)  # type: ignore[method-assign]
    async with Post(chat=chat).open() as post:
        chat.fail("post", *[Broken("no route")] * 10_000)
        await post.send_text("answer")
        await asyncio.sleep(30)  # the chat has not noticed yet
        trouble = "not reached"
        await asyncio.sleep(8 * HOUR)
        trouble = ""
        await asyncio.sleep(120)
        chat.recover()
        await until(lambda: said(chat) == ["answer"])


async def test_a_question_that_failed_once_does_not_wait_for_the_budget_of_others() -> None:
    there = Conversation("fake", "hall", "b")
    async with Post(chat=FakeChat("fake", pace=GROUP)).open() as post:
        post.chat.fail("post", Broken("502"))
        at = now()
        await post.send(Letter("question", there, Message(text="may I?", rings=True)))
        await until(lambda: post.requests("post"))
        await post.send(*[Letter(f"l{n}", HERE, Message(text=str(n)), Lane.LIVE) for n in range(20)])
        await until(lambda: post.chat.seen(there))
        assert now() - at < 5


@pytest.mark.parametrize("shown", [False, True])
async def test_signs_do_not_keep_quiet_letters_waiting(*, shown: bool) -> None:
    class Signs(FakeChat):
        async def sign(self, where: Conversation, sign: Sign) -> None:
            if shown:
                await super().sign(where, sign)

    async with Post(chat=Signs("fake", pace=GROUP)).open() as post:
        threads = [Conversation("fake", "hall", str(n)) for n in range(8)]
        await post.send(*[Letter(f"p{n}", where, Message(text="p")) for n, where in enumerate(threads)])
        await until(lambda: len(post.chat.posts) == 8)

        async def live() -> None:
            for second in range(2000):
                for n, where in enumerate(threads):
                    if second % 60 == 5 * n:
                        post.office.sign(where, Standing([Phase.WORKING, Phase.ASKING][second // 60 % 2]))
                    post.office.show(f"p{n}", where, lambda _: Message(text="look"))
                    post.office._clerks["fake:fake/hall"].place.pages[f"p{n}"].look = lambda _: Message(text=f"{now()}")
                await asyncio.sleep(1)

        task = asyncio.create_task(live())
        await asyncio.sleep(200)
        at = now()
        await post.send(*[Letter(f"new{n}", threads[n], Message(text="next"), Lane.LIVE) for n in range(3)])
        await until(lambda: sum(one.message.text == "next" for one in post.chat.posts) == 3)
        assert now() - at < 120
        task.cancel()


async def test_pages_that_fail_by_themselves_keep_no_question_waiting() -> None:
    bad = [Conversation("fake", "hall", f"bad{n}") for n in range(3)]
    good = Conversation("fake", "hall", "good")
    async with Post(chat=FakeChat("fake", pace=GROUP)).open() as post:
        await post.send(*[Letter(f"p{n}", where, Message(text="p")) for n, where in enumerate(bad)])
        await until(lambda: len(post.chat.posts) == 3)
        post.chat.fail("edit", *[Broken("500")] * 10_000)
        for n, where in enumerate(bad):
            post.office.show(f"p{n}", where, lambda _: Message(text="look"))
        await asyncio.sleep(1000)
        for n in range(10):
            at = now()
            await post.send(Letter(f"q{n}", good, Message(text=f"q{n}", rings=True)))
            await until(lambda n=n: f"q{n}" in said(post.chat, good))  # type: ignore[misc]
            assert now() - at < 5
            await asyncio.sleep(137)


async def test_a_look_that_is_refused_is_not_the_last_one() -> None:
    async with Post().open() as post:
        await post.send_text("board")
        await until(lambda: post.chat.posts)
        post.chat.fail("edit", Refused("this look is not taken"))
        post.office.show("board", HERE, lambda _: Message(text=f"{now():.0f}"), lane=Lane.BOARD)
        await asyncio.sleep(60)
        tries = len(post.requests("edit"))
        post.office.show("board", HERE, lambda _: Message(), lane=Lane.BOARD)
        await until(lambda: said(post.chat) != ["board"])
        assert tries == 1, "the one that was refused is not tried again and again"


async def test_a_last_look_that_is_refused_is_told_in_its_place() -> None:
    async with Post().open() as post:
        await post.send_text("page")
        await until(lambda: post.chat.posts)
        post.office.show("page", HERE, lambda _: Message(status="working", since=1.0))
        await until(lambda: said(post.chat) == ["working"])
        post.chat.fail("edit", Refused("this look is not taken"))
        await post.send(LAST)
        await until(lambda: said(post.chat) == ["⚠ a message could not be shown here: this look is not taken"])


async def test_a_look_that_fades_is_given_again_although_somebody_showed_it_unchanged() -> None:
    async with Post().open() as post:
        await post.send_text("page")
        post.chat.lasts = 20.0
        for _ in range(2):
            post.office.show("page", HERE, lambda _: Message(text="new"))
            await asyncio.sleep(5)
        await asyncio.sleep(300)
        assert len(post.requests("edit")) > 10


async def test_what_a_page_was_before_goes_although_its_last_look_comes_first() -> None:
    async with Post(chat=FakeChat("fake", pace=GROUP)).open() as post:
        await post.send(PAGE)
        await until(lambda: post.chat.posts)
        post.chat.old.add(post.chat.posts[0].id)
        post.chat.fail("remove", Busy("slow", seconds=5))
        post.office.show("page", HERE, lambda _: Message(text="newer"))
        await until(lambda: post.requests("remove"))
        await post.send(LAST)
        await until(lambda: said(post.chat) == ["done"])


async def test_a_post_that_is_cancelled_by_nobody_is_done_again() -> None:
    async with Post().open() as post:
        real = post.chat.post

        async def cancelled(*_: object, **__: object) -> MessageId:
            post.chat.post = real  # type: ignore[method-assign]
            raise asyncio.CancelledError

        post.chat.post = cancelled  # type: ignore[method-assign]
        await post.send_text("a")
        await post.send_text("b")
        await until(lambda: said(post.chat) == ["a", "b"])
