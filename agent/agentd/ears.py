"""Hears agentd's stdin: lines become commands in order; `resume` goes straight to the printer, whatever else waits."""

from __future__ import annotations

import asyncio
from collections import deque

from agent.agentd.complain import complain
from agent.agentd.pipes import Inlet
from agent.agentd.printer import Printer
from agent.wire import Command, Lines, Malformed, Resume, Unknown, parse_down

MOST_WAITING = 256


class Ears:
    """`run` listens until cancelled; `next` gives the commands, one at a time."""

    def __init__(self, inlet: Inlet, printer: Printer) -> None:
        self._inlet = inlet
        self._printer = printer
        self._waiting: deque[Command | Unknown] = deque()
        self._news = asyncio.Event()
        self._deaf = False  # something was dropped, and nobody has resumed since

    async def run(self) -> None:
        """Listen. Nothing that is said can end this."""
        lines = Lines()
        overlong = 0
        while True:
            for line in lines.feed(await self._inlet.read()):
                self._take(line)
            if lines.dropped > overlong:
                self._drop("a line that is too long", times=lines.dropped - overlong)
                overlong = lines.dropped

    async def next(self) -> Command | Unknown:
        """The next command."""
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()

    def _take(self, line: bytes) -> None:
        try:
            heard = parse_down(line)
        except Malformed as error:
            self._drop(str(error))
            return
        if isinstance(heard, Resume):
            self._deaf = False
            self._printer.resume(heard)
        elif self._deaf or len(self._waiting) >= MOST_WAITING:
            # The disk is full. What is not answered by `Heard` is sent again by the next connection, in order; to hear
            # what comes behind it before that would turn a person's words round, and a file's pieces.
            self._deaf = True
            self._drop("too many commands wait")
        else:
            self._waiting.append(heard)
            self._news.set()

    def _drop(self, why: str, *, times: int = 1) -> None:
        if not self._printer.dropped:  # told once: a flood of bad lines must not become a flood of log
            complain(f"dropped what was said to it: {why}")
        self._printer.dropped += times
