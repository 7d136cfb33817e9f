"""Tools in words: one line for a call, the exact thing for a permission, the text of a result. Pure."""

from __future__ import annotations

import difflib
import json
from typing import Any

from agent.drivers.claude.loose import mapping, objects, word

LINE = 200

_TELLING = (
    "command", "file_path", "notebook_path", "path", "pattern",
    "url", "query", "skill", "description", "prompt", "plan",
)  # fmt: skip
_QUESTIONS = {
    "Bash": "Run this command?",
    "Write": "Write this file?",
    "Edit": "Change this file?",
    "NotebookEdit": "Change this notebook?",
    "WebFetch": "Fetch this page?",
    "WebSearch": "Search the web for this?",
    "EnterPlanMode": "Make a plan first?",
}


def summary(name: str, given: dict[str, Any], *, inside: str = "") -> str:
    """One line that says what the tool is used on. Paths `inside` the workspace lose that beginning."""
    if name == "AskUserQuestion":
        return _line(" · ".join(word(question.get("question")) for question in objects(given.get("questions"))))
    for key in ("pattern", *_TELLING) if name in {"Grep", "Glob"} else _TELLING:
        if text := word(given.get(key)).strip():
            return _line(text.removeprefix(inside.rstrip("/") + "/") if inside else text)
    return _line(compact(given)) if given else ""


def question(name: str) -> str:
    """What a person is asked before the tool is used."""
    return _QUESTIONS.get(name) or f"Use the tool {name}?"


def detail(name: str, given: dict[str, Any]) -> str:
    """Exactly what is asked about."""
    path = word(given.get("file_path"))
    match name:
        case "Bash" if word(given.get("command")):
            return word(given.get("command"))
        case "Write" if path:
            return f"{path}\n\n{word(given.get('content'))}"
        case "Edit" if path:
            return f"{path}\n\n{_diff(word(given.get('old_string')), word(given.get('new_string')))}"
        case _:
            return compact(given, indent=2) if given else ""


def output(content: object) -> str:
    """A tool's result as text; what is no text is named."""
    if isinstance(content, str):
        return content
    parts = [word(b.get("text")) or f"({word(b.get('type')) or 'something'})" for b in objects(content)]
    return "\n".join(parts) or ("" if content in (None, []) else compact(content))


def compact(value: object, *, indent: int | None = None) -> str:
    """Any JSON as text."""
    try:
        return json.dumps(mapping(value) or value, ensure_ascii=False, indent=indent)
    except RecursionError:
        return "(too deeply nested to be shown)"


def _diff(old: str, new: str) -> str:
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=3))
    return "\n".join(lines[2:])  # the first two name files


def _line(text: str) -> str:
    first = text.strip().split("\n", 1)[0].strip()
    return first if len(first) <= LINE else first[: LINE - 1] + "…"
