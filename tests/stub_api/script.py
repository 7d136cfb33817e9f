"""What the scripted model does next: a pure reading of the conversation that a request carries.

The person's own words script it: `[[bash: echo hi]]` makes the model call Bash with that command. One answer plays
directives up to and with the first tool call; the tool's result brings the next request and so the next directives.
Nothing is remembered between requests, so a turn that is asked for again after a crash plays again from its start.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

DIRECTIVE = re.compile(r"\[\[(?P<verb>[a-z]+):?\s*(?P<rest>.*?)\]\](?!\])", re.DOTALL)
# What the CLI adds to the person's words: its own reminders, and its request to go on after a crash.
ADDED = re.compile(
    r"<system-reminder>.*?</system-reminder>|^Continue from where you left off\.$", re.DOTALL | re.MULTILINE
)
INTERRUPTED = re.compile(r"\[Request interrupted by user[^\]]*\]")


@dataclass(frozen=True, slots=True)
class Directive:
    verb: str
    rest: str


@dataclass(frozen=True, slots=True)
class Play:
    """One answer of the model."""

    opening: str
    thinking: str = ""
    pieces: tuple[str, ...] = ()
    pause: float = 0.0
    tool: tuple[str, dict[str, Any]] | None = None
    error: int = 0
    errors: int = -1
    """How many times the error is given before the rest is played; -1: always."""
    midstream: str = ""
    tokens: tuple[int, int] = (100, 20)


@dataclass(slots=True)
class _Turn:
    opening: str = ""
    words: list[str] = field(default_factory=list)
    answered: int = 0
    returned: str = ""


def next_play(body: dict[str, Any]) -> Play:
    """The model's answer to this request of the Messages API."""
    turn = _last_turn(body.get("messages", []))
    directives = [d for text in turn.words for d in directives_of(text)]
    if not body.get("tools"):
        return Play(turn.opening, pieces=("ok",))  # a side request of the CLI, for a title and the like
    if not directives:
        return Play(turn.opening, pieces=(f"echo: {turn.opening}",))
    groups = _groups(directives)
    if turn.answered >= len(groups):
        return Play(turn.opening, pieces=(f"done: {turn.returned}",), tokens=_tokens(directives))
    return _play(turn.opening, groups[turn.answered], _tokens(directives))


def directives_of(text: str) -> list[Directive]:
    """The directives in a text, in order."""
    return [Directive(m["verb"], m["rest"].strip()) for m in DIRECTIVE.finditer(text)]


def _last_turn(messages: list[dict[str, Any]]) -> _Turn:
    turn = _Turn()
    for message in messages:
        content = message.get("content", "")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if message.get("role") == "assistant":
            turn.answered += 1
            continue
        results = [b for b in blocks if b.get("type") == "tool_result"]
        texts = [ADDED.sub("", b["text"]) for b in blocks if b.get("type") == "text"]
        interrupted = any(INTERRUPTED.search(text) for text in texts)
        texts = [cleaned for text in texts if (cleaned := INTERRUPTED.split(text)[-1].strip())]
        if results:
            turn.returned = _words(results[-1].get("content", ""))
        # A message in the middle of a turn comes beside the tool's result, or with the role "system".
        begins = message.get("role") == "user" and (interrupted or not results)
        if begins and texts:
            turn = _Turn(opening=texts[-1], words=texts[-1:])  # an earlier turn that failed may stand before it
        elif message.get("role") != "user" or results:
            turn.words += texts
    return turn


def _words(content: Any) -> str:
    return content if isinstance(content, str) else "".join(b.get("text", f"({b.get('type')})") for b in content)


def _groups(directives: list[Directive]) -> list[list[Directive]]:
    groups: list[list[Directive]] = [[]]
    for directive in directives:
        groups[-1].append(directive)
        if directive.verb in {"bash", "write", "tool"}:
            groups.append([])
    return [group for group in groups if group]


def _tokens(directives: list[Directive]) -> tuple[int, int]:
    for directive in directives:
        if directive.verb == "tokens":
            first, second = directive.rest.split()
            return int(first), int(second)
    return 100, 20


def _play(opening: str, group: list[Directive], tokens: tuple[int, int]) -> Play:
    play = Play(opening, tokens=tokens)
    for directive in group:
        play = replace(play, **_part(play, directive))
    return play


def _part(play: Play, directive: Directive) -> dict[str, Any]:
    rest = directive.rest
    match directive.verb:
        case "say":
            return {"pieces": (*play.pieces, rest)}
        case "slow":
            count, seconds = rest.split()
            return {"pieces": (*play.pieces, *(f"piece {n} " for n in range(int(count)))), "pause": float(seconds)}
        case "think":
            return {"thinking": rest}
        case "bash" | "write" | "tool":
            return {"tool": _tool(directive.verb, rest)}
        case "error":
            status, _, times = rest.partition(" x")
            return {"error": int(status), "errors": int(times or -1)}
        case "midstream":
            return {"midstream": rest or "overloaded_error"}
        case "tokens":
            return {}
        case other:
            return {"pieces": (*play.pieces, f"(no such directive: {other})")}


def _tool(verb: str, rest: str) -> tuple[str, dict[str, Any]]:
    name, _, arguments = rest.partition(" ")
    match verb:
        case "bash":
            return "Bash", {"command": rest, "description": "a scripted command"}
        case "write":
            return "Write", {"file_path": name, "content": arguments}
        case _:
            return name, json.loads(arguments or "{}")
