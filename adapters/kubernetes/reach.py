"""How what a pod says is reached: a stream to its container, or, where that has ended, its log.

Both come from the pod's node, which may be away, or just be back and know nothing of its pods: what a node does not
know is gone only when the cluster says so, too.
"""

from __future__ import annotations

import time

import aiohttp

from adapters.kubernetes.cluster import Cluster
from adapters.kubernetes.errors import Late
from adapters.kubernetes.known import Known
from adapters.kubernetes.pod import CONTAINER
from adapters.kubernetes.seen import Seen
from orchestrator.errors import Busy, Gone, Refused

MOST_PATIENCE = 10.0
UNREAD_SECONDS = 120.0
"""Where a node has said for so long that it knows nothing of what a pod printed, that is so."""


class Reach:
    """`read_out`: the pods by uid whose last words were read from their log, or never will be."""

    def __init__(self, cluster: Cluster, known: Known) -> None:
        self.read_out: set[str] = set()
        self._cluster = cluster
        self._known = known
        self._refused: dict[str, int] = {}  # by uid: how often in a row a pod's node would not let us in
        self._unread_since: dict[str, float] = {}  # by uid: since when a node will not show what one printed

    async def stream(self, seen: Seen) -> aiohttp.ClientWebSocketResponse:
        """A stream to the container. Raises `Gone` when the pod is gone, `Busy` with more and more patience."""
        try:
            socket = await self._cluster.attach(seen.name, container=CONTAINER)
        except Gone:
            if not await self._is_there(seen):
                raise
            busy = Busy(f"The node of {seen.name} does not know it: its kubelet has just come back.", seconds=0.2)
            raise self._patient(seen, busy) from None
        except Late:
            if (self._known.get(seen.run) or seen).ready:
                raise
            # the server is still dialling a machine that is off: it would say so much later
            raise self._patient(seen, Busy("Its node does not answer.", seconds=0.5)) from None
        except Busy as busy:
            raise self._patient(seen, busy) from None
        self._refused.pop(seen.uid, None)
        return socket

    async def log(self, seen: Seen) -> aiohttp.ClientResponse:
        """What a pod that has ended printed. Raises `Gone` when that was read before, or never can be."""
        if seen.uid in self.read_out:
            raise Gone(f"{seen.words} Its pod has nothing more to say.")
        try:
            response = await self._cluster.log(seen.name, container=CONTAINER)
        except (Gone, Refused) as why:
            if not await self._is_there(seen):
                raise Gone(f"{seen.words} Its pod was taken away before its last words were read.") from None
            since = self._unread_since.setdefault(seen.uid, time.monotonic())
            if time.monotonic() - since > UNREAD_SECONDS:
                self.read_out.add(seen.uid)
                raise Gone(f"{seen.words} Its node has nothing left of its last words: {why}") from None
            busy = Busy(f"Its node does not show its last words yet: {why}", seconds=0.5)
            raise self._patient(seen, busy) from None
        self._unread_since.pop(seen.uid, None)
        self._refused.pop(seen.uid, None)
        return response

    def forget(self, seen: Seen) -> None:
        """The pod is no more."""
        self.read_out.discard(seen.uid)
        self._refused.pop(seen.uid, None)
        self._unread_since.pop(seen.uid, None)

    def _patient(self, seen: Seen, busy: Busy) -> Busy:
        """The same, with a pause that grows while its node goes on like this."""
        refused = self._refused[seen.uid] = self._refused.get(seen.uid, 0) + 1
        seconds = max(busy.seconds, min(MOST_PATIENCE, busy.seconds * 2 ** min(refused - 1, 10)))
        return Busy(str(busy), seconds=seconds, everywhere=busy.everywhere)

    async def _is_there(self, seen: Seen) -> bool:
        """Whether the cluster has this very pod, whatever its node says."""
        pod = await self._cluster.pod(seen.name)
        if pod is None or pod["metadata"]["uid"] != seen.uid:
            self._known.bury(seen)
            return False
        self._known.learn(pod)
        return True
