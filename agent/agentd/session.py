"""One CLI session: starts the process, carries its lines to the driver and the driver's steps to where they belong.

It knows processes and the `Driver` seam; which CLI it is, and when to start it again, are decided elsewhere.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from agent.agentd.complain import complain_at_length
from agent.agentd.deadlines import Deadlines
from agent.agentd.disk import Patience
from agent.agentd.group import Note, end_adopted, end_group, read_note, started_at, write_note
from agent.agentd.inbox import Inbox
from agent.agentd.journal import Journal
from agent.agentd.outbox import REF, REST_SECONDS, Outbox
from agent.agentd.pipes import readable
from agent.agentd.process import Process, Reaper
from agent.agentd.record import Record
from agent.agentd.uploads import Uploads
from agent.agentd.wish import LEAVE, Ending, Wish, either, within
from agent.driver import Close, Done, Driver, Input, Mark, Step, Tell, Workplace
from agent.wire import Answer, Lines, Noticed, Report, Say, Start, TextSoFar, ToolReturned, TurnEnded

LONGEST_LINE = 16 << 20
UNREAD = 64 << 20  # bytes that a CLI may leave lying in its stdin before it counts as dead
LOOK_SECONDS = 1.0
PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ETXTBSY})
"""Why a program cannot be started now and perhaps later: the machine is full, or the program is being updated."""


@dataclass(frozen=True, slots=True)
class Death:
    """A CLI ended by itself. `again`: starting it once more can help."""

    words: str
    code: int
    again: bool


@dataclass(slots=True)
class Pending:
    """What the driver's last steps want beyond reports; carried out when those are durable."""

    tells: list[bytes] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    live: TextSoFar | None = None
    turn_over: bool = False


@dataclass(frozen=True, slots=True)
class Desk:
    """What a session works with."""

    journal: Journal
    record: Record
    inbox: Inbox
    patience: Patience
    reaper: Reaper
    wish: Wish
    deadlines: Deadlines
    note: Path


class Session:
    """`run_once` is one process's life. The rest may be called at any time; what must wait for a process does."""

    def __init__(self, desk: Desk, driver: Driver, workplace: Workplace, *, outbox: Outbox, silence: float) -> None:
        self._desk = desk
        self._driver = driver
        self._workplace = workplace
        self._outbox = outbox
        self._uploads = Uploads(workplace.uploads)
        self._silence = silence
        self._cli: Process | None = None
        self._pending = Pending()
        self._heard_at = time.monotonic()
        self._verdict = ""  # why agentd itself killed the CLI
        self._files = asyncio.Event()  # worth a look at the outbox

    # --- what a person wants; the caller holds the desk ---

    async def say(self, command_id: str, said: Start | Say) -> None:
        """Give this to the CLI if one is up; otherwise the next one gets it."""
        if self._cli is not None:
            await self._carry(self._driver.say(self._input(command_id, said)))
            await self._settle()

    async def answer(self, answer: Answer) -> None:
        """The same for an answer."""
        if self._cli is not None:
            await self._carry(self._driver.answer(answer))
            await self._settle()

    async def interrupt(self, command_id: str) -> None:
        """The same for an interrupt."""
        if self._cli is not None:
            await self._carry(self._driver.interrupt())
            await self._settle()
            self._desk.inbox.done(command_id)

    # --- a process's life ---

    async def run_once(self) -> Death | None:
        """Start the CLI and stay until it has ended. None: because that was wished for."""
        attempt = read_note(self._desk.note).attempt + 1
        await self._desk.patience(lambda: write_note(self._desk.note, Note(attempt)))
        launch = self._driver.launch(attempt=attempt, spent_usd=self._desk.journal.tally.spent_usd)
        try:
            self._workplace.workspace.mkdir(parents=True, exist_ok=True)  # an agent may have removed it
            env = {**os.environ, **launch.env}
            cli = Process(self._desk.reaper, launch.argv, cwd=self._workplace.workspace, env=env)
        except OSError as error:
            words = f"The agent's program {launch.argv[0]} cannot be started: {error.strerror}."
            return Death(words, 127, again=error.errno in PASSING)
        note = Note(attempt, cli.pid, started_at(cli.pid))
        self._verdict = ""
        try:
            await self._desk.patience(lambda: write_note(self._desk.note, note))
            await self._live(cli)
        finally:
            self._cli = None
            cli.kill(signal.SIGKILL)
            await end_group(note)
            cli.close()
        if self._desk.wish.now() is not None:
            return None
        words, again = self._driver.died(cli.exit.result(), cli.stderr)
        return Death(self._verdict or words, cli.exit.result(), again or bool(self._verdict))

    async def _live(self, cli: Process) -> None:
        async with asyncio.TaskGroup() as tasks:
            drain = tasks.create_task(self._drain(cli))
            await self._greet(cli)
            watch = tasks.create_task(self._watch(cli))
            await either(_ended(cli), self._desk.wish.wait())
            if (ending := self._desk.wish.now()) is not None and not cli.exit.done():
                await self._wind_down(cli, ending)
            await _ended(cli)
            watch.cancel()
            # What the CLI left running may hold its pipes open, and must not work on beside what the next one starts.
            cli.kill(signal.SIGKILL)
            await end_adopted()
            await self._hear_out(drain)

    async def _hear_out(self, drain: asyncio.Task[None]) -> None:
        """Let the drain come to its end. It is cut off only where it waits in silence for a pipe that stays open.

        Cut off while it waits for a full disk, it would lose what the CLI said last.
        """
        while not drain.done():
            heard_at = self._heard_at
            await asyncio.wait([drain], timeout=self._desk.deadlines.last_words)
            if self._heard_at == heard_at and not self._desk.record.desk.locked():
                drain.cancel()
                return

    async def _greet(self, cli: Process) -> None:
        async with self._desk.record.desk:
            refs = frozenset(ref for ref in self._desk.journal.refs() if not ref.startswith(REF))
            answers = {ask: answer for ask, (_, answer) in self._desk.inbox.answers.items()}
            self._cli = cli
            self._heard_at = time.monotonic()
            await self._carry(self._driver.begin(refs, answers))
            for command_id, said in self._desk.inbox.inputs:
                await self._carry(self._driver.say(self._input(command_id, said)))
            await self._settle()
            for command_id in self._desk.inbox.interrupts:
                await self.interrupt(command_id)

    async def _drain(self, cli: Process) -> None:
        """Take what the CLI prints, whoever reads of it and however slowly."""
        lines = Lines(LONGEST_LINE)
        while True:
            await readable(cli.out)
            async with self._desk.record.desk:
                chunk = cli.read()
                if chunk is None:
                    continue
                if not chunk:
                    return
                self._heard_at = time.monotonic()
                before = lines.dropped
                for line in lines.feed(chunk):
                    await self._carry(self._read(line))
                if lines.dropped > before:
                    words = (
                        f"The agent's program printed a line of more than {LONGEST_LINE >> 20} MiB; it was left out."
                    )
                    await self._carry([Noticed("warning", "too-long", words)])
                await self._settle()
                self._heard_at = time.monotonic()  # the disk may have taken its time: the silence begins only now

    def _read(self, line: bytes) -> Iterable[Step]:
        try:
            return list(self._driver.read(line))
        except Exception:  # noqa: BLE001 - a bug in a driver costs one line, visibly, not the run
            complain_at_length()
            words = f"agentd could not understand a line of {self._driver.name} and left it out (a bug in its driver)."
            return [Noticed("error", "driver", words)]

    async def _watch(self, cli: Process) -> None:
        """End a CLI that hangs: silent in the middle of a turn, or deaf."""
        while True:
            await asyncio.sleep(max(0.05, min(1.0, self._silence / 4)))
            if cli.unread > UNREAD:
                self._verdict = "The agent's program did not read what it was told; it is started again."
                cli.kill(signal.SIGKILL)
                return
            tally = self._desk.journal.tally
            waits = tally.asks - self._desk.inbox.answers.keys()
            if not tally.working or waits or time.monotonic() - self._heard_at < self._silence:
                continue
            async with self._desk.record.desk:
                words = f"The agent has been silent for {_duration(self._silence)}: its turn is interrupted."
                await self._carry([Noticed("warning", "silent", words), *self._driver.interrupt()])
                await self._settle()
            if not await within(self._desk.deadlines.deaf, tally.rested.wait()):
                self._verdict = "The agent's program hung and did not react to an interrupt; it is started again."
                cli.kill(signal.SIGKILL)
                return

    async def _wind_down(self, cli: Process, ending: Ending) -> None:
        """End the CLI as gently as it lets us.

        When agentd only leaves, a running turn is to go on later: it is cut off, because a CLI that is asked to close
        in order would end it first.
        """
        tally, deadlines = self._desk.journal.tally, self._desk.deadlines
        if ending == LEAVE and tally.working:
            cli.kill(signal.SIGTERM)
        elif tally.working:
            async with self._desk.record.desk:
                await self._carry(self._driver.interrupt())
                await self._settle()
            await within(deadlines.interrupt, tally.rested.wait())
        if not (ending == LEAVE and tally.working):
            async with self._desk.record.desk:
                await self._carry(self._driver.end())
                await self._settle()
            cli.hang_up()
        for seconds, number in ((deadlines.end, signal.SIGTERM), (deadlines.term, signal.SIGKILL)):
            if await within(seconds, _ended(cli)):
                return
            cli.kill(number)

    # --- steps ---

    async def _carry(self, steps: Iterable[Step]) -> None:
        """Take a driver's steps: reports are collected, the rest waits until they are durable."""
        for step in steps:
            match step:
                case Tell():
                    self._pending.tells.append(step.lines)
                case Done():
                    self._pending.done.append(step.id)
                case TextSoFar():
                    self._pending.live = step
                case Close():
                    self._desk.wish.make(Ending(step.reason, step.words))
                case Mark():
                    await self._report(step.report, step.ref)
                case _:
                    await self._report(step, "")

    async def _report(self, report: Report, ref: str) -> None:
        self._pending.live = None
        if isinstance(report, TurnEnded):
            await self.hand_over(turn_over=True)
            self._pending.turn_over = True
        self._desk.record.add(report, ref)
        if isinstance(report, ToolReturned):
            self._files.set()

    async def _settle(self) -> None:
        """Make durable what was carried, then do what depends on it."""
        pending, self._pending = self._pending, Pending()
        await self._desk.record.flush()
        for command_id in pending.done:
            self._desk.inbox.done(command_id)
        if pending.turn_over:  # an answer matters only within its turn
            for command_id, _ in self._desk.inbox.answers.values():
                self._desk.inbox.done(command_id)
        if self._cli is not None and pending.tells:
            self._heard_at = time.monotonic()
            self._cli.tell(b"".join(pending.tells))
        if pending.live is not None:
            self._desk.record.show(pending.live)

    def _input(self, command_id: str, said: Start | Say) -> Input:
        files = tuple(path for path in map(self._uploads.path, said.files) if path.exists())
        if isinstance(said, Start):
            return Input(command_id, said.task, files)
        return Input(command_id, said.text, files, said.quoted)

    # --- files ---

    async def look(self) -> None:
        """Look at the outbox for ever."""
        while True:
            if not self._outbox.restless:
                await within(LOOK_SECONDS, self._files.wait())
                self._files.clear()
            async with self._desk.record.desk:
                await self.hand_over(turn_over=False)
            if self._outbox.restless:
                await asyncio.sleep(REST_SECONDS)

    async def hand_over(self, *, turn_over: bool) -> None:
        """Bring the files that are ready into the journal. The caller holds the desk."""
        for path in self._outbox.ready(turn_over=turn_over):
            for mark in await self._desk.patience(lambda path=path: self._outbox.take(path)):  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                if self._outbox.new(mark):
                    self._desk.record.add(mark.report, mark.ref)
                    self._outbox.remember(mark.ref)  # before anything is awaited: added is as good as written
                    await self._desk.record.flush()
                    await asyncio.sleep(0)  # fifty big files take half a minute: agentd must print and beat meanwhile
            self._outbox.handed(path)


async def _ended(cli: Process) -> None:
    await asyncio.shield(cli.exit)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
