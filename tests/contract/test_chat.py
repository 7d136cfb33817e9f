"""What every chat does, sentence by sentence of the port; the one in memory first.

A chat joins with a subclass whose `stage` gives the chat, a place to talk, and what a person sees and does there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from adapters.web.chat import WebChat
from orchestrator.errors import Broken, Gone, Refused
from orchestrator.nouns import (
    Button,
    Conversation,
    Got,
    Inbound,
    Message,
    MessageId,
    Phase,
    Receipt,
    Row,
    RunId,
    Standing,
    Style,
    Typing,
)  # fmt: skip
from orchestrator.ports import Chat
from tests.fakes.artifacts import MemoryArtifacts
from tests.fakes.chat import FakeChat
from tests.fakes.notes import MemoryNotes
from tests.web.page import words_of

HOSTILE = "<script>alert(1)</script> [x](javascript:alert(1)) @everyone \u202e \"'&\ud800 </p>"


class Stage(Protocol):
    """A chat with its platform around it."""

    @property
    def chat(self) -> Chat:
        """The one under test."""
        ...

    @property
    def home(self) -> Conversation:
        """A place where it may talk."""
        ...

    async def seen(self, where: Conversation) -> Sequence[str]:
        """The messages that stand in a conversation, as words a person reads; in order."""
        ...

    async def says(self, where: Conversation, text: str, *, update: str) -> None:
        """A person sends a message; raises what the platform shows them. The same `update` is the same message."""
        ...

    async def presses(self, where: Conversation, message: MessageId, token: str, *, update: str) -> None:
        """A person taps a button."""
        ...


class Ear:
    """A core that writes down what it hears; `trouble` is raised instead, once."""

    def __init__(self) -> None:
        self.heard: list[Inbound] = []
        self.trouble: Exception | None = None

    async def __call__(self, inbound: Inbound) -> None:
        trouble, self.trouble = self.trouble, None
        if trouble:
            raise trouble
        if inbound.key not in {known.key for known in self.heard}:
            self.heard.append(inbound)


class ChatContract:
    """`forgets` is true for platforms that cannot tell a repeated post from a new one."""

    forgets = False

    @pytest.fixture
    def stage(self) -> Stage:
        raise NotImplementedError

    @pytest.fixture
    async def ear(self, stage: Stage) -> AsyncIterator[Ear]:
        ear = Ear()
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(stage.chat.serve(ear))
            await asyncio.sleep(0)
            yield ear
            serving.cancel()

    async def test_messages_stand_in_order(self, stage: Stage) -> None:
        for word in ("one", "two", "three"):
            await stage.chat.post(stage.home, Message(text=word), key=word)
        assert [text for text in await stage.seen(stage.home) if text] == ["one", "two", "three"]

    async def test_the_same_key_is_the_same_message(self, stage: Stage) -> None:
        if self.forgets:
            pytest.skip("this platform cannot know a repeated post")
        first = await stage.chat.post(stage.home, Message(text="once"), key="k")
        again = await stage.chat.post(stage.home, Message(text="once"), key="k")
        assert first == again
        at_once = await asyncio.gather(*(stage.chat.post(stage.home, Message(text="race"), key="r") for _ in range(5)))
        assert len(set(at_once)) == 1
        assert list(await stage.seen(stage.home)) == ["once", "race"]

    async def test_an_edit_is_seen_and_the_same_look_is_quiet(self, stage: Stage) -> None:
        message = await stage.chat.post(stage.home, Message(text="before"), key="k")
        for _ in range(2):
            await stage.chat.edit(stage.home, message, Message(text="after"))
        assert list(await stage.seen(stage.home)) == ["after"]

    async def test_an_edit_of_nothing_is_gone(self, stage: Stage) -> None:
        with pytest.raises(Gone):
            await stage.chat.edit(stage.home, MessageId("4711"), Message(text="nobody"))

    async def test_a_removed_message_is_no_more_and_twice_is_once(self, stage: Stage) -> None:
        message = await stage.chat.post(stage.home, Message(text="away with it"), key="k")
        await stage.chat.post(stage.home, Message(text="this stays"), key="other")
        for _ in range(2):
            await stage.chat.remove(stage.home, message)
        seen = await stage.seen(stage.home)
        assert "this stays" in seen[-1]
        assert not any("away with it" in words for words in seen)

    async def test_a_new_message_may_be_edited_and_stays_as_it_is(self, stage: Stage) -> None:
        message = await stage.chat.post(stage.home, Message(text="before"), key="k")
        assert not stage.chat.stale(message)
        assert await stage.chat.edit(stage.home, message, Message(text="after", buttons=(Button("b", "t"),))) >= 0
        assert "after" in (await stage.seen(stage.home))[0]

    async def test_what_may_stand_already_is_looked_for(self, stage: Stage) -> None:
        """It does not: then it is posted all the same."""
        message = await stage.chat.post(stage.home, Message(text="at last"), key="k", again=True)
        assert list(await stage.seen(stage.home)) == ["at last"]
        if not self.forgets:
            assert await stage.chat.post(stage.home, Message(text="at last"), key="k", again=True) == message
            assert list(await stage.seen(stage.home)) == ["at last"]

    async def test_signs_leave_no_message(self, stage: Stage, ear: Ear) -> None:
        thread = await stage.chat.open(stage.home, "Fix the test", key="run-1")
        before = list(await stage.seen(thread))
        for sign in (Typing(), Standing(Phase.WORKING), Standing(Phase.ASKING), Standing(Phase.ENDED, "completed")):
            await stage.chat.sign(thread, sign)
        assert list(await stage.seen(thread)) == before
        await stage.says(stage.home, "seen?", update="update-01")
        for got in Got:
            if ear.heard[0].message:
                await stage.chat.sign(stage.home, Receipt(ear.heard[0].message, got))

    async def test_it_says_whether_it_lives(self, stage: Stage, ear: Ear) -> None:
        await stage.says(stage.home, "hello", update="update-01")
        assert stage.chat.pulse().heard > 0
        assert stage.chat.pulse().trouble == ""
        assert stage.chat.overall.burst > 0

    async def test_a_thread_is_opened_once(self, stage: Stage) -> None:
        first = await stage.chat.open(stage.home, "Fix the test", key="run-1")
        other = await stage.chat.open(stage.home, "Fix the test", key="run-2")
        assert first != other
        assert first not in {stage.home, Conversation(first.platform, "", "")}
        assert first.platform == stage.chat.platform
        if not self.forgets:
            assert await stage.chat.open(stage.home, "Fix the test", key="run-1") == first
        await stage.chat.post(first, Message(text="in the thread"), key="k")
        assert list(await stage.seen(first)) == ["in the thread"]
        assert list(await stage.seen(other)) == []

    async def test_every_part_of_a_message_is_seen(self, stage: Stage) -> None:
        row = Row(RunId("r1"), "A row", "claude", Phase.WORKING, 1.0, 0.25, stage.home, words="its words")
        message = Message(
            text="the text",
            status="the status",
            log=("the log",),
            since=1.0,
            buttons=(Button("the button", "t", Style.GOOD),),
            rows=(row,),
            rings=True,
        )
        await stage.chat.post(stage.home, message, key="k")
        seen = " ".join(await stage.seen(stage.home))
        for words in ("the text", "the status", "the log", "the button", "A row", "claude", "working", "its words"):
            assert words in seen

    async def test_hostile_text_is_words_everywhere(self, stage: Stage) -> None:
        message = Message(text=HOSTILE, status=HOSTILE, log=(HOSTILE,), buttons=(Button(HOSTILE, "t"),))
        await stage.chat.post(stage.home, message, key="k")
        assert "<script>alert(1)</script>" in " ".join(await stage.seen(stage.home))

    async def test_a_place_has_a_budget(self, stage: Stage) -> None:
        pace = stage.chat.pace(stage.home)
        assert pace.burst > pace.reserve >= 0
        assert pace.per > 0 < pace.edit_every
        assert stage.chat.scope(stage.home) == stage.chat.scope(stage.home) != ""

    async def test_people_are_heard_once(self, stage: Stage, ear: Ear) -> None:
        for update in ("update-01", "update-02", "update-01"):
            await stage.says(stage.home, "the same words", update=update)
        assert [inbound.text for inbound in ear.heard] == ["the same words"] * 2
        first = ear.heard[0]
        assert first.where == stage.home
        assert first.key.startswith(f"{stage.chat.platform}/")
        assert first.person.platform == stage.chat.platform
        assert first.person.id

    async def test_own_messages_are_not_heard(self, stage: Stage, ear: Ear) -> None:
        message = await stage.chat.post(stage.home, Message(text="mine"), key="k")
        await stage.chat.edit(stage.home, message, Message(text="mine again"))
        await stage.says(stage.home, "theirs", update="update-01")
        assert [inbound.text for inbound in ear.heard] == ["theirs"]

    async def test_a_tap_names_its_message(self, stage: Stage, ear: Ear) -> None:
        buttons = (Button("Yes", "a:1:0", Style.GOOD), Button("No", "a:1:1", Style.DANGER))
        message = await stage.chat.post(stage.home, Message(text="Sure?", buttons=buttons), key="k")
        for update in ("update-01", "update-01"):
            await stage.presses(stage.home, message, "a:1:1", update=update)
        assert [(inbound.press, inbound.on, inbound.text) for inbound in ear.heard] == [("a:1:1", message, "")]

    async def test_the_thread_is_where_it_was_said(self, stage: Stage, ear: Ear) -> None:
        thread = await stage.chat.open(stage.home, "A run", key="run-1")
        await stage.says(thread, "in there", update="update-01")
        assert ear.heard[0].where == thread

    async def test_a_refusal_is_told_to_the_person(self, stage: Stage, ear: Ear) -> None:
        ear.trouble = Refused("You may not do this.")
        with pytest.raises(Refused, match="You may not do this"):
            await stage.says(stage.home, "please", update="update-01")
        assert not ear.heard

    async def test_what_was_not_stored_is_brought_again(self, stage: Stage, ear: Ear) -> None:
        ear.trouble = Broken("The disk is full.")
        with contextlib.suppress(Broken):
            await stage.says(stage.home, "keep this", update="update-01")
        await stage.says(stage.home, "keep this", update="update-01")
        assert [inbound.text for inbound in ear.heard] == ["keep this"]


# --- in memory ------------------------------------------------------------------------------------------------------


class FakeStage:
    """The chat in memory shows everything as it is."""

    def __init__(self, chat: FakeChat) -> None:
        self.chat = chat
        self.home = Conversation("fake", "hall")

    async def seen(self, where: Conversation) -> Sequence[str]:
        return [_words(message) for message in self.chat.seen(where)]

    async def says(self, where: Conversation, text: str, *, update: str) -> None:
        await self.chat.says(where, text, key=f"fake/{where.chat}/{update}")

    async def presses(self, where: Conversation, message: MessageId, token: str, *, update: str) -> None:
        await self.chat.presses(where, token, key=f"fake/{where.chat}/{update}", on=message)


def _words(message: Message) -> str:
    rows = [f"{row.title} {row.agent} {row.phase} {row.words}" for row in message.rows]
    parts = [message.status, message.text, *message.log, *rows, *(button.label for button in message.buttons)]
    return " ".join(part for part in parts if part)


class TestFake(ChatContract):
    @pytest.fixture
    def stage(self) -> Stage:
        return FakeStage(FakeChat())


class TestForgetfulFake(ChatContract):
    forgets = True

    @pytest.fixture
    def stage(self) -> Stage:
        return FakeStage(FakeChat(remembers=False))


# --- the web page ---------------------------------------------------------------------------------------------------


class WebStage:
    """The page over its own HTTP, read as a browser without eyes would."""

    def __init__(self, client: TestClient[web.Request, web.Application], chat: WebChat) -> None:
        self.chat = chat
        self.home = Conversation("web", "lobby")
        self._client = client

    async def seen(self, where: Conversation) -> Sequence[str]:
        found = await self._client.get("/api/earlier", params={"conversation": where.thread or where.chat})
        messages = (await found.json())["messages"]
        return [words_of(message["html"]) for message in messages if not message["opens"]]

    async def says(self, where: Conversation, text: str, *, update: str) -> None:
        await self._post("send", {"id": update, "conversation": where.thread or where.chat, "text": text})

    async def presses(self, where: Conversation, message: MessageId, token: str, *, update: str) -> None:
        body = {"id": update, "conversation": where.thread or where.chat, "message": message, "token": token}
        await self._post("press", body)

    async def _post(self, what: str, body: dict[str, str]) -> None:
        origin = str(self._client.make_url("")).rstrip("/")
        response = await self._client.post(f"/api/{what}", json=body, headers={"X-Army": "1", "Origin": origin})
        words = (await response.json()).get("words", "")
        if response.status == 403:
            raise Refused(words)
        if response.status != 200:
            raise Broken(words)


class TestWeb(ChatContract):
    @pytest.fixture
    async def stage(self) -> AsyncIterator[Stage]:
        chat = WebChat(MemoryNotes(), MemoryArtifacts())
        app = web.Application()
        chat.add_routes(app)
        async with TestClient(TestServer(app)) as client:
            yield WebStage(client, chat)
