"""Things that go wrong at the worst moment, one at a time: none of them loses, doubles, silences or hides anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agent import wire
from orchestrator import events as ev
from orchestrator.errors import Broken, Busy, Refused
from orchestrator.nouns import (
    Conversation,
    Inbound,
    Lane,
    Letter,
    Message,
    MessageId,
    Pace,
    Phase,
    Pulse,
    RunId,
    Sign,
    Standing,
)
from orchestrator.ports import Change, Receive
from tests.core.test_places import BOB, THERE, asking, watched
from tests.core.test_post import HERE, Post, until
from tests.core.world import LOBBY, ME, World
from tests.fakes.chat import FakeChat
from tests.fakes.store import MemoryStore

pytestmark = pytest.mark.looptime

GROUP = Pace(burst=18, per=60.0, reserve=3, edit_every=4.0)
HOUR = 3600.0
PAGE = Letter("page", HERE, Message(text="working"), Lane.LIVE)
LAST = Letter("page/last", HERE, Message(text="done"), Lane.LIVE, edits="page")


def now() -> float:
    return asyncio.get_running_loop().time()


def said(chat: FakeChat, where: Conversation = HERE) -> list[str]:
    return [message.text or message.status for message in chat.seen(where)]


class ByContent(FakeChat):
    """Told that it may stand, it looks for a message that looks the same."""

    def __init__(self, platform: str = "fake") -> None:
        super().__init__(platform, remembers=False)

    async def post(self, where: Conversation, message: Message, *, key: str, again: bool = False) -> MessageId:
        old = next((post.id for post in self.posts if again and (post.where, post.message) == (where, message)), None)
        return old or await super().post(where, message, key=key)


# --- a letter that may stand already ----------------------------------------------------------------------------------


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


# --- who waits for whom -----------------------------------------------------------------------------------------------


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
            await until(lambda n=n: f"q{n}" in said(post.chat, good))
            assert now() - at < 5
            await asyncio.sleep(137)


# --- pages and dashboards ---------------------------------------------------------------------------------------------


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


async def test_a_dashboard_of_which_nobody_knew_whether_it_was_stored_is_kept_up_to_date() -> None:
    class Unsure(MemoryStore):
        armed = False

        async def write(self, change: Change) -> bool:
            done = await super().write(change)
            if self.armed and any(letter.message.board for letter in change.letters):
                self.armed = False
                raise Broken("the disk failed", unsure=True)
            return done

    store = Unsure()
    world = World(behave=asking, store=store)
    async with world.life():
        await world.say("/runs")
        await world.until(lambda: world.looks(LOBBY))
        store.armed = True
        with pytest.raises(Broken):
            await world.say("/runs", key="again")
        await world.say("/runs", key="again")
        await world.launch()
        await world.until(lambda: "moved" in world.looks(LOBBY)[0].status)
        await world.until(lambda: world.looks(LOBBY)[1].rows)


async def test_a_run_that_could_not_even_end_in_order_leaves_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(behave=asking)
    async with world.life():
        run, _ = await world.launch()
        await asyncio.sleep(5)

        def broken(*_: object) -> list[Letter]:
            raise ZeroDivisionError

        monkeypatch.setattr("orchestrator.letters._run_end", broken)
        await world.say("/stop", world.place(run))
        await asyncio.sleep(600)
        assert not any(clerk.place.pages for clerk in world.office._clerks.values())


# --- defects ----------------------------------------------------------------------------------------------------------


async def test_a_run_that_cannot_be_read_silences_no_chat() -> None:
    store, bad, dead = MemoryStore(), RunId("rbad"), Conversation("fake", "hall", "dead")
    entries = [
        ev.Entry(bad, "launched", 1.0, wire.Other("launched")),
        ev.Entry(bad, "opened", 1.0, ev.Opened(dead)),
        ev.Entry(bad, "lost/e2", 2.0, ev.StateLost("e2")),
    ]
    await store.write(Change(entries=entries, letters=[Letter("rbad/x", dead, Message(text="x"), run=bad)]))
    world = World(store=store)
    world.chat.delete(dead)
    async with world.life():
        await world.say("/help")
        await world.until(lambda: world.posts(LOBBY))


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


async def test_a_chat_that_is_cancelled_by_nobody_is_heard_again() -> None:
    world = World()
    real: Callable[[Receive], Awaitable[None]] = world.chat.serve

    async def serve(_: Receive) -> None:
        world.chat.serve = real  # type: ignore[method-assign, assignment]
        raise asyncio.CancelledError

    world.chat.serve = serve  # type: ignore[method-assign, assignment]
    async with world.life():
        await world.until(lambda: world.chat.pulse().heard)


async def test_a_defect_in_opening_a_further_place_ends_no_run() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod = await world.launch()
        real = world.other.open

        async def broken(*_: object, **__: object) -> Conversation:
            raise KeyError("a new field")

        world.other.open = broken  # type: ignore[method-assign]
        await world.press(f"watch:{run}", THERE, person=BOB)
        await asyncio.sleep(60)
        world.other.open = real  # type: ignore[method-assign]
        await world.until(lambda: world.other.threads)
        pod.report(wire.TurnEnded("done", text="first"))
        await world.until(lambda: "first" in [look.text for look in world.looks(world.place(run))])


# --- people -----------------------------------------------------------------------------------------------------------


async def test_an_offer_that_is_tapped_again_much_later_makes_no_run_deaf() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod = await world.launch("mend the roof")
        pod.report(wire.TurnEnded("done", text="done"))
        await world.say("and the door, please")
        await world.until(lambda: world.looks(LOBBY)[-1].buttons)
        token = world.looks(LOBBY)[-1].buttons[0].token
        await world.press(token)
        await world.until(lambda: "and the door, please" in pod.said)
        await asyncio.sleep(10)
        await world.press(token)
        await world.until(lambda: "This was said to it already." in [look.text for look in world.looks(LOBBY)])
        await world.say("hello?", world.place(run))
        await world.until(lambda: "hello?" in pod.said)
        assert pod.said.count("and the door, please") == 1


@pytest.mark.parametrize("down", [False, True])
async def test_an_answer_whose_two_places_are_gone_is_read_where_the_run_was_launched(*, down: bool) -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod, home, there = await watched(world)
        await world.until(lambda: len(world.other.seen(there)) == 2)
        await asyncio.sleep(5)
        if not down:
            world.chat.delete(home)
            world.other.delete(there)
            pod.report(wire.TurnEnded("done", text="the answer"))
            await world.until(lambda: "the answer" in [look.text for look in world.looks(LOBBY)])
    if down:
        world.chat.delete(home)
        world.other.delete(there)
        pod.report(wire.TurnEnded("done", text="the answer"))
        async with world.life():
            await world.until(lambda: "the answer" in [look.text for look in world.looks(LOBBY)])
    await asyncio.sleep(1)
    assert run
    assert [look.text for look in world.looks(LOBBY)].count("the answer") == 1


async def test_a_run_that_lost_every_place_can_be_watched_from_elsewhere() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod = await world.launch()
        world.chat.delete(world.place(run))
        world.chat.delete(LOBBY)
        pod.report(wire.TurnEnded("done", text="answer"))
        await asyncio.sleep(60)
        live = world.roster.live[run]
        assert not live.state.seats
        await world.say("/runs", THERE, person=BOB)
        await world.until(lambda: world.other.seen(THERE)[0].rows)
        (watch,) = [b for row in world.other.seen(THERE)[0].rows for b in row.buttons if b.label == "Watch here"]
        await world.press(watch.token, THERE, person=BOB)
        await world.until(lambda: live.state.seats)


async def test_a_run_is_stopped_from_its_chat_before_it_has_a_thread() -> None:
    world = World(behave=asking)
    async with world.life():
        world.chat.fail("open", Busy("slow", seconds=300))
        await world.say("/launch echo x")
        await asyncio.sleep(5)
        await world.say("/stop")
        await world.until(lambda: not world.roster.live)


async def test_a_thumb_that_trembles_launches_once() -> None:
    world = World(behave=asking)
    async with world.life():
        run, _ = await world.launch()
        await world.say("/stop", world.place(run))
        await world.until(lambda: not world.roster.live)
        for pause in (0.5, 0.5, 10.0, 0.0):
            await world.press(f"again:{run}", world.place(run))
            await asyncio.sleep(pause)
        launched = [entry for entry in world.store.entries if isinstance(entry.event, ev.Launched)]
        assert len(launched) == 1 + 2, "the third tap came much later, and was meant"


async def test_people_who_talk_in_a_thread_of_the_past_are_told_once_that_nobody_hears_them() -> None:
    world = World(behave=asking)
    async with world.life():
        run, _ = await world.launch()
        await world.say("/stop", world.place(run))
        await world.until(lambda: not world.roster.live)
        for n in range(3):
            await world.room.receive(Inbound(f"q{n}", world.place(run), ME, text="as I said, Bob", addressed=False))
        await asyncio.sleep(5)
        over = [look for look in world.looks(world.place(run)) if "This run has ended" in look.text]
        assert len(over) == 1
        await world.say("and you?", world.place(run))
        await world.until(lambda: "This run has ended" in world.looks(world.place(run))[-1].text)
