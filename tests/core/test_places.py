"""A run in several places: watched and answered from another chat, and going on when its thread is deleted."""

from __future__ import annotations

import asyncio

import pytest

from agent import wire
from agent.wire import Command
from orchestrator.errors import Broken, Gone
from orchestrator.nouns import Conversation, Got, Inbound, Message, Person, Phase, Receipt, RunId, Standing, Typing
from orchestrator.run import run_id
from tests.core.world import LOBBY, ME, World
from tests.fakes.runtime import FakePod

pytestmark = pytest.mark.looptime

BOB = Person("other", "9", "Bob")
THERE = Conversation("other", "1/2")


def asking(pod: FakePod, command: Command) -> None:
    """Starts a turn; asks when told to; ends it with what was answered."""
    match command.order:
        case wire.Start():
            pod.report(wire.CliStarted("quiet", command.order.session))
            pod.report(wire.TurnStarted())
        case wire.Say(text="ask"):
            pod.report(wire.Asked("q1", "question", "Which colour?", (wire.Choice("red"), wire.Choice("blue"))))
        case wire.Answer():
            pod.report(wire.TurnEnded("done", text=f"It is {command.order.picks}."))
        case wire.Say():
            pod.report(wire.TurnStarted())
            pod.report(wire.TurnEnded("done", text=command.order.text))
        case _:
            pass


def texts(looks: list[Message]) -> list[str]:
    return [look.text for look in looks if look.rings and look.text]


async def watched(world: World) -> tuple[RunId, FakePod, Conversation, Conversation]:
    """A run launched in the one chat and followed from the other: its id, pod, home and further place."""
    run, pod = await world.launch()
    await world.say("/runs", THERE, person=BOB)
    await world.until(lambda: world.other.seen(THERE)[-1].board)
    (row,) = world.other.seen(THERE)[-1].rows
    (watch,) = [button for button in row.buttons if button.label == "Watch here"]
    await world.press(watch.token, THERE, person=BOB)
    await world.until(lambda: f"{run}@1" in world.other.threads)
    return run, pod, world.place(run), world.other.threads[f"{run}@1"]


async def test_a_run_is_watched_and_answered_from_another_platform() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod, home, there = await watched(world)
        await world.until(lambda: len(world.other.seen(there)) == 2)
        assert "echo · the task · working" in world.other.seen(there)[0].status
        pod.live(wire.TextSoFar("I am loo"))
        await world.until(lambda: "I am loo" in world.other.seen(there)[1].text)
        await world.until(lambda: "I am loo" in world.looks(home)[0].text)
        await world.say("ask", there, person=BOB)
        for seen in (lambda: world.looks(home), lambda: world.other.seen(there)):
            await world.until(lambda seen=seen: seen()[-1].text == "Which colour?")  # type: ignore[misc]
        assert ("Bob wrote", "> ask") in [(look.status, look.text) for look in world.looks(home)]
        assert "Bob wrote" not in [look.status for look in world.other.seen(there)]
        token = world.other.seen(there)[-1].buttons[1].token
        await world.press(token, there, person=BOB)
        for seen in (lambda: world.looks(home), lambda: world.other.seen(there)):
            await world.until(lambda seen=seen: texts(seen())[-1:] == ["It is (1,)."])  # type: ignore[misc]
            question = next(look for look in seen() if look.text == "Which colour?")
            assert question.status == "answered · blue (Bob)"
            assert not question.buttons
        await world.say("/stop", there, person=BOB)
        await world.until(lambda: "ended · stopped by Bob" in world.other.seen(there)[-1].status)
        await world.until(lambda: "ended · stopped by Bob" in world.looks(home)[-1].status)
        keys = [post.key for post in (*world.chat.posts, *world.other.posts)]
        assert len(keys) == len(set(keys)), "everything stands once"
        await world.until(lambda: run not in world.roster.live)


async def test_a_further_place_survives_a_restart_and_is_asked_for_once() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod = await world.launch()
        world.other.fail("open", Broken("no network"))
        await world.press(f"watch:{run}", THERE, person=BOB)
        await world.press(f"watch:{run}", THERE, person=BOB)
    async with world.life():
        await world.until(lambda: f"{run}@1" in world.other.threads)
        there = world.other.threads[f"{run}@1"]
        await world.until(lambda: world.other.seen(there))
        await pod.wait_attached()
        await world.press(f"watch:{run}", THERE, person=BOB)
        await world.until(lambda: "has a place here already" in world.other.seen(THERE)[-1].text)
        await asyncio.sleep(5)
        assert list(world.other.threads) == [f"{run}@1"]
        assert [look.status.partition(" ·")[0] for look in world.other.seen(there)] == ["echo", "working"]


async def test_a_run_whose_thread_was_deleted_goes_on_where_it_was_launched() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod = await world.launch()
        pod.report(wire.TurnEnded("done", text="first"))
        await world.until(lambda: world.texts(world.place(run)) == ["first"])
        world.chat.fail("post", Gone("thread not found"), Gone("thread not found"))
        await world.say("and now?", world.place(run))
        await world.until(lambda: "and now?" in [look.text for look in world.looks(LOBBY)])
        welcome = world.looks(LOBBY)[0]
        assert "its thread is no more, so it goes on here" in welcome.status
        assert welcome.rings
        await world.say("still there?", LOBBY)
        await world.until(lambda: world.texts(LOBBY)[-1] == "still there?")
        assert [look.text for look in world.looks(LOBBY)].count("and now?") == 1


async def test_one_of_two_places_that_is_deleted_is_not_missed() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod, home, there = await watched(world)
        pod.report(wire.TurnEnded("done", text="first"))
        await world.until(lambda: texts(world.other.seen(there)) == ["first"])
        world.other.fail("post", Gone("thread not found"), Gone("thread not found"), Gone("thread not found"))
        await world.say("and now?", home)
        await world.until(lambda: texts(world.looks(home)) == ["first", "and now?"])
        live = world.roster.live
        await world.until(lambda: list(live[run].state.seats.values()) == [home])
        await world.say("again?", home)
        await world.until(lambda: texts(world.looks(home))[-1] == "again?")
        assert texts(world.other.seen(there)) == ["first"]
        assert texts(world.other.seen(THERE)) == []


async def test_what_becomes_of_a_message_is_shown_on_it() -> None:
    world = World(behave=asking)
    async with world.life():
        run = run_id(await world.say("/launch echo go", message="m1"))
        await world.until(lambda: (LOBBY, Receipt("m1", Got.HEARD)) in world.chat.signs)  # type: ignore[arg-type]
        where = world.place(run)
        pod = await world.runtime.wait_pod(run)
        pod.report(wire.TurnEnded("done", text="done"))
        await world.until(lambda: world.texts(where))
        await world.say("more", where, message="m2")
        await world.until(lambda: (where, Receipt("m2", Got.HEARD)) in world.chat.signs)  # type: ignore[arg-type]
        shown = [sign for _, sign in world.chat.signs if isinstance(sign, Receipt) and sign.message == "m2"]
        assert [sign.got for sign in shown][-1] is Got.HEARD
        assert len(shown) <= 2
        assert (where, Typing()) in world.chat.signs
        await world.say("/stop", where)
        await world.until(lambda: (where, Standing(Phase.ENDED, "stopped")) in world.chat.signs)


async def test_words_for_nobody_may_be_meant_for_a_run_that_lives_here() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod = await world.launch("mend the roof")
        pod.report(wire.TurnEnded("done", text="done"))
        await world.say("and the door, please")
        await world.until(lambda: world.looks(LOBBY)[-1].buttons)
        button = world.looks(LOBBY)[-1].buttons[0]
        assert button.label == "Say it to: mend the roof"
        for _ in range(2):
            await world.press(button.token)
        await world.until(lambda: world.texts(world.place(run))[-1] == "and the door, please")
        assert pod.said.count("and the door, please") == 1


async def test_a_link_to_an_agent_asks_before_it_starts_one() -> None:
    world = World()
    async with world.life():
        await world.say("/start l_echo")
        await world.until(lambda: world.looks(LOBBY)[-1].buttons)
        (button,) = world.looks(LOBBY)[-1].buttons
        assert (button.label, button.token) == ("Launch echo", "launch:echo")
        assert not world.roster.live
        await world.say("/start l_nobody")
        await world.until(lambda: "`nobody` of this link cannot start here" in world.looks(LOBBY)[-1].text)
        assert await world.room.suggest(BOB, THERE, "EC") == [("echo", "says everything back")]


async def test_what_people_say_to_each_other_is_offered_to_no_agent() -> None:
    world = World()
    async with world.life():
        await world.room.receive(Inbound("among/1", LOBBY, ME, text="Bob, are you coming to lunch?", addressed=False))
        await world.say("mend the roof")
        await world.until(lambda: world.looks(LOBBY))
        await asyncio.sleep(60)
        assert [look.text for look in world.looks(LOBBY)] == ["mend the roof"]
