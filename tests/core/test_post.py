"""The post office by itself: its budget, pages that are no more, and defects that must stay small."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from orchestrator.errors import Broken, Busy, Gone, Refused
from orchestrator.nouns import Conversation, Letter, Message, Pace
from orchestrator.ports import Change, Sent
from orchestrator.post import PostOffice
from tests.fakes.chat import FakeChat
from tests.fakes.store import MemoryStore

pytestmark = pytest.mark.looptime

HERE = Conversation("fake", "hall")


class Post:
    """A post office with what is around it."""

    def __init__(self, *, chat: FakeChat | None = None, store: MemoryStore | None = None) -> None:
        self.chat = chat or FakeChat("fake")
        self.store = store or MemoryStore()
        self.office: PostOffice

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Post]:
        async with asyncio.TaskGroup() as group:
            life = group.create_task(self._live())
            await until(lambda: hasattr(self, "office"))
            yield self
            life.cancel()

    async def _live(self) -> None:
        async with asyncio.TaskGroup() as group:
            self.office = PostOffice({"fake": self.chat}, self.store, group)
            await asyncio.Event().wait()

    async def send(self, *letters: Letter) -> None:
        await self.store.write(Change(letters=letters))
        self.office.take(letters)

    async def send_text(self, key: str) -> None:
        await self.send(Letter(key, HERE, Message(text=key)))

    def requests(self, method: str = "") -> list[float]:
        return [call.at for call in self.chat.calls if not method or call.method == method]


async def until(condition) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - one line
    async with asyncio.timeout(600):
        while not condition():  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0.01)


async def test_a_place_that_had_nothing_to_say_for_a_moment_keeps_its_budget() -> None:
    async with Post(chat=FakeChat("fake", pace=Pace(burst=2, per=10.0))).open() as post:
        for number in range(6):
            await post.send_text(f"l{number}")
            await asyncio.sleep(0.5)
        await until(lambda: len(post.chat.posts) == 6)
        at = post.requests()
        assert all(later - earlier >= 10.0 for earlier, later in zip(at, at[2:], strict=False)), at
        await asyncio.sleep(1000)
        assert not post.office._places, "and forgets it when it does not matter any more"


async def test_patience_that_an_errand_was_asked_for_holds_for_letters_too() -> None:
    async with Post().open() as post:
        post.chat.fail("open", Busy("slow down", seconds=30))
        with pytest.raises(Busy):
            await post.office.errand(HERE, lambda chat: chat.open(HERE, "t", key="r"))
        at = asyncio.get_running_loop().time()
        await post.send_text("l")
        await until(lambda: post.chat.posts)
        assert post.requests()[-1] - at >= 30


async def test_a_page_that_was_deleted_is_not_edited_again_and_again() -> None:
    async with Post().open() as post:
        await post.send_text("page")
        count = 0

        def look(_: float) -> Message:
            return Message(text=str(count))

        post.office.show("page", HERE, look)
        await until(lambda: post.requests("edit"))
        post.chat.remove_by_hand(post.chat.posts[0].id)
        for count in range(1, 50):  # noqa: B007 - the look reads it
            post.office.show("page", HERE, look)
            await asyncio.sleep(5)
        assert len(post.requests("edit")) <= 2
        await post.send(Letter("page/last", HERE, Message(text="last"), edits="page"))
        await asyncio.sleep(400)
        assert not post.office._places


async def test_a_look_that_raises_costs_its_page_and_nothing_else() -> None:
    async with Post().open() as post:
        await post.send_text("bad")
        await post.send_text("good")
        post.office.show("bad", HERE, lambda _: Message(text=str(1 // 0)))
        post.office.show("good", HERE, lambda _: Message(text="fine"))
        await until(lambda: [m.text for m in post.chat.seen(HERE)] == ["bad", "fine"])
        await post.send_text("more")
        await until(lambda: len(post.chat.posts) == 3)


class Forgetful(MemoryStore):
    """Cannot read what became of letters, for a while."""

    trouble: Exception | None = None

    async def sent(self, key: str) -> Sent | None:
        if self.trouble:
            raise self.trouble
        return await super().sent(key)


@pytest.mark.parametrize("trouble", [Broken("The disk does not answer."), ZeroDivisionError()])
async def test_a_page_is_found_when_the_store_can_be_read_again(trouble: Exception) -> None:
    store = Forgetful()
    async with Post(store=store).open() as post:
        await post.send_text("page")
        await until(lambda: post.chat.posts)
        store.trouble = trouble
        post.office.show("page", HERE, lambda _: Message(text="new"))
        await asyncio.sleep(5)
        store.trouble = None
        post.office.show("page", HERE, lambda _: Message(text="new"))
        await until(lambda: post.chat.seen(HERE)[0].text == "new")


async def test_a_letter_taken_twice_is_posted_once() -> None:
    async with Post(chat=FakeChat("fake", remembers=False)).open() as post:
        letter = Letter("l", HERE, Message(text="once"))
        await post.send(letter)
        post.office.take([letter])
        await until(lambda: post.chat.posts)
        await asyncio.sleep(5)
        post.office.take([letter])
        await asyncio.sleep(5)
        assert len(post.chat.posts) == 1


async def test_what_a_platform_refuses_is_told_in_its_place() -> None:
    async with Post().open() as post:
        post.chat.fail("post", Refused("The platform does not take this: too long."))
        await post.send_text("l1")
        await post.send_text("l2")
        await until(lambda: len(post.chat.posts) == 2)
        assert [m.text or m.status for m in post.chat.seen(HERE)] == [
            "⚠ a message could not be shown here: The platform does not take this: too long.",
            "l2",
        ]
        post.chat.fail("post", Refused("no"), Refused("not that either"))
        await post.send_text("l3")
        await asyncio.sleep(60)
        assert len(post.chat.posts) == 2
        assert await post.store.unsent() == []


async def test_gone_is_gone() -> None:
    async with Post().open() as post:
        post.chat.fail("post", Gone("no such thread"))
        await post.send_text("l1")
        await post.send_text("l2")
        await until(lambda: post.chat.posts)
        await asyncio.sleep(60)
        assert [m.text for m in post.chat.seen(HERE)] == ["l2"]
