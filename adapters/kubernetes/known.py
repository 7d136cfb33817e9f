"""All pods of the bot as one list-and-watch keeps them, with what events say of those that do not start.

Nothing in here asks the cluster about one pod; whoever must be sure does so, and says what it learned.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapters.kubernetes.seen import Seen, see, tell
from orchestrator.nouns import RunId

Json = dict[str, Any]

MOST_TOLD = 4000


class Known:
    """What is known of each pod at this moment."""

    def __init__(self) -> None:
        self._pods: dict[RunId, Seen] = {}
        self._told: OrderedDict[str, str] = OrderedDict()  # by uid: the last thing an event said
        self._buried: OrderedDict[str, None] = OrderedDict()  # uids that are gone for sure; a watch may be behind
        self._bells: dict[RunId, asyncio.Event] = {}

    def get(self, run: RunId) -> Seen | None:
        """The pod of this run."""
        seen = self._pods.get(run)
        if seen is not None and seen.vague and (words := self._told.get(seen.uid)):
            return replace(seen, words=f"It does not run yet: {words}.")
        return seen

    def all(self) -> Mapping[RunId, Seen]:
        """Every pod of ours."""
        return {run: seen for run in self._pods if (seen := self.get(run)) is not None}

    async def until(self, run: RunId, condition: Callable[[Seen | None], bool], *, seconds: float) -> Seen | None:
        """The pod as soon as the condition holds. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not condition(seen := self.get(run)):
                await self._bells.setdefault(run, asyncio.Event()).wait()
        return seen

    # --- what is learned ---

    def learn(self, pod: Json) -> Seen:
        """Somebody asked about this pod, or made it."""
        seen = see(pod)
        self._keep(seen)
        return seen

    def bury(self, seen: Seen) -> None:
        """It is gone for sure."""
        self._buried[seen.uid] = None
        while len(self._buried) > MOST_TOLD:
            self._buried.popitem(last=False)
        self._drop(seen)

    def put(self, pods: Sequence[Json]) -> None:
        """These are all there are."""
        here = {seen.run: seen for seen in map(see, pods)}
        for run, seen in list(self._pods.items()):
            if run not in here:
                self._drop(seen)
        for seen in here.values():
            self._keep(seen)

    def change(self, kind: str, pod: Json) -> None:
        """A pod changed in this way."""
        seen = see(pod)
        if kind == "DELETED":
            self._drop(seen)
        else:
            self._keep(seen)

    def put_events(self, events: Sequence[Json]) -> None:
        """Everything that was said lately, the oldest first as far as the cluster says."""
        for event in sorted(events, key=_moment):
            self.hear("ADDED", event)

    def hear(self, kind: str, event: Json) -> None:
        """An event was made, or happened again."""
        about = event.get("involvedObject") or {}
        if kind != "DELETED" and (words := tell(event)) and (uid := about.get("uid")):
            self._told[uid] = words.rstrip(".")
            self._told.move_to_end(uid)
            while len(self._told) > MOST_TOLD:
                self._told.popitem(last=False)
            self._ring(RunId(about.get("name", "")))

    def _keep(self, seen: Seen) -> None:
        if seen.uid not in self._buried and self._pods.get(seen.run) != seen:
            self._pods[seen.run] = seen
            self._ring(seen.run)

    def _drop(self, seen: Seen) -> None:
        self._told.pop(seen.uid, None)
        if (known := self._pods.get(seen.run)) is not None and known.uid == seen.uid:
            del self._pods[seen.run]
            self._ring(seen.run)

    def _ring(self, run: RunId) -> None:
        if (bell := self._bells.pop(run, None)) is not None:
            bell.set()


def _moment(event: Json) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")
