"""A run in several places: watched and answered from another chat, and going on when its thread is deleted."""

from __future__ import annotations

import asyncio

import pytest

from agent import wire
from orchestrator.errors import Broken, Gone
from orchestrator.nouns import Got, Message, Phase, Receipt, Standing, Typing
from orchestrator.run import run_id
from tests.core.world import BOB, LOBBY, THERE, World, asking

pytestmark = pytest.mark.looptime


def texts(looks: list[Message]) -> list[str]:
    return [look.text for look in looks if look.rings and look.text]


async def test_a_run_is_watched_and_answered_from_another_platform() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod, home, there = await world.watch()
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
        await world.until(lambda: "and now?" in world.words(LOBBY))
        welcome = world.looks(LOBBY)[0]
        assert "its thread is no more, so it goes on here" in welcome.status
        assert welcome.rings
        await world.say("still there?", LOBBY)
        await world.until(lambda: world.texts(LOBBY)[-1] == "still there?")
        assert world.words(LOBBY).count("and now?") == 1


async def test_one_of_two_places_that_is_deleted_is_not_missed() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod, home, there = await world.watch()
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
