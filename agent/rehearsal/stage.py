"""Plays a script: hears its stdin while it pauses, prints reports, remembers every step.

Single-threaded: whatever waits, waits in `_pause`, and hears meanwhile.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from pathlib import Path
from typing import Any

from agent.driver import live_tail
from agent.rehearsal.memory import Memory, Turn
from agent.rehearsal.script import Script, Step
from agent.wire import (
    Asked,
    AskWithdrawn,
    Choice,
    Report,
    Taken,
    TextSoFar,
    Thought,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnStarted,
    Wrote,
    kind_of,
    pack,
)  # fmt: skip

LETTERS = "the quick brown fox jumps over the lazy dog "


class Interrupted(Exception):
    """Somebody wants this turn to end."""


class Failed(Exception):
    """The script wants this turn to fail."""


class Stage:
    """One process's life."""

    def __init__(self, script: Script, memory: Memory, *, outbox: Path, pace: float) -> None:
        self._script = script
        self._memory = memory
        self._outbox = outbox
        self._pace = pace
        self._heard = b""
        self._steps = {
            "say": self._say,
            "think": self._think,
            "tool": self._tool,
            "ask": self._ask,
            "file": self._file,
            "cost": self._cost,
            "wait": self._wait,
            "flood": self._flood,
            "crash": self._crash,
            "hang": self._hang,
            "stderr": self._stderr,
            "fail": self._fail,
            "end": self._end,
        }

    def play(self) -> None:
        """Until stdin ends or somebody says so."""
        for line in self._memory.printed():
            _print(line)
        while True:
            if self._memory.turn.open:
                self._play_turn()
            elif fresh := self._memory.fresh():
                self._memory.turn = Turn(number=self._memory.turn.number + 1, open=True, inputs=[fresh[0]])
                self._memory.keep_turn()
            else:
                try:
                    self._listen(None)
                except Interrupted:
                    continue  # there is no turn to stop

    # --- turns ---

    def _play_turn(self) -> None:
        turn = self._memory.turn
        self._out(TurnStarted(), "start")
        self._act()  # also on what a former life took and did not come to act on
        steps = self._script.steps(turn.number)
        outcome, error = "done", ""
        try:
            while turn.step < len(steps):
                step = steps[turn.step]
                self._steps[next(iter(step))](step)
                turn.step += 1
                self._take()
                self._memory.keep_turn()
        except Interrupted:
            outcome = "interrupted"
        except Failed as failed:
            outcome, error = "failed", str(failed)
        self._end_turn(outcome, error)

    def _end_turn(self, outcome: str, error: str) -> None:
        turn = self._memory.turn
        final = turn.final
        if len(turn.inputs) > turn.quoted:
            late = "\n".join(f"> {self._memory.inputs[one]}" for one in turn.inputs[turn.quoted :])
            final = f"{final}\n\nWhile I worked you said:\n\n{late}".strip()
        self._live("")
        self._out(TurnEnded(outcome, final, error, cost_usd=turn.cost), "end")
        for input_id in turn.inputs:
            self._line({"ref": f"done.{input_id}", "kind": "done", "body": {"id": input_id}})
        turn.open = False
        self._memory.keep_turn()

    def _take(self) -> None:
        """Take what was said meanwhile into the running turn."""
        self._listen(0)
        turn = self._memory.turn
        for input_id in () if self._script.alone else self._memory.fresh():
            turn.inputs.append(input_id)
            self._memory.keep_turn()
        self._act()

    def _act(self) -> None:
        """Act on everything that the turn has taken, each input once."""
        for input_id in self._memory.turn.inputs:
            self._memory.act(input_id)
            self._out(Taken(input_id), f"taken.{input_id}")

    # --- steps ---

    def _say(self, step: Step) -> None:
        text = self._fill(step["say"])
        if not self._printed(""):
            self._stream(text, step.get("pace", 0), thinking=False)
        self._out(Wrote(text))
        self._memory.turn.final = text
        if "{said}" in step["say"]:
            self._memory.turn.quoted = len(self._memory.turn.inputs)

    def _think(self, step: Step) -> None:
        text = self._fill(step["think"])
        if not self._printed(""):
            self._stream(text, step.get("pace", 0), thinking=True)
        self._out(Thought(text))

    def _stream(self, text: str, pace: float, *, thinking: bool) -> None:
        if not pace:
            return
        end = 0
        while end < len(text):
            end = (text.find(" ", end) + 1) or len(text)
            self._live(live_tail(text[:end]), thinking=thinking)
            self._pause(pace)

    def _tool(self, step: Step) -> None:
        call = f"call-{self._place()}"
        self._out(ToolCalled(call, step["tool"], self._fill(step.get("summary", ""))), "called")
        if not self._printed("returned"):
            self._pause(step.get("seconds", 0))
        self._out(ToolReturned(call, step.get("ok", True), self._fill(step.get("output", ""))), "returned")

    def _ask(self, step: Step) -> None:
        ask = f"ask-{self._place()}"
        labels = [str(label) for label in step.get("choices", [])]
        choices = tuple(Choice(label) for label in labels)
        kind, detail, several = step.get("kind", "question"), self._fill(step.get("detail", "")), step.get("several")
        self._out(Asked(ask, kind, self._fill(step["ask"]), choices, bool(several), detail), "asked")
        try:
            while ask not in self._memory.answers:
                self._listen(None)
        except Interrupted:
            self._out(AskWithdrawn(ask, "interrupted"), "withdrawn")
            raise
        answer = self._memory.answers[ask]
        picked = ", ".join(labels[pick] for pick in answer.get("picks", []) if 0 <= pick < len(labels))
        self._memory.turn.answer = picked or str(answer.get("text", ""))

    def _file(self, step: Step) -> None:
        content = self._fill(step.get("content", ""))
        path = self._outbox / step["file"]
        if not path.exists() or path.read_text(encoding="utf-8") != content:  # written again it would be another file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")

    def _cost(self, step: Step) -> None:
        self._memory.turn.cost = round(self._memory.turn.cost + step["cost"], 6)

    def _wait(self, step: Step) -> None:
        """Until something was said in this turn, be it before; at most so many seconds."""
        until = time.monotonic() + step["wait"] * self._pace
        said = len(self._memory.turn.inputs) > 1
        while not said and not self._memory.fresh() and (left := until - time.monotonic()) > 0:
            self._listen(left)

    def _flood(self, step: Step) -> None:
        piece, total = int(step.get("piece", 15_000)), int(step["flood"] * 1_000_000)
        text = (LETTERS * (piece // len(LETTERS) + 1))[:piece]
        for number in range(total // piece + 1):
            if step.get("kind") == "text":
                self._out(Wrote(text), f"{number}")
            else:
                call = f"call-{self._place()}-{number}"
                self._out(ToolCalled(call, "Flood", f"piece {number}"), f"{number}.called")
                self._out(ToolReturned(call, output=text), f"{number}.returned")

    def _crash(self, step: Step) -> None:
        if self._memory.note(f"crash-{self._place()}") or step.get("always"):
            os._exit(step["crash"])

    def _hang(self, step: Step) -> None:
        """Neither print nor hear."""
        if self._memory.note(f"hang-{self._place()}"):
            time.sleep(step["hang"])

    def _stderr(self, step: Step) -> None:
        sys.stderr.write(self._fill(step["stderr"]) + "\n")
        sys.stderr.flush()

    def _fail(self, step: Step) -> None:
        raise Failed(self._fill(step["fail"]))

    def _end(self, step: Step) -> None:
        self._memory.turn.step += 1
        self._end_turn("done", "")
        body = {"reason": "completed", "words": self._fill(step["end"])}
        self._line({"ref": "close", "kind": "close", "body": body})
        while True:
            try:
                self._listen(None)
            except Interrupted:
                continue

    # --- words ---

    def _fill(self, text: str) -> str:
        memory, turn = self._memory, self._memory.turn
        task = next(iter(memory.inputs.values()), "")
        said = turn.inputs[1:] if turn.number == 0 else turn.inputs
        words = "\n".join(memory.inputs[one] for one in said)
        for name, value in (("{task}", task), ("{answer}", turn.answer), ("{said}", words)):
            text = text.replace(name, value)
        return text

    def _place(self) -> str:
        return f"{self._memory.turn.number}.{self._memory.turn.step}"

    def _ref(self, part: str) -> str:
        turn = self._memory.turn
        whole = part in {"start", "end"} or part.startswith("taken.")
        return f"{turn.number}.{part}" if whole else f"{turn.number}.{turn.step}.{part}"

    def _printed(self, part: str) -> bool:
        return self._ref(part) in self._memory.refs

    def _out(self, report: Report, part: str = "") -> None:
        self._line({"ref": self._ref(part), "kind": kind_of(report), "body": pack(report)})

    def _line(self, line: dict[str, Any]) -> None:
        if self._memory.keep_out(line):
            _print(json.dumps(line).encode() + b"\n")

    def _live(self, text: str, *, thinking: bool = False) -> None:
        live = TextSoFar(text, thinking)
        _print(json.dumps({"kind": kind_of(live), "body": pack(live)}).encode() + b"\n")

    # --- hearing ---

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds * self._pace
        while (left := until - time.monotonic()) > 0:
            self._listen(left)

    def _listen(self, seconds: float | None) -> None:
        """Hear what is said within this time; None waits for it."""
        if not select.select([0], [], [], seconds)[0]:
            return
        chunk = os.read(0, 1 << 20)
        if not chunk:
            raise SystemExit(0)
        *lines, self._heard = (self._heard + chunk).split(b"\n")
        interrupted = False
        for line in lines:
            interrupted |= self._hear(json.loads(line))
        if interrupted:
            raise Interrupted

    def _hear(self, heard: dict[str, Any]) -> bool:
        match heard:
            case {"in": "input", "id": str(input_id), "text": str(text)}:
                self._memory.hear(input_id, text)
            case {"in": "answer"}:
                self._memory.hear_answer(heard)
            case {"in": "interrupt"}:
                return True
            case {"in": "end"}:
                raise SystemExit(0)
            case _:
                pass
        return False


def _print(line: bytes) -> None:
    view = memoryview(line)
    while view:
        view = view[os.write(1, view) :]
