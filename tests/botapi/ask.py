"""One request as it was understood: its method, its values by name, and the files that came with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tests.botapi.refusal import Json, bad
from tests.botapi.world import World


@dataclass(frozen=True, slots=True)
class Upload:
    """A file inside a request."""

    name: str
    content: bytes
    mime: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A request. `method` is in lower case; the values already have the types of the platform's description."""

    method: str
    params: Json
    uploads: Mapping[str, Upload] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """A whole number, or 0."""
        value = self.params.get(name)
        return value if isinstance(value, int) else 0

    def text(self, name: str) -> str:
        """A text, or an empty one."""
        value = self.params.get(name)
        return value if isinstance(value, str) else ""

    def flag(self, name: str) -> bool:
        """Whether it was asked for."""
        return self.params.get(name) is True

    def json(self, name: str) -> Json:
        """An object, or an empty one."""
        value = self.params.get(name)
        return value if isinstance(value, dict) else {}

    def rows(self, name: str) -> list[Json]:
        """A list of objects, or an empty one."""
        value = self.params.get(name)
        return value if isinstance(value, list) else []

    @property
    def chat(self) -> int | None:
        """The chat it speaks of, if it does."""
        value = self.params.get("chat_id")
        return value if isinstance(value, int) else None

    def upload(self, name: str) -> Upload:
        """The file that a field or an `attach://` address means."""
        found = self.uploads.get(name.removeprefix("attach://"))
        if found is None:
            raise bad("wrong file identifier/HTTP URL specified")
        return found


Method = Callable[[World, Ask], Awaitable[object]]
