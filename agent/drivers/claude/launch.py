"""The command line and the environment of a Claude Code process: pure, but for the user id it runs under."""

from __future__ import annotations

import os

from agent.driver import Launch, Workplace
from agent.wire import Start

ENV = {
    "DISABLE_TELEMETRY": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    # Each message is on disk before it is acted on: a session killed at once is found again.
    "CLAUDE_CODE_EAGER_FLUSH": "1",
}
RETRIES = "CLAUDE_CODE_MAX_RETRIES"

STREAM = (
    "-p",
    "--input-format=stream-json",
    "--output-format=stream-json",
    "--verbose",
    "--include-partial-messages",
    "--replay-user-messages",
    "--permission-prompt-tool=stdio",
    # Without the next two a cloned repository's own settings are obeyed: its hooks run and its servers are started.
    "--setting-sources=user",
    "--strict-mcp-config",
    "--disable-slash-commands",
)

LONGEST_ARGUMENT = 120 << 10
"""Linux takes 128 KiB, the zero at the end included."""

ASKING = ("AskUserQuestion", "ExitPlanMode")
"""Tools by which the agent turns to the person: they are no power that a profile has to grant."""


def launch(start: Start, place: Workplace, *, resumed: bool, left_usd: float | None) -> Launch:
    """The process to start. `left_usd` None: no cap; not above 0: it must not spend anything any more."""
    spent_up = left_usd is not None and left_usd <= 0
    argv = [os.environ.get("CLAUDE_BIN") or "claude", *STREAM]
    argv.append(f"--resume={start.session}" if resumed else f"--session-id={start.session}")
    if start.model:
        argv.append(f"--model={start.model}")
    if left_usd is not None and not spent_up:
        argv.append(f"--max-budget-usd={max(left_usd, 0.0001):.4f}")
    argv += _permission(start)
    argv.append(f"--append-system-prompt={_instructions(start, place)}")
    env = dict(ENV, HOME=str(place.home), CLAUDE_CONFIG_DIR=str(place.home / ".claude"))
    # Ten are some minutes in all, and an operator's own figure wins. A refused credential is not waited for that long:
    # the driver breaks that off by itself.
    env.update({RETRIES: os.environ.get(RETRIES) or "10"})
    if not spent_up:
        env["CLAUDE_CODE_RESUME_INTERRUPTED_TURN"] = "1"
    if start.permission == "autonomous" and os.geteuid() == 0:
        env["IS_SANDBOX"] = "1"  # otherwise the CLI refuses to skip permissions as root
    return Launch(tuple(argv), env)


def objection(argv: tuple[str, ...]) -> str:
    """Why no system starts this command line, in a sentence; empty when nothing speaks against it."""
    for argument in argv:
        name = argument.partition("=")[0].removeprefix("--")
        what = {"append-system-prompt": "instructions"}.get(name, name)
        if (size := len(argument.encode("utf-8", "replace"))) > LONGEST_ARGUMENT:
            words = f"The agent's {what} have {size >> 10} KiB; {LONGEST_ARGUMENT >> 10} KiB is the most. "
            return words + "Shorten them, or put the rest into a file of a repository."
        if "\0" in argument:
            return f"The agent's {what} hold a zero byte, which no program can be given. Remove it."
    return ""


def _permission(start: Start) -> list[str]:
    tools, disallowed = list(start.tools), list(start.disallowed)
    match start.permission:
        case "autonomous":
            mode = ["--dangerously-skip-permissions"]
        case "locked":
            mode = ["--permission-mode=dontAsk"]
            disallowed += ASKING[:1]  # it would only be told that nobody may be asked
        case "plan":
            mode = ["--permission-mode=plan"]
        case _:
            mode = ["--permission-mode=default"]
    if tools and start.permission != "locked":
        tools += [tool for tool in ASKING if tool not in tools]
    named = (("tools", tools), ("allowedTools", start.allowed), ("disallowedTools", disallowed))
    return mode + [f"--{flag}={','.join(values)}" for flag, values in named if values]


def _instructions(start: Start, place: Workplace) -> str:
    outbox = f"A file that you put into {place.outbox} is handed to the person in the chat."
    return f"{start.instructions.strip()}\n\n{outbox}".strip()
