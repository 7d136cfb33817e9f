"""`python -m bot doctor`: looks at everything that can be wrong and says what to do. It starts nothing.

Opening the store brings one of an older version to today's shape, as a start would.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.sqlite import open_store
from bot.claude import bundled_claude
from bot.listener import why_not
from bot.lock import only_bot
from bot.settings import Settings
from orchestrator.errors import Trouble

ROOM_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `grave`: the bot cannot run with it."""

    what: str
    words: str
    good: bool
    grave: bool = False

    def __str__(self) -> str:
        return f"{'✓' if self.good else '✗' if self.grave else '·'} {self.what:12} {self.words}"


async def examine(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    """Everything, in the order in which it is needed."""
    return [
        Finding("python", sys.version.split()[0], good=True),
        *_data(settings.data_dir),
        *await _store(settings.data_dir / "army.db"),
        _port(settings),
        *_model(settings, environ),
    ]


def _data(folder: Path) -> Iterator[Finding]:
    if not folder.exists():
        yield Finding("data", f"{folder} is not there yet; the first start makes it", good=True)
        return
    free = shutil.disk_usage(folder).free
    yield Finding("disk", f"{free / (1 << 30):.1f} GiB free in {folder}", good=free > ROOM_BYTES)
    if not os.access(folder, os.W_OK):
        yield Finding("data", f"{folder} cannot be written by this user; set DATA_DIR", good=False, grave=True)
        return
    try:
        with only_bot(folder):
            yield Finding("data", f"{folder} is free for a bot", good=True)
    except Trouble as trouble:
        yield Finding("data", str(trouble), good=False)


async def _store(path: Path) -> list[Finding]:
    if not await asyncio.to_thread(path.exists):
        return []
    try:
        async with open_store(path) as database:
            live = await database.store.live()
    except Trouble as trouble:
        return [Finding("store", str(trouble), good=False, grave=True)]
    return [Finding("store", f"{path} is sound; {len(live)} live run{'' if len(live) == 1 else 's'}", good=True)]


def _port(settings: Settings) -> Finding:
    bind = settings.http_bind
    with socket.socket(socket.AF_INET6 if ":" in bind.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind.host, bind.port))
        except OSError as error:
            return Finding("port", why_not(bind, error), good=False)
    return Finding("port", f"{bind} is free", good=True)


def _model(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    if not settings.has_model:
        yield Finding("model", "no credential: set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN in .env", good=False)
        return
    kind = "an API key" if settings.anthropic_api_key else "a setup token"
    yield Finding("model", f"{kind} is set; whether it is accepted shows at the first run", good=True)
    found = settings.claude_bin or bundled_claude() or shutil.which("claude", path=environ.get("PATH"))
    words = f"the CLI is {found}" if found else "the CLI is installed at the next start (160 MB)"
    yield Finding("claude", words, good=True)
