"""The driver of the rehearsal: its lines are reports already, so that little is left to translate."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agent.driver import Close, Done, Input, Launch, Mark, Step, Tell, Workplace
from agent.rehearsal.script import find
from agent.wire import REPORTS, Answer, CliStarted, Malformed, Other, Report, Start, TextSoFar, unpack

BAD_SCRIPT = 2
ROOT = Path(__file__).parents[2]


class Rehearsal:
    """A scripted session. Raises ValueError when there is no such script."""

    name = "rehearsal"

    def __init__(self, start: Start, workplace: Workplace) -> None:
        self._start = start
        self._workplace = workplace
        self._script = find(start.script)
        self._refs: frozenset[str] = frozenset()
        self._attempt = 1

    def launch(self, *, attempt: int, spent_usd: float) -> Launch:
        """A Python process of the same interpreter."""
        self._attempt = attempt
        argv = (
            # -P: the workspace is no place to import from; a repository may be called `agent` or `json`
            sys.executable, "-P", "-m", "agent.rehearsal", "--script", str(self._script),
            "--session", self._start.session, "--state", str(self._workplace.home / "rehearsal"),
            "--outbox", str(self._workplace.outbox),
        )  # fmt: skip
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        return Launch(argv, {"PYTHONPATH": path})

    def begin(self, refs: frozenset[str], open_answers: Mapping[str, Answer]) -> Iterable[Step]:
        """It says everything again that it ever said; what is known by its `ref` is dropped here."""
        self._refs = refs
        yield CliStarted("rehearsal", self._start.session, model="no model, a rehearsal", attempt=self._attempt)
        for answer in open_answers.values():
            yield from self.answer(answer)

    def read(self, line: bytes) -> Iterable[Step]:
        """A line of the rehearsal."""
        try:
            said = json.loads(line)
            kind, body, ref = said["kind"], said["body"], said.get("ref", "")
            if kind == "text_so_far":
                return (unpack(TextSoFar, body),)
            if kind == "done":
                return (Done(body["id"]),)
            if kind == "close":
                return (Close(body["reason"], body["words"]),)
            report: Report = unpack(REPORTS[kind], body)
        except (ValueError, TypeError, KeyError, Malformed):
            return (Other("unreadable", line[:2000].decode("utf-8", "replace")),)
        return () if ref in self._refs else (Mark(report, ref),)

    def say(self, said: Input) -> Iterable[Step]:
        """Files are named in the text: the rehearsal opens none."""
        text = "\n".join([said.text, *(f"[file {path.name}]" for path in said.files)])
        return (_tell({"in": "input", "id": said.id, "text": text}),)

    def answer(self, answer: Answer) -> Iterable[Step]:
        """The first answer to an Ask counts there."""
        return (_tell({"in": "answer", "ask": answer.ask, "picks": list(answer.picks), "text": answer.text}),)

    def interrupt(self) -> Iterable[Step]:
        """The turn ends, the session goes on."""
        return (_tell({"in": "interrupt"}),)

    def end(self) -> Iterable[Step]:
        """It leaves at once and can go on later."""
        return (_tell({"in": "end"}),)

    def died(self, code: int, stderr: str) -> tuple[str, bool]:
        """Only a script that cannot be read is hopeless."""
        words = stderr.strip().splitlines()
        last = f": {words[-1]}" if words else ""
        return f"The rehearsal ended with code {code}{last}.", code != BAD_SCRIPT


def _tell(message: dict[str, Any]) -> Tell:
    return Tell(json.dumps(message).encode() + b"\n")
