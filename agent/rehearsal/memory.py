"""A rehearsal's session on disk: what it was told, what it printed, how far it came; synced at each step.

Loading it is all that a new process needs to go on in the middle of a step.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Turn:
    """The present turn, or the last one when it is not `open`."""

    number: int = -1
    step: int = 0
    open: bool = False
    inputs: list[str] = field(default_factory=list)  # ids: the one it began with, then those taken into it
    quoted: int = 1  # how many of the inputs its text has answered
    answer: str = ""
    final: str = ""
    cost: float = 0.0
    failed: str = ""


class Memory:
    """Append-only; `acted.jsonl` beside it names each input that was acted on, once."""

    def __init__(self, folder: Path, session: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.turn = Turn()
        self.inputs: dict[str, str] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.refs: set[str] = set()
        self.notes: set[str] = set()
        path = folder / f"{session}.jsonl"
        for record in _load(path):
            self._learn(record)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._path = path
        acted = folder / "acted.jsonl"
        self.acted = {record["id"]: record["text"] for record in _load(acted)}
        self._acted_file = os.open(acted, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def printed(self) -> list[bytes]:
        """Every line that was ever printed with a reference, in order."""
        return [json.dumps(record["out"]).encode() + b"\n" for record in _load(self._path) if "out" in record]

    def hear(self, input_id: str, text: str) -> None:
        """Keep an input; one that is known changes nothing."""
        if input_id not in self.inputs:
            self._write({"input": {"id": input_id, "text": text}})

    def hear_answer(self, answer: dict[str, Any]) -> None:
        """Keep an answer; the first one counts."""
        if answer["ask"] not in self.answers:
            self._write({"answer": answer})

    def act(self, input_id: str) -> None:
        """Note that this input is acted on now, once in all lives."""
        if input_id not in self.acted:
            text = self.inputs[input_id]
            os.write(self._acted_file, json.dumps({"id": input_id, "text": text}).encode() + b"\n")
            os.fsync(self._acted_file)
            self.acted[input_id] = text

    def fresh(self) -> list[str]:
        """Inputs that no turn has taken, in order. One may be taken and not acted on yet when a life ends."""
        return [one for one in self.inputs if one not in self.acted and one not in self.turn.inputs]

    def keep_out(self, line: dict[str, Any]) -> bool:
        """Keep a line before it is printed. False: it was printed in this life or a former one."""
        if line["ref"] in self.refs:
            return False
        self._write({"out": line}, durable=False)
        return True

    def keep_turn(self) -> None:
        """Keep how far the turn has come."""
        turn = self.turn
        self._write({"turn": asdict(turn)})
        self.turn = turn  # whoever holds it goes on with it

    def note(self, name: str) -> bool:
        """Keep a note. False: it was there."""
        if name in self.notes:
            return False
        self._write({"note": name})
        return True

    def _write(self, record: dict[str, Any], *, durable: bool = True) -> None:
        os.write(self._file, json.dumps(record).encode() + b"\n")
        if durable:
            os.fsync(self._file)
        self._learn(record)

    def _learn(self, record: dict[str, Any]) -> None:
        match record:
            case {"input": {"id": str(input_id), "text": str(text)}}:
                self.inputs[input_id] = text
            case {"answer": {"ask": str(ask)}}:
                self.answers[ask] = record["answer"]
            case {"out": {"ref": str(ref)}}:
                self.refs.add(ref)
            case {"turn": dict(turn)}:
                self.turn = Turn(**turn)
            case {"note": str(name)}:
                self.notes.add(name)
            case _:
                pass


def _load(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file; a torn one at its end is cut off."""
    if not path.exists():
        return []
    raw = path.read_bytes()
    good = raw.rfind(b"\n") + 1
    if good < len(raw):
        os.truncate(path, good)
    return [json.loads(line) for line in raw[:good].splitlines()]
