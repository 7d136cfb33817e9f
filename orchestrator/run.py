"""A run's state: everything about it that is kept, and how its names are made.

It is folded from the run's journal and from nothing else (`orchestrator.fold`). It knows no chat and no runtime: what
is only true at this moment (text being written, a pod still pulling its image) is not here.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections import deque
from copy import copy
from dataclasses import dataclass, field, fields
from uuid import NAMESPACE_URL, uuid5

from agent import wire
from agent.wire import Command
from orchestrator import events as ev
from orchestrator.nouns import Agent, Conversation, File, Person, Phase, RunId, Source

LOG_LINES = 200
"""Tool lines of the present turn that are kept; older ones are in the journal."""

TEXT_KEPT = 16_000
"""Characters of the present turn's text that are kept for its page."""

LEAST_BUDGET = 0.01
"""Dollars that a session is started with when nothing is left: it ends by its budget and says so."""

SYSTEM = Person("army", "army", "RJ AI Army")
"""Who did what no person did: deadlines and limits."""


def short(text: str, length: int = 11) -> str:
    """A short name derived from a long one, the same every time: lower-case letters and digits."""
    return b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:length]


def run_id(key: str) -> RunId:
    """The run that an Inbound with this key launches: a `/launch` delivered twice is one run."""
    return RunId("r" + short(key))


def command_id(key: str) -> str:
    """The idempotency key of the command that follows from this; a UUID, because the CLI wants one."""
    return str(uuid5(NAMESPACE_URL, "army:" + key))


@dataclass(slots=True)
class Tool:
    """A tool at work in the present turn. `ok` is None until it returned."""

    text: str
    ok: bool | None = None


@dataclass(slots=True)
class Waiting:
    """An Ask that is open, since `at`. `key` is its entry's: an agent that begins again gives old names to new asks."""

    asked: wire.Asked
    at: float
    key: str


@dataclass(slots=True)
class State:
    """Where a run stands. Bounded: a run of a year takes no more memory than one of a minute.

    `seats` are the places where it is shown and heard, by the number that their letters' keys end in; the first is its
    home. `watching` are the chats, by platform, in which it is to get a further one.
    """

    run: RunId
    launched: ev.Launched | None = None
    began: float = 0.0
    touched: float = 0.0
    seats: dict[int, Conversation] = field(default_factory=dict)
    seated: int = 0
    watching: dict[str, Conversation] = field(default_factory=dict)
    admitted: bool = False
    admitted_at: float = 0.0
    isolation: str = ""
    housed: int = 0
    restarts: int = 0
    epoch: str = ""
    past: tuple[str, ...] = ()
    n: int = 0
    pending: dict[str, Command] = field(default_factory=dict)
    files: dict[str, tuple[File, ...]] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    session: wire.CliStarted | None = None
    page: int = 0
    page_open: bool = False
    working: bool = False
    turn_began: float = 0.0
    turns: int = 0
    cost_usd: float = 0.0
    asks: dict[str, Waiting] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    tools: dict[str, Tool] = field(default_factory=dict)
    done: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_LINES))
    blocks: deque[str] = field(default_factory=deque)
    notice: wire.Noticed | None = None
    stop: ev.StopAsked | None = None
    stop_at: float = 0.0
    finished: wire.Finished | None = None
    ended: ev.Ended | None = None

    def copy(self) -> State:
        """Another one, on which may be folded while this one stays as it is."""
        twin = copy(self)
        for name in CONTAINERS:
            setattr(twin, name, getattr(self, name).copy())
        return twin

    @property
    def where(self) -> Conversation | None:
        """The run's home."""
        return next(iter(self.seats.values()), None)

    @property
    def written(self) -> str:
        """What the agent wrote in the present turn, as far as it is kept."""
        return "\n\n".join(self.blocks)

    @property
    def agent(self) -> Agent:
        """The profile that the run was launched with."""
        assert self.launched is not None
        return self.launched.agent

    @property
    def phase(self) -> Phase:  # noqa: D102 - the noun says it
        if self.ended:
            return Phase.ENDED
        if self.stop:
            return Phase.STOPPING
        if not self.admitted:
            return Phase.QUEUED
        if self.asks:
            return Phase.ASKING
        if self.working:
            return Phase.WORKING
        quiet = self.turns > 0 or not (self.launched and self.launched.task)
        return Phase.IDLE if self.session and quiet else Phase.STARTING


CONTAINERS = tuple(
    field.name for field in fields(State) if isinstance(getattr(State(RunId("")), field.name), dict | deque)
)
"""What a `State` has of its own and must not share with a copy."""


def start_of(state: State) -> Command:
    """The command that begins the run's session."""
    assert state.launched is not None
    agent, run = state.launched.agent, state.run
    return Command(
        command_id(f"{run}/start"),
        wire.Start(
            driver=agent.driver,
            session=command_id(f"{run}/session"),
            task=state.launched.task,
            model=agent.model,
            instructions=agent.instructions,
            permission=agent.permission,
            tools=agent.tools,
            allowed=agent.allowed,
            disallowed=agent.disallowed,
            repositories=agent.repositories,
            budget_usd=_budget_left(state.launched.budget_usd, state.cost_usd),
            script=agent.script,
            files=tuple(upload_name(file) for file in state.launched.files),
        ),
    )


def _budget_left(budget_usd: float, spent_usd: float) -> float:
    """A run that begins again has no second budget. 0 would mean without a cap."""
    return max(LEAST_BUDGET, budget_usd - spent_usd) if budget_usd > 0 else 0.0


def upload_name(file: File) -> str:
    """What a file is called in the pod: two files of one name stay two, the same file twice is one."""
    return f"{file.artifact[:6]}-{file.name}"


def opened(state: State, where: Conversation) -> tuple[str, ev.Opened]:
    """The event, with its key, that gives the run a place; a run that lost all of its places gets a new one."""
    return f"opened/{state.seated}" if state.seated else "opened", ev.Opened(where)
