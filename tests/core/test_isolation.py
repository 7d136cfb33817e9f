"""One defect stays one defect: whatever raises, the bot lives and the other runs go on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from agent import wire
from orchestrator import events as ev
from orchestrator.errors import Broken, Gone, Trouble
from orchestrator.nouns import Conversation, RunId
from orchestrator.ports import Change, Pod, Receive
from orchestrator.run import run_id
from tests.core.world import ECHO, LOBBY, ME, World
from tests.fakes.chat import FakeChat
from tests.fakes.runtime import FakePod, FakeRuntime
from tests.fakes.store import MemoryStore

pytestmark = pytest.mark.looptime


async def lives(world: World) -> None:
    """The bot still does what it is for."""
    run, _ = await world.launch("still alive?")
    await world.until(lambda: "still alive?" in world.texts(world.place(run)))


class BadChat(FakeChat):
    """Raises instead of serving, a few times."""

    troubles: list[Exception]

    async def serve(self, receive: Receive) -> None:
        if self.troubles:
            raise self.troubles.pop()
        await super().serve(receive)


async def test_a_chat_that_raises_is_served_again() -> None:
    chat = BadChat("fake")
    chat.troubles = [Broken("The token was revoked."), ZeroDivisionError()]
    world = World(chat=chat)
    async with world.life():
        await asyncio.sleep(1)
        await lives(world)
        await asyncio.wait_for(chat.says(LOBBY, "/help", key="k", person=ME), 600)


class BadRuntime(FakeRuntime):
    """Has a defect."""

    bad: RunId | None = None
    blind = False

    async def stop(self, run: RunId) -> None:
        if run == self.bad:
            raise ZeroDivisionError
        await super().stop(run)

    async def pods(self) -> Mapping[RunId, Pod]:
        if self.blind:
            raise ZeroDivisionError
        return await super().pods()


async def test_a_defect_while_clearing_up_and_while_mending() -> None:
    runtime = BadRuntime()
    world = World(runtime=runtime)
    async with world.life():
        run, _ = await world.launch("one")
        runtime.bad, runtime.blind = run, True
        await world.say("/stop", world.place(run))
        await asyncio.sleep(300)
        await lives(world)


async def test_a_pod_that_cannot_be_stopped_keeps_no_other_from_it() -> None:
    runtime = BadRuntime()
    runtime.bad = RunId("r1")
    world = World(runtime=runtime)
    for name in ("r1", "r2"):
        runtime.adopt(FakePod(RunId(name), ECHO))
    async with world.life():
        await world.until(lambda: RunId("r2") in runtime.graves)


async def test_a_launch_that_nobody_can_read_any_more() -> None:
    """An older version's, or a damaged row: it is read as `Other`."""

    class Damaged(MemoryStore):
        async def live(self) -> Sequence[RunId]:
            return [RunId("rold"), *await super().live()]

        async def recent(self, limit: int) -> Sequence[tuple[ev.Entry, ev.Entry]]:
            first = ev.Entry(RunId("rolder"), "launched", 1.0, wire.Other("launched"))
            return [(first, ev.Entry(RunId("rolder"), "ended", 1.0, ev.Ended("stopped", "")))]

    store = Damaged()
    await store.write(Change(entries=[ev.Entry(RunId("rold"), "launched", 1.0, wire.Other("launched"))]))
    world = World(store=store)
    async with world.life():
        await world.until(lambda: any(e.run == "rold" and isinstance(e.event, ev.Ended) for e in store.entries))
        await lives(world)


async def test_a_defect_in_telling_an_end_ends_it_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    async with world.life():
        run, _ = await world.launch("one")

        def raises(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("orchestrator.letters._run_end", raises)
        await world.say("/stop", world.place(run))
        await world.until(lambda: run in world.runtime.graves)
        await world.until(lambda: any("ended" in look.status for look in world.looks(world.place(run))[1:]))
        monkeypatch.undo()
        await lives(world)
    assert run not in await world.store.live()


async def test_a_task_that_was_cancelled_by_nobody_ends_its_run_visibly() -> None:
    world = World()
    async with world.life():
        run, pod = await world.launch("one")
        assert pod.session

        async def cancelled(_: object) -> None:
            raise asyncio.CancelledError

        pod.session.send = cancelled  # type: ignore[method-assign, assignment]
        await world.say("more", world.place(run))
        await world.until(lambda: "ended · failed" in world.texts(world.place(run))[-1])
        await lives(world)


async def test_a_defect_in_doing_what_a_person_wants_is_told_once_and_does_not_come_again() -> None:
    class Bad(MemoryStore):
        async def run_at(self, where: Conversation) -> RunId | None:
            raise ZeroDivisionError

    world = World(store=Bad())
    async with world.life():
        for _ in range(3):
            await world.say("hello?", key="fake/hello")
        await world.until(lambda: world.posts(LOBBY))
        await asyncio.sleep(5)
        assert world.words(LOBBY) == [
            "A defect in the bot kept this from being done (ZeroDivisionError); its log has the details."
        ]


# --- between "stored" and "taken up" ---


class Unsure(MemoryStore):
    """Stores the changes that have this in them, and says that it does not know; or does not store others."""

    doubts: type | None = None
    refuses: type | None = None
    doubtful_letters = False

    async def write(self, change: Change) -> bool:
        kinds = {type(entry.event) for entry in change.entries}
        if self.refuses in kinds:
            raise Broken("The disk is full.")
        done = await super().write(change)
        if self.doubts in kinds or (self.doubtful_letters and change.letters):
            self.doubts, self.doubtful_letters = None, False
            raise Broken("The disk did not answer.", unsure=True)
        return done


async def test_a_launch_of_which_nobody_knows_whether_it_was_stored_is_driven() -> None:
    store = Unsure()
    store.doubts = ev.Launched
    world = World(store=store)
    async with world.life():
        with pytest.raises(Trouble):
            await world.say("/launch echo hi", key="fake/l")
        await world.say("/launch echo hi", key="fake/l")  # the platform brings it again
        run = run_id("fake/l")
        await world.until(lambda: world.thread(run))
        await world.until(lambda: world.texts(world.place(run)) == ["hi"])
        assert len(world.runtime.runs) == 1


async def test_a_launch_that_was_stored_is_not_said_to_have_failed() -> None:
    store = Unsure()
    store.refuses = ev.Admitted
    world = World(store=store)
    async with world.life():
        run = run_id(await world.say("/launch echo hi"))
        await asyncio.sleep(5)
        store.refuses = None
        await world.until(lambda: world.thread(run))
        await world.until(lambda: world.texts(world.place(run)) == ["hi"])


async def test_an_answer_of_which_nobody_knows_whether_it_was_stored_is_posted() -> None:
    store = Unsure()
    world = World(store=store)
    async with world.life():
        store.doubtful_letters = True
        with pytest.raises(Trouble):
            await world.say("/help", key="fake/h")
        await world.say("/help", key="fake/h")
        await world.until(lambda: world.posts(LOBBY))
        await asyncio.sleep(200)
        assert len(world.posts(LOBBY)) == 1


async def test_two_runs_in_one_place_and_words_go_to_the_later_one() -> None:
    """Where no threads are to be had, runs stay where they were launched."""
    world = World()
    world.chat.fail("open", Broken("x"), Broken("x"))
    world.chat.fail("open", *[Gone("no topics here")] * 5)
    async with world.life():
        first = run_id(await world.say("/launch echo one"))
        await world.until(lambda: "one" in world.texts(LOBBY))
        second = run_id(await world.say("/launch echo two"))
        await world.until(lambda: "two" in world.texts(LOBBY))
        world.runtime.pod(first).report(wire.Noticed("info", "x", "something happens in the first"))
        await asyncio.sleep(1)
        await world.say("for the second")
        await world.runtime.pod(second).until(lambda: world.runtime.pod(second).said == ["two", "for the second"])
        await world.press(f"stop:{second}")
        await world.until(lambda: second in world.runtime.graves)
        await world.say("for the first")
        await world.runtime.pod(first).until(lambda: world.runtime.pod(first).said == ["one", "for the first"])
        await world.press(f"stop:{first}")
        await world.until(lambda: first in world.runtime.graves)
        await world.say("for nobody")
        await world.until(lambda: "Start an agent on this?" in world.looks(LOBBY)[-1].status)


async def test_a_run_that_cannot_even_be_ended_keeps_its_pod_and_is_taken_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    async with world.life():
        run, _ = await world.launch("one")
        lives_of_it = 0

        async def raises(*_: object, **__: object) -> None:
            nonlocal lives_of_it
            lives_of_it += 1
            raise ZeroDivisionError

        with monkeypatch.context() as patch:
            patch.setattr("orchestrator.drive.Drive.end", raises)
            await world.say("/stop", world.place(run))
            await asyncio.sleep(300)
            assert run in world.runtime.runs
            assert 2 <= lives_of_it <= 20
        await world.until(lambda: run in world.runtime.graves)
        assert "ended · stopped" in world.texts(world.place(run))[-1]
