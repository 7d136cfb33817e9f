"""The live runs: who is on duty, who waits for a free slot, and what must be put in order from time to time.

`mend` compares the journal with the pods; the same function runs after a start and every minute. The roster owns one
task for each run. It knows no command and no platform.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import structlog

from orchestrator import events as ev
from orchestrator.drive import Drive
from orchestrator.errors import Trouble
from orchestrator.fold import fold
from orchestrator.keys import at_seat, moved, seatless
from orchestrator.letters import passes
from orchestrator.nouns import Conversation, Letter, RunId
from orchestrator.ports import Change, Runtime, Store
from orchestrator.post import PostOffice
from orchestrator.run import SYSTEM, State, Waiting, command_id, opened
from orchestrator.runs import Clock, Draft, LiveRun, load
from orchestrator.tasks import PAUSES, patiently
from orchestrator.view import span

log = structlog.get_logger()

OPENING_SECONDS = 5.0


class Roster:
    """All runs that have not ended, by their id. `changed` is called when one of them has.

    `mend_soon` asks whoever owns this to call `mend` before the minute is over.
    """

    def __init__(
        self,
        *,
        store: Store,
        runtime: Runtime,
        office: PostOffice,
        drive: Drive,
        group: asyncio.TaskGroup,
        clock: Clock,
        max_runs: int,
        changed: Callable[[], None],
        mend_soon: Callable[[], None],
    ) -> None:
        self.live: dict[RunId, LiveRun] = {}
        self._store = store
        self._runtime = runtime
        self._office = office
        self._drive = drive
        self._group = group
        self._clock = clock
        self._max_runs = max_runs
        self._changed = changed
        self._mend_soon = mend_soon
        self._clearing: set[RunId] = set()
        self._unreadable: set[RunId] = set()
        self._admitting = asyncio.Lock()
        self._moved = asyncio.Event()
        self._recovered = asyncio.Event()

    def at(self, where: Conversation) -> LiveRun | None:
        """The live run of this conversation; the latest, where no threads are to be had and several are here."""
        here = [run for run in self.live.values() if where in run.state.seats.values()]
        return max(here, key=lambda run: run.state.began, default=None)

    async def find(self, where: Conversation) -> LiveRun | None:
        """The live run of this conversation; waits a moment for a thread that is just being opened.

        A person may write into a new thread before the platform has told us that it is there.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(OPENING_SECONDS):
                while self.at(where) is None and where.thread and self._opening(where.chat):
                    await self._moved.wait()
        return self.at(where)

    async def launch(self, run: RunId, launched: ev.Launched, *, once: str) -> None:
        """Write a launch down, then act on it. A key that is known launches nothing. Raises `Broken`."""
        entry = ev.Entry(run, "launched", self._clock(), launched)
        if not await self._store.write(Change(once=once, entries=[entry])):
            self._mend_soon()  # perhaps a launch that was stored when nobody knew: it is taken up there
            return
        state = State(run)
        fold(state, entry)
        self._adopt(state)
        try:
            await self.admit()
        except Trouble as error:  # it is launched all the same
            log.warning("not admitted yet", run=run, why=str(error))
            self._mend_soon()

    async def bereft(self, letter: Letter, why: str) -> None:
        """The place of a letter is no more: its run goes on in its other places, or where it was launched.

        What stands nowhere else is said there again. It is written when this returns, however long the store takes.
        """
        if letter.run:
            await self._recovered.wait()
            await patiently(lambda: self._rehome(letter, why), what="what a lost place was told", over=(Trouble,))

    async def _rehome(self, letter: Letter, why: str) -> None:
        run = self.live.get(letter.run)
        state = run.state if run else await load(self._store, letter.run)
        told = {seat: await self._store.sent(at_seat(seatless(letter.key), seat)) for seat in state.seats}

        def decide(state: State) -> Draft:
            """Of two places that are lost at once, the second one knows here that the first is."""
            others = [told.get(seat) for seat, where in state.seats.items() if where != letter.where]
            return _rehoming(state, letter, why, told_elsewhere=any(sent and not sent.lost for sent in others))

        if run:
            await run.write(decide)
        else:  # it has ended: nothing of it changes any more, but what it said last is to be read
            letters = decide(state).letters
            await self._store.write(Change(letters=letters))
            self._office.take(letters)

    async def recover(self) -> None:
        """Take up every run that the journal says is alive and that nobody drives. Raises `Trouble`."""
        for run in await self._store.live():
            if run in self.live or run in self._clearing:
                continue
            try:
                state = await load(self._store, run)
            except Trouble:
                raise
            except Exception:
                log.exception("a defect kept a run from being taken up; its pod is left alone", run=run)
                self._unreadable.add(run)
                continue
            self._unreadable.discard(run)
            if not state.ended:
                self._adopt(state)
        self._recovered.set()

    async def admit(self) -> None:
        """Give free slots to those who wait longest."""
        async with self._admitting:
            waiting = sorted((run for run in self.live.values() if _queued(run.state)), key=lambda run: run.state.began)
            taken = sum(1 for run in self.live.values() if run.state.admitted and not run.state.ended)

            async def admit(run: LiveRun) -> None:
                admitted = ev.Admitted(self._runtime.isolation(run.state.agent))
                await run.write(lambda state: Draft([("admitted", admitted)]) if _queued(state) else None)

            for run in waiting[: max(0, self._max_runs - taken)]:
                await _alone(run, admit)
            for place, run in enumerate(waiting[max(0, self._max_runs - taken) :]):
                run.now(words=f"{place + taken} before it; {self._max_runs} may run at once")

    async def mend(self) -> None:
        """Compare runs with pods and with their limits, and put right what differs. Raises `Trouble`."""
        await self.recover()
        for run in list(self.live.values()):
            await _alone(run, self._limit)
        await self.admit()
        for pod in await self._runtime.pods():
            if pod not in self.live and pod not in self._clearing and pod not in self._unreadable:
                await self._stop_stray(pod)

    async def _stop_stray(self, pod: RunId) -> None:
        log.warning("a pod without a live run is stopped", run=pod)
        try:
            await self._runtime.stop(pod)
        except Exception as error:  # noqa: BLE001 - whatever it is: the others are to be stopped all the same
            log.warning("it could not be stopped", run=pod, error=repr(error))

    def _adopt(self, state: State) -> None:
        if state.run in self.live:  # two who took it up at once: exactly one task drives a run
            return
        run = LiveRun(
            state,
            store=self._store,
            office=self._office,
            clock=self._clock,
            changed=self._note,
        )
        self.live[run.id] = run
        self._note()
        run.show()
        self._group.create_task(self._work(run), name=f"run {run.id}")

    def _note(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
        self._changed()

    def _opening(self, chat: str) -> bool:
        return any(
            run.state.where is None and run.state.launched is not None and run.state.launched.origin.chat == chat
            for run in self.live.values()
        )

    async def _work(self, run: LiveRun) -> None:
        """The one task that drives a run, and clears up after it."""
        with structlog.contextvars.bound_contextvars(run=run.id):
            try:
                await self._drive.carry(run)
            except Exception:
                log.exception("a defect kept a run from being ended; mending takes it up again")
                self.live.pop(run.id, None)
                return
            ended = run.state.ended
            log.info("run ended", reason=ended.reason if ended else "?", cost_usd=run.state.cost_usd)
            self._clearing.add(run.id)
            self.live.pop(run.id, None)
            self._mend_soon()
            try:
                await self._clear(run.id)
            finally:
                self._clearing.discard(run.id)

    async def _clear(self, run: RunId) -> None:
        """Stop the pod of a run that ended and give its slot away; what is left after the last try, `mend` clears."""
        for pause in PAUSES:
            try:
                await self._runtime.stop(run)
                await self.admit()
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the bot
                log.warning("not cleared up", error=repr(error), again_in=pause)
                await asyncio.sleep(pause)
            else:
                return

    async def _limit(self, run: LiveRun) -> None:
        """Hold a run to its limits. One that waits for a slot has none: it is not its fault."""
        state, now = run.state, self._clock()
        if state.ended or state.stop or not state.admitted:
            return
        limits = state.agent.limits
        if now - state.admitted_at > limits.life:
            await self._expire(run, f"its longest life of {span(limits.life)} is over")
        elif not state.working and not state.asks and now - state.touched > limits.idle:
            await self._expire(run, f"nobody said anything for {span(limits.idle)}")
        for waiting in list(state.asks.values()):
            if now - waiting.at > limits.ask:
                await self._give_up(run, waiting, span(limits.ask))

    async def _expire(self, run: LiveRun, words: str) -> None:
        id_ = command_id(f"{run.id}/expired")
        await run.write(lambda state: None if state.stop else Draft([("expired", ev.StopAsked(id_, words, SYSTEM))]))

    async def _give_up(self, run: LiveRun, waiting: Waiting, how_long: str) -> None:
        ask, id_ = waiting.asked.ask, command_id(f"{run.id}/unanswered/{waiting.key}")
        text = f"No answer came within {how_long}. Go on without it where you can, otherwise stop here."
        answered = ev.Answered(id_, ask, f"no answer within {how_long}", SYSTEM, text=text)
        await run.write(lambda state: Draft([(f"in/{id_}", answered)]) if ask in state.asks else None)


async def _alone(run: LiveRun, chore: Callable[[LiveRun], Awaitable[object]]) -> None:
    """Do this for one run of many: a defect of this one keeps nobody else from it. Raises `Trouble`."""
    try:
        await chore(run)
    except Trouble:
        raise
    except Exception:
        log.exception("a defect kept a run from being put in order", run=run.id)


def _rehoming(state: State, letter: Letter, why: str, *, told_elsewhere: bool) -> Draft:
    """What is written when this letter's place is no more: that it is lost, where the run goes on, and what it said."""
    draft = Draft()
    if letter.where in state.seats.values() and not state.ended:
        draft.events.append((f"lost/{letter.key}", ev.PlaceLost(letter.where, why)))
    home = next((where for where in state.seats.values() if where != letter.where), None)
    if home is None and state.launched and state.launched.origin != letter.where:
        home = state.launched.origin
        if not state.ended:
            draft.events.append(opened(state, home))
    if home and not told_elsewhere and not passes(state, letter):
        draft.letters.append(replace(letter, key=moved(letter.key), where=home))
    return draft


def _queued(state: State) -> bool:
    return not state.admitted and not state.ended and not state.stop
