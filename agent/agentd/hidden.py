"""What nobody may read: known from the start, or out of files that are renewed while the agent works.

It masks nothing itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agent.agentd.shape import SHORTEST_SECRET

FOLDER = "AGENT_SECRETS"
"""The variable that names a folder of JSON files with credentials, each replaced as a whole when it is renewed."""

NAMES = frozenset({"accesstoken", "access", "refreshtoken", "refresh", "apikey", "key", "token"})


class Hidden:
    """What was hidden once stays so: an old token may still be told when there is a new one."""

    def __init__(self, known: Iterable[str], *, folder: str = "") -> None:
        self._secrets = frozenset(known)  # never changed in place: threads read it
        self._folder = Path(folder) if folder else None
        self._seen: tuple[int, int] | None = None
        self._sorted: tuple[str, ...] | None = None

    def know(self, more: Iterable[str]) -> None:
        """These, too."""
        self._secrets = self._secrets | frozenset(more)
        self._sorted = None

    def now(self) -> tuple[str, ...]:
        """All of them, longest first, so that one inside another leaves no rest."""
        if self._folder is not None:
            self._look(self._folder)
        ready = self._sorted
        if ready is None:
            ready = self._sorted = tuple(sorted(self._secrets, key=len, reverse=True))
        return ready

    def _look(self, folder: Path) -> None:
        """Read the files when they were replaced: that changes the folder, and the link by which a kubelet does it."""
        try:
            link = folder / "..data"
            seen = folder.stat().st_mtime_ns, link.lstat().st_ino if link.is_symlink() else 0
            if seen == self._seen:
                return
            texts = [path.read_bytes() for path in folder.glob("*.json")]
        except OSError:  # it is being replaced just now: the next report looks again
            return
        self._seen = seen
        for text in texts:
            try:
                self.know(_secrets(json.loads(text)))
            except ValueError:
                continue  # nothing that a CLI could use


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for inner in value:
            yield from _secrets(inner)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(inner, str):
                yield from _secrets(inner)
            elif name.replace("_", "").lower() in NAMES and len(inner) >= SHORTEST_SECRET:
                yield inner
