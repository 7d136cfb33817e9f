"""The inbox: every accepted command by its id, on disk before it is answered, with a mark when nothing is left to do.

A command heard twice is known the second time. It knows neither the pipe nor the CLI. Pieces of files are remembered by
id alone: they were applied before they were accepted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent.agentd.complain import complain
from agent.agentd.disk import Appender
from agent.wire import Answer, Command, Interrupt, Lines, Put, Say, Start, Stop, line_of, parse_down

LONGEST = 2 << 20


class Inbox:
    """Open it once per life; nobody else writes to the file."""

    def __init__(self, path: Path) -> None:
        self.known: dict[str, str] = {}  # every id ever heard, with the reason why it was refused, if it was
        self.start: tuple[str, Start] | None = None
        self._undone: dict[str, Command] = {}
        raw = path.read_bytes() if path.exists() else b""
        good = raw.rfind(b"\n") + 1
        for line in Lines(LONGEST).feed(raw[:good]):
            self._recall(line)
        self._file = Appender(path, size=good)

    def accept(self, command_id: str, command: Command | None, *, error: str = "") -> None:
        """Remember a command, durably; with `error`, remember that it was refused. Raises OSError: nothing is kept."""
        if command is None or error or isinstance(command.order, Put):
            self._file.append(_line({"heard": command_id, "error": error}))
        else:
            self._file.append(line_of(command))
        self._learn(command_id, command, error)

    def done(self, command_id: str) -> None:
        """Nothing is left to do for this command. A lost mark does no harm: what is done again is known to the CLI."""
        if self._undone.pop(command_id, None) is not None:
            try:
                self._file.append(_line({"done": command_id}), durable=False)
            except OSError as error:
                complain(f"a done mark could not be written, which does no harm: {error}")

    @property
    def inputs(self) -> tuple[tuple[str, Start | Say], ...]:
        """What was said, the task included, and may not have been worked through, in order."""
        return tuple((id_, c.order) for id_, c in self._undone.items() if isinstance(c.order, Start | Say))

    @property
    def answers(self) -> dict[str, tuple[str, Answer]]:
        """Answers by their Ask, with their ids, that the CLI may not have heard. The first answer counts."""
        found: dict[str, tuple[str, Answer]] = {}
        for id_, command in self._undone.items():
            if isinstance(command.order, Answer):
                found.setdefault(command.order.ask, (id_, command.order))
        return found

    @property
    def interrupts(self) -> tuple[str, ...]:
        """Interrupts that were not carried out."""
        return tuple(id_ for id_, c in self._undone.items() if isinstance(c.order, Interrupt))

    @property
    def stop(self) -> tuple[str, Stop] | None:
        """The wish to end the run."""
        return next(((id_, c.order) for id_, c in self._undone.items() if isinstance(c.order, Stop)), None)

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def _recall(self, line: bytes) -> None:
        try:
            note = json.loads(line)
        except ValueError:
            complain("a line of the inbox is damaged; its command is forgotten")
            return
        if "done" in note:
            self._undone.pop(note["done"], None)
        elif "heard" in note:
            self._learn(note["heard"], None, note["error"])
        else:
            command = parse_down(line)
            assert isinstance(command, Command), "only whole commands are accepted"
            self._learn(command.id, command, "")

    def _learn(self, command_id: str, command: Command | None, error: str) -> None:
        self.known[command_id] = error
        if command is None or error or isinstance(command.order, Put):
            return
        self._undone[command_id] = command
        if isinstance(command.order, Start) and self.start is None:
            self.start = (command_id, command.order)


def _line(note: dict[str, Any]) -> bytes:
    return json.dumps(note).encode() + b"\n"
