"""Agents from a TOML text: a table each, read strictly. Where they are kept afterwards is not known here."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from agent.wire import Malformed, unpack
from bot.mistakes import Mistakes
from orchestrator.nouns import CREDENTIALS, Agent, Limits

SHIPPED = Path(__file__).with_name("agents.toml")
DRIVERS = ("claude", "rehearsal")
PERMISSIONS = ("autonomous", "supervised", "locked", "plan")
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


def shipped_agents() -> Sequence[Agent]:
    """The agents that come with the project, in the order of their file."""
    return read_agents(SHIPPED.read_text(encoding="utf-8"), source=SHIPPED.name)


def read_agents(text: str, *, source: str) -> Sequence[Agent]:
    """The agents written in this text. Raises `Mistakes` with everything that is wrong in it."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Mistakes([f"{source}: {error}."]) from None
    agents: list[Agent] = []
    mistakes: list[str] = []
    for name, table in tables.items():
        wrong = _wrong(name, table)
        if not wrong:
            try:
                agents.append(unpack(Agent, {**table, "name": name}))
            except Malformed as error:
                wrong = [str(error)]
        mistakes.extend(f"{source}, agent '{name}': {words}." for words in wrong)
    if mistakes:
        raise Mistakes(mistakes)
    return agents


def _wrong(name: str, table: Any) -> list[str]:
    if not isinstance(table, dict):
        return ["this is not a table; write [name] and its settings below"]
    wrong: list[str] = []
    if not NAME.fullmatch(name):
        wrong.append("a name has lower-case letters, digits and dashes, at most 32")
    known = {field.name for field in fields(Agent)} - {"name"}
    wrong.extend(f"'{key}' is not known; known are {', '.join(sorted(known))}" for key in sorted(set(table) - known))
    limits = table.get("limits", {})
    if isinstance(limits, dict):
        spans = {field.name for field in fields(Limits)}
        wrong.extend(f"'limits.{key}' is not known; known are {', '.join(sorted(spans))}"
                     for key in sorted(set(limits) - spans))  # fmt: skip
    for key, words in (("driver", DRIVERS), ("permission", PERMISSIONS)):
        if (value := table.get(key, words[0])) not in words:
            wrong.append(f"{key} {value!r} is none of {', '.join(words)}")
    if (value := table.get("credential", "")) not in ("", *CREDENTIALS):
        wrong.append(f"credential {value!r} is none of {', '.join(CREDENTIALS)}; leave it out for whatever is set")
    return wrong
