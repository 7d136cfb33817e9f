"""Agents of one's own for a bot that has not started yet: rehearsals of a script, or profiles of the real CLI."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from adapters.sqlite import open_store
from orchestrator.nouns import Agent

Script = Mapping[str, object]


def rehearsed(folder: Path, name: str, turns: Sequence[Sequence[Mapping[str, object]]], **more: object) -> Agent:
    """A rehearsal that plays these turns."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"turns": turns, **more}))
    return Agent(name, "rehearsal", about=f"a rehearsal called {name}", script=str(path))


async def keep(data: Path, *agents: Agent) -> None:
    """Put agents into the store of a bot that does not run now."""
    async with open_store(data / "army.db") as database:
        for agent in agents:
            await database.store.keep_agent(agent)
