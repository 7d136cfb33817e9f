"""Agents that work for an hour: ten lines a second each, questions in between, a final answer at the end of each turn.

They are pods in memory; the core, the chat's adapter and the platform's server around them are real. What was asked
and what was answered is written down with its time, and when each line was said, to be compared with the chat.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agent import wire
from agent.wire import Command
from orchestrator.core import Orchestrator, Rules
from orchestrator.gate import Gate, Rule
from orchestrator.nouns import Agent, RunId
from orchestrator.ports import Chat
from tests.fakes.artifacts import MemoryArtifacts
from tests.fakes.notes import MemoryNotes
from tests.fakes.runtime import FakePod, FakeRuntime
from tests.fakes.store import MemoryStore

WHOLE = bool(os.environ.get("ARMY_WHOLE_HOUR"))
"""Whether an hour is a whole one, as `make hour` takes it. Its first tenth, as in `make test`, shows most of it."""

HOUR = 3600.0 if WHOLE else 360.0
LINE_SECONDS = 0.1
WORDS = ("look", "at", "the", "**test**", "and", "`run_it(now)`", "again,", "then", "mend", "what_is_broken", "now")


@dataclass
class Told:
    """Something that an agent said and that must be seen: when, in which run, and the words."""

    at: float
    run: RunId
    text: str


@dataclass
class Fleet:
    """The pods of a room, and what they do. Turns last between `shortest` and `longest` seconds."""

    seed: int
    shortest: float = 240.0
    longest: float = 600.0
    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    asked: list[Told] = field(default_factory=list)
    finals: list[Told] = field(default_factory=list)
    spoke: dict[RunId, list[float]] = field(default_factory=dict)
    lines: int = 0

    def __post_init__(self) -> None:
        self.runtime.behave = self._hear
        self.answered: dict[RunId, asyncio.Event] = {}
        self.said: dict[RunId, asyncio.Event] = {}

    def _hear(self, pod: FakePod, command: Command) -> None:
        match command.order:
            case wire.Start():
                pod.report(wire.CliStarted("played", command.order.session))
                self.answered[pod.run], self.said[pod.run] = asyncio.Event(), asyncio.Event()
                self.said[pod.run].set()
            case wire.Say():
                self.said[pod.run].set()
            case wire.Answer():
                self.answered[pod.run].set()
            case _:
                pass

    async def work(self, run: RunId, *, until: float, first: float = 0.0) -> None:
        """One agent's hour: a turn for each thing it is told, with one question in the middle of it.

        Its first turn lasts `first` seconds, when that is given.
        """
        pod = await self.runtime.wait_pod(run)
        self.spoke[run] = []
        rng = random.Random(f"{self.seed}/{run}")
        loop = asyncio.get_running_loop()
        turn = 0
        while True:
            async with asyncio.timeout(600):
                await self.said[run].wait()
            self.said[run].clear()
            if loop.time() > until:
                return
            turn += 1
            pod.report(wire.TurnStarted())
            seconds = first if first and turn == 1 else rng.uniform(self.shortest, self.longest)
            await self._lines(pod, rng, seconds / 2)
            await self._ask(pod, turn)
            await self._lines(pod, rng, seconds / 2)
            text = self._final(rng, turn)
            self.finals.append(Told(loop.time(), run, text))
            pod.report(wire.TurnEnded("done", text=text, cost_usd=0.01, seconds=seconds))

    async def _lines(self, pod: FakePod, rng: random.Random, seconds: float) -> None:
        """Mostly text as it is written; now and then a tool, or a paragraph that is done."""
        text = ""
        for n in range(int(seconds / LINE_SECONDS)):
            await asyncio.sleep(LINE_SECONDS)
            self.lines += 1
            self.spoke[pod.run].append(asyncio.get_running_loop().time())
            text += f"{' '.join(rng.sample(WORDS, 6))}\n"
            if n % 50 == 20:
                pod.report(wire.ToolCalled(f"c{self.lines}", "Bash", f"pytest -q tests/{n}"))
            elif n % 50 == 30:
                pod.report(wire.ToolReturned(f"c{self.lines - 10}", ok=True, output="1 passed"))
            elif n % 50 == 49:
                pod.report(wire.Wrote(text))
                text = ""
            else:
                pod.live(wire.TextSoFar(text))

    async def _ask(self, pod: FakePod, turn: int) -> None:
        question = f"Question {turn} of {pod.run}: go on?"
        self.asked.append(Told(asyncio.get_running_loop().time(), pod.run, question))
        self.answered[pod.run].clear()
        pod.report(wire.Asked(f"q{turn}", "question", question, (wire.Choice("Yes"), wire.Choice("No"))))
        async with asyncio.timeout(600):
            await self.answered[pod.run].wait()

    def _final(self, rng: random.Random, turn: int) -> str:
        parts = [f"## Turn {turn}", " ".join(rng.choices(WORDS, k=60)), "```python\nassert run_it(1) == 2\n```"]
        parts += [f"- {' '.join(rng.sample(WORDS, 5))}" for _ in range(5)]
        return "\n\n".join(parts)


@asynccontextmanager
async def room(fleet: Fleet, chats: Mapping[str, Chat], rules: Mapping[str, Rule]) -> AsyncIterator[Orchestrator]:
    """A bot in this loop, with these chats, and agents in memory."""
    loop = asyncio.get_running_loop()
    store = MemoryStore()
    await store.keep_agent(Agent("played", "rehearsal", about="an agent that is played"))
    room = Orchestrator(
        store=store,
        notes=MemoryNotes(),
        artifacts=MemoryArtifacts(),
        chats=chats,
        runtime=fleet.runtime,
        gate=Gate(rules),
        clock=lambda: 1_790_000_000.0 + loop.time(),
        rules=Rules(max_runs=50),
    )
    life = asyncio.create_task(room.run())
    try:
        await room.ready.wait()
        yield room
    finally:
        life.cancel()
        await asyncio.wait([life])
        if not life.cancelled() and (error := life.exception()):
            raise error


async def eventually(see: Callable[[], Awaitable[bool] | bool], *, seconds: float = 120.0, step: float = 0.1) -> None:
    """Wait until it is seen; free in virtual time."""
    async with asyncio.timeout(seconds):
        while True:
            found = see()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(step)


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of them lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
