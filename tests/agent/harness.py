"""A small client of the pipe: starts agentd on a folder as a real process, says commands, collects what it prints.

    async with Pod(tmp_path) as pod:
        await pod.start(driver="rehearsal", script="echo", task="hello")
        ended = await pod.until(TurnEnded)
        await pod.say("again")
        await pod.stop()
    pod.check()                                # numbers without gaps or doubles

Frames with a known number are dropped, as any reader does; `pod.reports` is what a reader has in the end.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from agent.wire import (
    Beat,
    Command,
    Finished,
    Frame,
    Lines,
    Live,
    Malformed,
    Order,
    Report,
    Resume,
    Say,
    Start,
    Stop,
    line_of,
    parse_up,
)  # fmt: skip

ROOT = Path(__file__).parents[2]
SESSION = "11111111-2222-4333-8444-555555555555"
SECONDS = 20.0

T = TypeVar("T")


class Pod:
    """agentd's folder and, most of the time, a process on it; what was read is kept over restarts."""

    def __init__(
        self, state: Path, *, env: Mapping[str, str] | None = None, pace: float = 1.0, module: str = "agent.agentd"
    ) -> None:
        self.state = state
        self.frames: list[Frame] = []
        self.live: list[Live] = []
        self.doubled = 0  # frames that were printed although they were known
        self.torn = 0  # lines that could not be read
        self.epoch = ""
        self.lines = Lines()
        self.process: asyncio.subprocess.Process | None = None
        self.reading = asyncio.Event()  # clear it to read nothing more
        self.reading.set()
        self._env = {"REHEARSAL_PACE": "0", **(env or {})}
        self._errors = state.with_name(f"{state.name}.stderr")
        self._module = module
        self._pace = pace  # of agentd's deadlines
        self._reader: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._ids = itertools.count(1)

    async def __aenter__(self) -> Self:
        await self.boot()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    # --- the process ---

    async def boot(self) -> None:
        """Start agentd on this folder and resume."""
        assert self.process is None
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("CLAUDE", "ANTHROPIC", "IS_SANDBOX"))}
        with self._errors.open("ab") as errors:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self._module, "--state", str(self.state), "--pace", str(self._pace)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env={**clean, **self._env},
            )
        self.lines = Lines()
        self._reader = asyncio.create_task(self._read(self.process))
        await self.resume()

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End agentd with a signal; returns its exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(number)
        return await self._bury(process)

    async def exited(self) -> int:
        """Wait until agentd has ended by itself; returns its exit code."""
        process, self.process = self.process, None
        assert process is not None
        return await self._bury(process)

    async def _bury(self, process: asyncio.subprocess.Process) -> int:
        self.reading.set()
        async with asyncio.timeout(SECONDS):
            code = await process.wait()
            if self._reader is not None:
                await self._reader
        assert process.stdin is not None
        process.stdin.close()
        return code

    @property
    def stderr(self) -> str:
        return self._errors.read_text()

    @property
    def cli(self) -> int:
        """The CLI's process id, 0 when none was started."""
        try:
            return int(json.loads((self.state / "cli").read_bytes())["pid"])
        except (OSError, ValueError):
            return 0

    # --- saying ---

    async def send(self, data: bytes) -> None:
        """Raw bytes to agentd's stdin."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    async def order(self, order: Order, *, command_id: str = "") -> str:
        """A command; returns its id."""
        command_id = command_id or f"c{next(self._ids)}"
        await self.send(line_of(Command(command_id, order)))
        return command_id

    async def start(
        self,
        task: str = "hello",
        *,
        driver: str = "rehearsal",
        script: str = "echo",
        command_id: str = "",
        **more: object,
    ) -> str:
        """The command that begins the run."""
        start = Start(driver=driver, session=SESSION, task=task, script=script, **more)  # type: ignore[arg-type]  # whatever Start has
        return await self.order(start, command_id=command_id)

    async def say(self, text: str, *, command_id: str = "") -> str:
        return await self.order(Say(text), command_id=command_id)

    async def resume(self, after: int | None = None) -> None:
        """Ask for everything after what is known, or after this number."""
        await self.send(b"\n" + line_of(Resume(self.epoch, self.n if after is None else after)))

    async def stop(self, words: str = "", *, command_id: str = "") -> int:
        """End the run and wait for agentd's exit."""
        await self.order(Stop(words), command_id=command_id)
        return await self.over()

    async def over(self) -> int:
        """Wait for the run's end, confirm it, and wait for agentd's exit."""
        await self.until(Finished)
        await self.resume()
        return await self.exited()

    # --- reading ---

    @property
    def n(self) -> int:
        return self.frames[-1].n if self.frames else 0

    @property
    def reports(self) -> list[Report]:
        return [frame.report for frame in self.frames]

    def all(self, kind: type[T]) -> list[T]:
        """Every report of this class."""
        return [report for report in self.reports if isinstance(report, kind)]

    async def until(
        self, kind: type[T], where: Callable[[T], object] = lambda _: True, *, count: int = 1, seconds: float = SECONDS
    ) -> T:
        """The `count`-th report of this class that fits, as soon as it is there."""

        def found() -> list[T]:
            return [report for report in self.all(kind) if where(report)]

        await self.wait(lambda: len(found()) >= count, seconds=seconds, what=f"{count} x {kind.__name__}")
        return found()[count - 1]

    async def until_live(
        self, kind: type[T], where: Callable[[T], object] = lambda _: True, *, seconds: float = SECONDS
    ) -> T:
        """A live frame of this class that fits."""
        await self.wait(
            lambda: any(isinstance(x, kind) and where(x) for x in self.live), seconds=seconds, what=kind.__name__
        )
        return next(x for x in reversed(self.live) if isinstance(x, kind) and where(x))

    async def wait(self, condition: Callable[[], object], *, seconds: float = SECONDS, what: str = "") -> None:
        """Until a condition on what was read holds."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            seen = [str(report)[:200] for report in self.reports[-20:]]
            raise AssertionError(
                f"{what or 'a condition'} did not come; the last reports: {seen}; {self.stderr[-2000:]}"
            ) from None

    def check(self) -> None:
        """Numbers without gaps or doubles, and the same in agentd's journal."""
        assert [frame.n for frame in self.frames] == list(range(1, len(self.frames) + 1))
        assert self.journal() == self.frames

    def journal(self) -> list[Frame]:
        """What agentd has on disk."""
        frames = [parse_up(line) for line in (self.state / "journal").read_bytes().splitlines()[1:]]
        return [frame for frame in frames if isinstance(frame, Frame)]

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            await self.reading.wait()
            chunk = await process.stdout.read(1 << 16)
            if not chunk:
                break
            for line in self.lines.feed(chunk):
                self._take(line)
            self._news.set()
        self._news.set()

    def _take(self, line: bytes) -> None:
        try:
            got = parse_up(line)
        except Malformed:
            self.torn += 1
            return
        if not isinstance(got, Frame):
            self.live.append(got)
            if isinstance(got, Beat):
                self.epoch = self.epoch or got.epoch
        elif got.n <= self.n:
            self.doubled += 1
        else:
            assert got.n == self.n + 1, f"a gap: {self.n} and then {got.n}"
            self.frames.append(got)


def write_script(
    folder: Path, *turn: dict[str, Any], then: Sequence[dict[str, Any]] = ({"say": "echo: {said}"},)
) -> str:
    """A rehearsal's script of a test's own: the first turn's steps, and those of every further one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "script.json"
    path.write_text(json.dumps({"turns": [list(turn)] if turn else [], "then": list(then)}))
    return str(path)
