"""The port Runtime in a cluster: a run is a pod that carries its label, and what is known of all comes from one watch.

A pod is started for its run and has its name, or was started ahead and is claimed (`claims.py`). The cluster keeps pods
alive, not the bot: agentd that dies is started again by its node on the same folders. It knows no task and no words of
the agent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

import structlog

from adapters.kubernetes.claims import Claims
from adapters.kubernetes.cluster import Cluster
from adapters.kubernetes.credentials import KubernetesCredentials
from adapters.kubernetes.door import Door
from adapters.kubernetes.farewells import Farewells
from adapters.kubernetes.guest import Guest, class_of, isolation_of
from adapters.kubernetes.news import News
from adapters.kubernetes.pod import GRACE_SECONDS, check_name, pod_of
from adapters.kubernetes.pool import Pool, Warm, Warmth
from adapters.kubernetes.reach import Reach
from adapters.kubernetes.seen import Seen, Stage
from adapters.kubernetes.session import AttachSession, LogSession
from adapters.kubernetes.spares import Spares
from adapters.kubernetes.starts import Starts
from orchestrator.errors import Broken, Busy, Gone, Refused
from orchestrator.nouns import Agent, RunId
from orchestrator.ports import Expiry, Pod, Restarts

log = structlog.get_logger()

COME_SECONDS = 3.0
"""An attach waits so long for a pod that is coming before it says what it waits for."""

LOOK_SECONDS = 2.0
END_SECONDS = 10.0


class KubernetesRuntime:
    """Use it as `async with`; leaving it ends the watching and no agent."""

    def __init__(
        self,
        door: Door,
        guest: Guest,
        *,
        warm: Warm = Warm(),  # noqa: B008 - it is frozen
        expiries: Sequence[Expiry] = (),
        grace_seconds: float = GRACE_SECONDS + 5.0,
        come_seconds: float = COME_SECONDS,
        longest_pause: float = 5.0,
    ) -> None:
        self._cluster = Cluster(door)
        self._guest = guest
        self.credentials = KubernetesCredentials(self._cluster, guest, known=expiries)
        self._grace_seconds = grace_seconds
        self._come_seconds = come_seconds
        self._news = News(self._cluster, longest_pause=longest_pause)
        self._known = self._news.known
        self._spares = Spares(self._cluster, self._known)
        self._claims = Claims(self._cluster, self._known, self._spares)
        self._pool = Pool(self._cluster, self._known, self._spares, guest, warm)
        self._starts = Starts(self._cluster, self._known, self._claims, make_room=self._pool.make_room)
        self._reach = Reach(self._cluster, self._known)
        self._farewells = Farewells(self._cluster, self._known, self._reach)
        self._warm = warm
        self._attached: dict[RunId, AttachSession | LogSession] = {}
        self._locks: WeakValueDictionary[RunId, asyncio.Lock] = WeakValueDictionary()
        self._tasks = asyncio.TaskGroup()
        self._watching: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._cluster.__aenter__()
        await self._tasks.__aenter__()
        self._watching = [self._tasks.create_task(keep()) for keep in (self._news.follow, self._keep_warm)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._watching:
            task.cancel()
        for session in list(self._attached.values()):
            session.close()
        try:
            await self._tasks.__aexit__(kind, error, trace)
        finally:
            await self._cluster.__aexit__(kind, error, trace)

    def isolation(self, agent: Agent, *, run: RunId | None = None) -> str:
        """See `orchestrator.ports.Runtime`. A pod keeps the class that it was made with, whatever the settings say."""
        if run is not None and (seen := self._known.get(run)) is not None and seen.ours:
            return isolation_of(seen.runtime_class)
        try:
            return isolation_of(class_of(agent, self._guest))
        except Refused as refused:  # `start` will say so, too
            return str(refused)

    def restarts(self, run: RunId) -> Restarts:
        """See `orchestrator.ports.Runtime`. A node starts the container again, on the state that it left."""
        seen = self._known.get(run)
        return Restarts(seen.restarts, seen.died) if seen is not None and seen.died else Restarts()

    def warmth(self) -> Warmth:
        """How the pods that are started ahead are doing."""
        ready = sum(seen.stage is Stage.RUNNING and seen.sound for seen in self._spares.here())
        return Warmth(self._warm.count, ready, self._claims.hits, self._claims.misses, self._pool.words)

    async def start(self, run: RunId, agent: Agent, *, again: bool = False) -> None:
        """See `orchestrator.ports.Runtime`. That a pod has its name, or its label, means that it is done."""
        check_name(run)
        await self._news.listed()  # a former life of the bot may have claimed a pod for it
        async with self._alone(run):
            seen = await self._news.look(run) if again else self._known.get(run)
            for _ in range(3):  # each turn the cluster may have been faster than what we knew
                if seen is None:
                    if again:
                        raise Gone(self._farewells.why(run, f"There is no pod of {run}, and nothing of it is left."))
                    body = pod_of(run, agent, self._guest)  # by today's settings, which what runs does not depend on
                    await self.credentials.give(run, agent)  # refused, if what it chose is not there
                    if await self._starts.begin(run, body):
                        await self._hand(run, agent)
                        return
                    seen = await self._news.look(run, sure=True)
                elif self._stands(seen, again=again):
                    self._starts.stands(run)
                    await self._hand(run, agent)
                    return
                else:  # nobody had heard of it, and it had nothing to say: what it lost was nothing
                    await self._end(seen)
                    seen = self._known.get(run)
        raise Busy(f"The name {run} is taken and free again; once more in a moment.", seconds=1.0)

    async def stop(self, run: RunId) -> None:
        """See `orchestrator.ports.Runtime`."""
        async with self._alone(check_name(run)):
            if (session := self._attached.get(run)) is not None:
                session.close()
            await self._starts.forget(run)
            seen = await self._news.look(run, sure=True)
            while seen is not None and seen.ours:
                await self._end(seen)
                seen = self._known.get(run)
            self._farewells.forget(run)

    async def pods(self) -> Mapping[RunId, Pod]:
        """See `orchestrator.ports.Runtime`. No call: what the watch has told. Those without a run are none of it."""
        await self._news.heard()
        return {run: Pod(alive=seen.alive, words=seen.words) for run, seen in self._known.all().items() if seen.ours}

    @asynccontextmanager
    async def attach(self, run: RunId) -> AsyncIterator[AttachSession | LogSession]:
        """See `orchestrator.ports.Runtime`."""
        seen = await self._ready(check_name(run))
        if run in self._attached:
            raise Broken(f"Somebody is attached to {run} already.")
        if seen.stage in {Stage.DONE, Stage.LOST} or not seen.running:
            async with self._last_words(seen) as told:
                yield told
            return
        session = AttachSession(await self._farewells.stream(seen), name=run)
        self._starts.lives(seen)
        if run in self._attached:
            await session.leave()
            raise Broken(f"Somebody is attached to {run} already.")
        self._attached[run] = session
        reading = asyncio.create_task(session.read(), name=f"read {run}")
        try:
            await session.close_torn_line()
            yield session
        finally:
            del self._attached[run]
            session.close()
            self._farewells.note(run)
            reading.cancel()
            await asyncio.wait([reading])
            await session.leave()

    # --- starting ---

    async def _hand(self, run: RunId, agent: Agent) -> None:
        """What is this run's alone; again, where a former life of the bot ended between the pod and this."""
        if (seen := self._known.get(run)) is not None and seen.stage is Stage.COMING:
            await self.credentials.hand(run, agent, pod=seen.name, uid=seen.uid)

    def _stands(self, seen: Seen, *, again: bool) -> bool:
        """Whether this pod is the one that was to be started, or is to make room for it. Raises where it is neither."""
        if not seen.ours:
            raise Refused(f"A pod named {seen.name} is in the way, and it is not the bot's.")
        if seen.alive:
            self._starts.judge(seen, again=again)
            return True
        if self._farewells.awaits(seen) and (again or seen.stage is not Stage.LEAVING):
            return True
        if again:
            if seen.stage is Stage.DONE:
                return True
            raise Gone(self._farewells.why(seen.run, seen.words))
        if seen.stage is Stage.DONE or self._farewells.told(seen):  # what it did is not done once more
            raise Refused(f"{seen.words} Nobody heard anything of it, and nothing of what it said is left.")
        return False

    # --- attaching ---

    async def _ready(self, run: RunId) -> Seen:
        """The pod when its container runs, or has said all."""
        seen = await self._news.look(run)
        if seen is not None and seen.stage in {Stage.COMING, Stage.RESTARTING}:
            before = seen
            try:
                seen = await self._known.until(run, lambda now: _moved(before, now), seconds=self._come_seconds)
            except TimeoutError:
                seen = self._known.get(run)
            if seen is None:  # what a list or a watch lets out is not gone for sure
                seen = await self._news.look(run)
        if seen is None:
            raise Gone(self._farewells.why(run, f"There is no pod of {run}."))
        if seen.stage in {Stage.COMING, Stage.RESTARTING}:
            raise Busy(seen.words, seconds=0.1)
        self._farewells.note(run)
        if seen.stage in {Stage.LOST, Stage.LEAVING} and not self._farewells.awaits(seen):
            raise Gone(self._farewells.why(run, seen.words))
        return seen

    @asynccontextmanager
    async def _last_words(self, seen: Seen) -> AsyncIterator[LogSession]:
        """What it said while nobody was attached, from its log: without this, the end of a run is lost with the bot."""
        session = LogSession(await self._farewells.log(seen), name=seen.run)
        if seen.run in self._attached:
            session.close()
            raise Broken(f"Somebody is attached to {seen.run} already.")
        self._attached[seen.run] = session
        try:
            yield session
        finally:
            self._farewells.was_read(seen, session)
            del self._attached[seen.run]
            session.close()

    # --- ending ---

    async def _end(self, seen: Seen) -> None:
        """Ask it to go, then make it; return when its name is free."""
        for grace, seconds in ((None, self._grace_seconds), (0, END_SECONDS)):
            if not await self._cluster.delete(seen.name, uid=seen.uid, grace=grace) or await self._left(seen, seconds):
                self._known.bury(seen)
                self._reach.forget(seen)
                self._farewells.forget(seen.run)
                return
        raise Broken(f"The pod {seen.name} does not go, not even by force.")

    async def _left(self, seen: Seen, seconds: float) -> bool:
        """Whether it is gone by then. Asked for by name, too: the watch may be deaf just now."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            patience = min(LOOK_SECONDS, max(0.01, deadline - time.monotonic()))
            try:
                await self._known.until(seen.run, lambda now: now is None or now.uid != seen.uid, seconds=patience)
            except TimeoutError:
                pod = await self._cluster.pod(seen.name)
                if pod is not None and pod["metadata"]["uid"] == seen.uid:
                    continue
            return True
        return False

    # --- keeping ---

    async def _keep_warm(self) -> None:
        await self._news.begun()
        await self._pool.run()

    def _alone(self, run: RunId) -> asyncio.Lock:
        """The lock of everything that changes this run; it goes when nobody holds it."""
        return self._locks.setdefault(run, asyncio.Lock())


def _moved(before: Seen, now: Seen | None) -> bool:
    """Whether there is something new to say or to do."""
    return now is None or now.stage is not before.stage or now.words != before.words
