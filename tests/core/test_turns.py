"""Whose turn it is: nobody who has much to say, or whose letter the platform cannot bear, keeps the others waiting."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.errors import Broken, Busy, Refused
from orchestrator.nouns import Conversation, Got, Lane, Letter, Message, MessageId, Pace, Receipt, Sign
from tests.core.office import HERE, Post, now, until
from tests.fakes.chat import FakeChat

pytestmark = pytest.mark.looptime

NOISY, CALM = Conversation("fake", "hall", "noisy"), Conversation("fake", "hall", "calm")
GROUP = Pace(burst=18, per=60.0, reserve=3, edit_every=4)


class Picky(FakeChat):
    """Cannot post one of the letters, and cannot edit one of the messages."""

    poison = ""

    async def post(self, where: Conversation, message: Message, *, key: str, again: bool = False) -> MessageId:
        if key == self.poison:
            raise Broken("500 for this one alone")
        return await super().post(where, message, key=key, again=again)

    async def edit(self, where: Conversation, message_id: MessageId, message: Message) -> float:
        if self.poison in (post.key for post in self.posts if post.id == message_id):
            raise Broken("500 for this one alone")
        return await super().edit(where, message_id, message)


class Forgetful(FakeChat):
    """Looks for an earlier message only when it is told to, as a platform does whose memory is short."""

    def __init__(self) -> None:
        super().__init__("fake", remembers=False)

    async def post(self, where: Conversation, message: Message, *, key: str, again: bool = False) -> MessageId:
        old = next((post for post in self.posts if again and post.key == key and post.where == where), None)
        return old.id if old else await super().post(where, message, key=key)


async def test_a_question_does_not_wait_for_three_hundred_files_of_another_thread() -> None:
    async with Post(chat=FakeChat("fake", pace=GROUP)).open() as post:
        await post.send(*[Letter(f"n{n}", NOISY, Message(text=f"file {n}")) for n in range(300)])
        await asyncio.sleep(100)
        at = now()
        await post.send(Letter("q", CALM, Message(text="may I?", rings=True)))
        await until(lambda: post.chat.seen(CALM))
        assert now() - at < 25, "what is left of the minute whose budget the files have used"
        await until(lambda: len(post.chat.seen(NOISY)) > 100)
        said = [message.text for message in post.chat.seen(NOISY)]
        assert said == [f"file {n}" for n in range(len(said))], "each thread keeps its order"


async def test_two_threads_with_much_to_say_take_turns() -> None:
    async with Post(chat=FakeChat("fake", pace=Pace(burst=1, per=1.0))).open() as post:
        await post.send(*[Letter(f"n{n}", NOISY, Message(text=str(n))) for n in range(20)])
        await post.send(*[Letter(f"c{n}", CALM, Message(text=str(n))) for n in range(20)])
        await until(lambda: len(post.chat.posts) == 20)
        assert abs(len(post.chat.seen(NOISY)) - len(post.chat.seen(CALM))) <= 2


async def test_a_letter_that_fails_holds_up_its_own_thread_alone() -> None:
    chat = Picky("fake")
    async with Post(chat=chat).open() as post:
        await post.send(Letter("page", CALM, Message(text="page")))
        await until(lambda: chat.posts)
        chat.poison = "poison"
        await post.send(Letter("poison", NOISY, Message(text="poison")), Letter("after", NOISY, Message(text="after")))
        await asyncio.sleep(3600)
        at = now()
        post.office.show("page", CALM, lambda _: Message(text="look"))
        await post.send(Letter("reply", CALM, Message(text="reply")))
        await post.send(Letter("alert", NOISY, Message(text="alert"), Lane.ALERT))
        await until(lambda: [message.text for message in chat.seen(CALM)] == ["look", "reply"])
        await until(lambda: [message.text for message in chat.seen(NOISY)] == ["alert"])
        assert now() - at < 5
        chat.poison = ""
        await until(lambda: [message.text for message in chat.seen(NOISY)][1:] == ["poison", "after"])


async def test_a_page_that_fails_holds_up_itself_alone() -> None:
    chat = Picky("fake")
    async with Post(chat=chat).open() as post:
        await post.send(Letter("poison", CALM, Message(text="poison")), Letter("page", CALM, Message(text="page")))
        await until(lambda: len(chat.posts) == 2)
        chat.poison = "poison"
        tries = len(chat.calls)
        post.office.show("poison", CALM, lambda _: Message(text="never"))
        post.office.show("page", CALM, lambda _: Message(text="look"))
        await asyncio.sleep(3600)
        at = now()
        await post.send(Letter("reply", CALM, Message(text="reply")))
        await until(lambda: [message.text for message in chat.seen(CALM)][1:] == ["look", "reply"])
        assert now() - at < 5
        chat.poison = ""
        await until(lambda: chat.seen(CALM)[0].text == "never")
        assert len(chat.calls) - tries < 5


async def test_a_platform_that_fails_over_everything_is_not_asked_for_each_thread() -> None:
    async with Post().open() as post:
        post.chat.fail("post", *[Broken("502")] * 10_000)
        for n in range(50):
            await post.send(Letter(f"l{n}", Conversation("fake", "hall", f"t{n}"), Message(text=str(n))))
        await asyncio.sleep(3600)
        assert len(post.requests("post")) < 80
        post.chat.recover()
        await until(lambda: len(post.chat.posts) == 50)


async def test_an_errand_that_nobody_waits_for_any_more_is_not_done() -> None:
    async with Post().open() as post:
        post.chat.fail("post", Busy("slow", seconds=60))
        await post.send_text("a")
        await until(lambda: post.requests("post"))
        task = asyncio.create_task(post.office.errand(HERE, lambda chat: chat.open(HERE, "t", key="r")))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(100)
        assert not post.chat.threads


async def test_a_page_posted_anew_stands_once_although_no_answer_came() -> None:
    chat = Forgetful()
    async with Post(chat=chat).open() as post:
        await post.send_text("page")
        await until(lambda: chat.posts)
        chat.old.add(chat.posts[0].id)
        chat.fail("post", Broken("cut", unsure=True), Broken("refused"))
        post.office.show("page", HERE, lambda _: Message(text="newest"))
        await asyncio.sleep(120)
        assert [message.text for message in chat.seen(HERE)] == ["newest"]


@pytest.mark.parametrize("trouble", [Busy("slow", seconds=5), Broken("500"), Refused("too old to be removed")])
async def test_the_message_that_a_page_was_goes_as_soon_as_it_can(trouble: Busy | Broken | Refused) -> None:
    async with Post().open() as post:
        await post.send_text("page")
        await until(lambda: post.chat.posts)
        post.chat.old.add(post.chat.posts[0].id)
        post.chat.fail("remove", trouble)
        post.office.show("page", HERE, lambda _: Message(text="newest"))
        await asyncio.sleep(1200)
        left = ["page"] if isinstance(trouble, Refused) else []
        assert [message.text for message in post.chat.seen(HERE)] == [*left, "newest"]
        post.office.show("page", HERE, lambda _: Message(text="newer still"))
        post.office._clerks["fake:fake/hall"].place.pages["page"].look = lambda _: Message(text="newer still")
        await until(lambda: post.chat.seen(HERE)[-1].text == "newer still")


async def test_a_defect_beside_the_rest_ends_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Post().open() as post:
        real = post.chat.scope
        broken = True

        def pace(where: Conversation) -> Pace:
            if broken:
                raise KeyError(real(where))
            return GROUP

        await post.send_text("a")
        await until(lambda: post.chat.posts)
        monkeypatch.setattr(post.chat, "pace", pace)
        await post.send_text("b")
        await asyncio.sleep(10)
        broken = False
        await until(lambda: len(post.chat.posts) == 2)


async def test_a_sign_that_fails_is_gone_and_holds_up_nothing() -> None:
    async with Post().open() as post:
        post.chat.fail("sign", *[Broken("500")] * 3)
        signs: list[Sign] = [Receipt(MessageId(f"m{n}"), Got.SEEN) for n in range(3)]
        for sign in signs:
            post.office.sign(HERE, sign)
        at = now()
        await post.send_text("a")
        await until(lambda: post.chat.posts)
        assert now() - at < 3
        assert not post.chat.signs


async def test_where_requests_are_dear_a_message_that_is_heard_at_once_is_marked_once() -> None:
    async with Post(chat=FakeChat("fake", pace=GROUP)).open() as post:
        seen, heard = (Receipt(MessageId("m"), got) for got in (Got.SEEN, Got.HEARD))
        post.office.sign(HERE, seen)
        await until(lambda: post.chat.signs)
        assert now() < 0.1, "nothing is dear yet"
        await post.send(*[Letter(f"n{n}", HERE, Message(text=str(n))) for n in range(9)])
        await until(lambda: len(post.chat.posts) == 9)
        post.office.sign(HERE, seen)
        await asyncio.sleep(0.2)
        post.office.sign(HERE, heard)
        await asyncio.sleep(5)
        assert [sign for _, sign in post.chat.signs] == [seen, heard]


async def test_what_nobody_waits_for_is_not_kept_by_a_page_that_fades_much_later() -> None:
    chat = FakeChat("fake", pace=GROUP)
    chat.lasts = 3000.0
    async with Post(chat=chat).open() as post:
        await post.send(*[Letter(f"n{n}", HERE, Message(text=str(n))) for n in range(10)])
        await until(lambda: len(chat.posts) == 10)
        post.office.show("n0", HERE, lambda _: Message(text="look"))
        await until(lambda: chat.posts[0].message.text == "look")
        at = now()
        await post.send(Letter("quiet", HERE, Message(text="quiet"), Lane.LIVE))
        await until(lambda: len(chat.posts) == 11)
        assert now() - at < 10
