"""The last words of pods that go: what can still be had of one that was ended, or is being removed.

One that is being removed talks for a while, one that has ended has a log, and a node that is away keeps both to itself:
it is waited for, but not for ever. That such a run has ended is sure.
"""

from __future__ import annotations

import time
from typing import NoReturn

import aiohttp

from adapters.kubernetes.cluster import Cluster
from adapters.kubernetes.known import Known
from adapters.kubernetes.reach import Reach
from adapters.kubernetes.seen import Seen, Stage
from adapters.kubernetes.session import LogSession
from orchestrator.errors import Broken, Busy, Gone, Trouble
from orchestrator.nouns import RunId

FAREWELL_SECONDS = 60.0


class Farewells:
    """Of each run whose pod goes: since when that is not to be heard, whether it had told anything, why it goes."""

    def __init__(self, cluster: Cluster, known: Known, reach: Reach) -> None:
        self._cluster = cluster
        self._known = known
        self._reach = reach
        self._silent: dict[RunId, tuple[str, float]] = {}  # the pod by uid, and since when
        self._told: dict[RunId, str] = {}  # the pod by uid: there were reports in its log
        self._why: dict[RunId, tuple[str, str]] = {}  # the pod by uid, and why it goes

    def awaits(self, seen: Seen) -> bool:
        """Whether something of what it said may still come."""
        return (seen.spoke or seen.stage is Stage.DONE) and seen.uid not in self._reach.read_out

    def told(self, seen: Seen) -> bool:
        """Whether its log had reports of what it did."""
        return self._told.get(seen.run) == seen.uid

    async def stream(self, seen: Seen) -> aiohttp.ClientWebSocketResponse:
        """A stream to its container. Where it is being removed, `Gone` when its node has not let us in for too long."""
        try:
            socket = await self._reach.stream(seen)
        except Gone:
            raise Gone(self.why(seen.run, f"There is no pod of {seen.run}.")) from None
        except (Broken, Busy) as trouble:
            if seen.stage is not Stage.LEAVING or (seen.ready and not self._is_late(seen)):
                raise
            await self._give_up(seen, trouble)
        self._silent.pop(seen.run, None)
        return socket

    async def log(self, seen: Seen) -> aiohttp.ClientResponse:
        """Its log. Of a pod that did not end by itself, `Gone` when its node has not shown it for too long."""
        try:
            response = await self._reach.log(seen)
        except Gone as gone:
            raise Gone(self.why(seen.run, str(gone))) from None
        except (Broken, Busy) as trouble:
            if seen.stage is Stage.DONE or not self._is_late(seen):
                raise
            await self._give_up(seen, trouble)
        self._silent.pop(seen.run, None)
        return response

    def was_read(self, seen: Seen, session: LogSession) -> None:
        """Its log was, to the end or not."""
        if session.whole:
            self._reach.read_out.add(seen.uid)
        if session.told:
            self._told[seen.run] = seen.uid

    def note(self, run: RunId) -> None:
        """Keep why its pod goes: soon nobody else will know. How the process of a removed one ended is not why."""
        seen = self._known.get(run)
        if seen is None:
            return
        uid, _ = self._why.get(run, ("", ""))
        if seen.stage is Stage.LEAVING or (seen.stage is Stage.LOST and uid != seen.uid):
            self._why[run] = seen.uid, seen.words

    def why(self, run: RunId, otherwise: str) -> str:
        """Why its pod went, if that is known."""
        _, words = self._why.get(run, ("", otherwise))
        return words

    def forget(self, run: RunId) -> None:
        """Nobody asks for its pod any more."""
        for known in (self._silent, self._told, self._why):
            known.pop(run, None)

    async def _give_up(self, seen: Seen, trouble: Trouble) -> NoReturn:
        """Raise `Gone`: nothing more will be heard of it. `Broken` where it is the cluster that does not answer."""
        if isinstance(trouble, Broken):
            await self._cluster.pod(seen.name)
        self._reach.read_out.add(seen.uid)
        raise Gone(self.why(seen.run, seen.words)) from None

    def _is_late(self, seen: Seen) -> bool:
        now = time.monotonic()
        uid, since = self._silent.get(seen.run, ("", now))
        if uid != seen.uid:
            uid, since = self._silent[seen.run] = seen.uid, now
        return now - since > FAREWELL_SECONDS
