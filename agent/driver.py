"""The seam between agentd and a CLI: a driver turns lines into reports and orders into lines.

A driver is a plain state machine without I/O, clocks or processes, so that a recorded session tests it whole. agentd
owns the process, the journal and the files; it calls the driver and carries out what comes back. A line that the driver
does not know passes as `Other`; it never raises over what a CLI prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent.wire import Answer, Report, TextSoFar


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a session lives. `outbox`: a file put there is handed to the person. `home`: the CLI's own state."""

    workspace: Path
    home: Path
    uploads: Path
    outbox: Path


@dataclass(frozen=True, slots=True)
class Launch:
    """A process to start: its command line, and the environment on top of agentd's own."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tell:
    """Bytes for the CLI's stdin: whole lines."""

    lines: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """A durable report with the driver's own reference, by which a later driver knows that it was journalled.

    `refs()` of everything in the journal is given to the next driver of the same session (see `Driver.begin`).
    """

    report: Report
    ref: str


@dataclass(frozen=True, slots=True)
class Done:
    """The input with this command id needs no sending again after a crash: its turn is over."""

    id: str


@dataclass(frozen=True, slots=True)
class Close:
    """The session is over from the CLI's side (a script's end): end the run with `Finished`."""

    reason: str
    words: str = ""


Step = Report | TextSoFar | Tell | Mark | Done | Close
"""What a driver wants: a report for the journal, a live frame, bytes for the CLI, a note for the inbox, or the end."""


@dataclass(frozen=True, slots=True)
class Input:
    """Something said to the agent, with its files already lying in `Workplace.uploads`."""

    id: str
    text: str
    files: tuple[Path, ...] = ()
    quoted: bool = False


class Driver(Protocol):
    """One CLI session, through as many processes as it takes. Every method returns at once; order is kept."""

    name: str

    def launch(self, *, attempt: int, spent_usd: float) -> Launch:
        """The process to start now. `attempt` > 1: the same session again, after a crash; `spent_usd` so far."""
        ...

    def begin(self, refs: frozenset[str], open_answers: Mapping[str, Answer]) -> Iterable[Step]:
        """A process has started: greet it. `refs` were journalled before; answers given but perhaps not heard."""
        ...

    def read(self, line: bytes) -> Iterable[Step]:
        """A line of the CLI's stdout."""
        ...

    def say(self, said: Input) -> Iterable[Step]:
        """Something said, also the task itself; may come in the middle of a turn. Repeats of an id are harmless."""
        ...

    def answer(self, answer: Answer) -> Iterable[Step]:
        """An answer to an Ask that is open; one that is not open any more is ignored."""
        ...

    def interrupt(self) -> Iterable[Step]:
        """Stop the present turn, keep the session."""
        ...

    def end(self) -> Iterable[Step]:
        """Ask the CLI to close in order; agentd kills what is left after its deadline."""
        ...

    def died(self, code: int, stderr: str) -> tuple[str, bool]:
        """The process ended by itself: a sentence for people, and whether starting it again can help."""
        ...


def live_tail(text: str, limit: int = 8000) -> str:
    """The end of a growing text, at most `limit` characters: a live frame is a view, not the record."""
    return text if len(text) <= limit else "…" + text[-limit:]
