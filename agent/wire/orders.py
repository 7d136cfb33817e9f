"""What agentd is told, downwards: orders, each done once for its id, and `Resume`, which needs none.

Plain data. It does not know how a command becomes a line, and nothing of what is reported.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Start:
    """Everything agentd needs to know to begin. Credentials are not here: they come with the process's environment.

    `permission`: autonomous (only questions ask), supervised (tools ask), locked (what is not allowed is denied) or
    plan. `session` is a UUID. `files` are names sent before by `Put`. `budget_usd` 0 means without a cap.
    """

    driver: str
    session: str
    task: str
    model: str = ""
    instructions: str = ""
    permission: str = "autonomous"
    tools: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    disallowed: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    budget_usd: float = 0.0
    script: str = ""
    files: tuple[str, ...] = ()
    silence_seconds: float = 1800.0


@dataclass(frozen=True, slots=True)
class Say:
    """A person's words for the agent. `quoted`: forwarded material, not an instruction of the person."""

    text: str
    files: tuple[str, ...] = ()
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to an Ask: positions of the choices taken, or a text in the person's own words."""

    ask: str
    picks: tuple[int, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Put:
    """A part of a file for the agent, base64, in order of `offset`; the piece with `last` completes it."""

    name: str
    offset: int
    data: str
    last: bool = False


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop the present turn; the session goes on."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run: interrupt, a moment for the CLI to close, then the end. Answered at last by `Finished`."""

    words: str = ""


@dataclass(frozen=True, slots=True)
class Resume:
    """Print every durable frame above `after` again, then follow. The only command without an id."""

    epoch: str = ""
    after: int = 0


Order = Start | Say | Answer | Put | Interrupt | Stop


@dataclass(frozen=True, slots=True)
class Command:
    """An order with its idempotency key."""

    id: str
    order: Order
