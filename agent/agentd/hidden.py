"""What nobody may read: known from the start, or out of files that are renewed while the agent works.

It masks nothing itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agent.agentd.shape import SHORTEST_SECRET, secrets_of

FOLDER = "AGENT_SECRETS"
"""The variable that names a folder of JSON files with credentials, each replaced as a whole when it is renewed."""

NAMES = frozenset({"access", "refresh", "auth"})
ENDINGS = ("token", "key", "secret", "password", "passwd", "credential", "credentials", "authorization", "cookie")
"""What a name is, or ends in, in small letters and without signs: `X-Api-Key`, `GITHUB_TOKEN`, `clientSecret`."""

SCHEME = re.compile(r"(?:bearer|basic|token)\s+(\S+)", re.IGNORECASE)
OPTION = re.compile(r"-{0,2}([\w-]+)=(.+)", re.DOTALL)


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


def _secrets(value: Any, *, name: str = "") -> Iterator[str]:
    """The credentials in a JSON value that has this name, by names; and the passwords in any URL."""
    match value:
        case dict():
            for inner_name, inner in value.items():
                yield from _secrets(inner, name=inner_name)
        case list():
            before = name
            for inner in value:  # a command's options, too: `--api-key` and then the key
                yield from _secrets(inner, name=before)
                before = inner if isinstance(inner, str) and inner.startswith("-") else name
        case str() if option := OPTION.fullmatch(value):
            yield from _inside(option[2], name=option[1])
            yield from _inside(value, name=name)
        case str():
            yield from _inside(value, name=name)
        case _:
            pass


def _inside(text: str, *, name: str) -> Iterator[str]:
    yield from secrets_of({}, (text,))
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if plain in NAMES or plain.endswith(ENDINGS):
        scheme = SCHEME.fullmatch(text.strip())
        yield from (one for one in (text.strip(), scheme[1] if scheme else "") if len(one) >= SHORTEST_SECRET)
