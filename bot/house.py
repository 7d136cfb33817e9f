"""The wiring: settings become adapters, adapters become a room, and the room lives until it is told to go.

This is the only place that knows every part by name.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from adapters.disk import open_artifacts
from adapters.sqlite import Database, open_store
from bot.chats import open_chats
from bot.doctor import examine_alive
from bot.listener import application, listening
from bot.lock import only_bot
from bot.metrics import RoomMetrics
from bot.profiles import shipped_agents
from bot.runtimes import open_runtime
from bot.settings import Settings
from orchestrator.core import Orchestrator, Rules
from orchestrator.errors import Broken
from orchestrator.gate import Gate
from orchestrator.nouns import Conversation, Person
from orchestrator.ports import Store

log = structlog.get_logger()

DAY = 24 * 3600.0
KEPT_DAYS = 30
RUNS_TAB = Conversation("web", "runs")


@dataclass(frozen=True, slots=True)
class House:
    """What runs: the room, and where its page is."""

    room: Orchestrator
    port: int
    unavailable: Mapping[str, str]


async def live(settings: Settings, environ: Mapping[str, str], *, greet: Callable[[House], None]) -> None:
    """Run the bot until a signal ends it. Raises `Trouble` with a sentence when it cannot start."""
    with only_bot(settings.data_dir):
        _collect_rarely()
        async with asyncio.TaskGroup() as group, opened(settings, environ) as house:
            life = group.create_task(house.room.run())
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, life.cancel)
            ready = group.create_task(house.room.ready.wait())
            await asyncio.wait([life, ready], return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                greet(house)
            ready.cancel()  # a signal came first: nobody will be ready any more
            await asyncio.wait([life])


@asynccontextmanager
async def opened(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[House]:
    """Everything but life: the files, the listener, the room ready to run."""
    data = settings.data_dir.absolute()
    async with (
        open_store(data / "army.db") as database,
        open_runtime(settings, environ, store=database.store) as ground,
        AsyncExitStack() as doors,
    ):
        await _seed(database.store)
        artifacts = await open_artifacts(data / "files")

        async def suggest(person: Person, where: Conversation, typed: str) -> Sequence[tuple[str, str]]:
            return await room.suggest(person, where, typed)

        chats = await doors.enter_async_context(open_chats(settings, database, artifacts, suggest=suggest))
        room = Orchestrator(
            store=database.store,
            notes=database.notes("core"),
            artifacts=artifacts,
            chats=chats.by_platform,
            runtime=ground.runtime,
            gate=Gate(chats.rules),
            clock=time.time,
            rules=Rules(
                max_runs=settings.max_runs,
                budget_usd=settings.max_budget_usd,
                unavailable=ground.unavailable,
                boards=(RUNS_TAB,),
            ),
            examine=partial(examine_alive, settings, environ, database),
        )
        app = application(
            ready=room.ready.is_set,
            metrics=RoomMetrics(room, warmth=ground.warmth, countdown=ground.countdown).text,
            token=settings.web_token.reveal(),
        )
        chats.add_routes(app)
        async with listening(app, settings.http_bind) as port, _daily(database, room), ground.countdown.going():
            yield House(room, port, ground.unavailable)


def _collect_rarely() -> None:
    """Look for cyclic garbage less often, and never among what is loaded by now.

    With 500 runs this took a fifth of the time, and stopped everything for a tenth of a second each.
    """
    gc.freeze()
    gc.set_threshold(20_000, 5, 10)


async def _seed(store: Store) -> None:
    """The shipped agents are there from the first start; what people made of them since is theirs."""
    known = {agent.name for agent in await store.agents()}
    for agent in shipped_agents():
        if agent.name not in known:
            await store.keep_agent(agent)


@asynccontextmanager
async def _daily(database: Database, room: Orchestrator) -> AsyncIterator[None]:
    """Forget what is settled and old, once a day, for as long as the block lasts."""

    async def prune() -> None:
        await room.ready.wait()  # before that nobody knows what is still in use
        while True:
            try:
                await database.prune(before=time.time() - KEPT_DAYS * DAY, keep=room.kept())
            except Broken as error:
                log.warning("not pruned", why=str(error))
            await asyncio.sleep(DAY)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(prune())
        try:
            yield
        finally:
            task.cancel()
