"""What is said where no run listens: it is offered to agents, to nobody, or told that nobody hears it."""

from __future__ import annotations

import asyncio

import pytest

from agent import wire
from orchestrator.nouns import Button, Inbound, RunId
from tests.core.world import BOB, LOBBY, ME, THERE, World, asking
from tests.fakes.runtime import FakePod

pytestmark = pytest.mark.looptime


async def overheard(world: World, words: str) -> tuple[RunId, FakePod, Button]:
    """A run lives here and waits, and somebody says this to nobody: what the bot offers to do with it."""
    run, pod = await world.launch("mend the roof")
    pod.report(wire.TurnEnded("done", text="done"))
    await world.say(words)
    await world.until(lambda: world.looks(LOBBY)[-1].buttons)
    return run, pod, world.looks(LOBBY)[-1].buttons[0]


async def test_words_for_nobody_may_be_meant_for_a_run_that_lives_here() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod, button = await overheard(world, "and the door, please")
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
        assert world.words(LOBBY) == ["mend the roof"]


async def test_an_offer_that_is_tapped_again_much_later_makes_no_run_deaf() -> None:
    world = World(behave=asking)
    async with world.life():
        run, pod, button = await overheard(world, "and the door, please")
        await world.press(button.token)
        await world.until(lambda: "and the door, please" in pod.said)
        await asyncio.sleep(10)
        await world.press(button.token)
        await world.until(lambda: "This was said to it already." in world.words(LOBBY))
        await world.say("hello?", world.place(run))
        await world.until(lambda: "hello?" in pod.said)
        assert pod.said.count("and the door, please") == 1


async def test_people_who_talk_in_a_thread_of_the_past_are_told_once_that_nobody_hears_them() -> None:
    world = World(behave=asking)
    async with world.life():
        run = await world.launch_and_stop()
        for n in range(3):
            await world.room.receive(Inbound(f"q{n}", world.place(run), ME, text="as I said, Bob", addressed=False))
        await asyncio.sleep(5)
        over = [look for look in world.looks(world.place(run)) if "This run has ended" in look.text]
        assert len(over) == 1
        await world.say("and you?", world.place(run))
        await world.until(lambda: "This run has ended" in world.looks(world.place(run))[-1].text)
