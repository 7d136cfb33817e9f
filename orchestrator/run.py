"""A run's state, folded from its journal and from nothing else.

`fold` is the only thing that changes a `State`; reading the journal again gives the same one. It knows no chat and no
runtime: what is only true at this moment (text being written, a pod still pulling its image) is not here.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections import deque
from copy import copy
from dataclasses import dataclass, field, fields
from typing import assert_never
from uuid import NAMESPACE_URL, uuid5

from agent import wire
from agent.wire import Command
from orchestrator import events as ev
from orchestrator.nouns import Agent, Conversation, File, Person, Phase, RunId, Source, line

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


def fold(state: State, entry: ev.Entry) -> None:
    """Bring the state up to date with what happened."""
    if entry.key.startswith("f/"):
        _, epoch, n = entry.key.split("/")
        state.epoch, state.n = epoch, int(n)
    event = entry.event
    if not isinstance(event, wire.Heard | wire.Other):
        state.touched = entry.at
    if isinstance(event, ev.Seating):
        _fold_seating(state, event)
    elif isinstance(event, ev.Housing):
        _fold_housing(state, event, entry.at)
    elif isinstance(event, ev.Wish):
        _fold_wish(state, event, entry.at)
    elif isinstance(event, ev.Ended):
        _fold_end(state, event)
    else:
        _fold_report(state, event, entry)


def _fold_seating(state: State, event: ev.Seating) -> None:
    match event:
        case ev.Opened():
            if not state.seated:
                state.page, state.page_open = 1, True
            state.seats[state.seated] = event.where
            state.seated += 1
            state.watching.pop(event.where.platform, None)
        case ev.WatchAsked():
            state.watching[event.origin.platform] = event.origin
        case ev.PlaceLost():
            state.seats = {seat: where for seat, where in state.seats.items() if where != event.where}
        case _:
            assert_never(event)


def _fold_housing(state: State, event: ev.Housing, at: float) -> None:
    match event:
        case ev.Admitted():
            state.admitted, state.admitted_at, state.isolation = True, at, event.isolation
        case ev.Housed():
            state.isolation, state.housed = event.isolation, state.housed + 1
        case ev.Restarted():
            state.restarts = event.times
            state.notice = wire.Noticed("warning", "restarted", f"it was started again: {event.words}")
        case ev.StateLost():
            _begin_again(state, event.epoch)
        case _:
            assert_never(event)


def _fold_wish(state: State, event: ev.Wish, at: float) -> None:
    match event:
        case ev.Launched():
            state.launched, state.began = event, at
            start = start_of(state)
            state.pending[start.id] = start
            state.files[start.id] = event.files
            _came_from(state, start.id, event.source)
        case ev.Said():
            files = tuple(upload_name(file) for file in event.files)
            state.files[event.id] = event.files
            _came_from(state, event.id, event.source)
            state.pending.pop(event.id, None)  # said again after the state was lost: in the order of all that was said
            state.pending[event.id] = Command(event.id, wire.Say(event.text, files=files, quoted=event.quoted))
        case ev.Answered():
            state.asks.pop(event.ask, None)
            state.answers[event.ask] = event.words
            while len(state.answers) > LOG_LINES:
                del state.answers[next(iter(state.answers))]
            _came_from(state, event.id, event.source)
            state.pending[event.id] = Command(event.id, wire.Answer(event.ask, picks=event.picks, text=event.text))
        case ev.InterruptAsked():
            state.pending[event.id] = Command(event.id, wire.Interrupt())
        case ev.StopAsked():
            state.stop, state.stop_at = event, at
            state.pending[event.id] = Command(event.id, wire.Stop(event.words))
        case _:
            assert_never(event)


def _fold_end(state: State, event: ev.Ended) -> None:
    state.ended, state.working, state.page_open = event, False, False
    state.pending.clear()
    state.files.clear()
    state.sources.clear()
    state.watching.clear()
    state.asks.clear()


def _came_from(state: State, command: str, source: Source | None) -> None:
    if source is not None:
        state.sources[command] = source


def _fold_report(state: State, event: wire.Report, entry: ev.Entry) -> None:
    match event:
        case wire.Heard():
            state.pending.pop(event.id, None)
            state.files.pop(event.id, None)
            state.sources.pop(event.id, None)
        case wire.CliStarted():
            state.session = event
        case wire.TurnStarted():
            state.working, state.turn_began, state.notice = True, entry.at, None
            if not state.page_open:
                state.page, state.page_open = state.page + 1, True
                state.done.clear()
                state.tools.clear()
                state.blocks.clear()
        case wire.Wrote():
            if text := event.text.strip():
                state.blocks.append(text[-TEXT_KEPT:])
            while sum(map(len, state.blocks)) > TEXT_KEPT:
                state.blocks.popleft()
        case wire.ToolCalled():
            text = f"{event.name}: {event.summary}" if event.summary else event.name
            state.tools[event.call] = Tool(line(text))
            while len(state.tools) > LOG_LINES:
                del state.tools[next(iter(state.tools))]
        case wire.ToolReturned():
            tool = state.tools.pop(event.call, None)
            if tool:
                state.done.append(f"{'✓' if event.ok else '✗'} {tool.text}")
        case wire.Asked():
            if event.ask not in state.answers:  # asked again after a crash, but answered meanwhile
                state.asks.setdefault(event.ask, Waiting(event, entry.at, entry.key))
        case wire.AskWithdrawn():
            state.asks.pop(event.ask, None)
        case wire.TurnEnded():
            state.working, state.page_open = False, False
            state.turns += 1
            state.cost_usd += max(0.0, event.cost_usd)
            state.tools.clear()
            state.asks.clear()
        case wire.Noticed():
            state.notice = event
        case wire.Finished():
            state.finished = event
        case wire.CliDied() | wire.Taken() | wire.Thought() | wire.FilePiece() | wire.Other():
            pass
        case _:
            assert_never(event)


def _begin_again(state: State, epoch: str) -> None:
    """The pod's state is gone: nothing that it was told is known to it any more."""
    state.past = (*state.past, state.epoch)
    state.epoch, state.n = epoch, 0
    state.session, state.working = None, False
    state.asks.clear()
    state.answers.clear()
    state.tools.clear()
    state.done.clear()
    state.blocks.clear()
    start = start_of(state)
    if state.launched:
        state.files[start.id] = state.launched.files
    state.pending = {start.id: start, **{k: c for k, c in state.pending.items() if not isinstance(c.order, wire.Start)}}
