"""The port Runtime on one machine: agentd processes that outlive the bot, watched and started again when they die.

Truth is on disk: a run has a folder, a living agentd holds the lock in it, a run that ended has said so there. What is
kept in memory is only what this life of the bot started or was asked to keep alive. It knows no task and no words.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

import structlog

from adapters.local import process
from adapters.local.credentials import LocalCredentials
from adapters.local.folder import Folder, Plot
from adapters.local.session import FifoSession
from orchestrator.errors import Broken, Busy, Gone, Refused
from orchestrator.nouns import Agent, RunId
from orchestrator.ports import Credentials, Pod, Restarts

log = structlog.get_logger()

LOOK_SECONDS = 0.5
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
PROVEN_SECONDS = 60.0
MOST_DEATHS = 12


@dataclass(slots=True)
class Kept:
    """A run that is to be alive: its process if we started it, and how often that died soon after its start.

    `given` is its credential: kept for as long as the run, and nowhere but in memory.
    """

    folder: Folder
    child: process.Child | None = None
    given: Mapping[str, str] = field(default_factory=dict, repr=False)
    born: float = 0.0
    deaths: int = 0
    again_at: float = 0.0

    @property
    def given_up(self) -> bool:
        """Whether starting it once more is left to whoever calls `start`."""
        return self.deaths >= MOST_DEATHS


class LocalRuntime:
    """Use it as `async with`; leaving it ends the watching and no agent. `env`: what agents get on top of PATH & Co."""

    def __init__(
        self,
        root: Path,
        *,
        python: str,
        env: Mapping[str, str],
        credentials: Credentials[Mapping[str, str]] | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._plot = Plot(root.absolute())
        self._python = python
        self._env = dict(env)
        self._credentials = credentials or LocalCredentials({})
        self._look_seconds = look_seconds
        self._kept: dict[RunId, Kept] = {}
        self._attached: dict[RunId, FifoSession] = {}
        self._locks: WeakValueDictionary[RunId, asyncio.Lock] = WeakValueDictionary()
        self._look_now = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._plot.prepare)
        await self._tasks.__aenter__()
        self._watching = self._tasks.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watching is not None:
            self._watching.cancel()
        for session in list(self._attached.values()):
            session.close()
        await self._tasks.__aexit__(kind, error, trace)

    def isolation(self, agent: Agent, *, run: RunId | None = None) -> str:
        """See `orchestrator.ports.Runtime`."""
        return "no isolation: a plain process on this machine, with your user's rights"

    def restarts(self, run: RunId) -> Restarts:
        """See `orchestrator.ports.Runtime`. Nothing but `start` starts a process again here."""
        return Restarts()

    async def start(self, run: RunId, agent: Agent, *, again: bool = False) -> None:
        """See `orchestrator.ports.Runtime`. Nothing of the profile but its credential concerns a plain process."""
        folder = self._plot.folder(run)
        if again and not folder.state.exists():
            raise Gone(f"Nothing of {run} is left in {folder.path}.")
        with _as_trouble(run):
            async with self._alone(run):
                if folder.finished() is not None:
                    return
                kept = self._kept.get(run) or Kept(folder)
                lives = process.lives(folder, kept.child)
                try:
                    kept.given = await self._credentials.give(run, agent)
                except Refused:
                    if not lives:  # what lives goes on with what it has
                        raise
                self._kept[run] = kept
                if kept.given_up:
                    kept.deaths = 0
                if not lives:
                    await self._spawn(run, kept)

    async def stop(self, run: RunId) -> None:
        """See `orchestrator.ports.Runtime`."""
        folder = self._plot.folder(run)
        async with self._alone(run):
            kept = self._kept.pop(run, None)
            if (session := self._attached.get(run)) is not None:
                session.close()
            with _as_trouble(run):
                if not await process.end(folder, kept.child if kept else None):
                    raise Broken(f"Some process of {run} does not end. Its folder is {folder.path}.")
                await asyncio.to_thread(folder.remove)

    async def pods(self) -> Mapping[RunId, Pod]:
        """See `orchestrator.ports.Runtime`."""
        with _as_trouble("the local runtime"):
            return {run: self._pod(run, folder) for run, folder in self._plot.folders()}

    @asynccontextmanager
    async def attach(self, run: RunId) -> AsyncIterator[FifoSession]:
        """See `orchestrator.ports.Runtime`."""
        folder = self._plot.folder(run)
        with _as_trouble(run):
            await self._wake_finished(run, folder)
            kept = self._kept.get(run)
            if not process.lives(folder, kept.child if kept else None):
                raise self._absent(run, folder, kept)
        if run in self._attached:
            raise Broken(f"Somebody is attached to {run} already.")
        session = FifoSession.open(out=folder.out, into=folder.into, name=run)
        self._attached[run] = session
        try:
            await session.close_torn_line()
            yield session
        finally:
            session.close()
            del self._attached[run]
            self._look_now.set()  # if it ended because agentd died, that need not wait for the next look

    # --- keeping alive ---

    async def _wake_finished(self, run: RunId, folder: Folder) -> None:
        """Start an agentd that has finished and left: it tells the end of the story once more, and leaves again.

        It leaves when nobody has read for a while; without this, what a run said last while the bot was down is lost.
        """
        async with self._alone(run):
            kept = self._kept.get(run)
            if folder.finished() is not None and not process.lives(folder, kept.child if kept else None):
                await self._spawn(run, self._kept.setdefault(run, Kept(folder)))

    async def _watch(self) -> None:
        while True:
            self._look_now.clear()
            for run, kept in list(self._kept.items()):
                await asyncio.sleep(0)  # hundreds of them are looked at a few files each: others go in between
                try:
                    await self._look_after(run, kept)
                except OSError as error:  # a full disk or process table: the others are looked after all the same
                    log.warning("agentd could not be started", run=run, error=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_seconds):
                    await self._look_now.wait()

    async def _look_after(self, run: RunId, kept: Kept) -> None:
        kept.folder.bound_log()
        lock = self._alone(run)
        if kept.given_up or lock.locked():  # it is being started or stopped just now: that may take a while
            return
        async with lock:
            if self._kept.get(run) is not kept or process.lives(kept.folder, kept.child):
                return  # the first: it was stopped while another one was looked after, and must not come back
            if kept.born:
                self._count_death(run, kept)
            if kept.folder.finished() is not None:
                del self._kept[run]
            elif time.monotonic() >= kept.again_at and not kept.given_up:
                await self._spawn(run, kept)

    def _count_death(self, run: RunId, kept: Kept) -> None:
        now = time.monotonic()
        kept.deaths = kept.deaths + 1 if now - kept.born < PROVEN_SECONDS else 1
        kept.born = 0.0
        kept.again_at = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (kept.deaths - 1))
        if kept.folder.finished() is None:
            log.warning("agentd died", run=run, deaths=kept.deaths, said=kept.folder.last_words())

    async def _spawn(self, run: RunId, kept: Kept) -> None:
        if (session := self._attached.get(run)) is not None:
            session.close()  # it was to the one that died: what that had read and not kept must be said again
        kept.born = time.monotonic()  # before the attempt: one that fails counts as a death, too
        # A killed agentd takes its CLI along, but not what that started: it would run on beside its own repetition.
        if kept.folder.lived and not await process.sweep(kept.folder):
            raise TimeoutError("some process of the agent's former life does not end")
        env = process.environment(kept.folder, given={**self._env, **kept.given}, own=os.environ)
        kept.child = await asyncio.to_thread(process.spawn, kept.folder, python=self._python, env=env)
        log.info("agentd started", run=run, deaths=kept.deaths)

    # --- saying how things are ---

    def _pod(self, run: RunId, folder: Folder) -> Pod:
        kept = self._kept.get(run)
        if process.lives(folder, kept.child if kept else None):
            return Pod(alive=True, words=folder.finished() or "")
        if (ended := folder.finished()) is not None:
            return Pod(alive=False, words=ended)
        trouble = self._absent(run, folder, kept)
        return Pod(alive=isinstance(trouble, Busy), words=str(trouble))

    def _absent(self, run: RunId, folder: Folder, kept: Kept | None) -> Gone | Busy:
        if kept is None:
            return Gone(f"There is no process for {run}." if not folder.path.exists() else
                        "The agent's process is gone; it can be started again on its state.")  # fmt: skip
        said = folder.last_words()
        because = f" Its last words: {said}" if said else ""
        if kept.given_up:
            return Gone(f"The agent's process died {kept.deaths} times in a row and is not started again.{because}")
        wait = max(0.1, kept.again_at - time.monotonic())
        return Busy(f"The agent's process died and is being started again.{because}", seconds=wait)

    def _alone(self, run: RunId) -> asyncio.Lock:
        """The lock of everything that changes this run; it goes when nobody holds it."""
        return self._locks.setdefault(run, asyncio.Lock())


@contextmanager
def _as_trouble(what: str) -> Iterator[None]:
    """What the system refuses (a full disk, too many processes) is the trouble that the port promises."""
    try:
        yield
    except OSError as error:
        raise Broken(f"This machine refuses something that {what} needs: {error}.") from None
