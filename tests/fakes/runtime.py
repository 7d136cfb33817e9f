"""A Runtime without processes: pods whose agentd is a list of frames and an inbox, all in memory.

It keeps agentd's promises (numbers without gaps, a command id done once, resume) and breaks the pipe in every way in
which real ones break. It knows no core. Everything waits on events, nothing sleeps, so it runs in virtual time too.

    runtime = FakeRuntime(behave=echo)              # or your own: def behave(pod, command): pod.report(…)
    pod = await runtime.wait_pod(run)
    await pod.until(lambda: pod.said == ["the task"])
    pod.cut()
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from agent.wire import (
    BEAT_SECONDS,
    Beat,
    CliStarted,
    Command,
    Finished,
    Frame,
    Heard,
    Live,
    Order,
    Report,
    Resume,
    Say,
    Start,
    Stop,
    Taken,
    TurnEnded,
    TurnStarted,
    Wrote,
    line_of,
    parse_down,
    parse_up,
)  # fmt: skip
from orchestrator.errors import Broken, Busy, Gone, Trouble
from orchestrator.nouns import Agent, RunId
from orchestrator.ports import Pod, Restarts

BATCH = 100
BUFFER = 1000
DEADLINE = 10.0


ISOLATION = "no isolation: a fake in a test"


class Bell:
    """Wakes everybody who waits for a condition, whenever something changed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, condition: Callable[[], object], *, seconds: float = DEADLINE) -> None:
        """Return when the condition holds; raises TimeoutError when that takes too long."""
        async with asyncio.timeout(seconds):
            while not condition():
                await self._event.wait()


class FakePod:
    """A run's agentd. Set its plain attributes to hurt it; they take effect from the next thing that happens."""

    def __init__(
        self, run: RunId, agent: Agent, *, behave: Behave | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.run = run
        self.agent = agent
        self.behave = behave
        self.alive = True
        self.words = ""  # why it died
        self.busy = ""  # attach raises Busy with these words while they are here
        self.isolation = ISOLATION
        self.stale = 0  # so many of the last frames are printed at every attach before anything is asked
        self.deaf = 0  # so many of the next lines to agentd are lost although send() succeeds
        self.unsure = 0  # so many of the next lines arrive although send() raises Broken, and the connection is cut
        self.cut_after: int | None = None  # the connection breaks by itself after so many more frames, once
        self.frozen = False  # the connection stands and nothing comes: no frames, no beats
        self.stubborn = False  # Stop is heard and not answered by Finished
        self.attached = 0  # how often somebody attached
        self.resumes: list[Resume] = []
        self.heard: list[Command] = []  # orders done, in order; kept through lose_state()
        self.bell = Bell()
        self.session: FakeSession | None = None
        self._clock = clock
        self.lose_state()

    # --- agentd's part ---

    def report(self, report: Report) -> Frame:
        """A durable frame: into the journal first, then printed if somebody is attached."""
        assert not self.finished, f"agentd reports nothing after Finished, and here comes {report}"
        frame = Frame(n=len(self.frames) + 1, epoch=self.epoch, at=self._clock(), report=report)
        parse_up(line_of(frame))  # a report that cannot travel must fail in the test that made it
        self.frames.append(frame)
        if self.session is not None:
            self.session.follow()
        self.bell.ring()
        return frame

    def live(self, live: Live) -> None:
        """A live frame: seen by whoever is attached, then forgotten."""
        if self.session is not None:
            self.session.print(live)
        self.bell.ring()

    def finish(self, reason: str = "completed", words: str = "", *, linger: bool = True) -> None:
        """The run is over by itself. Without `linger` the process is gone at once, as far as it was read or not."""
        self.report(Finished(reason, words))
        if not linger:
            self.die(words or reason)

    @property
    def finished(self) -> bool:
        return bool(self.frames) and isinstance(self.frames[-1].report, Finished)

    def hear(self, sent: Command | Resume) -> None:
        """A line arrived on stdin."""
        if self.deaf > 0:
            self.deaf -= 1
        elif isinstance(sent, Resume):
            self.resumes.append(sent)
            if self.session is not None:
                self.session.resume(sent)
        elif sent.id not in self._known and not self.finished:
            self._known.add(sent.id)
            self.heard.append(sent)
            self.report(Heard(sent.id))
            if self.behave is not None:
                self.behave(self, sent)
            if isinstance(sent.order, Stop) and not self.stubborn and not self.finished:
                self.report(Finished("stopped", sent.order.words))
        self.bell.ring()

    # --- what a test does to it ---

    def cut(self) -> None:
        """The connection breaks; what was printed and not yet taken is lost with it."""
        session, self.session = self.session, None
        if session is not None:
            session.close()
        self.bell.ring()

    def die(self, words: str = "killed (out of memory)") -> None:
        """The process ends at this moment. Its state stays for the next start()."""
        self.alive, self.words = False, words
        self.cut()

    def revive(self) -> None:
        """The process is started again on its state, as start() does and a kubelet does by itself."""
        self.alive, self.words = True, ""
        self.bell.ring()

    def lose_state(self) -> None:
        """agentd wakes up on an empty disk: another epoch, no frames, every command forgotten."""
        self.epoch = uuid.uuid4().hex
        self.frames: list[Frame] = []
        self._known: set[str] = set()
        self.cut()

    # --- what a test asks ---

    @property
    def orders(self) -> list[Order]:
        """What was done, without the ids."""
        return [command.order for command in self.heard]

    @property
    def said(self) -> list[str]:
        """The task and everything said since."""
        return [order.task if isinstance(order, Start) else order.text
                for order in self.orders if isinstance(order, Start | Say)]  # fmt: skip

    @property
    def reports(self) -> list[Report]:
        return [frame.report for frame in self.frames]

    async def until(self, condition: Callable[[], object], *, seconds: float = DEADLINE) -> None:
        """Wait for something about this pod, e.g. `lambda: len(pod.heard) == 2`."""
        await self.bell.until(condition, seconds=seconds)

    async def wait_heard(self, kind: type, *, times: int = 1, seconds: float = DEADLINE) -> Command:
        """The command with the nth order of this kind, as soon as it is done."""
        await self.until(lambda: sum(isinstance(o, kind) for o in self.orders) >= times, seconds=seconds)
        return [command for command in self.heard if isinstance(command.order, kind)][times - 1]

    async def wait_attached(self, *, seconds: float = DEADLINE) -> None:
        """Somebody is attached and has resumed."""
        await self.until(lambda: self.session is not None and self.session.following, seconds=seconds)


Behave = Callable[[FakePod, Command], None]
"""What an agent does about a command that was just heard."""


def echo(pod: FakePod, command: Command) -> None:
    """An agent that says everything back, one turn each."""
    match command.order:
        case Start(task=text, session=session):
            pod.report(CliStarted(cli="echo", session=session))
        case Say(text=text):
            pass
        case _:
            return
    pod.report(TurnStarted())
    pod.report(Taken(command.id))
    pod.report(Wrote(text))
    pod.report(TurnEnded("done", text=text, cost_usd=0.01, seconds=1.0))


class FakeSession:
    """A connection: a bounded buffer of what the pod printed."""

    def __init__(self, pod: FakePod) -> None:
        self._pod = pod
        self._printed = len(pod.frames)  # the highest n that agentd has printed here
        self._buffer: deque[Frame | Live] = deque(pod.frames[len(pod.frames) - pod.stale :] if pod.stale else ())
        self._bell = Bell()
        self._open = True
        self.following = False

    async def frames(self) -> AsyncIterator[Sequence[Frame | Live]]:
        while True:
            try:
                await self._bell.until(self._stirs, seconds=BEAT_SECONDS)
            except TimeoutError:
                if not self._pod.frozen:
                    self.print(Beat(self._pod.epoch, len(self._pod.frames)))
                continue
            if not self._open:
                return
            yield self._take()

    async def send(self, command: Command | Resume) -> None:
        if not self._open:
            raise Broken("The connection to the agent is gone.", unsure=True)
        again = parse_down(line_of(command))
        assert again == command, f"{command} does not survive the wire"
        self._pod.hear(again)
        if self._pod.unsure > 0:
            self._pod.unsure -= 1
            self._pod.cut()
            raise Broken("The connection to the agent broke while sending.", unsure=True)

    def follow(self) -> None:
        """Print journalled frames that were not printed here, as far as the buffer has room."""
        while self._printed < len(self._pod.frames) and len(self._buffer) < BUFFER:
            self._buffer.append(self._pod.frames[self._printed])
            self._printed += 1
        self._bell.ring()

    def print(self, live: Live) -> None:
        if len(self._buffer) < BUFFER:  # nobody reads: live frames are the ones to drop
            self._buffer.append(live)
        self._bell.ring()

    def resume(self, resume: Resume) -> None:
        self.following = True
        self._buffer.append(Beat(self._pod.epoch, len(self._pod.frames)))
        self._printed = min(resume.after, len(self._pod.frames)) if resume.epoch == self._pod.epoch else 0
        self.follow()

    def close(self) -> None:
        self._open = False
        self._bell.ring()

    def _stirs(self) -> bool:
        return not self._open or (bool(self._buffer) and not self._pod.frozen)

    def _take(self) -> list[Frame | Live]:
        pod, most = self._pod, BATCH
        if pod.cut_after is not None:
            most = min(BATCH, pod.cut_after)
            pod.cut_after -= min(most, len(self._buffer))
        batch = [self._buffer.popleft() for _ in range(min(most, len(self._buffer)))]
        if pod.cut_after == 0:
            pod.cut_after = None
            pod.cut()
        else:
            self.follow()
        return batch


class FakeRuntime:
    """Pods by run. `fail("start", Broken("…"))` makes the next call of that method raise."""

    def __init__(self, *, behave: Behave | None = None, clock: Callable[[], float] = time.time) -> None:
        self.behave = behave  # what pods made from now on do
        self.busy = ""  # the words that pods made from now on start with
        self.died: dict[RunId, Restarts] = {}
        self.wall = ISOLATION  # what stands between pods made from now on and the machine
        self.started: list[RunId] = []  # every call of start()
        self.stopped: list[RunId] = []  # every call of stop()
        self.graves: dict[RunId, FakePod] = {}  # pods that were stopped
        self.bell = Bell()
        self._pods: dict[RunId, FakePod] = {}
        self._clock = clock
        self._failing: dict[str, deque[Trouble]] = {}

    def isolation(self, agent: Agent, *, run: RunId | None = None) -> str:
        pod = self._pods.get(run) if run is not None else None
        return pod.isolation if pod is not None else self.wall

    def restarts(self, run: RunId) -> Restarts:
        return self.died.get(run, Restarts())

    async def start(self, run: RunId, agent: Agent, *, again: bool = False) -> None:
        self.started.append(run)
        self._maybe_fail("start")
        pod = self._pods.get(run)
        if pod is None and again:
            raise Gone(f"Nothing of {run} is left.")
        if pod is None:
            pod = self._pods[run] = FakePod(run, agent, behave=self.behave, clock=self._clock)
            pod.busy, pod.isolation = self.busy, self.wall
        elif not pod.alive and not pod.finished:
            pod.revive()
        self.bell.ring()

    async def stop(self, run: RunId) -> None:
        self.stopped.append(run)
        self._maybe_fail("stop")
        if (pod := self._pods.pop(run, None)) is not None:
            self.graves[run] = pod
            pod.die("stopped")
        self.bell.ring()

    async def pods(self) -> Mapping[RunId, Pod]:
        self._maybe_fail("pods")
        return {
            run: Pod(alive=pod.alive, words=pod.busy if pod.alive else pod.words) for run, pod in self._pods.items()
        }

    @asynccontextmanager
    async def attach(self, run: RunId) -> AsyncIterator[FakeSession]:
        self._maybe_fail("attach")
        pod = self._pods.get(run)
        if pod is None or not pod.alive:
            raise Gone(f"There is no agent process for {run}." if pod is None else f"The agent ended: {pod.words}")
        if pod.busy:
            raise Busy(pod.busy, seconds=1.0)
        if pod.session is not None:
            raise Broken(f"Somebody is attached to {run} already.")
        session = pod.session = FakeSession(pod)
        pod.attached += 1
        pod.bell.ring()
        try:
            yield session
        finally:
            if pod.session is session:
                pod.cut()

    # --- what a test does and asks ---

    def pod(self, run: RunId) -> FakePod:
        """The pod of this run; KeyError when there is none."""
        return self._pods[run]

    @property
    def runs(self) -> list[RunId]:
        return list(self._pods)

    async def wait_pod(self, run: RunId, *, seconds: float = DEADLINE) -> FakePod:
        """The pod of this run, as soon as it is started."""
        await self.bell.until(lambda: run in self._pods, seconds=seconds)
        return self._pods[run]

    def fail(self, method: str, *troubles: Trouble) -> None:
        """The next calls of start, stop, pods or attach raise these, one each."""
        self._failing.setdefault(method, deque()).extend(troubles)

    def adopt(self, pod: FakePod) -> None:
        """A pod that nobody of this life started."""
        self._pods[pod.run] = pod
        self.bell.ring()

    def _maybe_fail(self, method: str) -> None:
        if waiting := self._failing.get(method):
            raise waiting.popleft()
