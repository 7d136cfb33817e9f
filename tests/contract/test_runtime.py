"""What every Runtime promises, asked of the fake, of real processes, and of pods of such behind an API server.

Frames are made by `Put`: each is one Heard.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import shutil
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from adapters.kubernetes import Door, Guest, KubernetesRuntime, Warm
from adapters.local import LocalRuntime
from adapters.local.folder import Folder
from agent.wire import Beat, Command, Finished, Frame, Heard, Order, Put, Resume, Stop
from orchestrator.errors import Broken, Busy, Gone
from orchestrator.nouns import Agent, RunId
from orchestrator.ports import Runtime, Session
from tests.fakes.runtime import FakeRuntime
from tests.kubeapi import KubeApi
from tests.kubeapi.life import Life
from tests.kubeapi.role import shipped_role

AGENT = Agent(name="rehearsal", driver="rehearsal", script="welcome")
RUN = RunId("r-1")
DEADLINE = 20.0


T = TypeVar("T")


async def eventually(look: Callable[[], T | None]) -> T:
    """The first true thing that is seen."""
    deadline = time.monotonic() + DEADLINE
    while not (seen := look()):
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.01)
    return seen


class House(Protocol):
    """An implementation with what a suite must do behind its back."""

    runtime: Runtime
    revives: bool  # whether somebody else than the bot starts again what died

    async def new_life(self) -> None:
        """The bot was gone and is here again: `runtime` is another object over the same data."""
        ...

    async def kill(self, run: RunId) -> None:
        """The agentd of this run gets kill -9, and is dead when this returns."""
        ...

    async def lose_state(self, run: RunId) -> None:
        """The killed agentd's disk is empty."""
        ...

    async def tear(self, run: RunId) -> None:
        """A former connection left half a line in agentd's stdin."""
        ...


class FakeHouse:
    revives = False

    def __init__(self) -> None:
        self.fake = FakeRuntime()
        self.runtime: Runtime = self.fake

    async def new_life(self) -> None:
        old, self.fake = self.fake, FakeRuntime()
        self.runtime = self.fake
        for run in old.runs:
            old.pod(run).cut()
            self.fake.adopt(old.pod(run))

    async def kill(self, run: RunId) -> None:
        self.fake.pod(run).die()

    async def lose_state(self, run: RunId) -> None:
        self.fake.pod(run).lose_state()

    async def tear(self, run: RunId) -> None:
        self.fake.pod(run).stale = 3


class LocalHouse:
    revives = False

    def __init__(self, root: Path) -> None:
        self._root = root
        self._live = AsyncExitStack()
        self.runtime: Runtime

    async def new_life(self) -> None:
        await self._live.aclose()
        self.runtime = await self._live.enter_async_context(LocalRuntime(self._root, python=sys.executable, env={}))

    async def kill(self, run: RunId) -> None:
        folder = Folder(self._root / run)
        pid = await eventually(folder.holder)
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: folder.holder() != pid)

    async def lose_state(self, run: RunId) -> None:
        for path in (self._root / run / "state").iterdir():
            if path.is_file() and path.name != "lock":
                path.unlink()

    async def tear(self, run: RunId) -> None:
        pipe = os.open(self._root / run / "in", os.O_WRONLY | os.O_NONBLOCK)
        os.write(pipe, b'{"id":"torn","do":"put","body":{"na')
        os.close(pipe)

    async def leave(self) -> None:
        for run in await self.runtime.pods():
            await self.runtime.stop(run)
        await self._live.aclose()


async def _rehearsal() -> Agent:
    return AGENT


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


class KubernetesHouse:
    revives = True

    def __init__(self, api: KubeApi, kubeconfig: Path, *, warm: int = 0) -> None:
        self.api = api
        self._warm = Warm(warm, _rehearsal)
        self._door = Door(namespace=api.namespace, kubeconfig=str(api.kubeconfig(kubeconfig)))
        self._live = AsyncExitStack()
        self.runtime: Runtime

    async def new_life(self) -> None:
        await self._live.aclose()
        pods = KubernetesRuntime(self._door, Guest(image="agent:1"), warm=self._warm)
        self.runtime = await self._live.enter_async_context(pods)
        await self.api.until(lambda: pods.warmth().ready == self._warm.count)

    def _pod(self, run: RunId) -> Life:
        return self.api.life(self.api.of_run(run))

    async def kill(self, run: RunId) -> None:
        life = self._pod(run)
        before = await eventually(lambda: life.container)
        life.crash()
        await eventually(lambda: life.container is not before)

    async def lose_state(self, run: RunId) -> None:
        life = self._pod(run)
        await eventually(lambda: life.container)
        self.api.node.dead = True  # so that it is not started again at once
        life.crash()
        await eventually(lambda: life.container is None)
        await asyncio.to_thread(_empty, Path(life.places.here("/state")))
        self.api.node.revive()

    async def tear(self, run: RunId) -> None:
        container = await eventually(lambda: self._pod(run).container)
        await container.write(b'{"id":"torn","do":"put","body":{"na')

    async def leave(self) -> None:
        for run in await self.runtime.pods():
            await self.runtime.stop(run)
        await self._live.aclose()


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


class Listener:
    """The other end, as careful as the core: it takes only what comes next, and asks for it again at each attach."""

    def __init__(self, *, epoch: str = "", n: int = 0) -> None:
        self.epoch, self.n = epoch, n
        self.frames: list[Frame] = []
        self.lost = 0

    async def hear(self, session: Session, condition: Condition) -> bool:
        """Resume and take frames until the condition holds; False when the connection ended before."""
        await session.send(Resume(self.epoch, self.n))
        async with asyncio.timeout(DEADLINE):
            async for batch in session.frames():
                for item in batch:
                    self._take(item)
                if condition(self):
                    return True
        return False

    def _take(self, item: object) -> None:
        if not isinstance(item, Frame | Beat):
            return
        if item.epoch != self.epoch:
            self.lost += bool(self.epoch)
            self.epoch, self.n = item.epoch, 0
        if isinstance(item, Frame) and item.n == self.n + 1:
            self.n += 1
            self.frames.append(item)

    @property
    def heard(self) -> list[str]:
        return [frame.report.id for frame in self.frames if isinstance(frame.report, Heard)]

    @property
    def finished(self) -> Finished | None:
        return next((frame.report for frame in self.frames if isinstance(frame.report, Finished)), None)


Condition = Callable[[Listener], object]


def reached(n: int) -> Condition:
    return lambda it: it.n >= n


def has(command_id: str) -> Condition:
    return lambda it: command_id in it.heard


def counted(count: int) -> Condition:
    return lambda it: len(it.heard) == count


def ended(it: Listener) -> object:
    return it.finished


@asynccontextmanager
async def attached(runtime: Runtime, run: RunId = RUN) -> AsyncIterator[Session]:
    """Attach as soon as the process is there."""
    async with asyncio.timeout(DEADLINE) as patience, AsyncExitStack() as stack:
        while True:
            try:
                session = await stack.enter_async_context(runtime.attach(run))
                break
            except Busy as busy:
                await asyncio.sleep(min(busy.seconds, 0.2))
        patience.reschedule(None)
        yield session


def put(number: int) -> Command:
    """The same number is the same command."""
    data = base64.b64encode(f"piece {number}".encode()).decode()
    return Command(f"put-{number}", Put(name=f"file-{number}.txt", offset=0, data=data, last=True))


def command(order: Order) -> Command:
    return Command(str(uuid.uuid4()), order)


async def send_all(session: Session, numbers: range) -> None:
    for number in numbers:
        await session.send(put(number))


async def tell(house: House, count: int) -> Listener:
    """A started run that has heard so many commands."""
    await house.runtime.start(RUN, AGENT)
    listener = Listener()
    async with attached(house.runtime) as session:
        await send_all(session, range(count))
        assert await listener.hear(session, counted(count))
    return listener


async def test_it_says_what_stands_between_an_agent_and_the_machine(house: House) -> None:
    wall = house.runtime.isolation(AGENT)
    assert wall
    assert house.runtime.isolation(AGENT, run=RUN) == wall, "it has no process yet"
    await tell(house, 1)
    assert house.runtime.isolation(AGENT, run=RUN) == wall


async def test_in_the_beginning_there_is_nothing(house: House) -> None:
    assert await house.runtime.pods() == {}


async def test_started_again_it_does_not_begin_anew(house: House) -> None:
    with pytest.raises(Gone):
        await house.runtime.start(RUN, AGENT, again=True)
    assert await house.runtime.pods() == {}
    await house.runtime.start(RUN, AGENT)
    await house.runtime.start(RUN, AGENT, again=True)
    async with attached(house.runtime) as session:
        assert await Listener().hear(session, lambda it: it.epoch)


async def test_started_twice_is_one_pod(house: House) -> None:
    await asyncio.gather(house.runtime.start(RUN, AGENT), house.runtime.start(RUN, AGENT))
    listener = Listener()
    async with attached(house.runtime) as session:
        assert await listener.hear(session, lambda it: it.epoch)
    epoch = listener.epoch
    await house.runtime.start(RUN, AGENT)
    async with attached(house.runtime) as session:
        await session.send(put(1))
        assert await listener.hear(session, has("put-1"))
    assert listener.epoch == epoch
    assert list(await house.runtime.pods()) == [RUN]


async def test_frames_come_from_any_number_on(house: House) -> None:
    told = await tell(house, 5)
    assert [frame.n for frame in told.frames] == list(range(1, told.n + 1))
    for n in range(told.n + 1):
        listener = Listener(epoch=told.epoch, n=n)
        async with attached(house.runtime) as session:
            assert await listener.hear(session, reached(told.n))
        assert listener.frames == told.frames[n:]


async def test_a_reader_that_knows_another_epoch_gets_everything(house: House) -> None:
    told = await tell(house, 3)
    listener = Listener(epoch="long-ago", n=2)
    async with attached(house.runtime) as session:
        assert await listener.hear(session, reached(told.n))
    assert listener.frames == told.frames
    assert listener.lost == 1


async def test_a_command_is_done_once_for_its_id(house: House) -> None:
    listener = await tell(house, 2)
    async with attached(house.runtime) as session:
        await send_all(session, range(3))
        await send_all(session, range(3))
        await session.send(put(3))
        assert await listener.hear(session, has("put-3"))
    assert listener.heard == ["put-0", "put-1", "put-2", "put-3"]


async def test_a_torn_line_of_a_former_connection_harms_nothing(house: House) -> None:
    listener = await tell(house, 2)
    for number in range(2, 6):
        await house.tear(RUN)
        async with attached(house.runtime) as session:
            await session.send(put(number))
            assert await listener.hear(session, has(f"put-{number}"))
    assert listener.heard == [f"put-{n}" for n in range(6)]


async def test_cut_connections_lose_and_double_nothing(house: House) -> None:
    listener = await tell(house, 1)
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
    listener = await tell(house, 1)
    async with attached(house.runtime) as session:
        with pytest.raises(Broken):
            async with house.runtime.attach(RUN):
                pass
        await session.send(put(1))
        assert await listener.hear(session, counted(2))
    async with attached(house.runtime):
        pass


async def test_a_left_session_is_over(house: House) -> None:
    await tell(house, 1)
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
    await tell(house, 1)
    await house.runtime.stop(RUN)
    await house.runtime.stop(RUN)
    assert await house.runtime.pods() == {}
    with pytest.raises(Gone):
        async with house.runtime.attach(RUN):
            pass


async def test_a_stop_ends_the_session(house: House) -> None:
    await tell(house, 1)
    async with asyncio.timeout(DEADLINE), attached(house.runtime) as session:
        await house.runtime.stop(RUN)
        with pytest.raises(Broken):
            await session.send(Resume())
        assert [batch async for batch in session.frames()] == []


async def test_a_name_can_be_used_again_and_begins_anew(house: House) -> None:
    old = await tell(house, 2)
    await house.runtime.stop(RUN)
    new = await tell(house, 1)
    assert new.epoch != old.epoch
    assert new.heard == ["put-0"]


async def test_agents_outlive_the_bot(house: House) -> None:
    listener = await tell(house, 2)
    await house.runtime.start(RunId("r-2"), AGENT)
    async with attached(house.runtime, RunId("r-2")) as session:
        assert await Listener().hear(session, lambda it: it.epoch)
    await house.new_life()
    pods = await house.runtime.pods()
    assert {run: pod.alive for run, pod in pods.items()} == {RUN: True, "r-2": True}
    await house.runtime.start(RUN, AGENT)
    async with attached(house.runtime) as session:
        await send_all(session, range(3))
        assert await listener.hear(session, counted(3))
    assert listener.lost == 0
    await house.runtime.stop(RunId("r-2"))
    assert list(await house.runtime.pods()) == [RUN]


async def test_a_killed_agentd_goes_on_where_it_was(house: House) -> None:
    listener = await tell(house, 2)
    await house.kill(RUN)
    await house.runtime.start(RUN, AGENT)
    async with attached(house.runtime) as session:
        await send_all(session, range(4))
        assert await listener.hear(session, counted(4))
    assert listener.lost == 0
    assert listener.heard == [f"put-{n}" for n in range(4)]


async def test_a_kill_ends_the_session(house: House) -> None:
    listener = await tell(house, 1)
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
    listener = await tell(house, 1)
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
    listener = await tell(house, 2)
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
    listener = await tell(house, 1)
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
