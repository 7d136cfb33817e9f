"""What the server keeps: objects, the version of the whole, and the changes that watches follow.

Objects in it are never changed in place: a write puts a new one, which may share parts with the old; who wrote it keeps
his hands off. It knows no request and no rights.
"""

from __future__ import annotations

import json
import time
import uuid
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from tests.kubeapi import refusal
from tests.kubeapi.news import News
from tests.kubeapi.refusal import Json
from tests.kubeapi.sorts import Sort

MOST_CHANGES = 200_000


def now() -> str:
    """This moment, as the API writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Thing:
    """One version of one object, with its text, which is made once for all who read it."""

    __slots__ = ("_bare", "_raw", "object")

    def __init__(self, thing: Json) -> None:
        self.object = thing
        self._raw: bytes | None = None
        self._bare: bytes | None = None

    @property
    def raw(self) -> bytes:
        """As a get or a watch shows it."""
        if self._raw is None:
            self._raw = json.dumps(self.object, separators=(",", ":"), ensure_ascii=False).encode()
        return self._raw

    @property
    def bare(self) -> bytes:
        """As a list shows it: the list says the kind, its items do not."""
        if self._bare is None:
            bare = {key: value for key, value in self.object.items() if key not in {"apiVersion", "kind"}}
            self._bare = json.dumps(bare, separators=(",", ":"), ensure_ascii=False).encode()
        return self._bare


@dataclass(frozen=True, slots=True)
class Change:
    """Something happened to an object. `before` is what it was."""

    version: int
    what: str
    sort: Sort
    thing: Thing
    before: Thing | None


class Stock:
    """All objects. `heard` is told of every change, at once."""

    def __init__(self) -> None:
        self.heard: Callable[[Change], None] = lambda _: None
        self.version = 1000
        self.compacted = 0
        self._things: dict[Sort, dict[tuple[str, str], Thing]] = {}
        self._changes: list[Change] = []
        self._news = News()

    # --- reading ---

    def find(self, sort: Sort, namespace: str, name: str) -> Thing | None:
        """This object, if it is there."""
        return self._things.get(sort, {}).get((namespace if sort.namespaced else "", name))

    def get(self, sort: Sort, namespace: str, name: str) -> Thing:
        """This object. Raises `Refusal`."""
        found = self.find(sort, namespace, name)
        if found is None:
            raise refusal.not_found(sort.full, name)
        return found

    def all(self, sort: Sort, namespace: str = "") -> list[Thing]:
        """Every object of a sort by name, of one namespace or of all."""
        things = self._things.get(sort, {})
        return [things[key] for key in sorted(things) if not namespace or key[0] == namespace]

    def since(self, version: int) -> list[Change]:
        """What happened after this version. Raises `Refusal` when that is no longer known."""
        if version < self.compacted:
            raise refusal.expired(f"too old resource version: {version} ({self.compacted + 1})")
        return self._changes[bisect_right(self._changes, version, key=lambda change: change.version) :]

    async def changed(self, after: int) -> None:
        """Return when there is something after this version."""
        while self.version <= after:
            await self._news.wait()

    # --- writing ---

    def create(self, sort: Sort, thing: Json) -> Thing:
        """Put a new object. Raises `Refusal` when its name is taken."""
        meta = {**thing["metadata"]}
        if self.find(sort, meta.get("namespace", ""), meta["name"]) is not None:
            raise refusal.exists(sort.full, meta["name"])
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
        whole = {"apiVersion": sort.api_version, "kind": sort.kind, **thing, "metadata": meta}
        return self._put("ADDED", sort, whole, None)

    def replace(self, sort: Sort, thing: Json) -> Thing:
        """Put this in the place of the object of its name; the same again is no change."""
        meta = thing["metadata"]
        before = self.get(sort, meta.get("namespace", ""), meta["name"])
        if thing == before.object:
            return before
        return self._put("MODIFIED", sort, {**thing, "metadata": {**meta}}, before)

    def remove(self, sort: Sort, namespace: str, name: str) -> Thing:
        """Take the object away."""
        before = self.get(sort, namespace, name)
        del self._things[sort][namespace if sort.namespaced else "", name]
        return self._note("DELETED", sort, {**before.object, "metadata": {**before.object["metadata"]}}, before)

    def compact(self) -> None:
        """Forget how it came to this."""
        self.compacted = self.version
        self._changes.clear()

    def restore(self, version: int) -> None:
        """Be set back to this version by a backup that had the objects as they are."""
        self.version, self.compacted = version, version
        self._changes.clear()
        for things in self._things.values():
            for key, thing in things.items():
                meta = {**thing.object["metadata"], "resourceVersion": str(version)}
                things[key] = Thing({**thing.object, "metadata": meta})

    def _put(self, what: str, sort: Sort, thing: Json, before: Thing | None) -> Thing:
        put = self._note(what, sort, thing, before)
        meta = thing["metadata"]
        self._things.setdefault(sort, {})[meta.get("namespace", "") if sort.namespaced else "", meta["name"]] = put
        return put

    def _note(self, what: str, sort: Sort, thing: Json, before: Thing | None) -> Thing:
        self.version += 1
        thing["metadata"]["resourceVersion"] = str(self.version)
        noted = Thing(thing)
        self._changes.append(Change(self.version, what, sort, noted, before))
        if len(self._changes) > MOST_CHANGES:
            del self._changes[: MOST_CHANGES // 2]
            self.compacted = self._changes[0].version - 1
        self.heard(self._changes[-1])
        self._news.tell()
        return noted
