"""The other end of the pipe, for tests of a Runtime: it starts a run, tells it to put files, and hears what it did.

Each `Put` makes one Heard. It knows no implementation.
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from agent.wire import Beat, Command, Finished, Frame, Heard, Order, Put, Resume
from orchestrator.errors import Busy
from orchestrator.nouns import Agent, RunId
from orchestrator.ports import Runtime, Session

AGENT = Agent(name="rehearsal", driver="rehearsal", script="welcome")
RUN = RunId("r-1")
DEADLINE = 20.0


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


async def tell(runtime: Runtime, count: int) -> Listener:
    """A started run that has heard so many commands."""
    await runtime.start(RUN, AGENT)
    listener = Listener()
    await tell_on(runtime, listener, count)
    return listener


async def tell_on(runtime: Runtime, listener: Listener, count: int, *, run: RunId = RUN) -> None:
    """Say everything up to this count to a run that may have heard the beginning, until it has heard it all."""
    async with attached(runtime, run) as session:
        await send_all(session, range(count))
        assert await listener.hear(session, counted(count))


async def is_there(runtime: Runtime, run: RunId = RUN) -> Listener:
    """Whoever has heard the run's process say something, be it only that it is there."""
    listener = Listener()
    async with attached(runtime, run) as session:
        assert await listener.hear(session, lambda it: it.epoch)
    return listener
