"""How a run comes to its pod: a warm one is claimed, or one of the run's name is made. Never both.

Where no answer came to one of the two, that one is tried again until it is known what became of it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import structlog

from adapters.kubernetes.claims import Claims
from adapters.kubernetes.cluster import Cluster, Json
from adapters.kubernetes.errors import Full
from adapters.kubernetes.known import Known
from adapters.kubernetes.seen import Seen, Stage
from adapters.kubernetes.warm import ASKED
from orchestrator.errors import Busy, Refused
from orchestrator.nouns import RunId

log = structlog.get_logger()

LATE_SECONDS = 30.0
"""What a pod has to start comes from its run's limits, which the core enforces itself: this is where it did not."""


class Starts:
    """One call at a time for each run. `make_room` gives up a warm pod where the quota is used up, if there is one."""

    def __init__(
        self, cluster: Cluster, known: Known, claims: Claims, *, make_room: Callable[[], Awaitable[bool]]
    ) -> None:
        self._cluster = cluster
        self._known = known
        self._claims = claims
        self._make_room = make_room
        self._since: dict[RunId, tuple[str, float]] = {}  # the run's pod by uid, and since when it does not run
        self._unsure: set[RunId] = set()  # a pod of its name may have been made, and nobody said so

    async def begin(self, run: RunId, body: Json) -> bool:
        """Whether the run has a pod now. False: its name is taken."""
        unsure = run in self._unsure
        body = _asked(body)
        if not unsure and await self._claims.claim(run, body):
            return True
        if unsure and await self._cluster.pod(run) is not None:  # a quota may refuse what is there already
            return False
        self._unsure.add(run)  # if no answer comes, it stays
        try:
            pod = await self._create(body)
        except (Busy, Refused):  # nothing was made now
            if not unsure:
                self._unsure.discard(run)
            raise
        if pod is None:
            return False
        self._unsure.discard(run)
        self._known.learn(pod)
        log.info("pod created", run=run)
        return True

    def stands(self, run: RunId) -> None:
        """Its pod was seen."""
        self._unsure.discard(run)

    def lives(self, seen: Seen) -> None:
        """It runs: nobody waits for it any more."""
        self._since.pop(seen.run, None)

    def judge(self, seen: Seen, *, again: bool) -> None:
        """Raise `Refused` for a pod that will not start, or has not for too long.

        One that was heard before has shown that it can live, however often it has died since.
        """
        if seen.stage is Stage.RUNNING:
            self.lives(seen)
            return
        now = time.monotonic()
        uid, since = self._since.get(seen.run, ("", now))
        if uid != seen.uid:
            _, since = self._since[seen.run] = seen.uid, now
        late = now - since > seen.start_seconds + LATE_SECONDS
        if seen.stage is Stage.COMING and (seen.hopeless or late):
            raise Refused(f"The pod does not start. {seen.words}")
        if seen.hopeless and not again:
            raise Refused(f"The agent's process does not stay alive. {seen.words}")
        if late:
            raise Refused(f"The agent's process does not come back. {seen.words}")

    async def forget(self, run: RunId) -> None:
        """The run is to end: nothing that is still on its way may carry it on."""
        await self._claims.forget(run)
        self._unsure.discard(run)
        self._since.pop(run, None)

    async def _create(self, body: Json) -> Json | None:
        while True:
            try:
                return await self._cluster.create(body)
            except Full:
                if not await self._make_room():
                    raise


def _asked(body: Json) -> Json:
    meta = body["metadata"]
    notes = {**meta["annotations"], ASKED: str(time.time_ns() // 1_000_000)}
    return {**body, "metadata": {**meta, "annotations": notes}}
