"""A drawer of notes in memory. Set `fails` to a sentence and `put` raises `Broken` with it, until it is empty again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.errors import Broken


class MemoryNotes:
    """Small texts by name."""

    def __init__(self) -> None:
        self.fails = ""
        self.texts: dict[str, str] = {}

    async def put(self, notes: Mapping[str, str | None]) -> None:
        if self.fails:
            raise Broken(self.fails)
        for name, text in notes.items():
            if text is None:
                self.texts.pop(name, None)
            else:
                self.texts[name] = text

    async def scan(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> Sequence[tuple[str, str]]:
        names = sorted(name for name in self.texts if name.startswith(prefix) and name > after)
        return [(name, self.texts[name]) for name in names[: max(0, limit)]]
