"""Keeps some pods started ahead: a launch takes one of them, and another one is started in its place.

It never costs a run its place: it fills what the quota and the nodes leave free, and gives pods up for a run that needs
their room. What cannot be filled is told once, and tried again with more and more patience.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import structlog

from adapters.kubernetes.cluster import Cluster
from adapters.kubernetes.errors import Full
from adapters.kubernetes.grant import granted
from adapters.kubernetes.guest import Guest
from adapters.kubernetes.known import Known
from adapters.kubernetes.seen import Seen, Stage
from adapters.kubernetes.spares import Spares, born, least
from adapters.kubernetes.warm import DEADLINE, WARM, warm_of
from orchestrator.errors import Refused, Trouble
from orchestrator.nouns import Agent, RunId

log = structlog.get_logger()

Json = dict[str, Any]

LOOK_SECONDS = 20.0
"""So often the pool is looked at where nothing stirs."""

STIR_SECONDS = 0.3
"""What changes once changes several times; and a run that has just begun has the first claim to the nodes' time."""

HOLD_SECONDS = 30.0
"""After a run found no room, the pool takes none for so long: that run tries again, and others may."""

FIT_SECONDS = 5.0
"""For a scheduler to find that there is room after all."""

GO_SECONDS = 5.0
LONGEST_PAUSE = 300.0


async def _no_agent() -> Agent | None:
    return None


@dataclass(frozen=True, slots=True)
class Warm:
    """How many pods are started ahead, and for whom: `agent` is asked again and again, since profiles change."""

    count: int = 0
    agent: Callable[[], Awaitable[Agent | None]] = _no_agent
    idle_seconds: float = 3600.0  # what nobody took is replaced then: what a pod got from a Secret grows old
    pause: float = 15.0  # after a first attempt that failed


@dataclass(frozen=True, slots=True)
class Warmth:
    """How it is doing. `words`: why it is not full, if it is not."""

    wanted: int
    ready: int
    hits: int
    misses: int
    words: str


class Pool:
    """`run` keeps it until cancelled. With a count of 0 it ends what a former life of the bot left."""

    def __init__(self, cluster: Cluster, known: Known, spares: Spares, guest: Guest, warm: Warm) -> None:
        self.words = ""  # why it is not full
        self._cluster = cluster
        self._known = known
        self._spares = spares
        self._guest = guest
        self._warm = warm
        self._coming: dict[str, float] = {}  # by uid: since when one does not run
        self._unplaced: dict[str, float] = {}  # by uid: since when no node has room for it
        self._failures = 0
        self._not_before = 0.0
        self._held = 0.0
        self._gave = 0.0
        self._freed = 0

    async def make_room(self) -> bool:
        """Give up one pod for a run that found the quota used up. False: there is none."""
        self._held = time.monotonic() + HOLD_SECONDS
        for seen in least(self._spares.here()):
            if await self._spares.give_up(seen, "a run needs its part of the quota"):
                await self._known.gone(seen, seconds=GO_SECONDS)
                return True
        return False

    async def run(self) -> None:
        """Keep it until cancelled. A defect in here costs warm pods, and no run anything."""
        while True:
            try:
                await self._look()
            except Exception as error:
                log.exception("a defect in the warm pool")
                self._ail(f"a defect in the bot ({error!r}); its log has the details")
                await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        """Do what is due, and return when something may be due again."""
        self._known.stirred.clear()
        try:
            await self._tidy()
        except Trouble as trouble:
            self._ail(str(trouble))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience()):
                await self._known.stirred.wait()
        await asyncio.sleep(STIR_SECONDS)

    def _patience(self) -> float:
        """Until something is due although nothing stirs."""
        now = time.monotonic()
        waits = [at - now for at in (self._not_before, self._held) if at > now]
        waits += [FIT_SECONDS / 4] if self._unplaced or self._cramped() else []
        return min([LOOK_SECONDS, *waits])

    async def _tidy(self) -> None:
        """Look at everything once, and do what is due."""
        await self._end_doubles()
        await self._spares.chase()
        wanted = await self._wanted()
        good: list[Seen] = []
        here = self._spares.here()
        for notes in (self._coming, self._unplaced):
            for uid in notes.keys() - {seen.uid for seen in here}:
                del notes[uid]
        for seen in here:
            if wanted is None or _outdated(seen, wanted):
                await self._spares.give_up(seen, "another pod is wanted now, or none")
            elif why := self._useless(seen):
                await self._spares.give_up(seen, why)
                self._ail(why)
            else:
                good.append(seen)
        if waiting := self._cramped():
            await self._yield_to(waiting, good)
        elif wanted is not None:
            await self._fill(wanted, good)

    def _cramped(self) -> list[Seen]:
        """The pods of runs that less on the nodes would help; what no node offers, no warm pod can give them."""
        return [seen for seen in self._known.unplaced() if seen.cramped]

    async def _wanted(self) -> Json | None:
        """The pod that is to wait; None for none, as where the profile makes no sense."""
        if not self._warm.count or (agent := await self._warm.agent()) is None:
            return None
        name = _name()
        try:
            if granted(RunId(name), agent, self._guest).kind == "gateway":
                self._ail("each run has a token of its own for the gateway, which no pod that waits can have")
                return None
            return warm_of(name, agent, self._guest, idle=self._warm.idle_seconds)
        except Refused as refused:
            self._ail(str(refused))
            return None

    async def _yield_to(self, waiting: Sequence[Seen], good: Sequence[Seen]) -> None:
        """Give up as many as there are runs that no node has room for, and see whether that helped."""
        now = time.monotonic()
        self._held = now + HOLD_SECONDS
        if now - self._gave > FIT_SECONDS:
            for seen in least(good)[: len(waiting)]:
                await self._spares.give_up(seen, f"no node has room for {waiting[0].run}")
                self._gave = now

    async def _fill(self, wanted: Json, good: Sequence[Seen]) -> None:
        for seen in least(good)[: max(0, len(good) - self._warm.count)]:
            await self._spares.give_up(seen, "there are more than are wanted")
        if all(seen.stage is Stage.RUNNING for seen in good) and len(good) == self._warm.count:
            self._well()
            await self._renew(good)
        if self._freed != self._known.freed:  # a run has ended and left room
            self._freed, self._not_before = self._known.freed, 0.0
        if time.monotonic() < max(self._held, self._not_before):
            return
        for _ in range(self._warm.count - len(good)):
            try:
                await self._start(wanted)
            except Full as full:
                self._ail(str(full))
                return

    async def _renew(self, ready: Sequence[Seen]) -> None:
        """Let the oldest go when nobody took it for long; one at a time, while all the others are ready."""
        oldest = min(ready, key=born)
        if self._spares.age(oldest) > self._warm.idle_seconds:
            await self._spares.give_up(oldest, "nobody has taken it for long")

    async def _start(self, wanted: Json) -> None:
        name, meta = _name(), wanted["metadata"]
        labels = {**meta["labels"], "app.kubernetes.io/instance": name}
        pod = await self._cluster.create({**wanted, "metadata": {**meta, "name": name, "labels": labels}})
        if pod is not None:
            self._spares.skew = time.time() - born(self._known.learn(pod))
            log.info("a warm pod is started", pod=name)

    def _useless(self, seen: Seen) -> str:
        """Why nobody will be able to take this one; empty when somebody will."""
        now = time.monotonic()
        if not seen.alive:
            return f"a warm pod has ended. {seen.words}"
        if seen.restarts:
            return f"the process of a warm pod was started again: {seen.died or 'nobody says why'}."
        if not seen.ready:
            return "the node of a warm pod does not answer."
        if seen.stage is Stage.RUNNING:
            self._coming.pop(seen.uid, None)
        elif seen.hopeless or now - self._coming.setdefault(seen.uid, now) > seen.start_seconds:
            return f"a warm pod does not start. {seen.words}"
        if not seen.unplaced:
            self._unplaced.pop(seen.uid, None)
        elif now - self._unplaced.setdefault(seen.uid, now) > FIT_SECONDS:
            return f"there is no room for a warm pod. {seen.words}"
        return ""

    async def _end_doubles(self) -> None:
        """End what carries a run that another pod carries, having made sure that the other one is there."""
        for seen in self._known.doubles():
            if seen.stage is Stage.LEAVING:
                continue
            first = self._known.get(seen.run)
            pod = await self._cluster.pod(first.name) if first is not None else None
            if first is None or pod is None or pod["metadata"]["uid"] != first.uid:
                continue
            log.warning("a second pod of a run is stopped", run=seen.run, pod=seen.name)
            if not await self._cluster.delete(seen.name, uid=seen.uid):
                self._known.bury(seen)  # it was gone already

    # --- telling ---

    def _ail(self, why: str) -> None:
        """It cannot be filled: said once, and tried again with more and more patience."""
        if not self.words:
            log.warning("the warm pool cannot be filled; launches start cold", why=why)
        self.words = why
        if (now := time.monotonic()) >= self._not_before:
            self._not_before = now + min(LONGEST_PAUSE, self._warm.pause * 2 ** min(self._failures, 10))
            self._failures += 1

    def _well(self) -> None:
        if self.words:
            log.info("the warm pool is full again")
        self.words, self._failures, self._not_before = "", 0, 0.0


def _outdated(seen: Seen, wanted: Json) -> bool:
    """Whether it is of former settings, of another profile, or may live shorter than the profile's runs by now."""
    assert seen.spare is not None, "only these are looked at"
    form, deadline = wanted["metadata"]["labels"][WARM], wanted["spec"][DEADLINE]
    return bool(seen.spare.form != form or seen.spare.deadline < deadline)


def _name() -> str:
    return f"warm-{token_hex(4)}"
