"""`/metrics` while a chat goes deaf: the age of its last sign of life rises, and falls when it hears again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from adapters.kubernetes import Warmth
from bot.countdown import Countdown
from bot.metrics import RoomMetrics
from orchestrator.core import Orchestrator, Rules
from orchestrator.errors import Broken
from orchestrator.gate import Gate
from orchestrator.ports import Chat, Expiry
from tests.botapi import Fault, Kind
from tests.discord_chat.stage import TOKEN, Home
from tests.discordapi import Discord
from tests.fakes.artifacts import MemoryArtifacts
from tests.fakes.notes import MemoryNotes
from tests.fakes.runtime import FakeRuntime
from tests.fakes.store import MemoryStore
from tests.telegram_chat.scene import Scene, scene, until

pytestmark = pytest.mark.looptime

DAY_ONE = 1_800_000_000.0


def now() -> float:
    """Wall time that goes on as the loop's does."""
    return DAY_ONE + asyncio.get_running_loop().time()


@dataclass(frozen=True)
class Gauges:
    """What Prometheus reads of one chat; None where there is no sample."""

    silence: float | None
    heard: float | None


class Scraped:
    """The exposition of a room with this one chat in it."""

    def __init__(self, chat: Chat) -> None:
        self._platform = chat.platform
        room = Orchestrator(
            store=MemoryStore(),
            notes=MemoryNotes(),
            artifacts=MemoryArtifacts(),
            chats={chat.platform: chat},
            runtime=FakeRuntime(),
            gate=Gate({}),
            clock=now,
            rules=Rules(),
        )
        self._metrics = RoomMetrics(room, clock=now)

    def __call__(self) -> Gauges:
        families = text_string_to_metric_families(self._metrics.text().decode())
        found = {
            sample.name: sample.value
            for family in families
            for sample in family.samples
            if sample.labels.get("platform") == self._platform
        }
        return Gauges(found.get("army_chat_silence_seconds"), found.get("army_chat_heard"))

    async def over(self, seconds: int) -> list[Gauges]:
        """What is scraped every five seconds."""
        found = []
        for _ in range(seconds // 5):
            await asyncio.sleep(5)
            found.append(self())
        return found


def oldest(gauges: list[Gauges]) -> float:
    """The longest silence."""
    return max(one.silence for one in gauges if one.silence is not None)


async def test_a_poll_that_nobody_answers_is_seen() -> None:
    async with scene() as s:
        chat = s.chat(clock=now)
        scraped = Scraped(chat)
        assert scraped() == Gauges(silence=None, heard=0), "a chat that was never heard has no age"
        async with s.serving(chat):
            await asyncio.sleep(1)
            assert scraped().heard == 1
            well = await scraped.over(300)
            assert oldest(well) < 35, "a poll that ends with nothing is a sign of life"
            assert {one.heard for one in well} == {1}

            s.api.fail("getUpdates", Fault(Kind.HALF_OPEN), times=1000)
            deaf = await scraped.over(300)
            ages = [one.silence or 0 for one in deaf[8:]]
            assert ages == sorted(ages), "nothing lowers it meanwhile"
            assert ages[-1] > 250
            assert deaf[-1].heard == 0

            s.api.faults.clear()
            await recovers(s, scraped)


async def recovers(s: Scene, scraped: Scraped) -> None:
    await until(lambda: (scraped().silence or 0) < 30, seconds=90)
    assert scraped().heard == 1
    await s.ann.says(s.home, "hello")
    await s.hears(1)
    assert (scraped().silence or 0) < 1


def room() -> Orchestrator:
    return Orchestrator(
        store=MemoryStore(),
        notes=MemoryNotes(),
        artifacts=MemoryArtifacts(),
        chats={},
        runtime=FakeRuntime(),
        gate=Gate({}),
        clock=lambda: DAY_ONE,
        rules=Rules(),
    )


async def test_the_end_of_a_credential_is_told_and_kept_while_it_cannot_be_asked() -> None:
    answers: list[Sequence[Expiry] | Broken] = [
        [Expiry("login", DAY_ONE + 5, "")],
        Broken("The cluster is away."),
        [Expiry("token", DAY_ONE + 9, "")],
    ]

    async def ask() -> Sequence[Expiry]:
        answer = answers.pop(0)
        if isinstance(answer, Broken):
            raise answer
        return answer

    def told() -> list[str]:
        lines = RoomMetrics(room(), countdown=countdown).text().decode().splitlines()
        return [line for line in lines if line.startswith("army_credential")]

    countdown = Countdown(ask, known=[Expiry("key", DAY_ONE + 1, "")])
    name = "army_credential_expiry_timestamp_seconds"
    assert told() == [f'{name}{{credential="key"}} 1.800000001e+09']
    async with countdown.going():
        await asyncio.sleep(1)
        assert [expiry.name for expiry in countdown.expiries] == ["login"]
        await asyncio.sleep(300)
        assert [expiry.name for expiry in countdown.expiries] == ["login"]
        await asyncio.sleep(300)
        assert [expiry.name for expiry in countdown.expiries] == ["token"]
    assert len(told()) == 1


def test_the_pods_that_wait_are_told_where_there_are_any() -> None:
    assert "army_warm" not in RoomMetrics(room()).text().decode()
    told = RoomMetrics(room(), warmth=lambda: Warmth(3, 2, 7, 1, "the quota is full")).text().decode().splitlines()
    assert {line for line in told if line.startswith("army_warm") and "_created" not in line} == {
        'army_warm_pods{which="wanted"} 3.0',
        'army_warm_pods{which="ready"} 2.0',
        'army_warm_claims_total{found="hit"} 7.0',
        'army_warm_claims_total{found="miss"} 1.0',
    }


@asynccontextmanager
async def discord() -> AsyncIterator[tuple[Home, Scraped]]:
    async with Discord(token=TOKEN, base_time=now()) as api:
        home = Home(api)
        async with home.living() as chat:
            yield home, Scraped(chat)


async def test_heartbeats_that_nobody_acknowledges_are_seen() -> None:
    async with discord() as (home, scraped):
        well = await scraped.over(300)
        assert oldest(well) < 35, "an acknowledged heartbeat is a sign of life"
        assert {one.heard for one in well} == {1}

        home.api.sockets.go_silent()
        home.api.sockets.refuse_connections = 1000
        deaf = await scraped.over(300)
        ages = [one.silence or 0 for one in deaf]
        assert ages == sorted(ages), "nothing lowers it meanwhile"
        assert ages[-1] > 290
        assert deaf[-1].heard == 0

        home.api.sockets.refuse_connections = 0
        await until(lambda: (scraped().silence or 0) < 30, seconds=200)
        assert scraped().heard == 1


async def test_a_silent_socket_is_given_up_before_an_operator_is_called() -> None:
    """A half-open gateway costs about a minute, not the quarter of an hour until the kernel notices."""
    async with discord() as (home, scraped):
        await asyncio.sleep(60)
        home.api.sockets.go_silent()
        assert oldest(await scraped.over(300)) < 120
        assert scraped().heard == 1
        assert home.api.sockets.resumes == 1
