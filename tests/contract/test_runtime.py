"""What every Runtime promises, asked of the fake, of real processes, and of pods of such behind an API server.

Frames are made by `Put`: each is one Heard.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.wire import Resume, Stop
from orchestrator.errors import Broken, Gone
from orchestrator.nouns import RunId
from tests.contract.houses import FakeHouse, House, KubernetesHouse, LocalHouse
from tests.contract.listener import (
    AGENT,
    DEADLINE,
    RUN,
    Listener,
    attached,
    command,
    counted,
    ended,
    has,
    is_there,
    put,
    reached,
    send_all,
    tell,
    tell_on,
)
from tests.kubeapi import KubeApi
from tests.kubeapi.role import shipped_role


@pytest.fixture(params=["fake", "local", "kubernetes", "kubernetes-warm"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    if request.param == "fake":
        yield FakeHouse()
        return
    if request.param.startswith("kubernetes"):
        async with KubeApi(rbac=shipped_role()) as api:
            warm = 1 if request.param == "kubernetes-warm" else 0
            cluster = KubernetesHouse(api, tmp_path / "kubeconfig", warm=warm)
            await cluster.new_life()
            yield cluster
            await cluster.leave()
        return
    local = LocalHouse(tmp_path / "runs")
    await local.new_life()
    yield local
    await local.leave()


async def test_it_says_what_stands_between_an_agent_and_the_machine(house: House) -> None:
    wall = house.runtime.isolation(AGENT)
    assert wall
    assert house.runtime.isolation(AGENT, run=RUN) == wall, "it has no process yet"
    await tell(house.runtime, 1)
    assert house.runtime.isolation(AGENT, run=RUN) == wall


async def test_in_the_beginning_there_is_nothing(house: House) -> None:
    assert await house.runtime.pods() == {}


async def test_started_again_it_does_not_begin_anew(house: House) -> None:
    with pytest.raises(Gone):
        await house.runtime.start(RUN, AGENT, again=True)
    assert await house.runtime.pods() == {}
    await house.runtime.start(RUN, AGENT)
    await house.runtime.start(RUN, AGENT, again=True)
    await is_there(house.runtime)


async def test_started_twice_is_one_pod(house: House) -> None:
    await asyncio.gather(house.runtime.start(RUN, AGENT), house.runtime.start(RUN, AGENT))
    listener = await is_there(house.runtime)
    epoch = listener.epoch
    await house.runtime.start(RUN, AGENT)
    async with attached(house.runtime) as session:
        await session.send(put(1))
        assert await listener.hear(session, has("put-1"))
    assert listener.epoch == epoch
    assert list(await house.runtime.pods()) == [RUN]


async def test_frames_come_from_any_number_on(house: House) -> None:
    told = await tell(house.runtime, 5)
    assert [frame.n for frame in told.frames] == list(range(1, told.n + 1))
    for n in range(told.n + 1):
        listener = Listener(epoch=told.epoch, n=n)
        async with attached(house.runtime) as session:
            assert await listener.hear(session, reached(told.n))
        assert listener.frames == told.frames[n:]


async def test_a_reader_that_knows_another_epoch_gets_everything(house: House) -> None:
    told = await tell(house.runtime, 3)
    listener = Listener(epoch="long-ago", n=2)
    async with attached(house.runtime) as session:
        assert await listener.hear(session, reached(told.n))
    assert listener.frames == told.frames
    assert listener.lost == 1


async def test_a_command_is_done_once_for_its_id(house: House) -> None:
    listener = await tell(house.runtime, 2)
    async with attached(house.runtime) as session:
        await send_all(session, range(3))
        await send_all(session, range(3))
        await session.send(put(3))
        assert await listener.hear(session, has("put-3"))
    assert listener.heard == ["put-0", "put-1", "put-2", "put-3"]


async def test_a_torn_line_of_a_former_connection_harms_nothing(house: House) -> None:
    listener = await tell(house.runtime, 2)
    for number in range(2, 6):
        await house.tear(RUN)
        async with attached(house.runtime) as session:
            await session.send(put(number))
            assert await listener.hear(session, has(f"put-{number}"))
    assert listener.heard == [f"put-{n}" for n in range(6)]


async def test_cut_connections_lose_and_double_nothing(house: House) -> None:
    listener = await tell(house.runtime, 1)
    dice = random.Random(7)
    for number in range(1, 60, 6):
        stop_at = listener.n + dice.randint(0, 5)
        async with attached(house.runtime) as session:
            await send_all(session, range(number, number + 6))
            await listener.hear(session, reached(stop_at))
    async with attached(house.runtime) as session:
        assert await listener.hear(session, counted(61))
    assert listener.heard == [f"put-{n}" for n in range(61)]
    assert [frame.n for frame in listener.frames] == list(range(1, listener.n + 1))


async def test_one_session_at_a_time(house: House) -> None:
    listener = await tell(house.runtime, 1)
    async with attached(house.runtime) as session:
        with pytest.raises(Broken):
            async with house.runtime.attach(RUN):
                pass
        await session.send(put(1))
        assert await listener.hear(session, counted(2))
    async with attached(house.runtime):
        pass


async def test_a_left_session_is_over(house: House) -> None:
    await tell(house.runtime, 1)
    async with attached(house.runtime) as session:
        pass
    with pytest.raises(Broken):
        await session.send(Resume())
    assert [batch async for batch in session.frames()] == []


async def test_what_nobody_started_is_gone(house: House) -> None:
    with pytest.raises(Gone):
        async with house.runtime.attach(RunId("r-nobody")):
            pass


async def test_stopped_twice_is_stopped_once(house: House) -> None:
    await tell(house.runtime, 1)
    await house.runtime.stop(RUN)
    await house.runtime.stop(RUN)
    assert await house.runtime.pods() == {}
    with pytest.raises(Gone):
        async with house.runtime.attach(RUN):
            pass


async def test_a_stop_ends_the_session(house: House) -> None:
    await tell(house.runtime, 1)
    async with asyncio.timeout(DEADLINE), attached(house.runtime) as session:
        await house.runtime.stop(RUN)
        with pytest.raises(Broken):
            await session.send(Resume())
        assert [batch async for batch in session.frames()] == []


async def test_a_name_can_be_used_again_and_begins_anew(house: House) -> None:
    old = await tell(house.runtime, 2)
    await house.runtime.stop(RUN)
    new = await tell(house.runtime, 1)
    assert new.epoch != old.epoch
    assert new.heard == ["put-0"]


async def test_agents_outlive_the_bot(house: House) -> None:
    listener = await tell(house.runtime, 2)
    await house.runtime.start(RunId("r-2"), AGENT)
    await is_there(house.runtime, RunId("r-2"))
    await house.new_life()
    pods = await house.runtime.pods()
    assert {run: pod.alive for run, pod in pods.items()} == {RUN: True, "r-2": True}
    await house.runtime.start(RUN, AGENT)
    await tell_on(house.runtime, listener, 3)
    assert listener.lost == 0
    await house.runtime.stop(RunId("r-2"))
    assert list(await house.runtime.pods()) == [RUN]


async def test_a_killed_agentd_goes_on_where_it_was(house: House) -> None:
    listener = await tell(house.runtime, 2)
    await house.kill(RUN)
    await house.runtime.start(RUN, AGENT)
    await tell_on(house.runtime, listener, 4)
    assert listener.lost == 0
    assert listener.heard == [f"put-{n}" for n in range(4)]


async def test_a_kill_ends_the_session(house: House) -> None:
    listener = await tell(house.runtime, 1)
    async with attached(house.runtime) as session:
        killing = asyncio.ensure_future(house.kill(RUN))
        async with asyncio.timeout(DEADLINE):
            async for _ in session.frames():
                pass
        await killing
    await house.runtime.start(RUN, AGENT)
    async with attached(house.runtime) as session:
        await session.send(put(1))
        assert await listener.hear(session, counted(2))


async def test_one_that_died_without_the_bot_is_started_by_the_next(house: House) -> None:
    listener = await tell(house.runtime, 1)
    await house.new_life()
    await house.kill(RUN)
    if not house.revives:
        assert not (await house.runtime.pods())[RUN].alive
        assert (await house.runtime.pods())[RUN].words
        with pytest.raises(Gone):
            async with house.runtime.attach(RUN):
                pass
    await house.runtime.start(RUN, AGENT)
    async with attached(house.runtime) as session:
        await session.send(put(1))
        assert await listener.hear(session, counted(2))
    assert listener.lost == 0


async def test_lost_state_is_another_epoch(house: House) -> None:
    listener = await tell(house.runtime, 2)
    await house.new_life()
    await house.kill(RUN)
    await house.lose_state(RUN)
    await house.runtime.start(RUN, AGENT)
    async with attached(house.runtime) as session:
        await session.send(put(7))
        assert await listener.hear(session, has("put-7"))
    assert listener.lost == 1
    assert listener.frames[-1].n < 3


async def test_the_end_is_told_and_stays_the_end(house: House) -> None:
    listener = await tell(house.runtime, 1)
    async with attached(house.runtime) as session:
        await session.send(command(Stop("enough")))
        assert await listener.hear(session, ended)
    assert listener.finished is not None
    assert listener.finished.reason == "stopped"
    await house.runtime.start(RUN, AGENT)
    again = Listener()
    try:
        async with attached(house.runtime) as session:
            await again.hear(session, ended)
        assert again.finished == listener.finished, "as long as it can be asked it says the same"
    except Gone as gone:
        assert str(gone)  # noqa: PT017 - either is fine: it lingers or it has left
    await house.runtime.stop(RUN)
    assert await house.runtime.pods() == {}
