"""How a run takes a pod that was started ahead: by one change that names the version it is for, so that one wins.

The change makes the pod the run's for good: it writes the run into a label, by which every later life of the bot finds
it. A claim of which no answer came is settled before anything else is started for that run.
"""

from __future__ import annotations

from typing import Any

import structlog

from adapters.kubernetes.cluster import Cluster
from adapters.kubernetes.errors import Changed, Denied
from adapters.kubernetes.known import Known
from adapters.kubernetes.seen import Seen, Stage, see
from adapters.kubernetes.spares import MOST_TRIES, Spares, born
from adapters.kubernetes.warm import DEADLINE, claim_of, form_of
from orchestrator.errors import Busy, Gone, Refused
from orchestrator.nouns import RunId

log = structlog.get_logger()

Json = dict[str, Any]


class Claims:
    """One for all runs; the runs are told apart by who calls, one call at a time for each of them."""

    def __init__(self, cluster: Cluster, known: Known, spares: Spares) -> None:
        self.hits = 0
        self.misses = 0
        self._cluster = cluster
        self._known = known
        self._spares = spares
        self._doubts: dict[RunId, Seen] = {}  # a claim of which nobody knows whether it arrived

    async def claim(self, run: RunId, body: Json) -> bool:
        """Whether a warm pod carries this run from now on; `body` is what would be started for it otherwise.

        Raises `Broken` where that cannot be known yet: the same claim again settles it.
        """
        doubt = self._doubts.get(run)
        claimed = doubt is not None and await self._take(doubt, run, body)
        tried: set[str] = set()
        while not claimed and len(tried) < MOST_TRIES and (seen := self._best(body, tried)) is not None:
            tried.add(seen.uid)
            claimed = await self._take(seen, run, body)
        self.hits += claimed
        self.misses += not claimed
        return claimed

    async def forget(self, run: RunId) -> None:
        """The run is to end: a claim that is still on its way must not carry it on."""
        if (doubt := self._doubts.get(run)) is not None:
            await self._cluster.delete(doubt.name, uid=doubt.uid)
            del self._doubts[run]

    def _best(self, body: Json, tried: set[str]) -> Seen | None:
        """The one that is furthest, and the oldest of those."""
        form, life = form_of(body), body["spec"][DEADLINE]
        taken = tried | {doubt.uid for doubt in self._doubts.values()}
        fit = [
            seen
            for seen in self._spares.here()
            if seen.spare is not None
            and seen.spare.form == form
            and seen.spare.deadline >= life + self._spares.age(seen)
            and seen.uid not in taken
            and seen.sound  # else the run's page would tell of what was before it
            and (seen.stage is Stage.RUNNING or (seen.stage is Stage.COMING and seen.vague))
        ]
        return min(fit, key=lambda seen: (seen.stage is not Stage.RUNNING, born(seen)), default=None)

    async def _take(self, seen: Seen, run: RunId, body: Json) -> bool:
        """Whether the pod is the run's now."""
        doubted = run in self._doubts
        self._doubts[run] = seen  # if we are cut off in here, it stays one
        try:
            pod = await self._changed(seen, run, body, doubted=doubted)
        except Busy:  # nothing was done now
            if not doubted:
                del self._doubts[run]
            raise
        del self._doubts[run]
        if pod is None:
            return False
        self._known.learn(pod)
        log.info("a warm pod is the run's", run=run, pod=seen.name)
        return True

    async def _changed(self, seen: Seen, run: RunId, body: Json, *, doubted: bool) -> Json | None:
        """The pod with the run in it; None when it is somebody else's, or no more."""
        for _ in range(MOST_TRIES):
            assert seen.spare is not None, "only what has no run is claimed"
            claim = claim_of(body, uid=seen.uid, version=seen.spare.version, age=self._spares.age(seen))
            try:
                return await self._cluster.patch(seen.name, claim)
            except Gone:
                return None
            except (Refused, Denied) as refused:
                log.warning("a warm pod cannot be claimed", run=run, pod=seen.name, why=str(refused))
                if doubted:  # what was sent before may still arrive
                    await self._cluster.delete(seen.name, uid=seen.uid)
                return None
            except Changed:
                pod = await self._cluster.pod(seen.name)
            if pod is None or pod["metadata"]["uid"] != seen.uid:
                return None
            now = see(pod)
            if now.spare is None or not now.alive:
                self._known.learn(pod)
                return pod if now.run == run else None
            if not now.sound:
                self._known.learn(pod)
                return None
            seen = now  # its status has changed, nothing else
        return None
