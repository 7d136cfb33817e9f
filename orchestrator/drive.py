"""Carry one run from its launch to its end. Exactly one task does this per run.

Sees to a place to talk, starts the pod, attaches, sends what the agent has not heard, records what it reports, and
attaches again for as long as it takes. Everything it does may be done twice; what happened once is in the journal.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace

import structlog

from agent import wire
from agent.wire import Beat, Command, Frame, Resume, TextSoFar
from orchestrator import events as ev
from orchestrator.errors import Broken, Busy, Gone, Refused
from orchestrator.letters import bare_end, speak
from orchestrator.nouns import File
from orchestrator.pipe import sift
from orchestrator.ports import Artifacts, Runtime, Session, Store
from orchestrator.post import PostOffice
from orchestrator.run import State, opened, upload_name
from orchestrator.runs import Clock, Draft, LiveRun, Tell
from orchestrator.seats import Seats
from orchestrator.tasks import PAUSES, each_within, until_first, woken

log = structlog.get_logger()

SILENCE_SECONDS = 3 * wire.BEAT_SECONDS
"""An agentd that says nothing for so long is not there: the connection is made again."""

HEARD_SECONDS = 20.0
"""A command that was sent and not confirmed for so long is taken for lost on the way."""

RESUME_SECONDS = 5.0
"""Frames that are missing are asked for no more often than this."""

STOP_SECONDS = 40.0
"""An agent that was told to stop has so long to say its last words."""

MOST_LOSSES = 5
"""A pod that lost its state more often than this would lose it again: its run ends."""


ENDS_OF_TEXT = wire.Wrote | wire.Thought | wire.TurnEnded | wire.CliDied
"""After these, what was seen of a text while it was written is in the journal, or never will be."""


class Drive:
    """Carries runs over one runtime. It has no state of its own beyond what it was built with."""

    def __init__(
        self, *, runtime: Runtime, store: Store, artifacts: Artifacts, office: PostOffice, clock: Clock
    ) -> None:
        self._runtime = runtime
        self._store = store
        self._artifacts = artifacts
        self._seats = Seats(office)
        self._clock = clock

    async def carry(self, run: LiveRun) -> None:
        """Return when the run has ended. A defect in here ends this run, visibly, and no other."""
        try:
            await until_first(self._live(run), self._seats.further(run))
        except Exception as error:
            log.exception("a defect ended a run", run=run.id)
            words = f"a defect in the bot ended this run ({type(error).__name__}); its log has the details"
            try:
                await self.end(run, "failed", words)
            except Exception:
                log.exception("a defect kept an end from being told in full", run=run.id)
                await self.end(run, "failed", words, tell=bare_end)

    async def _live(self, run: LiveRun) -> None:
        await self._seats.first(run)
        while not run.state.admitted and not run.state.stop and not run.state.ended:
            await woken(run.wake, None)
        begun = asyncio.get_running_loop().time()  # in this life: while the bot was down, nothing could start
        failures = 0
        while not run.state.ended:
            if run.state.finished:
                await self.end(run, run.state.finished.reason, run.state.finished.words)
            elif run.state.stop and (not run.state.epoch or self._overdue(run.state)):
                await self.end(run, "stopped", run.state.stop.words)
            elif not run.state.epoch and asyncio.get_running_loop().time() - begun > run.state.agent.limits.start:
                why = run.moment.words or "the agent gave no sign of life"
                await self.end(run, "failed", f"it could not be started in time: {why}")
            else:
                n = run.state.n
                pause = await self._connect(run)
                failures = 0 if run.state.n > n else failures + 1
                if not run.state.finished:
                    pause = min(max(pause, PAUSES[0]), PAUSES[-1]) if pause else PAUSES[min(failures, len(PAUSES) - 1)]
                    await woken(run.wake, pause)

    def _overdue(self, state: State) -> bool:
        return state.stop is not None and self._clock() - state.stop_at > STOP_SECONDS

    async def end(self, run: LiveRun, reason: str, words: str, *, tell: Tell = speak) -> None:
        """Write that the run is over, as soon as the store lets us."""

        def decide(state: State) -> Draft | None:
            if state.ended:
                return None
            seconds = self._clock() - state.began
            cost = round(state.cost_usd, 6)
            events: list[tuple[str, ev.Event]] = []
            where = state.where
            if where is None and state.launched is not None:  # an end without a place would be told to nobody
                where = state.launched.origin
                events.append(opened(state, where))
            end = ev.Ended(reason, words, cost_usd=cost, turns=state.turns, seconds=seconds, where=where)
            return Draft([*events, ("ended", end)])

        while not run.state.ended:
            try:
                await run.write(decide, tell=tell)
            except Broken as error:
                run.now(words=str(error))
                await asyncio.sleep(1)

    # --- the connection ----------------------------------------------------------------------------------------------

    async def _connect(self, run: LiveRun) -> float:
        """One connection, from attach to its end. Returns the seconds to wait before the next, 0: choose."""
        try:
            await self._runtime.start(run.id, run.state.agent, again=run.state.n > 0)
            async with self._runtime.attach(run.id) as session:
                run.now(words="")
                await self._note_pod(run)
                await until_first(self._tell(run, session), self._hear(run, session))
        except Busy as busy:
            run.now(words=str(busy))
            return busy.seconds
        except Gone as gone:
            if not run.state.epoch:
                run.now(words=str(gone))  # nobody had heard of it: made anew, for as long as a start may take
            elif not run.state.finished:
                await self.end(run, "lost", f"its process is gone: {gone}")
        except Refused as refused:
            await self.end(run, "failed", str(refused))
        except (Broken, TimeoutError) as error:
            why = str(error) or "the agent is silent"
            log.warning("connection lost", run=run.id, why=why)
            run.now(words=f"reconnecting: {why}")
        return 0.0

    async def _note_pod(self, run: LiveRun) -> None:
        """Record what the run's pod really is, where settings have changed meanwhile, and that it was started again."""
        real, restarts = self._runtime.isolation(run.state.agent, run=run.id), self._runtime.restarts(run.id)

        def decide(state: State) -> Draft | None:
            events: list[tuple[str, ev.Event]] = []
            if real != state.isolation:
                events.append((f"housed/{state.housed}", ev.Housed(real)))
            if restarts.times > state.restarts:
                events.append((f"restarted/{restarts.times}", ev.Restarted(restarts.times, restarts.words)))
            return Draft(events) if events else None

        if real != run.state.isolation or restarts.times > run.state.restarts:
            await run.write(decide)

    async def _tell(self, run: LiveRun, session: Session) -> None:
        """Send what the agent has not heard yet; a known id is done once. Returns when the run is to end.

        The next one is sent when the one before was heard: were one lost on the way, the agent would otherwise hear
        what was said in another order.
        """
        loop = asyncio.get_running_loop()
        sent, at = "", 0.0
        while not run.state.ended and not self._overdue(run.state):
            command = next(iter(run.state.pending.values()), None)
            if command and command.id != sent:
                for file in run.state.files.get(command.id, ()):
                    try:
                        await self._put(session, command, file)
                    except Gone as gone:  # of the file; agentd says that it never arrived
                        log.warning("a file is gone", run=run.id, file=file.name, why=str(gone))
                await session.send(command)
                sent, at = command.id, loop.time()
            elif command and loop.time() - at > HEARD_SECONDS:
                raise Broken("a command was not heard")
            await woken(run.wake, HEARD_SECONDS / 2 if command or run.state.stop else None)

    async def _put(self, session: Session, command: Command, file: File) -> None:
        """Send a file ahead of the command that speaks of it; pieces that are there already are not taken again."""
        offset, size = 0, await self._artifacts.size(file.artifact)
        async for data in _at_least_one(self._artifacts.read(file.artifact)):
            last = offset + len(data) >= size
            put = wire.Put(upload_name(file), offset, base64.b64encode(data).decode(), last=last)
            await session.send(Command(f"{command.id}/{file.artifact[:12]}/{offset}", put))
            offset += len(data)

    async def _hear(self, run: LiveRun, session: Session) -> None:
        """Record what the agent reports, until the connection or the run ends."""
        loop = asyncio.get_running_loop()
        await run.settle()
        await session.send(Resume(run.state.epoch, run.state.n))
        resumed = loop.time()
        batches: AsyncIterator[list[Frame | wire.Live]] = each_within(aiter(session.frames()), SILENCE_SECONDS)  # type: ignore[arg-type]
        async for frames in batches:
            batch = sift(frames, epoch=run.state.epoch, past=run.state.past, n=run.state.n)
            await self._note_pod(run)  # a new process may be heard before its cluster says how the former one ended
            if batch.fresh:
                await self._record(run, batch.fresh)
            for live in batch.live:
                _show(run, live)
            if batch.lost:
                await self._begin_again(run, batch.lost)
            if batch.lost or (batch.behind and not batch.fresh and loop.time() - resumed > RESUME_SECONDS):
                await session.send(Resume(run.state.epoch, run.state.n))
                resumed = loop.time()
            if run.state.finished or run.state.ended:
                return

    async def _record(self, run: LiveRun, frames: list[Frame]) -> None:
        reports: dict[int, wire.Report] = {}
        for frame in frames:
            report = frame.report
            if isinstance(report, wire.FilePiece):
                report = await self._keep(f"{run.id}/{frame.epoch}/{report.file}", report)
            reports[frame.n] = report

        def decide(state: State) -> Draft | None:
            """The state may have been read anew meanwhile, and know some of these already."""
            fresh = sift(frames, epoch=state.epoch, past=state.past, n=state.n).fresh
            return Draft([(f"f/{frame.epoch}/{frame.n}", reports[frame.n]) for frame in fresh]) if fresh else None

        await run.write(decide)
        if any(isinstance(report, ENDS_OF_TEXT) for report in reports.values()):
            run.now(text="", thinking=False)

    async def _keep(self, upload: str, piece: wire.FilePiece) -> wire.Report:
        """A piece of a file is on disk before the journal says that it came; the journal holds no bytes of it."""
        try:
            await self._artifacts.piece(upload, piece.offset, base64.b64decode(piece.data, validate=True))
            if piece.last:
                await self._artifacts.complete(upload, sha256=piece.sha256)
        except (Refused, ValueError) as why:
            return wire.Noticed("error", "file", f"The file {piece.name} did not arrive whole: {why}")
        return replace(piece, data="")

    async def _begin_again(self, run: LiveRun, epoch: str) -> None:
        """The pod's state is gone: what people said before is said again, in order."""
        if len(run.state.past) >= MOST_LOSSES:
            await self.end(run, "lost", f"its state was lost {MOST_LOSSES + 1} times")
            return
        said: list[tuple[str, ev.Event]] = []
        seen: set[str] = set()
        async for entries in self._store.journal(run.id):
            for entry in entries:
                if isinstance(entry.event, ev.Said) and entry.event.id not in seen:
                    seen.add(entry.event.id)
                    said.append((f"again/{epoch}/{entry.event.id}", entry.event))

        def decide(state: State) -> Draft | None:
            """Nothing when more was said while the journal was read; the next frame brings us here again."""
            unseen = [c for c in state.pending.values() if isinstance(c.order, wire.Say) and c.id not in seen]
            return None if unseen or state.epoch == epoch else Draft([(f"lost/{epoch}", ev.StateLost(epoch)), *said])

        await run.write(decide)
        run.now(text="", thinking=False)


async def _at_least_one(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """An empty file has one piece, too: it is the last one that makes it a file."""
    empty = True
    async for part in parts:
        empty = False
        yield part
    if empty:
        yield b""


def _show(run: LiveRun, live: wire.Live) -> None:
    if isinstance(live, TextSoFar):
        run.now(text=live.text, thinking=live.thinking)
    elif isinstance(live, Beat):
        run.now(words=live.trouble)
