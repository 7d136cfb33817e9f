"""Everything that can happen to a run, past tense: what agentd reports, and what people and the core did.

The journal is made of these and nothing else is state. An event never changes; a kind that an older journal lacks gets
defaults, a kind that this version does not know is read as `Other`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import get_args

from agent.wire import REPORTS, Malformed, Other, Report, kind_name, kind_of, pack, unpack
from orchestrator.nouns import Agent, Conversation, File, Person, RunId, Source


@dataclass(frozen=True, slots=True)
class Launched:
    """Somebody asked for a run, in `origin`. The whole agent is written down: later edits do not change this run."""

    agent: Agent
    task: str
    by: Person
    origin: Conversation
    title: str
    files: tuple[File, ...] = ()
    budget_usd: float = 0.0
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """The run has a place to talk: its home, and later further ones, from which it is watched and answered as well."""

    where: Conversation


@dataclass(frozen=True, slots=True)
class WatchAsked:
    """Somebody wants to follow the run from another chat, too."""

    origin: Conversation
    by: Person


@dataclass(frozen=True, slots=True)
class PlaceLost:
    """One of the run's places is no more: somebody deleted the thread, or put the bot out."""

    where: Conversation
    words: str = ""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The run's turn has come (it was queued for a free slot): its pod may be started.

    `isolation` is what is to stand between the agent and the machine, in the runtime's words.
    """

    isolation: str = ""


@dataclass(frozen=True, slots=True)
class Housed:
    """The run's pod is there, and what stands between it and the machine is not what was last said, but this."""

    isolation: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """The run's process was started again by its runtime, for so many times by now. `words`: how the last one ended."""

    times: int
    words: str


@dataclass(frozen=True, slots=True)
class Said:
    """A person said something to the agent. `id` is the command's id, too."""

    id: str
    text: str
    by: Person
    files: tuple[File, ...] = ()
    quoted: bool = False
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """An Ask got its one answer. `words` is what is shown of it."""

    id: str
    ask: str
    words: str
    by: Person
    picks: tuple[int, ...] = ()
    text: str = ""
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class InterruptAsked:
    """Somebody wants the present turn to stop."""

    id: str
    by: Person


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody, or a limit, wants the run to end."""

    id: str
    words: str
    by: Person


@dataclass(frozen=True, slots=True)
class StateLost:
    """agentd answered with another epoch: the pod's state is gone, and it begins again."""

    epoch: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over and its pod is gone or going. `reason`: stopped, completed, failed, expired or lost.

    The rest sums it up, so that a dashboard of the past reads no journals.
    """

    reason: str
    words: str
    cost_usd: float = 0.0
    turns: int = 0
    seconds: float = 0.0
    where: Conversation | None = None


Seating = Opened | WatchAsked | PlaceLost
"""Where a run is talked to."""

Housing = Admitted | Housed | Restarted | StateLost
"""What becomes of its pod."""

Wish = Launched | Said | Answered | InterruptAsked | StopAsked
"""What people want of it."""

Deed = Seating | Housing | Wish | Ended
Event = Report | Deed

CLASSES: dict[str, type] = {**REPORTS, **{kind_name(cls): cls for cls in get_args(Deed)}}


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the journal. `key` is unique within the run and says where the event came from; `at` in Unix seconds."""

    run: RunId
    key: str
    at: float
    event: Event


def write(event: Event) -> tuple[str, str]:
    """An event as its kind and a JSON text, as a store keeps it."""
    return kind_of(event), json.dumps(pack(event), ensure_ascii=False, separators=(",", ":"))


def read(kind: str, body: str) -> Event:
    """The event that `write` made this of. Raises `Malformed` where the text is not what the kind promises."""
    cls = CLASSES.get(kind)
    if cls is None:
        return Other(type=kind, body=body)
    try:
        event: Event = unpack(cls, json.loads(body))
    except json.JSONDecodeError as error:
        raise Malformed(f"{kind}: {error}") from None
    return event
