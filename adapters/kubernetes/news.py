"""What the bot knows of its pods, kept up to date by one watch of pods and one of events, and how sure that is.

Only `look` ever asks about one run; everybody else is content with what was told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from adapters.kubernetes.cluster import Cluster
from adapters.kubernetes.known import Known, order
from adapters.kubernetes.pod import MANAGED, RUN
from adapters.kubernetes.seen import Seen, see
from adapters.kubernetes.watch import Watch, number
from adapters.kubernetes.words import EVENTS, tell
from orchestrator.errors import Broken
from orchestrator.nouns import RunId

Json = Mapping[str, Any]

OURS = ",".join(f"{key}={value}" for key, value in MANAGED.items())
LIST_SECONDS = 10.0
DEAF_SECONDS = 90.0
"""What was known so long ago is not said any more."""


class News:
    """`follow` until cancelled; `known` has what was told."""

    def __init__(self, cluster: Cluster, *, longest_pause: float) -> None:
        self.known = Known()
        self._cluster = cluster
        self._pods = Watch(
            cluster, "pods", put=self.known.put, change=self.known.change, read=see,
            longest_pause=longest_pause, label_selector=OURS,
        )  # fmt: skip
        self._events = Watch(
            cluster, "events", put=self.known.put_events, change=self.known.hear, read=_about,
            longest_pause=longest_pause, field_selector=EVENTS,
        )  # fmt: skip

    async def follow(self) -> None:
        """Follow both for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pods.run())
            tasks.create_task(self._events.run())

    @property
    def version(self) -> str:
        """How far the pods were followed."""
        return self._pods.version

    async def begun(self) -> None:
        """Return when all pods were listed once, however long it takes."""
        await self._pods.listed.wait()

    async def listed(self) -> None:
        """Return when all pods were listed once. Raises `Broken` as soon as that fails."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LIST_SECONDS):
                await self._pods.answered.wait()
        if not self._pods.listed.is_set():
            raise self._unheard()

    async def heard(self) -> None:
        """Return when the pods were listed and are still followed. Raises `Broken` where what is known is old."""
        try:
            async with asyncio.timeout(LIST_SECONDS):
                await self._pods.listed.wait()
        except TimeoutError:
            raise self._unheard() from None
        if self._pods.trouble is not None and time.monotonic() - self._pods.heard > DEAF_SECONDS:
            raise self._unheard()

    async def look(self, run: RunId, *, sure: bool = False) -> Seen | None:
        """The run's pod as it is known; the cluster is asked where nothing is known, or it must be `sure`."""
        await self.heard()
        seen = self.known.get(run)
        if seen is not None and not sure:
            return seen
        if seen is not None:
            pod = await self._cluster.pod(seen.name)
            if pod is None or pod["metadata"]["uid"] != seen.uid:
                self.known.bury(seen)
        else:  # one that was claimed has the run in its label; one that is in the way has only the name
            page = await self._cluster.page("pods", label_selector=f"{OURS},{RUN}={run}")
            for one in sorted(page.get("items") or [], key=order):
                self.known.learn(one, version=number(page["metadata"]["resourceVersion"]))
            pod = None if page.get("items") else await self._cluster.pod(run)
        if pod is not None:
            self.known.learn(pod)
        return self.known.get(run)

    def _unheard(self) -> Broken:
        return Broken(str(self._pods.trouble or "The cluster's API has not answered yet."))


def _about(event: Json) -> None:
    """Raises where it cannot be read which pod an event tells of, or what."""
    tell(event)
    if not isinstance((event.get("involvedObject") or {}).get("uid", ""), str):
        raise TypeError
