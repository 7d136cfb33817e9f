"""A rehearsal's script: data, read and checked. Knows no processes.

    {"about": "…", "turns": [[step, …], …], "then": [step, …], "alone": false}

`turns` are for the task and the inputs after it, one each; `then` is for every further input. What is said while a turn
runs is taken into it at the next step, unless the script is `alone`: then it gets a turn of its own. A step is an
object whose first key is its verb: say, think, tool, ask, file, cost, wait, flood, crash, hang, stderr, fail, end.
Texts may hold {task}, {said}, {answer}.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parents[1] / "scripts"

Step = dict[str, Any]

VERBS: dict[str, tuple[type | tuple[type, ...], frozenset[str]]] = {
    "say": (str, frozenset({"pace"})),
    "think": (str, frozenset({"pace"})),
    "tool": (str, frozenset({"summary", "output", "seconds", "ok"})),
    "ask": (str, frozenset({"choices", "kind", "detail", "several"})),
    "file": (str, frozenset({"content"})),
    "cost": ((int, float), frozenset()),
    "wait": ((int, float), frozenset()),
    "flood": ((int, float), frozenset({"kind", "piece"})),
    "crash": (int, frozenset({"always"})),
    "hang": ((int, float), frozenset()),
    "stderr": (str, frozenset()),
    "fail": (str, frozenset()),
    "end": (str, frozenset()),
}
"""Each verb with the type of its value and the further keys it may have."""


@dataclass(frozen=True, slots=True)
class Script:
    """What happens in each turn."""

    turns: tuple[tuple[Step, ...], ...]
    then: tuple[Step, ...]
    alone: bool = False

    def steps(self, turn: int) -> tuple[Step, ...]:
        """The steps of this turn; turns are counted from 0."""
        return self.turns[turn] if turn < len(self.turns) else self.then


def find(name: str) -> Path:
    """The file of a script: one that is shipped, or an absolute path. Raises ValueError with a sentence."""
    if name.startswith("/") and Path(name).is_file():
        return Path(name)
    shipped = {path.stem: path for path in sorted(SCRIPTS.glob("*.json"))}
    if (name or "welcome") in shipped:
        return shipped[name or "welcome"]
    raise ValueError(f"there is no rehearsal called '{name[:80]}'; choose one of {', '.join(shipped)}")


def load(path: Path) -> Script:
    """Read a script. Raises ValueError that says where it is wrong."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    turns = raw.get("turns", [])
    for place, steps in [*((f"turns[{i}]", one) for i, one in enumerate(turns)), ("then", raw.get("then", []))]:
        for number, step in enumerate(steps):
            if wrong := _objection(step):
                raise ValueError(f"{path.name}: {place}[{number}]: {wrong}")
    return Script(tuple(map(tuple, turns)), tuple(raw.get("then", [])), raw.get("alone") is True)


def _objection(step: Any) -> str:
    if not isinstance(step, dict) or not step:
        return "a step is an object"
    verb = next(iter(step))
    if verb not in VERBS:
        return f"unknown verb '{verb}'"
    wanted, more = VERBS[verb]
    if not isinstance(step[verb], wanted) or isinstance(step[verb], bool):
        return f"'{verb}' has a value of the wrong type"
    unknown = step.keys() - more - {verb}
    return f"'{verb}' does not know {', '.join(sorted(unknown))}" if unknown else ""
