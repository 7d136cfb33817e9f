"""The slash commands as Discord keeps them, told to it only when they changed, and how one is read as a typed line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import structlog

from adapters.discord.wire import Wire
from orchestrator.nouns import line
from orchestrator.ports import Notes

log = structlog.get_logger()

Command = tuple[str, str, str]
"""Name, arguments, and help in one line."""

TASK = 4000
"""Characters of a task, in an option and in the form."""

_TEXT, _INTEGER, _FILE = 3, 4, 11
_ABOUT = 100

_OPTIONS: dict[str, list[dict[str, Any]]] = {
    "launch": [
        {"type": _TEXT, "name": "agent", "description": "Which agent", "autocomplete": True, "max_length": 100},
        {"type": _TEXT, "name": "task", "description": "What it is to do; without it, a form", "max_length": TASK},
        {"type": _FILE, "name": "file", "description": "A file that goes along"},
    ],
    "logs": [
        {"type": _INTEGER, "name": "n", "description": "How many events", "min_value": 1, "max_value": 1000},
    ],
}


def definition(commands: Sequence[Command]) -> list[dict[str, Any]]:
    """What a server is told: nobody is kept from seeing them, who may is decided here. In private there are none."""
    return [
        {
            "type": 1,
            "name": name,
            "description": line(about, _ABOUT),
            "options": [{"required": False, **option} for option in _OPTIONS.get(name, _free(arguments))],
        }
        for name, arguments, about in commands
    ]


def _free(arguments: str) -> list[dict[str, Any]]:
    """A command of whose arguments nothing is known here takes them as they are typed."""
    return [{"type": _TEXT, "name": "words", "description": line(arguments, _ABOUT)}] if arguments else []


def typed(name: str, options: Iterable[Mapping[str, Any]]) -> str:
    """The command as the line that somebody would have typed."""
    given = {option["name"]: str(option.get("value", "")).strip() for option in options if option["type"] != _FILE}
    words = [given[key] for key in ("agent", "task", "n", "words") if given.get(key)]
    return " ".join([f"/{name}", *words])


async def synced(wire: Wire, notes: Notes, guilds: Iterable[str], commands: Sequence[Command]) -> None:
    """Tell each guild the commands, if it does not have them as they are now. Raises `Trouble`."""
    wanted = definition(commands)
    digest = sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    known = dict(await notes.scan("commands/"))
    client = await wire.client()
    application = client.application_id
    for guild in guilds:
        name = f"commands/{guild}"
        if application is None or known.get(name) == f"{application} {digest}":
            continue
        await wire.ask(
            lambda client, guild=guild: client.http.bulk_upsert_guild_commands(application, int(guild), wanted)  # type: ignore[misc]
        )
        await notes.put({name: f"{application} {digest}"})
        log.info("commands told", platform="discord", guild=guild)
