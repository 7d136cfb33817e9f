"""The pods that wait for a run: which there are, what they are worth, and how one of them is given up.

Whoever ends one does it on the condition that it is as it was seen: somebody may just be claiming it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import structlog

from adapters.kubernetes.cluster import Cluster
from adapters.kubernetes.known import Known
from adapters.kubernetes.seen import Seen, Stage

log = structlog.get_logger()

STUCK_SECONDS = 60.0
MOST_TRIES = 4
"""The status of a pod that is just starting changes often, and each time it is another version."""


class Spares:
    """What the watch knows of them, less those that were told to go."""

    def __init__(self, cluster: Cluster, known: Known) -> None:
        self.skew = 0.0  # how far our clock is ahead of the cluster's
        self._cluster = cluster
        self._known = known
        self._leaving: dict[str, float] = {}  # by uid: since when one was told to go

    def here(self) -> list[Seen]:
        """Those that stay."""
        return [
            seen for seen in self._known.spares() if seen.stage is not Stage.LEAVING and seen.uid not in self._leaving
        ]

    def age(self, seen: Seen) -> float:
        """Seconds since it began."""
        return max(0.0, time.time() - self.skew - born(seen))

    async def give_up(self, seen: Seen, why: str) -> bool:
        """Delete this one unless somebody has claimed it; whether it goes."""
        for _ in range(MOST_TRIES):
            assert seen.spare is not None, "only what has no run is given up"
            if await self._cluster.delete(seen.name, uid=seen.uid, version=seen.spare.version, grace=1):
                log.info("a warm pod is given up", pod=seen.name, why=why)
                self._leaving[seen.uid] = time.monotonic()
                return True
            pod = await self._cluster.pod(seen.name)
            if pod is None or pod["metadata"]["uid"] != seen.uid:
                self._known.bury(seen)
                return False
            seen = self._known.learn(pod)
            if seen.spare is None:
                return False
        return False

    async def chase(self) -> None:
        """Make those go that were told to go long ago: the node of one may be no more."""
        known = {seen.uid: seen for seen in self._known.spares()}
        for uid in self._leaving.keys() - known.keys():
            del self._leaving[uid]
        for seen in known.values():
            if seen.stage is not Stage.LEAVING:
                continue
            waits = time.monotonic() - self._leaving.setdefault(seen.uid, time.monotonic())
            if waits > STUCK_SECONDS and await self._cluster.delete(seen.name, uid=seen.uid, grace=0):
                self._known.bury(seen)


def born(seen: Seen) -> float:
    """When it began, by the cluster's clock."""
    return seen.spare.born if seen.spare is not None else 0.0


def least(pods: Iterable[Seen]) -> list[Seen]:
    """Those that are worth least first: the ones that do not run yet, and the newest. Two bots find the same order."""
    return sorted(pods, key=lambda seen: (seen.stage is Stage.RUNNING, -born(seen), seen.name))
