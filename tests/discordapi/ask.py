"""One request as the routes see it, and a route as the front sees it. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.discordapi.errors import Json

if TYPE_CHECKING:
    from tests.discordapi.server import Discord


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came with a request, under its number."""

    number: int
    name: str
    data: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: what stood in its path, its query, its body and its files."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None
    files: tuple[Upload, ...] = ()

    def id(self, name: str) -> int:
        """A parameter of the path as an id."""
        return int(self.path[name])

    @property
    def json(self) -> Json:
        """The body when it is an object, which the schema has checked."""
        return self.body if isinstance(self.body, dict) else {}


Answer = Json | list[Any] | None
Work = Callable[["Discord", Ask], Answer]
Check = Callable[["Discord", Ask], list[str]]


def no_body(_: Discord, ask: Ask) -> list[str]:
    """A request that carries nothing."""
    return ["body: this request takes none"] if ask.body not in (None, {}) else []


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes, what does its work, what checks its body. A webhook's has no token of the bot."""

    method: str
    template: str
    work: Work
    check: Check = no_body
    webhook: bool = False


@dataclass(slots=True)
class Call:
    """A request as it is remembered; `at` is the loop's time, `status` 0 while it has no answer."""

    at: float
    method: str
    route: str
    channel: int | None
    body: Any = None
    files: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    code: int = 0
    early: bool = False
    """It came before the time that an earlier 429 had named."""
    banned: bool = False
    """It was answered by the edge, not by the platform."""
    shared: bool = False
    """It was told to wait for a limit that others use up too."""
