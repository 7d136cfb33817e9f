"""The words that people may type after a slash, the same on every platform, and how a line of them is read."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass

from orchestrator.errors import Refused

COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("launch", "[agent] <task>", "open a thread and start an agent in it; without a task, choose the agent by a tap"),
    ("stop", "", "end the run of this thread"),
    ("interrupt", "", "stop only what the agent is doing now; the session goes on"),
    ("runs", "", "the dashboard: every live run, kept up to date"),
    ("logs", "[n]", "the last n events of this thread's run, or all of them as a file"),
    ("doctor", "", "look at everything that can be wrong, and say what to do"),
    ("help", "", "what can be done here"),
)
"""Name, arguments, and help in one line."""

MAX_TEXT = 200_000
"""Characters of one message to an agent. JSON makes at most six bytes of one; a line of the pipe has a mebibyte."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A command as typed: its word and the rest of the line, both as they stand."""

    word: str
    rest: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What `/launch` asked for. `agent` is empty where the person named none."""

    agent: str
    task: str


def read(text: str) -> Typed:
    """`/launch@some_bot claude fix it` is the word `launch` and the rest."""
    head, _, rest = text.partition(" ") if " " in text.partition("\n")[0] else text.partition("\n")
    return Typed(head.removeprefix("/").split("@")[0].lower(), rest.strip())


def help_text(words: Collection[str] = ()) -> str:
    """All commands, or those named, as markdown."""
    lines = [
        f"- `/{name}{' ' + arguments if arguments else ''}`: {about}"
        for name, arguments, about in COMMANDS
        if not words or name in words
    ]
    lines.append("- any text in a run's thread goes to its agent; while it works, into what it is doing")
    return "\n".join(lines)


def unknown(word: str) -> str:
    """What to say to a command that does not exist."""
    close = difflib.get_close_matches(word, [name for name, _, _ in COMMANDS], n=1)
    hint = f" Did you mean `/{close[0]}`?" if close else ""
    return f"There is no command `/{word[:40]}`.{hint} Text for an agent must not begin with a slash.\n\n{help_text()}"


def wish(rest: str, agents: Collection[str]) -> Wish:
    """Read what follows `/launch`. Raises `Refused` where an agent seems to be meant that does not exist."""
    head, _, task = rest.partition(" ") if " " in rest.partition("\n")[0] else rest.partition("\n")
    if not head:
        return Wish("", "")
    named = head.startswith("@") or head.endswith(":")
    name = head.strip("@:").lower()
    if name in agents:
        return Wish(name, task.strip())
    close = difflib.get_close_matches(name, agents, n=1, cutoff=0.8)
    if named or close or not task.strip():
        hint = f" Did you mean `{close[0]}`?" if close else ""
        some = ", ".join(f"`{agent}`" for agent in sorted(agents)) or "none yet"
        example = next(iter(sorted(agents)), "agent")
        raise Refused(
            f"There is no agent `{head[:40]}`.{hint} Agents here: {some}. "
            f"If that was the task, name the agent first: `/launch {example} {rest[:60]}`"
        )
    return Wish("", rest.strip())


def picks(text: str, labels: Collection[str], *, several: bool) -> tuple[int, ...]:
    """The choices that a typed answer names, by label or number; empty where it is an answer in its own words."""
    wanted = text.strip().casefold()
    folded = [label.casefold() for label in labels]
    if wanted in folded:
        return (folded.index(wanted),)
    words = wanted.replace(",", " ").replace(";", " ").split()
    if not words or not all(word.isdecimal() and 1 <= int(word) <= len(folded) for word in words):
        return ()
    chosen = tuple(dict.fromkeys(int(word) - 1 for word in words))
    return chosen if several or len(chosen) == 1 else ()
