"""A request as the API server understands it: the verb and the object that its method, path and query mean."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.kubeapi import refusal
from tests.kubeapi.rights import Wish
from tests.kubeapi.sorts import Sort, sort_at

if TYPE_CHECKING:
    from collections.abc import Mapping

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass
class Call:
    """A request that came in, and what became of it. `resource` has the subresource in it: `pods/attach`."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    at: float = field(default_factory=time.monotonic)
    """When it came in, by the clock that all processes of a machine share."""

    @property
    def right(self) -> tuple[str, str]:
        """What a Role must have for it."""
        return self.verb, self.resource


@dataclass(frozen=True, slots=True)
class Target:
    """What a path means."""

    sort: Sort
    namespace: str
    name: str
    sub: str
    verb: str

    @property
    def resource(self) -> str:
        """As a Role names it."""
        return f"{self.sort.plural}/{self.sub}" if self.sub else self.sort.plural

    def wish(self, verb: str) -> Wish:
        """The right that this needs."""
        return Wish(verb, self.sort.group, self.resource, self.namespace, self.name)


def target(method: str, path: str, query: Mapping[str, str]) -> Target:
    """What this request is about. Raises `Refusal`."""
    parts = path.strip("/").split("/")
    match parts:
        case ["api", version, *rest]:
            group = ""
        case ["apis", group, version, *rest]:
            pass
        case _:
            raise refusal.no_such_path()
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    sort = sort_at(group, version, rest[0]) if rest else None
    if sort is None or len(rest) > 3 or (namespace and not sort.namespaced):
        raise refusal.no_such_path()
    name, sub = [*rest[1:], "", ""][:2]
    return Target(sort, namespace, name, sub, _verb(method, name, query))


def _verb(method: str, name: str, query: Mapping[str, str]) -> str:
    if method == "GET":
        if query.get("watch", "").lower() in {"true", "1"}:
            return "watch"
        return "get" if name else "list"
    if method == "DELETE" and not name:
        return "deletecollection"
    return VERBS.get(method, method.lower())
