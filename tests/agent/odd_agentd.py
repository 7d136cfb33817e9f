"""agentd with one more driver, `odd`: a shell as its CLI, and bugs on demand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.agentd.__main__ import main
from agent.agentd.supervise import DRIVERS
from agent.driver import Done, Input, Launch, Step, Tell, Workplace
from agent.wire import Answer, Other, Start, TurnEnded, TurnStarted, Wrote


class Odd:
    """What is said is a line for `sh`; what it prints is text. Saying or printing "boom" meets a bug."""

    name = "odd"

    def __init__(self, start: Start, workplace: Workplace) -> None:
        self._start = start

    def launch(self, *, attempt: int, spent_usd: float) -> Launch:
        return Launch((self._start.script or "sh",))

    def begin(self, refs: frozenset[str], open_answers: Mapping[str, Answer]) -> Iterable[Step]:
        return (TurnStarted(),)

    def read(self, line: bytes) -> Iterable[Step]:
        if line == b"boom":
            raise RuntimeError("a bug in read")
        return (TurnEnded("done"),) if line == b"done" else (Wrote(line.decode()),)

    def say(self, said: Input) -> Iterable[Step]:
        if said.text == "boom":
            raise RuntimeError("a bug in say")
        return Tell(said.text.encode() + b"\n"), Done(said.id)

    def answer(self, answer: Answer) -> Iterable[Step]:
        return ()

    def interrupt(self) -> Iterable[Step]:
        return (Other("interrupt"),)

    def end(self) -> Iterable[Step]:
        return ()

    def died(self, code: int, stderr: str) -> tuple[str, bool]:
        return f"sh ended with {code}: {stderr.strip()[-100:]}", code != 9


if __name__ == "__main__":
    DRIVERS["odd"] = (__name__, "Odd")
    raise SystemExit(main())
