"""What agentd reports, upwards: durable frames, which are numbered and kept, and live ones, which may be lost.

Plain data. It does not know how a report becomes a line, and nothing of what is asked of agentd.
"""

from __future__ import annotations

from dataclasses import dataclass

# --- durable: what happened -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer that an Ask offers; its position in the Ask is its name."""

    label: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """A command is on agentd's disk and will be done; with `error`, it was understood as far as to refuse it."""

    id: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class CliStarted:
    """A CLI process is up. `attempt` is 1 for the first and counts restarts on the same session."""

    cli: str
    session: str
    version: str = ""
    model: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class CliDied:
    """The CLI ended by itself in the middle of its life; agentd starts it again unless it says `Finished` next."""

    words: str
    code: int = 0


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The model began to work."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a person said (the command's id) has reached the model's running turn."""

    id: str


@dataclass(frozen=True, slots=True)
class Wrote:
    """A whole block of the agent's text, GitHub markdown. Long ones are cut; the cut is said in the text."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """A whole block of the model's reasoning, where the CLI shows it."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The agent began to use a tool. `summary` is one line for people: the command, the path, the pattern."""

    call: str
    name: str
    summary: str = ""


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """A tool answered. `output` is its beginning and end; `cut` counts the bytes left out between them."""

    call: str
    ok: bool = True
    output: str = ""
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """The agent waits for a person. `kind` is question, permission or plan; a text always answers too.

    `detail` is what is asked about (the command, the plan), shown as it is.
    """

    ask: str
    kind: str
    text: str
    choices: tuple[Choice, ...] = ()
    several: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AskWithdrawn:
    """The agent no longer waits for this answer."""

    ask: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class FilePiece:
    """A part of a file that the agent hands to the person, base64; the piece with `last` completes it."""

    file: str
    name: str
    size: int
    sha256: str
    offset: int
    data: str
    last: bool = False


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The model stopped working. `outcome`: done, interrupted, failed, budget or turns.

    `text` is the final answer; `error` one sentence when it failed; `cost_usd` what this turn cost, never a total.
    """

    outcome: str
    text: str = ""
    error: str = ""
    cost_usd: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something a person should know while it lasts. `level`: info, warning or error; `code`: its kind."""

    level: str
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last report of a run: nothing follows. `reason`: stopped, completed, failed or expired."""

    reason: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Other:
    """A message of the CLI that nobody here knows yet; kept so that nothing is lost, shown to nobody."""

    type: str
    body: str = ""


# --- live: the state of this moment ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextSoFar:
    """The tail of the text block that is being written; `thinking` when it is reasoning. Empty: nothing any more."""

    text: str
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class Beat:
    """agentd is alive; also the answer to `resume`. `dropped` counts unreadable lines, `trouble` is what hurts."""

    epoch: str
    n: int
    dropped: int = 0
    trouble: str = ""


Report = (
    Heard | CliStarted | CliDied | TurnStarted | Taken | Wrote | Thought | ToolCalled | ToolReturned
    | Asked | AskWithdrawn | FilePiece | TurnEnded | Noticed | Finished | Other
)  # fmt: skip
Live = TextSoFar | Beat


@dataclass(frozen=True, slots=True)
class Frame:
    """A durable report with its place in agentd's journal. `at`: Unix seconds by the pod's clock."""

    n: int
    epoch: str
    at: float
    report: Report
