"""Folding: what each event of a journal does to the state of its run. Pure.

`fold` is the only thing that changes a `State`; reading the journal again gives the same one.
"""

from __future__ import annotations

from typing import assert_never

from agent import wire
from agent.wire import Command
from orchestrator import events as ev
from orchestrator.nouns import Source, line
from orchestrator.run import LOG_LINES, TEXT_KEPT, State, Tool, Waiting, start_of, upload_name


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
