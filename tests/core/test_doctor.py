"""The doctor in a chat: it is heard at once, its look keeps nobody waiting, and a look that fails is told as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from orchestrator.checkup import Finding
from orchestrator.doctor import LOOK_SECONDS, LOOKING, MOST_ASKED
from tests.core.world import LOBBY, World

pytestmark = pytest.mark.looptime

WELL = Finding("disk", "3 GiB free in /var", good=True)
LATE = Finding("credential", "*The login* is good for 3 days. Log in again", good=False)


async def slowly() -> Sequence[Finding]:
    await asyncio.sleep(10)
    return [WELL, LATE]


async def test_it_looks_and_says_what_it_found_in_the_same_message() -> None:
    world = World(examine=slowly)
    async with world.life():
        await world.say("/doctor")
        await world.until(lambda: [look.status for look in world.looks(LOBBY)] == [LOOKING])
        await world.launch("others are not kept waiting")
        await world.until(lambda: world.looks(LOBBY)[0].status == "1 to look at")
        text = world.looks(LOBBY)[0].text
        assert "- ✓ **disk** 3 GiB free in /var" in text
        assert "⚠ **credential** \\*The login\\* is good for 3 days" in text, "what is found is no markdown"


async def test_asked_twice_it_looks_once_more_afterwards() -> None:
    looks = 0

    async def examine() -> Sequence[Finding]:
        nonlocal looks
        looks += 1
        alone = looks
        await asyncio.sleep(10)
        assert looks == alone, "two looks at a time"
        return [WELL]

    world = World(examine=examine)
    async with world.life():
        await world.say("/doctor", key="fake/a")
        await world.say("/doctor", key="fake/a")
        await world.say("/doctor", key="fake/b")
        await world.until(lambda: [look.status for look in world.looks(LOBBY)] == ["all is well"] * 2)
    assert looks == 2


async def test_more_than_a_few_who_ask_at_once_are_told_to_wait() -> None:
    world = World(examine=slowly)
    async with world.life():
        for _ in range(MOST_ASKED + 1):
            await world.say("/doctor")
        await world.until(lambda: any("is looking already" in look.text for look in world.looks(LOBBY)))
        await world.until(lambda: [look.status for look in world.looks(LOBBY)].count("1 to look at") == MOST_ASKED)
        await world.say("/doctor")
        await world.until(lambda: [look.status for look in world.looks(LOBBY)].count("1 to look at") == MOST_ASKED + 1)


async def test_a_look_that_fails_or_never_ends_says_so_and_harms_nobody() -> None:
    async def defect() -> Sequence[Finding]:
        raise ZeroDivisionError

    async def for_ever() -> Sequence[Finding]:
        await asyncio.sleep(LOOK_SECONDS * 10)
        return []

    for examine, words in ((defect, "ZeroDivisionError"), (for_ever, "did not come to an end")):
        world = World(examine=examine)
        async with world.life():
            await world.say("/doctor")
            await world.until(lambda world=world, words=words: words in world.looks(LOBBY)[0].status)  # type: ignore[misc]
            run, _ = await world.launch("hi")
            await world.until(lambda world=world, run=run: "hi" in world.texts(world.place(run)))  # type: ignore[misc]
