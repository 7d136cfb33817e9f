"""All pods of the bot as one list-and-watch keeps them, with what events say of those that do not start.

Nothing in here asks the cluster about one pod; whoever must be sure does so, and says what it learned.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapters.kubernetes.pod import RUN
from adapters.kubernetes.seen import Seen, see
from adapters.kubernetes.warm import ASKED
from adapters.kubernetes.words import tell
from orchestrator.nouns import RunId

Json = dict[str, Any]

MOST_TOLD = 4000


class Known:
    """What is known of each pod at this moment. `stirred` is set whenever the warm pods have something to do."""

    def __init__(self) -> None:
        self.stirred = asyncio.Event()
        self.freed = 0  # how many pods of runs have gone: each left room
        self._pods: dict[str, Seen] = {}  # by uid
        self._names: dict[str, str] = {}  # the uid of each
        self._uids: dict[RunId, str] = {}  # the one pod that carries a run
        self._spares: dict[str, Seen] = {}  # by uid: those that wait for a run
        self._doubles: dict[str, Seen] = {}  # by uid: their run is carried by another one
        self._told: OrderedDict[str, str] = OrderedDict()  # by uid: the last thing an event said
        self._buried: OrderedDict[str, int] = OrderedDict()  # by uid: those that are gone, and `_furthest` then
        self._furthest = 0  # the newest version of the cluster of which anything is known
        self._bells: dict[str, asyncio.Event] = {}  # by run, and by the uid of one whose end is waited for

    def get(self, run: RunId) -> Seen | None:
        """The pod of this run."""
        return self._full(self._pods.get(self._uids.get(run, "")))

    def all(self) -> Mapping[RunId, Seen]:
        """Every pod of ours that carries a run."""
        return {run: seen for run in self._uids if (seen := self.get(run)) is not None}

    def spares(self) -> Sequence[Seen]:
        """The pods that wait for a run."""
        return [seen for one in self._spares.values() if (seen := self._full(one)) is not None]

    def doubles(self) -> Sequence[Seen]:
        """Pods whose run is carried by another one: a start or a claim that arrived when nobody counted on it."""
        return [seen for seen in self._doubles.values() if seen.ours]

    def unplaced(self) -> Sequence[Seen]:
        """The pods of runs for which no node has room."""
        return [seen for uid in self._uids.values() if (seen := self._pods[uid]).unplaced and seen.ours]

    async def until(self, run: RunId, condition: Callable[[Seen | None], bool], *, seconds: float) -> Seen | None:
        """The pod as soon as the condition holds. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not condition(seen := self.get(run)):
                await self._bells.setdefault(run, asyncio.Event()).wait()
        return seen

    async def gone(self, seen: Seen, *, seconds: float) -> bool:
        """Whether this pod has gone by then."""
        try:
            async with asyncio.timeout(seconds):
                while seen.uid in self._pods:
                    await self._bells.setdefault(seen.uid, asyncio.Event()).wait()
        except TimeoutError:
            return False
        return True

    def _full(self, seen: Seen | None) -> Seen | None:
        if seen is not None and seen.vague and (words := self._told.get(seen.uid)):
            return replace(seen, words=f"It does not run yet: {words}.")
        return seen

    # --- what is learned ---

    def learn(self, pod: Json, *, version: int = 0) -> Seen:
        """Somebody asked about this pod, made it or changed it. If it was in a list, that has a version."""
        seen = see(pod)
        self._bring_back(seen, version)
        self._keep(seen)
        return seen

    def bury(self, seen: Seen) -> None:
        """It is gone, as the cluster says when asked for it: a watch may be behind, a list that is newer is not."""
        self._buried[seen.uid] = self._furthest
        while len(self._buried) > MOST_TOLD:
            self._buried.popitem(last=False)
        self._drop(seen)

    def put(self, pods: Sequence[Json], *, version: int = 0) -> None:
        """These were all there were at that version of the cluster: what is known of a newer one stays.

        At 0 the list alone counts: versions cannot be compared, or the cluster was set back to a former state.
        """
        if not version:
            self._buried.clear()
        self._furthest = max(self._furthest, version) if version else 0
        here = {seen.uid: seen for seen in map(see, sorted(pods, key=order))}  # of doubles, the first is the one
        for uid, seen in list(self._pods.items()):
            if version and seen.version > version:
                here.pop(uid, None)
            elif uid not in here:
                self._drop(seen)
        for seen in here.values():
            self._bring_back(seen, version)
            self._keep(seen, sure=True)

    def change(self, kind: str, pod: Json) -> None:
        """A pod changed in this way."""
        seen = see(pod)
        if kind == "DELETED":
            self._drop(seen)
        else:
            self._keep(seen)

    def put_events(self, events: Sequence[Json], *, version: int = 0) -> None:
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
            if (seen := self._pods.get(uid)) is not None:
                self._ring(seen.run)

    def _bring_back(self, seen: Seen, version: int) -> None:
        """It lives after all, if a list of that version has it and that is no older than what was known at its burial.

        Should it have been on its way then, the watch will say after it that the pod is no more.
        """
        if version and version >= self._buried.get(seen.uid, version):
            self._buried.pop(seen.uid, None)

    def _keep(self, seen: Seen, *, sure: bool = False) -> None:
        """It is like this; if that is not `sure`, what is known of a newer version of it stays."""
        self._furthest = max(self._furthest, seen.version)
        before = self._pods.get(seen.uid)
        if seen.uid in self._buried:
            return
        if before is not None and seen.version < before.version and not sure:
            return  # an answer that was read late, or a watch that is behind
        if before == seen:
            self._pods[seen.uid] = seen
            return
        former = self._pods.get(self._names.get(seen.name, ""))
        if former is not None and former.uid != seen.uid:
            if seen.version < former.version:
                return  # its name has been used again
            self.bury(former)
        if before is not None and before.run != seen.run:
            self._release(before)  # its label was changed, or the cluster was set back to before its claim
        seen = _worn(seen, before)
        self._names[seen.name] = seen.uid
        self._pods[seen.uid] = seen
        self._spares.pop(seen.uid, None)
        self._doubles.pop(seen.uid, None)
        if seen.spare is not None:
            self._spares[seen.uid] = seen
        elif self._carries(seen):
            self._uids[seen.run] = seen.uid
        else:
            self._doubles[seen.uid] = seen
        if seen.spare or seen.unplaced or (before is not None and (before.spare or before.unplaced)) or self._doubles:
            self.stirred.set()
        self._ring(seen.run)

    def _carries(self, seen: Seen) -> bool:
        """Whether this is the pod of its run: of two of ours the one that was there first, for as long as it is."""
        other = self._pods.get(self._uids.get(seen.run, ""))
        return other is None or other.uid == seen.uid or not other.ours

    def _drop(self, seen: Seen) -> None:
        self._told.pop(seen.uid, None)
        known = self._pods.pop(seen.uid, None)
        if known is None:
            return
        self._spares.pop(seen.uid, None)
        self._doubles.pop(seen.uid, None)
        if self._names.get(known.name) == known.uid:
            del self._names[known.name]
        self.stirred.set()
        self._release(known)
        self._ring(known.uid)

    def _release(self, seen: Seen) -> None:
        """It carries its run no more: of doubles, another one does."""
        if self._uids.get(seen.run) == seen.uid:
            del self._uids[seen.run]
            self.freed += 1
            for other in [one for one in self._doubles.values() if one.run == seen.run]:
                self._keep(self._pods.pop(other.uid))
        self._ring(seen.run)

    def _ring(self, key: str) -> None:
        if (bell := self._bells.pop(key, None)) is not None:
            bell.set()


def _worn(seen: Seen, before: Seen | None) -> Seen:
    """A pod that has carried a run and waits again has that run's words in it: it has no form that anybody wants."""
    if seen.spare is None or before is None:
        return seen
    used = before.ours or (before.spare is not None and not before.spare.form)
    return replace(seen, spare=replace(seen.spare, form="")) if used else seen


def order(pod: Json) -> tuple[int, bool, str]:
    """Of two pods of one run, the one that every life of the bot works with comes first."""
    meta = pod["metadata"]
    asked, run = (meta.get("annotations") or {}).get(ASKED, ""), (meta.get("labels") or {}).get(RUN)
    return -int(asked) if asked.isdecimal() else 0, meta["name"] != run, str(meta.get("creationTimestamp") or "")


def _moment(event: Json) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")
