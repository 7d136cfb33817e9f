"""Plays agentd for any number of runs, in one process: `python -m tests.bench.pods ROOT`.

It measures the bot, not the hundreds of interpreters that as many real agents would be. It stands in the run folders
as agentd does (named pipes, a held lock), so the bot's own runtime attaches to it and starts nothing. It numbers its
frames, honours resume, hears each command once and beats. Its journal is in memory; a pipe that is full makes it wait.

Each line carries the moment at which it was due (`T…T`, microseconds of the monotonic clock, which processes share).
It is told what to do by JSON lines on stdin and answers each with one on stdout.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import random
import re
import sys
import time
import uuid
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from adapters.local.folder import Folder
from agent.wire import (
    BEAT_SECONDS,
    Beat,
    CliStarted,
    Frame,
    Heard,
    Lines,
    Live,
    Report,
    Resume,
    Say,
    Start,
    Taken,
    TextSoFar,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnStarted,
    Unknown,
    Wrote,
    line_of,
    parse_down,
)  # fmt: skip

PER_SECOND = 12
"""Lines of each run: ten durable ones and two that are live only."""

TURN = 120
"""Lines of a turn, then the next one begins."""

TICK_SECONDS = 0.004
SAID = re.compile(r"S(\d{8,})S")

PROSE = (
    "The two tests share a **port**, so whichever comes second fails. I give each a port of its own:\n\n"
    "- `listen()` asks for port 0 and reports the one it got\n- the client is told which\n\n"
    "```python\nserver = await listen(port=0)\nclient = Client(server.port)\n```\n\n"
)
OUTPUT = "tests/test_listen.py::test_two_servers PASSED\n" * 8


class Pod:
    """One run's agentd."""

    def __init__(self, folder: Folder, keep: Keep) -> None:
        folder.prepare()
        folder.log.touch()
        self.lock = os.open(folder.state / "lock", os.O_RDWR | os.O_CREAT, 0o600)  # empty: nobody is to be signalled
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.into = os.open(folder.into, os.O_RDWR | os.O_NONBLOCK)
        self.out = os.open(folder.out, os.O_RDWR | os.O_NONBLOCK)
        self.epoch = uuid.uuid4().hex
        self.journal: list[bytes] = []
        self.printed = 0  # frames of the journal that were printed, or lie in `rest`
        self.following = False
        self.resumed = 0.0
        self.due = 0.0
        self.step = random.randrange(TURN)  # real agents do not end their turns all at once
        self.newest = 0  # the stamp of the newest durable line that a page shows
        self._keep = keep
        self._known: set[str] = set()
        self._lines = Lines()
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.into, self._hear)

    def report(self, *reports: Report) -> None:
        """Journal and print."""
        for one in reports:
            self.journal.append(line_of(Frame(len(self.journal) + 1, self.epoch, time.time(), one)))
        self._print()

    def show(self, live: Live) -> None:
        """Print, unless the pipe is full: such lines may be lost."""
        if self.following and not self._rest:
            self._rest = line_of(live, at=time.time())
            self._print()

    def play(self) -> None:
        """The next line, as it was due just now."""
        stamp = f"T{int(self.due * 1e6)}T"
        at = self.step % TURN
        self.step += 1
        match at % 12:
            case _ if at == 0:
                self.report(TurnStarted())
            case _ if at == TURN - 1:
                self.report(TurnEnded("done", text=f"All tests pass now. {stamp}", cost_usd=0.01, seconds=10.0))
            case 5 | 6:
                self.show(TextSoFar(f"{PROSE} {stamp}"))
            case 7 | 11:
                self.newest = int(self.due * 1e6)
                self.report(Wrote(f"{PROSE}Now they pass ({stamp})."))
            case 0 | 2 | 4 | 9:
                self.newest = int(self.due * 1e6)
                self.report(ToolCalled(f"call-{self.step}", "Bash", f"make test TEST=listen {stamp}"))
            case _:
                self.report(ToolReturned(f"call-{self.step - 1}", output=OUTPUT))

    def _hear(self) -> None:
        now = time.monotonic()
        for line in self._lines.feed(os.read(self.into, 1 << 18)):
            told = parse_down(line)
            if isinstance(told, Resume):
                self._resume(told, now)
            elif isinstance(told, Unknown) or told.id in self._known:
                self.report(Heard(told.id))
            else:
                self._known.add(told.id)
                self.report(Heard(told.id))
                if isinstance(told.order, Start):
                    self.report(CliStarted("bench", told.order.session, "1.0", "none"), TurnStarted())
                elif isinstance(told.order, Say):
                    self.report(Taken(told.id))
                    if said := SAID.search(told.order.text):
                        self._keep.heard.append((int(said[1]), int(now * 1e6)))

    def _resume(self, resume: Resume, now: float) -> None:
        self.following, self.resumed = True, now
        self.printed = min(resume.after, len(self.journal)) if resume.epoch == self.epoch else 0
        self._rest = self._rest[self._rest.find(b"\n") + 1 :] if b"\n" in self._rest else self._rest
        self._rest += line_of(Beat(self.epoch, len(self.journal)), at=time.time())
        self._print()

    def _print(self) -> None:
        """As much as the pipe takes; the rest when it takes more."""
        while self.following and (self._rest or self.printed < len(self.journal)):
            if not self._rest:
                upto = min(len(self.journal), self.printed + 100)
                self._rest = b"".join(self.journal[self.printed : upto])
                self.printed = upto
            try:
                self._rest = self._rest[os.write(self.out, self._rest) :]
            except BlockingIOError:
                self._loop.add_writer(self.out, self._go_on)
                return

    def _go_on(self) -> None:
        self._loop.remove_writer(self.out)
        self._print()


class Keep:
    """All pods, and what they do now."""

    def __init__(self, root: Path) -> None:
        self.heard: list[tuple[int, int]] = []  # when a text was sent, and when it was heard
        self._root = root
        self._pods: dict[str, Pod] = {}
        self._playing: deque[Pod] = deque()

    async def tick(self) -> None:
        """Print what is due, for ever."""
        beat = time.monotonic()
        while True:
            now = time.monotonic()
            while self._playing and self._playing[0].due <= now:
                pod = self._playing.popleft()
                pod.play()
                pod.due += 1 / PER_SECOND
                self._playing.append(pod)  # all have one period, so the row stays in order
            if now - beat > BEAT_SECONDS:
                beat = now
                for pod in self._pods.values():
                    pod.show(Beat(pod.epoch, len(pod.journal)))
            await asyncio.sleep(TICK_SECONDS)

    def obey(self, order: dict[str, Any]) -> object:
        """One order of the bench."""
        match order["do"]:
            case "open":
                for run in order["runs"]:
                    self._pods[run] = Pod(Folder(self._root / run), self)
            case "play":
                self._play(order["runs"])
            case "pause":
                self._playing.clear()
                return {run: pod.newest for run, pod in self._pods.items()}
            case "fill":
                for pod in self._pods.values():
                    pod.due = time.monotonic()
                    while len(pod.journal) < order["frames"]:
                        pod.play()
            case "heard":
                heard, self.heard = self.heard, []
                return heard
            case "resumed":
                return [pod.resumed for pod in self._pods.values()]
            case "journal":
                return sum(len(pod.journal) for pod in self._pods.values())
            case unknown:
                raise ValueError(unknown)
        return None

    def _play(self, runs: Iterable[str]) -> None:
        pods = [self._pods[run] for run in runs]
        now = time.monotonic()
        for place, pod in enumerate(pods):
            pod.due = now + place / len(pods) / PER_SECOND
        self._playing = deque(pods)


async def main() -> None:
    """Obey until stdin ends."""
    keep = Keep(Path(sys.argv[1]))
    stdin = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    ticking = asyncio.create_task(keep.tick())
    while line := await stdin.readline():
        print(json.dumps(keep.obey(json.loads(line))), flush=True)
        if ticking.done():
            ticking.result()
    ticking.cancel()


if __name__ == "__main__":
    asyncio.run(main())
