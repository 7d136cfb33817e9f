"""The core told as stories: launch, talk, ask, stop, crash at every place between "write" and "act", restart."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import pytest

from agent import wire
from agent.wire import Command
from orchestrator import events as ev
from orchestrator.core import Rules
from orchestrator.errors import Broken, Busy, Gone, Refused
from orchestrator.nouns import Conversation, Person, Phase, RunId
from orchestrator.run import run_id
from tests.core.world import ECHO, LOBBY, World
from tests.fakes.runtime import FakePod, echo

pytestmark = pytest.mark.looptime


def quiet(pod: FakePod, command: Command) -> None:
    """An agent that starts and then waits for the test to make it speak."""
    if isinstance(command.order, wire.Start):
        pod.report(wire.CliStarted("quiet", command.order.session))
        pod.report(wire.TurnStarted())


async def test_launch_stream_reply_stop() -> None:
    world = World()
    async with world.life():
        run, pod, where = await world.converse("hello")
        await world.say("how are you?", where)
        await world.until(lambda: world.texts(where) == ["hello", "how are you?"])
        assert pod.said == ["hello", "how are you?"]
        await world.say("/stop", where)
        await world.until(lambda: run in world.runtime.graves)
        await world.until(lambda: "ended · stopped" in world.texts(where)[-1])
        assert "$0.02" in world.texts(where)[-1]
        assert not world.roster.live


async def test_a_page_shows_the_newest_state_and_ends_with_the_turns_facts() -> None:
    world = World(behave=quiet)
    async with world.life():
        run, pod = await world.launch()
        where = world.place(run)
        pod.report(wire.ToolCalled("c1", "Bash", "pytest -q"))
        pod.live(wire.TextSoFar("I am loo"))
        await world.until(lambda: "I am loo" in world.looks(where)[0].text)
        assert world.looks(where)[0].status.startswith("working · Bash: pytest -q")
        assert {button.label for button in world.looks(where)[0].buttons} == {"Interrupt", "Stop"}
        pod.report(wire.ToolReturned("c1", ok=False, output="1 failed"))
        pod.report(wire.Wrote("I am looking."))
        pod.report(wire.TurnEnded("done", text="It is fixed.", cost_usd=0.25, seconds=12))
        await world.until(lambda: world.texts(where) == ["It is fixed."])
        page = world.looks(where)[0]
        assert page.status == "done · 12 s · 1 tool · $0.25 · no isolation: a fake in a test"
        assert page.log == ("✗ Bash: pytest -q",)
        assert page.text == "I am looking."
        assert not page.buttons


@pytest.mark.parametrize("by", ["tap", "text", "number"])
async def test_a_question_is_answered_once(by: str) -> None:
    world = World(behave=quiet)
    async with world.life():
        run, pod = await world.launch()
        where = world.place(run)
        pod.report(wire.Asked("q1", "question", "Which colour?", (wire.Choice("red"), wire.Choice("blue"))))
        await world.until(lambda: any(look.buttons and look.rings for look in world.looks(where)))
        question = next(look for look in world.looks(where) if look.rings)
        assert question.text == "Which colour?"
        token = question.buttons[1].token
        assert len(token.encode()) <= 60
        if by == "tap":
            await world.press(token, where)
        else:
            await world.say({"text": "Blue", "number": "2"}[by], where)
        answer = await pod.wait_heard(wire.Answer)
        assert answer.order == wire.Answer("q1", picks=(1,))
        await world.press(token, where)  # a second tap on an old button
        await world.until(lambda: "needs no answer any more" in world.looks(where)[-1].text)
        assert [type(order) for order in pod.orders].count(wire.Answer) == 1
        settled = next(look for look in world.looks(where) if look.text == "Which colour?")
        assert settled.status == "answered · blue (Ada)"
        assert not settled.buttons


async def test_an_ask_in_own_words_and_one_that_is_withdrawn() -> None:
    world = World(behave=quiet)
    async with world.life():
        run, pod = await world.launch()
        where = world.place(run)
        pod.report(wire.Asked("q1", "permission", "Run this?", (wire.Choice("Allow"),), detail="rm -rf ```x"))
        await world.until(lambda: world.texts(where))
        assert "````\nrm -rf ```x\n````" in world.texts(where)[0]
        await world.say("no, use trash", where)
        assert (await pod.wait_heard(wire.Answer)).order == wire.Answer("q1", text="no, use trash")
        pod.report(wire.Asked("q2", "question", "And now?"))
        pod.report(wire.AskWithdrawn("q2"))
        await world.until(lambda: "no answer is needed" in world.looks(where)[-1].status)


async def test_everything_twice_is_once() -> None:
    """The platform delivers each update twice, also after a restart, also when the run has ended meanwhile."""
    world = World()
    async with world.life():
        run, pod = await world.launch("hello")
        where = world.place(run)
        key = await world.say("more", where)
        await world.until(lambda: world.texts(where) == ["hello", "more"])
    async with world.life():
        await world.say("/launch echo hello", key="fake/1")
        await world.say("more", where, key=key)
        stop = await world.say("/stop", where)
        await world.until(lambda: run in world.runtime.graves)
        await world.say("more", where, key=key)
        await world.say("/stop", where, key=stop)
        await world.say("/launch echo hello", key="fake/1")
        await asyncio.sleep(5)
    assert pod.said == ["hello", "more"]
    assert world.texts(where)[:2] == ["hello", "more"]
    assert len(world.texts(where)) == 3
    assert world.runtime.runs == []


async def test_a_stranger_is_refused_and_nothing_is_stored() -> None:
    world = World()
    async with world.life():
        with pytest.raises(Refused):
            await world.say("/launch echo evil", person=Person("fake", "8"))
        assert not world.store.entries
        assert not world.store.known


async def test_words_for_nobody_are_offered_to_an_agent() -> None:
    world = World()
    async with world.life():
        await world.say("fix the flaky test\nplease")
        await world.until(lambda: world.posts(LOBBY))
        offer = world.looks(LOBBY)[0]
        assert offer.text == "fix the flaky test\nplease"
        await world.press(offer.buttons[0].token)
        await world.until(lambda: world.runtime.runs)
        pod = world.runtime.pod(world.runtime.runs[0])
        await pod.until(lambda: pod.said == ["fix the flaky test\nplease"])


async def test_a_run_is_launched_by_a_tap_and_again_by_another() -> None:
    world = World()
    async with world.life():
        await world.say("/launch")
        await world.until(lambda: world.posts(LOBBY))
        run = run_id(await world.press(world.looks(LOBBY)[0].buttons[0].token))
        pod = await world.runtime.wait_pod(run)
        await world.until(lambda: world.thread(run))
        assert pod.said in ([], [""])
        where = world.place(run)
        await world.say("do it", where)
        await world.until(lambda: "do it" in world.texts(where))
        await world.say("/stop", where)
        await world.until(lambda: world.looks(where)[-1].buttons)
        again = run_id(await world.press(world.looks(where)[-1].buttons[0].token, where))
        await world.runtime.wait_pod(again)
        await world.say("anybody?", where)
        await world.until(lambda: "nobody hears you here" in world.looks(where)[-1].text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/launch nosuch", "There is no agent `nosuch`"),
        ("/lanch x", "Did you mean `/launch`"),
        ("/stop", "No agent is running"),
        ("/interrupt", "No agent is running"),
        ("/logs", "belongs into a run's thread"),
        ("/help", "`/launch [agent] <task>`"),
    ],
)
async def test_slips_get_a_clear_sentence(text: str, words: str) -> None:
    world = World()
    async with world.life():
        await world.say(text)
        await world.until(lambda: world.posts(LOBBY))
        assert words in world.looks(LOBBY)[0].text


async def test_a_long_task_arrives_whole_and_a_longer_one_is_refused() -> None:
    world = World()
    async with world.life():
        task = "ä" * 100_000
        _, pod = await world.launch(task)
        await pod.until(lambda: pod.said == [task])
        with pytest.raises(Refused, match="200,000 characters"):
            await world.say("x" * 200_001)


async def test_unavailable_drivers_say_what_is_missing() -> None:
    world = World(rules=Rules(unavailable={"rehearsal": "the theatre is closed."}))
    async with world.life():
        await world.say("/launch echo hi")
        await world.until(lambda: world.posts(LOBBY))
        assert "the theatre is closed" in world.looks(LOBBY)[0].text


async def test_runs_beyond_the_limit_wait_in_a_queue() -> None:
    world = World(rules=Rules(max_runs=1))
    async with world.life():
        first, _ = await world.launch("one")
        second, _ = await world.begin("two")
        await world.until(
            lambda: world.looks(world.place(second)) and "queued" in world.looks(world.place(second))[0].status
        )
        assert second not in world.runtime.runs
        await world.say("/stop", world.place(first))
        await world.until(lambda: "two" in world.texts(world.place(second)))


async def test_a_queued_run_can_be_stopped() -> None:
    world = World(rules=Rules(max_runs=1))
    async with world.life():
        await world.launch("one")
        second, _ = await world.begin("two")
        await world.say("/stop", world.place(second))
        await world.until(lambda: any("ended · stopped" in text for text in world.texts(world.place(second))))
        assert second not in world.runtime.started


async def test_files_come_and_go() -> None:
    def hand_over(pod: FakePod, command: Command) -> None:
        if isinstance(command.order, wire.Say):
            data = b"result"
            digest = hashlib.sha256(data).hexdigest()
            for at in (0, 3):
                piece = base64.b64encode(data[at : at + 3]).decode()
                pod.report(wire.FilePiece("f1", "out.txt", 6, digest, at, piece, last=at == 3))

    world = World(behave=hand_over)
    async with world.life():
        run, pod = await world.launch()
        where = world.place(run)
        await world.artifacts.piece("up", 0, b"picture")
        artifact = await world.artifacts.complete("up")
        await world.say("look", where, files=(_file(artifact),))
        said = await pod.wait_heard(wire.Say)
        put = await pod.wait_heard(wire.Put)
        assert pod.heard.index(put) < pod.heard.index(said)
        assert isinstance(put.order, wire.Put)
        assert isinstance(said.order, wire.Say)
        assert said.order.files == (put.order.name,)
        assert base64.b64decode(put.order.data) == b"picture"
        await world.until(lambda: any(look.files for look in world.looks(where)))
        file = next(look.files[0] for look in world.looks(where) if look.files)
        assert (file.name, file.size) == ("out.txt", 6)
        assert b"".join([part async for part in world.artifacts.read(file.artifact)]) == b"result"
        assert not any(e.event.data for e in world.store.entries if isinstance(e.event, wire.FilePiece))


def _file(artifact: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - one line
    from orchestrator.nouns import ArtifactId, File  # noqa: PLC0415

    return File(ArtifactId(artifact), "a.png", 7)


async def test_connections_break_and_nothing_is_lost_or_doubled() -> None:
    world = World()
    async with world.life():
        run, pod = await world.launch("0")
        where = world.place(run)
        for number in range(1, 12):
            hurt = number % 5
            if hurt == 0:
                pod.cut()
            elif hurt == 1:
                pod.deaf = 1
            elif hurt == 2:
                pod.unsure, pod.stale = 1, 5
            elif hurt == 3:
                pod.cut_after = 2
            else:
                pod.die()
            await world.say(str(number), where)
        await world.until(lambda: len(world.texts(where)) == 12, seconds=600)
        assert world.texts(where) == [str(number) for number in range(12)]
        assert pod.said == [str(number) for number in range(12)]


async def test_silence_means_that_the_connection_is_dead() -> None:
    world = World()
    async with world.life():
        run, pod = await world.launch("hello")
        await world.until(lambda: world.texts(world.place(run)))
        pod.frozen = True
        before = pod.attached
        await world.until(lambda: pod.attached > before)
        pod.frozen = False
        await world.say("again", world.place(run))
        await world.until(lambda: world.texts(world.place(run)) == ["hello", "again"])


async def test_a_lost_state_begins_again_with_everything_that_was_said() -> None:
    world = World()
    async with world.life():
        run, pod = await world.launch("hello")
        where = world.place(run)
        await world.say("more", where)
        await world.until(lambda: world.texts(where) == ["hello", "more"])
        pod.lose_state()
        await world.until(lambda: len(world.texts(where)) == 5)
        assert "begins again" in world.texts(where)[2]
        assert world.texts(where)[3:] == ["hello", "more"]


async def test_a_run_whose_pod_vanished_ends_with_a_reason() -> None:
    world = World()
    async with world.life():
        run, _, where = await world.converse("hello")
    await world.runtime.stop(run)
    async with world.life():
        await world.until(lambda: "ended · lost" in world.texts(where)[-1])


async def test_a_pod_without_a_run_is_stopped() -> None:
    world = World()
    world.runtime.adopt(FakePod(RunId("rstranger"), ECHO))
    async with world.life():
        await world.until(lambda: RunId("rstranger") in world.runtime.graves)


async def test_starting_shows_what_it_waits_for_and_is_given_up_in_the_end() -> None:
    world = World()
    world.runtime.busy = "pulling the image"
    async with world.life():
        run, where = await world.begin("hi")
        await world.until(lambda: "pulling the image" in world.looks(where)[0].status)
        await world.until(lambda: world.texts(where))
        assert "could not be started in time: pulling the image" in world.texts(where)[0]
        await world.until(lambda: run in world.runtime.graves)


async def test_limits_of_silence_of_an_ask_and_of_life() -> None:
    world = World(behave=quiet)
    async with world.life():
        run, pod = await world.launch()
        pod.report(wire.Asked("q", "question", "Well?"))
        await world.until(lambda: any(isinstance(order, wire.Answer) for order in pod.orders), seconds=900, step=1.0)
        answer = await pod.wait_heard(wire.Answer)
        assert isinstance(answer.order, wire.Answer)
        assert "No answer came within 10 min" in answer.order.text
        pod.report(wire.TurnEnded("done", text="alone then"))
        await world.until(lambda: run in world.runtime.graves, seconds=10_000, step=1.0)
        await world.until(lambda: "nobody said anything for 1 h" in world.texts(world.place(run))[-1])


async def test_an_agent_that_will_not_stop_is_ended_all_the_same() -> None:
    world = World(behave=quiet)
    async with world.life():
        run, pod = await world.launch()
        pod.stubborn = True
        await world.say("/stop", world.place(run))
        await world.until(lambda: run in world.runtime.graves, seconds=300, step=0.1)
        await world.until(lambda: "ended · stopped" in world.texts(world.place(run))[-1])


async def test_a_defect_ends_one_run_visibly_and_no_other() -> None:
    world = World()
    async with world.life():
        victim, _ = await world.launch("one")
        other, _ = await world.launch("two")
        live = world.roster.live[victim]
        live.state.pending["x"] = "?"  # type: ignore[assignment]  # something that no code expects
        live.wake.set()
        await world.until(lambda: "a defect in the bot ended this run" in world.texts(world.place(victim))[-1])
        await world.say("still there?", world.place(other))
        await world.until(lambda: world.texts(world.place(other)) == ["two", "still there?"])


async def test_a_full_disk_loses_nothing() -> None:
    world = World()
    async with world.life():
        _, pod, where = await world.converse("hello")
        world.store.fails = "The disk is full."
        with pytest.raises(Broken, match="disk is full"):
            await world.say("more", where, key="fake/more")
        pod.report(wire.Noticed("error", "x", "told while the disk was full"))
        await asyncio.sleep(10)
        world.store.fails = ""
        await world.say("more", where, key="fake/more")
        await world.until(lambda: world.texts(where)[-1] == "more")
        assert world.texts(where) == ["hello", "⚠ told while the disk was full", "more"]
        assert pod.said == ["hello", "more"]


async def test_the_platform_hurts_and_every_letter_lands_once_in_order() -> None:
    world = World()
    async with world.life():
        _, _, where = await world.converse("0")
        world.chat.fail(
            "post", Busy("slow down", seconds=30), Broken("cut before"), Broken("cut"), Busy("more", seconds=3)
        )
        for number in range(1, 5):
            await world.say(str(number), where)
        await world.until(lambda: len(world.texts(where)) == 5, seconds=600)
        assert world.texts(where) == ["0", "1", "2", "3", "4"]


async def test_no_thread_to_be_had_keeps_the_run_where_it_was_launched() -> None:
    world = World()
    world.chat.fail("open", Busy("later", seconds=2), Broken("cut"), Gone("no topics here"))
    async with world.life():
        run = run_id(await world.say("/launch echo hi"))
        await world.until(lambda: "hi" in world.texts(LOBBY))
        await world.say("and you?", LOBBY)
        await world.until(lambda: "and you?" in world.texts(LOBBY))
        assert run in world.runtime.runs


async def test_the_dashboard_follows_and_survives_a_restart() -> None:
    tab = Conversation("fake", "hall", "runs")
    world = World(rules=Rules(boards=(tab,)))
    async with world.life():
        await world.until(lambda: world.looks(tab) and world.looks(tab)[0].board)
        run, _ = await world.launch("hello")
        await world.until(lambda: [row.phase for row in world.looks(tab)[0].rows] == [Phase.IDLE])
    async with world.life():
        await world.say("/stop", world.place(run))
        await world.until(lambda: [row.phase for row in world.looks(tab)[0].rows] == [Phase.ENDED])
        assert world.looks(tab)[0].rows[0].where == world.place(run), "the past leads to its thread"
        assert len(world.looks(tab)) == 1
        await world.say("/runs")
        await world.until(lambda: world.looks(LOBBY)[-1].board)


async def test_logs_in_the_thread_and_as_a_file() -> None:
    world = World()
    async with world.life():
        _, _, where = await world.converse("hello")
        await world.say("/logs 3", where)
        await world.until(lambda: world.looks(where)[-1].text.startswith("```"))
        assert len(world.looks(where)[-1].text.splitlines()) == 5
        await world.say("/logs", where)
        await world.until(lambda: world.looks(where)[-1].files)
        file = world.looks(where)[-1].files[0]
        whole = b"".join([part async for part in world.artifacts.read(file.artifact)]).decode()
        assert "launched" in whole
        assert "echo, by Ada: hello" in whole


@pytest.mark.parametrize("seed", range(8))
async def test_killed_at_any_moment_nothing_is_lost_or_doubled(seed: int) -> None:
    """Lives of the bot end at random moments of busy runs while a person keeps talking."""
    import random  # noqa: PLC0415

    print("seed", seed)
    dice = random.Random(seed)
    world = World(behave=echo)
    said: dict[RunId, list[str]] = {}
    owed: list[tuple[str, Conversation, str]] = []
    for life in range(12):
        async with world.life():
            for text, where, key in owed:  # what was not acknowledged, the platform brings again
                await world.say(text, where, key=key)
            owed.clear()
            for step in range(dice.randint(1, 6)):
                key = f"fake/{life}/{step}"
                if len(said) < 3:
                    text, where = f"/launch echo {key}", LOBBY
                    said[run_id(key)] = [key]
                else:
                    run = dice.choice([run for run in said if world.thread(run)] or list(said))
                    if not world.thread(run):
                        continue
                    text, where = key, world.place(run)
                    said[run].append(key)
                owed.append((text, where, key))
                if dice.random() < 0.8:
                    await world.say(text, where, key=key)
                    if dice.random() < 0.5:
                        owed.pop()
                await asyncio.sleep(dice.choice([0, 0.001, 0.02, 0.3]))
                for pod in (world.runtime.pod(run) for run in world.runtime.runs):
                    if dice.random() < 0.15:
                        pod.cut()
                    elif dice.random() < 0.1:
                        pod.die()
            await asyncio.sleep(dice.choice([0, 0.001, 0.01, 0.1, 1.0]))
    async with world.life():
        for text, where, key in owed:
            await world.say(text, where, key=key)
        for run, texts in said.items():
            await world.until(lambda run=run: world.thread(run))  # type: ignore[misc]
            await world.until(lambda run=run, texts=texts: len(world.texts(world.place(run))) >= len(texts))  # type: ignore[misc]
        await asyncio.sleep(100)
        for run, texts in said.items():
            pod = world.runtime.pod(run)
            assert sorted(pod.said) == sorted(texts), "every message reached the agent once"
            assert world.texts(world.place(run)) == pod.said, "every final stands once and in order"
    assert not [e for e in world.store.entries if isinstance(e.event, ev.Ended)]
