"""Telegram and Discord: the adapters with the real libraries, the core and SQLite, in real time over loopback sockets.

Each platform is measured in a process of its own that has nothing else in it (`python -m tests.bench.chats NAME`); the
platform itself and its people are another process (`tests.bench.platforms`), which keeps the real one's limits. Agents
are in memory and say little, so that no budget is used up: these are the bot's own seconds, not those that a platform
makes it wait, nor the network's. Memory is that of the bot's process, its agents' fifty events each included.

On two processors with little else to do, 95 of 100 times: a person saw the first sign within 13 ms on Telegram and 9 on
Discord, and an agent's line was in the chat within 9 and 7. With others at work on the machine it was up to 21 and 163
ms. A final answer of 8 kB is rendered in some 20 ms, in which the bot does nothing else. A thread more costs 65 kB.
While 200 runs were launched as fast as it goes, it was told to wait four times on Telegram beside others' work, and
otherwise never.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import structlog

from adapters.discord.chat import DiscordChat
from adapters.disk import open_artifacts
from adapters.sqlite import Database, open_store
from adapters.telegram.chat import TelegramChat
from agent import wire
from agent.wire import Command
from orchestrator.commands import COMMANDS
from orchestrator.core import Orchestrator, Rules
from orchestrator.gate import Gate, Rule
from orchestrator.nouns import Agent, Conversation, Person
from orchestrator.ports import Artifacts, Chat
from tests.bench.pods import PROSE
from tests.bench.rendering import RENDERERS, rendered
from tests.bench.rows import Row, quantile, row
from tests.fakes.runtime import FakePod, FakeRuntime
from tests.product import ROOT

FEW, MANY = 20, 200
"""Threads in which something is done, and threads whose weight is measured."""

ROUNDS = 3
"""How often each thing is done in each of the few."""

APART_SECONDS = 4.0
"""From one thing in a thread to the next: no budget is used up by that."""

WAVE = 10
"""Runs that are asked for at once."""

DONE = 20
"""Things that each agent has done, so that its page looks like one."""


class Far:
    """The process that plays the platform."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def told(self) -> Any:
        """The next line that it prints."""
        assert self._process.stdout
        async with asyncio.timeout(60):
            return json.loads(await self._process.stdout.readline())

    async def do(self, order: str, **more: object) -> Any:
        """Give an order, and what came of it."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": order, **more}).encode() + b"\n")
        return await self.told()

    async def settled(self, *, quiet: float = 3.0) -> None:
        """Wait until no more requests come."""
        async with asyncio.timeout(120):
            before = -1
            while before != (before := await self.do("requests")):  # noqa: ASYNC110 - another process knows
                await asyncio.sleep(quiet)


@asynccontextmanager
async def far(name: str) -> AsyncIterator[Far]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.platforms", name,
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=16 << 20,
    )  # fmt: skip
    try:
        yield Far(process)
    finally:
        assert process.stdin
        process.stdin.close()
        async with asyncio.timeout(10):
            await process.wait()


# --- the bot, with agents in memory -----------------------------------------------------------------------------------


def listens(pod: FakePod, command: Command) -> None:
    """An agent that did something at once and has been at work on the rest since; it hears what it is told."""
    if isinstance(command.order, wire.Start):
        pod.report(wire.CliStarted("played", command.order.session))
        pod.report(wire.TurnStarted())
        for n in range(DONE):
            pod.report(wire.ToolCalled(f"done-{n}", "Bash", f"make test TEST=listen_{n}"))
            pod.report(wire.ToolReturned(f"done-{n}", output="1 passed"))
        pod.report(wire.Wrote(PROSE * 3))


@asynccontextmanager
async def bot(name: str, platform: Far, runtime: FakeRuntime, folder: Path) -> AsyncIterator[None]:
    """The core with one chat, hearing."""
    about = await platform.told()
    async with open_store(folder / "army.db") as database, AsyncExitStack() as doors:
        await database.store.keep_agent(Agent("played", "rehearsal", about="an agent that is played"))
        artifacts = await open_artifacts(folder / "files")
        chat: Chat
        if name == "telegram":
            chat = await doors.enter_async_context(on_telegram(about, database, artifacts))
            rule = Rule(people=frozenset(about["people"]))
        else:
            chat = await doors.enter_async_context(on_discord(about, database, artifacts))
            rule = Rule(people=frozenset(about["people"]), servers=frozenset({about["guild"]}))
        room = Orchestrator(
            store=database.store,
            notes=database.notes("core"),
            artifacts=artifacts,
            chats={name: chat},
            runtime=runtime,
            gate=Gate({name: rule}),
            clock=time.time,
            rules=Rules(max_runs=MANY + 1),
        )
        life = asyncio.create_task(room.run())
        try:
            await room.ready.wait()
            yield
        finally:
            life.cancel()
            await asyncio.wait([life])
            if not life.cancelled() and (error := life.exception()):
                raise error


def on_telegram(about: dict[str, Any], database: Database, artifacts: Artifacts) -> TelegramChat:
    """As the product makes it."""
    return TelegramChat(
        database.notes("telegram"),
        artifacts,
        token=about["token"],
        api_base=about["url"],
        commands=COMMANDS,
        allowed_users=[int(id_) for id_ in about["people"]],
    )


def on_discord(about: dict[str, Any], database: Database, artifacts: Artifacts) -> DiscordChat:
    """As the product makes it."""

    async def suggest(_person: Person, _where: Conversation, _typed: str) -> Sequence[tuple[str, str]]:
        return []

    return DiscordChat(
        database.notes("discord"),
        artifacts,
        token=about["token"],
        guilds=[about["guild"]],
        may=lambda _person, _where: True,
        api_base=about["rest"],
        gateway_url=about["gateway"],
        commands=COMMANDS,
        suggest=suggest,
    )


# --- the figures ------------------------------------------------------------------------------------------------------


class Room:
    """A bot with runs on one platform, and the figures taken of it."""

    def __init__(self, name: str, platform: Far, runtime: FakeRuntime) -> None:
        self.name = name
        self._platform = platform
        self._runtime = runtime
        self._size = 0

    async def grow(self, size: int) -> None:
        """Launch runs until there are so many, and wait until all of it stands in the chat."""
        while self._size < size:
            for number in range(self._size, min(size, self._size + WAVE)):
                await self._platform.do("launch", number=number)
            self._size = min(size, self._size + WAVE)
            async with asyncio.timeout(120):
                while await self._platform.do("threads") < self._size:  # noqa: ASYNC110 - another process knows
                    await asyncio.sleep(0.1)
        await self._platform.settled()

    async def people(self) -> list[Row]:
        """From what people do to the first that the platform sees of it."""
        await self._each(lambda number: self._platform.do("say", number=number))
        await self._each(lambda number: self._platform.do("command", number=number))
        await self._platform.settled()
        delays = await self._platform.do("delays")
        return [one for what, found in delays.items() for one in self._quantiles(what, found, aim=100.0)]

    async def agents(self) -> list[Row]:
        """From an agent's line to the edit that shows it."""
        pods = [await self._runtime.wait_pod(run) for run in self._runtime.runs[:FEW]]
        acts = [await self._stamped(pods, act) for act in (calls_tool, writes)]
        shown = await self._platform.do("shown")
        rows: list[Row] = []
        for what, stamps in zip(("tool to edit", "text to edit or draft"), acts, strict=True):
            delays = [shown.get(str(stamp), float("inf")) - stamp / 1e6 for stamp in stamps]
            rows += self._quantiles(what, delays, aim=50.0)
        return rows

    async def _stamped(self, pods: Sequence[FakePod], act: Callable[[FakePod, int], None]) -> list[int]:
        stamps: list[int] = []

        async def now(number: int) -> None:
            stamps.append(int(time.monotonic() * 1e6))
            act(pods[number], stamps[-1])

        await self._each(now)
        await self._platform.settled()
        return stamps

    async def _each(self, do: Callable[[int], Awaitable[object]]) -> None:
        """This in each of the few threads, again and again, evenly spread."""
        for _ in range(ROUNDS):
            for number in range(FEW):
                await do(number)
                await asyncio.sleep(APART_SECONDS / FEW)

    def _quantiles(self, what: str, delays: Sequence[float], *, aim: float) -> list[Row]:
        return [
            row(f"{self.name}: {what}, p50", quantile(delays, 0.5) * 1000, "ms"),
            row(f"{self.name}: {what}, p95", quantile(delays, 0.95) * 1000, "ms", aim=aim),
        ]


def calls_tool(pod: FakePod, stamp: int) -> None:
    """Something durable, which changes the head of the page."""
    pod.report(wire.ToolCalled(f"call-{stamp}", "Bash", f"make test T{stamp}T"))
    pod.report(wire.ToolReturned(f"call-{stamp}", output="1 passed"))


def writes(pod: FakePod, stamp: int) -> None:
    """Text as it is being written, which nobody keeps."""
    pod.live(wire.TextSoFar(f"Now they pass, T{stamp}T as it was"))


def memory() -> float:
    """What this process takes, in MiB."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / (1 << 20)


async def measured(name: str) -> list[Row]:
    """Everything that is measured of one platform."""
    rows = rendered(name)
    runtime = FakeRuntime(behave=listens)
    with TemporaryDirectory(prefix="bench-") as folder:
        async with far(name) as platform, bot(name, platform, runtime, Path(folder)):
            room = Room(name, platform, runtime)
            await asyncio.sleep(2)
            gc.freeze()  # as the product does
            gc.set_threshold(20_000, 5, 10)
            empty = memory()
            await room.grow(FEW)
            rows += await room.people()
            rows += await room.agents()
            few = memory()
            await room.grow(MANY)
            many = memory()
            rows.append(row(f"{name}: memory of the bot without a thread", empty, "MiB"))
            rows.append(row(f"{name}: memory of the bot with {MANY} live threads", many, "MiB"))
            rows.append(row(f"{name}: memory for one more thread", (many - few) / (MANY - FEW), "MiB"))
            told, wrongs = await platform.do("waits"), await platform.do("wrongs")
            rows.append(row(f"{name}: times that it was told to wait", told, "", aim=0.0))
            assert not wrongs, wrongs
    return rows


# --- a process for each ----------------------------------------------------------------------------------------------


async def measure() -> list[Row]:
    """Everything that is measured of the chats, one after the other."""
    rows: list[Row] = []
    for name in RENDERERS:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.chats", name, cwd=ROOT, stdout=subprocess.PIPE
        )
        async with asyncio.timeout(600):
            out, _ = await process.communicate()
        assert process.returncode == 0, f"the bench of {name} broke"
        rows += [Row(**found) for found in json.loads(out)]
    return rows


def main() -> None:
    """Measure one platform and print what was found; warnings go to stderr."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    print(json.dumps([asdict(found) for found in asyncio.run(measured(sys.argv[1]))]))


if __name__ == "__main__":
    main()
