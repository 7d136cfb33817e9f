"""The post office by itself: its budget, pages that are no more, and defects that must stay small."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from orchestrator.errors import Broken, Busy, Gone, Refused
from orchestrator.nouns import Conversation, Got, Lane, Letter, Message, MessageId, Pace, Phase, Receipt, Standing
from orchestrator.ports import Change, Sent
from orchestrator.toll import toll
from tests.core.office import HERE, Post, now, until
from tests.fakes.chat import FakeChat
from tests.fakes.store import MemoryStore

pytestmark = pytest.mark.looptime


async def test_a_place_that_had_nothing_to_say_for_a_moment_keeps_its_budget() -> None:
    async with Post(chat=FakeChat("fake", pace=Pace(burst=2, per=10.0))).open() as post:
        for number in range(6):
            await post.send_text(f"l{number}")
            await asyncio.sleep(0.5)
        await until(lambda: len(post.chat.posts) == 6)
        at = post.requests()
        assert all(later - earlier >= 10.0 for earlier, later in zip(at, at[2:], strict=False)), at
        await asyncio.sleep(1000)
        assert not post.office._clerks, "and forgets it when it does not matter any more"


async def test_patience_that_an_errand_was_asked_for_holds_for_letters_too() -> None:
    async with Post().open() as post:
        post.chat.fail("open", Busy("slow down", seconds=30))
        with pytest.raises(Busy):
            await post.office.errand(HERE, lambda chat: chat.open(HERE, "t", key="r"))
        at = now()
        await post.send_text("l")
        await until(lambda: post.chat.posts)
        assert post.requests()[-1] - at >= 30


async def test_a_letter_over_which_a_platform_fails_for_hours_makes_way_for_the_others() -> None:
    async with Post().open() as post:
        post.chat.fail("post", *[Broken("500")] * 370)
        await post.send_text("poison")
        await post.send_text("next")
        await asyncio.sleep(5 * 3600)
        assert not post.chat.posts, "an outage of some hours costs nothing"
        await asyncio.sleep(2 * 3600)
        shown = [one.message.status or one.message.text for one in post.chat.posts]
        assert shown[-1] == "next"
        assert "could not be shown here: it failed for 6 hours: 500" in shown[0]


async def test_a_doubt_outlives_a_try_that_surely_did_nothing() -> None:
    async with Post().open() as post:
        agains: list[bool] = []
        real = post.chat.post

        async def watched(where: Conversation, message: Message, *, key: str, again: bool = False) -> MessageId:
            agains.append(again)
            if len(agains) == 2:
                raise Busy("while looking for it", seconds=30)
            return await real(where, message, key=key, again=again)

        post.chat.post = watched  # type: ignore[method-assign]
        post.chat.fail("post", Broken("cut", unsure=True))
        await post.send_text("final")
        await asyncio.sleep(600)
        assert agains == [False, True, True]
        assert [one.message.text for one in post.chat.posts] == ["final"]


async def test_a_page_that_could_not_be_posted_anew_is_tried_again() -> None:
    async with Post().open() as post:
        await post.send_text("page")
        await until(lambda: post.chat.posts)
        post.chat.old.add(post.chat.posts[0].id)
        post.chat.fail("post", Busy("slow", seconds=5))
        post.office.show("page", HERE, lambda _: Message(text="newest"))
        await asyncio.sleep(1200)
        assert [look.text for look in post.chat.seen(HERE)] == ["newest"]


async def test_patience_for_a_whole_platform_that_an_errand_was_asked_for_holds_everywhere() -> None:
    async with Post().open() as post:
        post.chat.fail("open", Busy("everywhere", seconds=60, everywhere=True))
        with pytest.raises(Busy):
            await post.office.errand(HERE, lambda chat: chat.open(HERE, "t", key="r"))
        at = now()
        await post.send(Letter("l", Conversation("fake", "other hall"), Message(text="x")))
        await until(lambda: post.chat.posts)
        assert post.requests("post")[0] - at >= 60


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
        assert not post.office._clerks


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


GROUP = Pace(burst=20, per=60.0, reserve=5, edit_every=3.0)


def edits_of(post: Post, key: str) -> list[float]:
    return [call.at for call in post.chat.calls if call.method == "edit" and call.key == key]


async def test_live_edits_share_a_place_evenly_and_leave_the_reserve() -> None:
    async with Post(chat=FakeChat("fake", pace=GROUP, strict=True)).open() as post:
        for n in range(5):
            await post.send_text(f"page{n}")
        await until(lambda: len(post.chat.posts) == 5)
        ids = [message.id for message in post.chat.posts]
        start = now()
        ticks = 0
        while now() < start + 600:
            ticks += 1
            for n in range(5):
                post.office.show(f"page{n}", HERE, lambda _, ticks=ticks: Message(text=str(ticks)))  # type: ignore[misc]
            for page in post.office._clerks["fake:fake/hall"].place.pages.values():
                page.look = lambda _, ticks=ticks: Message(text=str(ticks))  # type: ignore[misc]
            await asyncio.sleep(0.1)
        for id_ in ids:
            at = [moment for moment in edits_of(post, id_) if moment > start + 60]
            gaps = [later - earlier for earlier, later in pairwise(at)]
            assert max(gaps) <= 1.5 * 5 * 4.0, "no page is staler than half more than its share"
        assert post.office._clerks["fake:fake/hall"].place.budget.slowed(now()) == 0


async def test_what_somebody_waits_for_goes_before_the_first_looks_of_other_runs_pages() -> None:
    other = Conversation("fake", "hall", "t2")
    async with Post(chat=FakeChat("fake", pace=Pace(burst=1, per=10.0))).open() as post:
        await post.send(
            Letter("now", HERE, Message(text="now")),
            Letter("page-a", HERE, Message(text="page a"), Lane.LIVE),
            Letter("page-b", other, Message(text="page b"), Lane.LIVE),
            Letter("final-b", other, Message(text="final b")),
        )
        await until(lambda: len(post.chat.posts) == 4)
        assert [message.key for message in post.chat.posts] == ["now", "page-b", "final-b", "page-a"]


async def test_what_would_be_edited_at_once_is_posted_as_it_would_look_then() -> None:
    async with Post(chat=FakeChat("fake", pace=Pace(burst=1, per=10.0))).open() as post:
        await post.send(
            Letter("now", HERE, Message(text="now")),
            Letter("page", HERE, Message(text="working"), Lane.LIVE),
            Letter("page/last", HERE, Message(text="done"), Lane.LIVE, edits="page"),
            Letter("final", HERE, Message(text="the answer")),
        )
        await until(lambda: len(post.chat.posts) == 3)
        assert [message.looks for message in post.chat.posts[1:]] == [
            [Message(text="done")],
            [Message(text="the answer")],
        ]
        await until(lambda: post.office.waiting() == 0)
        assert await post.store.unsent() == []
        last = await post.store.sent("page/last")
        assert last
        assert last.message_id == post.chat.posts[1].id
        assert not post.requests("edit")


async def test_a_message_too_old_to_be_edited_is_posted_anew_in_silence() -> None:
    async with Post().open() as post:
        await post.send(Letter("page", HERE, Message(text="0", rings=True)))
        await until(lambda: post.chat.posts)
        (old,) = post.chat.posts
        post.chat.old.add(old.id)
        post.office.show("page", HERE, lambda _: Message(text="1", rings=True))
        await until(lambda: [message.text for message in post.chat.seen(HERE)] == ["1"])
        assert not post.chat.seen(HERE)[0].rings
        assert post.requests("remove")
        await post.send(Letter("page/last", HERE, Message(text="2"), edits="page"))
        await until(lambda: [message.text for message in post.chat.seen(HERE)] == ["2"])
        assert len(post.requests("post")) == 2


async def test_a_look_that_fades_is_given_again() -> None:
    async with Post().open() as post:
        await post.send_text("page")
        post.chat.lasts = 20.0
        post.office.show("page", HERE, lambda _: Message(text="new"))
        await until(lambda: len(post.requests("edit")) == 3)
        first, second, third = post.requests("edit")
        assert second - first >= 20 <= third - second
        post.chat.lasts = 0.0
        await until(lambda: len(post.requests("edit")) == 4)
        await asyncio.sleep(1000)
        assert len(post.requests("edit")) == 4


@pytest.mark.parametrize(
    ("trouble", "looked"),
    [
        (Broken("cut", unsure=True), [False, True]),
        (Broken("refused"), [False, False]),
        (Busy("slow", seconds=5), [False, False]),
        (None, [False]),
    ],
)
async def test_what_may_stand_already_is_looked_for_and_nothing_else(
    trouble: Exception | None, looked: list[bool]
) -> None:
    asked: list[bool] = []

    class Watched(FakeChat):
        async def post(self, where: Conversation, message: Message, *, key: str, again: bool = False) -> MessageId:
            asked.append(again)
            return await super().post(where, message, key=key, again=again)

    async with Post(chat=Watched("fake")).open() as post:
        if trouble:
            post.chat.fail("post", trouble)  # type: ignore[arg-type]
        await post.send_text("l")
        await until(lambda: post.office.waiting() == 0)
        assert asked == looked


async def test_what_was_tried_in_a_former_life_is_looked_for() -> None:
    store = MemoryStore()
    await store.write(Change(letters=[Letter("l", HERE, Message(text="l"))]))
    await store.trying("l")
    asked: list[bool] = []

    class Watched(FakeChat):
        async def post(self, where: Conversation, message: Message, *, key: str, again: bool = False) -> MessageId:
            asked.append(again)
            return await super().post(where, message, key=key, again=again)

    async with Post(chat=Watched("fake"), store=store).open() as post:
        post.office.take([sent.letter for sent in await store.unsent()])
        await until(lambda: asked == [True])


async def test_patience_for_the_whole_platform_holds_in_every_place() -> None:
    async with Post().open() as post:
        elsewhere = Conversation("fake", "yard")
        post.chat.fail("post", Busy("slow down, all of you", seconds=30, everywhere=True))
        await post.send_text("l1")
        await until(lambda: post.requests("post"))
        await post.send(Letter("l2", elsewhere, Message(text="l2")))
        await until(lambda: len(post.chat.posts) == 2)
        at = post.requests("post")
        assert min(at[1:]) - at[0] >= 30


async def test_patience_of_one_place_holds_nobody_else_up() -> None:
    async with Post().open() as post:
        post.chat.fail("post", Busy("slow down", seconds=30))
        await post.send_text("l1")
        await until(lambda: post.requests("post"))
        at = now()
        await post.send(Letter("l2", Conversation("fake", "yard"), Message(text="l2")))
        await until(lambda: post.chat.posts)
        assert now() - at < 1
        await until(lambda: len(post.chat.posts) == 2)
        assert post.requests("post")[-1] - post.requests("post")[0] >= 30


async def test_signs_are_shown_when_there_is_room_and_the_newest_is_enough() -> None:
    async with Post(chat=FakeChat("fake", pace=Pace(burst=3, per=10.0, reserve=1))).open() as post:
        for n in range(3):
            await post.send_text(f"l{n}")
        for phase in (Phase.STARTING, Phase.WORKING, Phase.ENDED):
            post.office.sign(HERE, Standing(phase))
        post.office.sign(HERE, Receipt(MessageId("m"), Got.SEEN))
        post.office.sign(HERE, Receipt(MessageId("m"), Got.HEARD))
        post.chat.fail("sign", Gone("no such message"))
        await until(lambda: post.chat.signs)
        assert [sign for _, sign in post.chat.signs] == [Receipt(MessageId("m"), Got.HEARD)]
        for n in range(500):
            post.office.sign(HERE, Receipt(MessageId(f"m{n}"), Got.SEEN))
        assert len(post.office._clerks["fake:fake/hall"].place.signs) <= 100


async def test_places_that_begin_at_once_share_what_the_platform_bears() -> None:
    class Disk(MemoryStore):
        async def trying(self, key: str) -> None:
            await asyncio.sleep(0.01)
            await super().trying(key)

    chat = FakeChat("fake")
    chat.overall = Pace(burst=3, per=10.0)
    async with Post(chat=chat, store=Disk()).open() as post:
        await post.send(*(Letter(f"l{n}", Conversation("fake", f"yard{n}"), Message(text="l")) for n in range(12)))
        await until(lambda: post.office.waiting() == 0)
        at = sorted(post.requests("post"))
        assert len(at) == 12
        assert all(later - earlier >= 10.0 for earlier, later in zip(at, at[3:], strict=False)), at


async def test_a_doing_of_many_requests_pays_for_each() -> None:
    class Many(FakeChat):
        async def post(self, where: Conversation, message: Message, *, key: str, again: bool = False) -> MessageId:
            for part in range(6):
                await toll()
                await super().post(where, message, key=f"{key}/{part}", again=again)
            return MessageId(key)

    async with Post(chat=Many("fake", pace=Pace(burst=2, per=60.0))).open() as post:
        await post.send_text("long")
        await until(lambda: post.office.waiting() == 0)
        at = post.requests()
        assert len(at) == 6, "it was long on its way, and nobody thought that it was lost"
        assert all(later - earlier >= 60.0 for earlier, later in zip(at, at[2:], strict=False)), at
        await toll()  # outside of the office nothing is asked
