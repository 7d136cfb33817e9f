"""A life of agentd: hear commands, keep the CLI running until the run is over, say so, leave.

Everything it needs to go on after a `kill -9` is in its folder: journal, inbox, the note of the CLI's process group. It
knows no CLI; drivers are found by name.
"""

from __future__ import annotations

import asyncio
import importlib
import math
import os
import signal
import sys
import time
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.agentd.complain import complain_at_length
from agent.agentd.deadlines import Deadlines
from agent.agentd.disk import Patience, replace
from agent.agentd.ears import Ears
from agent.agentd.group import end_adopted, end_group, read_note
from agent.agentd.hidden import FOLDER as HIDDEN
from agent.agentd.hidden import Hidden
from agent.agentd.inbox import Inbox
from agent.agentd.journal import Journal
from agent.agentd.outbox import Outbox
from agent.agentd.pipes import Inlet, Outlet
from agent.agentd.printer import Printer
from agent.agentd.process import Reaper
from agent.agentd.record import Record
from agent.agentd.repositories import clone
from agent.agentd.room import Room
from agent.agentd.session import Desk, Session
from agent.agentd.shape import secrets_of
from agent.agentd.uploads import Uploads
from agent.agentd.wish import LEAVE, Ending, Wish, either
from agent.driver import Driver, Workplace
from agent.wire import (
    Answer,
    CliDied,
    Command,
    Finished,
    Heard,
    Interrupt,
    Noticed,
    Put,
    Say,
    Start,
    Stop,
    Unknown,
)  # fmt: skip

DRIVERS = {"claude": ("agent.drivers.claude", "Claude"), "rehearsal": ("agent.drivers.rehearsal", "Rehearsal")}
MOST_DEATHS, DEATHS_SECONDS = 6, 600.0
LEFT = 143


@dataclass(frozen=True, slots=True)
class Folder:
    """agentd's folder on disk; the names are known to the local runtime."""

    path: Path
    workplace: Workplace

    @classmethod
    def make(cls, path: Path, *, workspace: Path | None) -> Folder:
        """Create what is missing."""
        place = Workplace(workspace or path / "workspace", path / "home", path / "uploads", path / "outbox")
        for folder in (place.workspace, place.home, place.uploads, place.outbox):
            folder.mkdir(parents=True, exist_ok=True)
        return cls(path, place)


class Life:
    """From start to exit."""

    def __init__(self, folder: Folder, *, stdin: int, stdout: int, deadlines: Deadlines) -> None:
        self._folder = folder
        self._deadlines = deadlines
        self._wish = Wish()
        self._patience = Patience()
        self._journal = Journal(folder.path / "journal")
        self._inbox = Inbox(folder.path / "inbox")
        self._outlet = Outlet(stdout)
        self._printer = Printer(self._outlet, self._journal, patience=self._patience, note=folder.path / "printed")
        self._patience.changed = self._printer.beat
        self._hidden = Hidden(secrets_of(os.environ), folder=os.environ.get(HIDDEN, ""))
        self._record = Record(self._journal, self._printer, self._patience, hidden=self._hidden)
        self._ears = Ears(Inlet(stdin), self._printer)
        self._room = Room.told(os.environ)
        self._uploads = Uploads(folder.workplace.uploads)
        self._reaper = Reaper()
        self._session: Session | None = None
        self._started = asyncio.Event()

    async def run(self) -> int:
        """The exit code: 0 when the run is over, 143 when agentd was told to leave."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._wish.make, LEAVE)
        try:
            async with asyncio.TaskGroup() as tasks:
                background = [tasks.create_task(run()) for run in (self._printer.run, self._ears.run)]
                code = await self._live(tasks, background)
                for task in background:
                    task.cancel()
            return code
        finally:
            self._outlet.close()
            self._journal.close()
            self._inbox.close()

    async def _live(self, tasks: asyncio.TaskGroup, background: list[asyncio.Task[None]]) -> int:
        if self._journal.tally.finished is None:
            await end_group(read_note(self._folder.path / "cli"))
            await self._catch_up()
            background.append(tasks.create_task(self._obey_all()))
            if self._room is not None:
                background.append(tasks.create_task(self._tell_of(self._room)))
            ending = await self._until_over()
            await end_adopted()
            if ending == LEAVE:
                await self._printer.part(patience=self._deadlines.part)
                return LEFT
            await self._finish(ending)
        await self._linger()
        await self._printer.part(patience=self._deadlines.part)
        return 0

    async def _catch_up(self) -> None:
        """Answer commands that a former life accepted and did not come to answer."""
        async with self._record.desk:
            for command_id, error in self._inbox.known.items():
                if command_id not in self._journal.tally.heard:
                    self._record.add(Heard(command_id, error))
            await self._record.flush()
        if self._inbox.start is not None:
            self._started.set()
        if (stop := self._inbox.stop) is not None:
            self._wish.make(Ending("stopped", stop[1].words))

    async def _tell_of(self, room: Room) -> None:
        """Say in time that the disk which this pod may take comes to its end."""
        async with aclosing(room.watch(every=self._deadlines.room)) as news:
            async for noticed in news:
                async with self._record.desk:
                    if self._journal.tally.finished is None:
                        await self._record.write(noticed)

    # --- commands ---

    async def _obey_all(self) -> None:
        while True:
            command = await self._ears.next()
            async with self._record.desk:
                if command.id not in self._inbox.known and self._journal.tally.finished is None:
                    await self._obey(command)

    async def _obey(self, command: Command | Unknown) -> None:
        """Accept, answer, act: each durable before the next."""
        known = command if isinstance(command, Command) else None
        error = await self._objection(command)
        await self._patience(lambda: self._inbox.accept(command.id, known, error=error))
        await self._record.write(Heard(command.id, error))
        if known is not None and not error:
            try:
                await self._act(known)
            except Exception:  # noqa: BLE001 - a bug ends the run, visibly; raised, it would begin again for ever
                self._wish.make(_bug("agentd"))

    async def _objection(self, command: Command | Unknown) -> str:
        """Why this is refused. A piece of a file is applied here, so that an accepted one is on disk."""
        if isinstance(command, Unknown):
            return command.words
        order = command.order
        if isinstance(order, Put):
            return await self._patience(lambda: self._uploads.put(order))
        if isinstance(order, Start) and self._inbox.start is not None:
            return "this run was started before; a pod carries one run"
        return ""

    async def _act(self, command: Command) -> None:
        match command.order:
            case Start() as start:
                await self._miss_files(start)
                if not start.task.strip() and not start.files:
                    self._inbox.done(command.id)
                self._started.set()
            case Say() as said:
                await self._miss_files(said)
                if self._session is not None:
                    await self._session.say(command.id, said)
            case Answer() as answer:
                if self._session is not None:
                    await self._session.answer(answer)
            case Interrupt():
                if self._session is not None:
                    await self._session.interrupt(command.id)
            case Stop() as stop:
                self._wish.make(Ending("stopped", stop.words))
            case Put():
                pass

    async def _miss_files(self, said: Start | Say) -> None:
        missing = [name for name in said.files if not self._uploads.path(name).exists()]
        if missing:
            words = f"The agent did not get {', '.join(missing)}: the file never arrived whole. Send it again."
            await self._record.write(Noticed("warning", "file-missing", words))

    # --- the run ---

    async def _until_over(self) -> Ending:
        await either(self._started.wait(), self._wish.wait())
        if (ending := self._wish.now()) is not None:
            return ending
        assert self._inbox.start is not None, "either of the two was waited for"
        start = self._inbox.start[1]
        try:
            return await self._carry_out(start)
        except Exception:  # noqa: BLE001 - a bug ends the run, visibly; raised, it would begin again for ever
            return _bug(start.driver)

    async def _carry_out(self, start: Start) -> Ending:
        self._hidden.know(secrets_of(os.environ, start.repositories))
        await either(self._clone(start.repositories), self._wish.wait())
        if (ending := self._wish.now()) is not None:
            return ending
        try:
            driver = _driver(start, self._folder.workplace)
        except ValueError as error:
            return Ending("failed", str(error))
        return await self._keep_running(self._open(start, driver))

    async def _clone(self, urls: tuple[str, ...]) -> None:
        async for noticed in clone(self._reaper, urls, self._folder.workplace.workspace):
            async with self._record.desk:
                await self._record.write(noticed)

    def _open(self, start: Start, driver: Driver) -> Session:
        desk = Desk(
            journal=self._journal,
            record=self._record,
            inbox=self._inbox,
            patience=self._patience,
            reaper=self._reaper,
            wish=self._wish,
            deadlines=self._deadlines,
            note=self._folder.path / "cli",
        )
        outbox = Outbox(
            self._folder.workplace.outbox,
            self._folder.path / "handing",
            secrets=self._hidden.now,
            refs=self._journal.refs(),
        )
        session = Session(
            desk, driver, self._folder.workplace, outbox=outbox, silence=start.silence_seconds or math.inf
        )
        self._session = session
        return session

    async def _keep_running(self, session: Session) -> Ending:
        """Start the CLI again whenever it dies, as long as that can help."""
        deaths: deque[float] = deque()
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(session.look())
            while (ending := self._wish.now()) is None:
                death = await session.run_once()
                if death is None:
                    continue
                async with self._record.desk:
                    await self._record.write(CliDied(death.words, death.code))
                deaths.append(time.monotonic())
                while deaths[0] < deaths[-1] - DEATHS_SECONDS:
                    deaths.popleft()
                if not death.again:
                    self._wish.make(Ending("failed", death.words))
                elif len(deaths) > MOST_DEATHS:
                    words = f"The agent's program died {len(deaths)} times within ten minutes. {death.words}"
                    self._wish.make(Ending("failed", words))
                else:
                    pause = min(self._deadlines.backoff * 2 ** (len(deaths) - 1), self._deadlines.longest_backoff)
                    await either(asyncio.sleep(pause), self._wish.wait())
            looking.cancel()
        return ending

    # --- the end ---

    async def _finish(self, ending: Ending) -> None:
        async with self._record.desk:
            if self._session is not None:
                await self._session.hand_over(turn_over=True)
            await self._record.write(Finished(ending.reason, ending.words))
        self._printer.moved = time.monotonic()

    async def _linger(self) -> None:
        """Stay until a reader says that it has everything, or nobody has taken anything for a while."""
        finished = self._journal.tally.finished
        assert finished is not None, "lingering is for a run that is over"
        note = f"{finished.reason}\n{finished.words}\n".encode("utf-8", "replace")
        await self._patience(lambda: replace(self._folder.path / "finished", note))
        leave = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, leave.set)
        while self._printer.confirmed < self._journal.n and not leave.is_set():
            if time.monotonic() - self._printer.moved > self._deadlines.grace:
                return
            await asyncio.sleep(0.05)


def _bug(where: str) -> Ending:
    complain_at_length()
    error = sys.exc_info()[1]
    while isinstance(error, ExceptionGroup):  # what a person is told is the bug, not the wrapping
        error = error.exceptions[0]
    return Ending("failed", f"A bug in agentd or its driver of {where}: {error!r}. The pod's log has the details.")


def _driver(start: Start, workplace: Workplace) -> Driver:
    """The driver of this name, imported only now. Raises ValueError with a sentence."""
    if start.driver not in DRIVERS:
        raise ValueError(f"unknown driver '{start.driver[:40]}': this agentd has {', '.join(sorted(DRIVERS))}")
    module, name = DRIVERS[start.driver]
    made: Any = getattr(importlib.import_module(module), name)
    driver: Driver = made(start, workplace)
    return driver
