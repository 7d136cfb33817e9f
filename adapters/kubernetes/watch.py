"""One list and one watch of a kind of object, for as long as it takes: what is there, then what changes.

It survives what an API server does to watches: ends them, forgets versions (410: list again), goes away and comes back.
It knows lines of JSON, and not what they are about.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import structlog

from adapters.kubernetes.cluster import Cluster
from adapters.kubernetes.errors import Expired, trouble
from agent.wire import Lines
from orchestrator.errors import Broken, Busy, Trouble

log = structlog.get_logger()

Json = dict[str, Any]

WATCH_SECONDS = 50
"""A watch is asked to end so often, so that one which is dead without a sign is noticed soon after."""

LIST_SECONDS = 1200.0
"""All is listed again so often: a watch that is deaf without a sign would else stay so for ever."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
SETTLED_SECONDS = 1.0
MAX_EVENT = 8 << 20


class Put(Protocol):
    """Takes a list, and which version of the cluster it is of."""

    def __call__(self, things: Sequence[Json], /, *, version: int) -> None:
        """These are all there are."""
        ...


class Watch:
    """`run` follows until cancelled. `put` is given everything that is there, `change` what happened to one.

    With the list comes its version, or 0 where it is older than what was followed: the cluster was set back.
    An object of which `read` can make nothing is left out, so that one does not stop the others from being heard.
    """

    def __init__(
        self,
        cluster: Cluster,
        what: str,
        *,
        put: Put,
        change: Callable[[str, Json], None],
        read: Callable[[Json], object] = bool,
        longest_pause: float = LONGEST_PAUSE,
        **filters: str,
    ) -> None:
        self.listed = asyncio.Event()
        self.answered = asyncio.Event()  # it was listed, or is in trouble
        self.heard = 0.0  # monotonic seconds when the server last said something
        self.trouble: Trouble | None = None
        self.version = ""  # how far it was followed; empty: it must be listed
        self._furthest = 0
        self._listed_at = 0.0
        self._cluster = cluster
        self._what = what
        self._filters = filters
        self._put = put
        self._change = change
        self._read = read
        self._longest_pause = longest_pause

    async def run(self) -> None:
        """Follow for ever."""
        failures = 0
        while True:
            began = time.monotonic()
            try:
                if not self.version or time.monotonic() - self._listed_at > LIST_SECONDS:
                    await self._list()
                await self._follow()
            except Expired:
                log.debug("the cluster forgot our place; listing again", what=self._what)  # it forgets soon
                self.version = ""
            except Trouble as why:
                if self.trouble is None:
                    log.warning("the cluster is not heard", what=self._what, why=str(why))
                self.trouble = why
                self.answered.set()
            failures = 0 if time.monotonic() - began > SETTLED_SECONDS and self.trouble is None else failures + 1
            if failures > 1 or self.trouble is not None:
                await asyncio.sleep(self._pause(failures))

    def _pause(self, failures: int) -> float:
        asked = self.trouble.seconds if isinstance(self.trouble, Busy) else 0.0
        pause = min(self._longest_pause, SHORTEST_PAUSE * 2 ** min(failures, 16))
        return float(min(30.0, max(asked, pause * random.uniform(0.5, 1.0))))  # noqa: S311 - so that bots do not come at once

    async def _list(self) -> None:
        items: list[Json] = []
        more = ""
        while True:
            page = await self._cluster.page(self._what, more=more, **self._filters)
            items += page.get("items") or []
            more = page["metadata"].get("continue", "")
            if not more:
                break
        self._listed_at = time.monotonic()
        version = number(page["metadata"]["resourceVersion"])
        back = version < self._furthest
        if back:
            log.warning("the cluster was set back to a former state", what=self._what)
        self._put([thing for thing in items if self._makes_sense(thing)], version=0 if back else version)
        self._furthest = version
        self.version = page["metadata"]["resourceVersion"]
        self._well()
        self.listed.set()
        self.answered.set()

    async def _follow(self) -> None:
        lines = Lines(MAX_EVENT)
        async with self._cluster.watch(
            self._what, after=self.version, seconds=WATCH_SECONDS, **self._filters
        ) as chunks:
            self._well()
            async for chunk in chunks:
                for event in lines.feed(chunk):
                    self._take(event)
                if lines.dropped:
                    raise Expired  # a change that cannot be read: look at how things are instead
                self.heard = time.monotonic()

    def _take(self, text: bytes) -> None:
        try:
            event = json.loads(text)
            kind, thing = event["type"], event["object"]
            code = thing.get("code", 500) if kind == "ERROR" else 0
        except (ValueError, LookupError, TypeError, AttributeError):
            self.version = ""
            raise Broken(f"The cluster's API said something unreadable in a watch of the {self._what}.") from None
        if kind == "ERROR":
            if code == 410:
                raise Expired
            self.version = ""  # another watch from there would end like this one, and say as little
            code = code if isinstance(code, int) else 500
            raise trouble(code, json.dumps(thing), doing=f"to watch the {self._what}")
        if version := _version(thing):
            self.version = version
            self._furthest = max(self._furthest, number(version))
        if kind != "BOOKMARK" and self._makes_sense(thing):
            self._change(kind, thing)

    def _makes_sense(self, thing: object) -> bool:
        why = "no version"
        if _version(thing):
            try:
                self._read(cast("Json", thing))
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                why = repr(error)
            else:
                return True
        log.error("an object makes no sense", what=self._what, why=why, object=repr(thing)[:400])
        return False

    def _well(self) -> None:
        if self.trouble is not None:
            log.info("the cluster is heard again", what=self._what)
        self.trouble = None
        self.heard = time.monotonic()


def _version(thing: object) -> str:
    """Which version of an object this is; empty where it is none."""
    meta = thing.get("metadata") if isinstance(thing, dict) else None
    version = meta.get("resourceVersion") if isinstance(meta, dict) else None
    return version if isinstance(version, str) else ""


def number(version: str) -> int:
    """A version as it compares; 0 where it does not."""
    return int(version) if version.isdigit() else 0
