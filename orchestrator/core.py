"""The orchestrator: everything inside the walls put together, from ports to promises.

Built with the ports, it recovers, hears people, drives runs and keeps them in order until it is cancelled. Wiring of
real adapters is the door's affair (`bot`); tests build it with fakes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from orchestrator import view
from orchestrator.board import PAST, Boards
from orchestrator.desk import Desk
from orchestrator.doctor import Doctor, Examine, nothing
from orchestrator.drive import Drive
from orchestrator.errors import Broken, Refused, Trouble
from orchestrator.events import Ended, Launched
from orchestrator.gate import Gate
from orchestrator.launches import Launches
from orchestrator.logbook import Logbook
from orchestrator.nouns import Conversation, Inbound, Person, Row
from orchestrator.offers import Offers
from orchestrator.ports import Artifacts, Chat, Notes, Runtime, Store
from orchestrator.post import PostOffice
from orchestrator.replies import Replies
from orchestrator.roster import Roster
from orchestrator.runs import Clock
from orchestrator.tasks import to_the_end, told_to_go, woken

log = structlog.get_logger()

MEND_SECONDS = 60.0
SERVE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator has decided. `unavailable`: drivers that cannot start here, with the reason in a sentence.

    `boards`: conversations that always have a dashboard.
    """

    max_runs: int = 20
    budget_usd: float = 0.0
    unavailable: Mapping[str, str] = field(default_factory=dict)
    boards: Sequence[Conversation] = ()


class Orchestrator:
    """The room. `run` lives in it; `receive` is how people reach it."""

    def __init__(
        self,
        *,
        store: Store,
        notes: Notes,
        artifacts: Artifacts,
        chats: Mapping[str, Chat],
        runtime: Runtime,
        gate: Gate,
        clock: Clock,
        rules: Rules,
        examine: Examine = nothing,
    ) -> None:
        self._store = store
        self._notes = notes
        self._artifacts = artifacts
        self._chats = dict(chats)
        self._runtime = runtime
        self._gate = gate
        self._clock = clock
        self._rules = rules
        self._examine = examine
        self._desk: Desk | None = None
        self._boards: Boards | None = None
        self._mend = asyncio.Event()
        self.ready = asyncio.Event()
        self.roster: Roster | None = None
        self.office: PostOffice | None = None

    async def receive(self, inbound: Inbound) -> None:
        """Take what a person did; see `orchestrator.ports.Receive`."""
        if self._desk is None:
            raise Broken("The bot is still starting; nothing was taken. Try again in a moment.")
        await to_the_end(self._desk.receive(inbound))  # cut off between "write" and "act", it would act after a restart

    async def suggest(self, person: Person, where: Conversation, typed: str) -> Sequence[tuple[str, str]]:
        """Agents whose name begins with what is typed, each with what it is about. Raises `Refused`, `Broken`."""
        if self._desk is None:
            raise Broken("The bot is still starting.")
        return await self._desk.suggest(person, where, typed)

    def kept(self) -> Sequence[str]:
        """The letters without a run that must not be forgotten, however old they are."""
        return self._boards.kept() if self._boards else ()

    @property
    def chats(self) -> Sequence[Chat]:
        """The platforms on which people are heard."""
        return list(self._chats.values())

    async def run(self) -> None:
        """Recover, then live until cancelled."""
        async with asyncio.TaskGroup() as group:
            office = PostOffice(
                self._chats,
                self._store,
                group,
                bereft=lambda letter, why: roster.bereft(letter, why),  # noqa: PLW0108
            )
            drive = Drive(
                runtime=self._runtime, store=self._store, artifacts=self._artifacts, office=office, clock=self._clock
            )
            roster = Roster(
                store=self._store,
                runtime=self._runtime,
                office=office,
                drive=drive,
                group=group,
                clock=self._clock,
                max_runs=self._rules.max_runs,
                changed=lambda: boards.changed(),  # noqa: PLW0108 - boards comes two lines later
                mend_soon=self._mend.set,
            )
            boards = Boards(store=self._store, notes=self._notes, office=office, live=partial(_rows, roster))
            self.roster, self.office, self._boards = roster, office, boards
            # Before any run lives again: what that run says next must come after these, and none may be taken twice.
            office.take([sent.letter for sent in await self._store.unsent()])
            await roster.recover()
            log.info("recovered", runs=len(roster.live))
            boards.past = await self._past()
            await boards.recover(self._rules.boards)
            self._desk = self._opened(roster, boards, office, group)
            self.ready.set()
            for chat in self._chats.values():
                group.create_task(self._serve(chat), name=f"chat {chat.platform}")
            await self._keep(roster, boards, office)

    def _opened(self, roster: Roster, boards: Boards, office: PostOffice, group: asyncio.TaskGroup) -> Desk:
        store, replies = self._store, Replies(store=self._store, office=office)
        launches = Launches(
            store=store,
            roster=roster,
            replies=replies,
            unavailable=self._rules.unavailable,
            budget_usd=self._rules.budget_usd,
        )
        return Desk(
            gate=self._gate,
            store=store,
            roster=roster,
            boards=boards,
            logbook=Logbook(store=store, artifacts=self._artifacts),
            replies=replies,
            launches=launches,
            offers=Offers(store=store, roster=roster, replies=replies, launches=launches),
            doctor=Doctor(examine=self._examine, store=store, office=office, group=group),
        )

    async def _serve(self, chat: Chat) -> None:
        """Hear people on this platform, whatever its adapter raises: the others and the runs go on."""
        while True:
            try:
                await chat.serve(self.receive)
            except Refused as why:
                log.error("a chat is not heard until its settings are changed", platform=chat.platform, why=str(why))
                return
            except Trouble as error:
                log.error("a chat is not heard", platform=chat.platform, again_in=SERVE_SECONDS, why=str(error))
            except (Exception, asyncio.CancelledError):
                if told_to_go():
                    raise
                log.exception("a defect ended a chat", platform=chat.platform, again_in=SERVE_SECONDS)
            await asyncio.sleep(SERVE_SECONDS)

    async def _keep(self, roster: Roster, boards: Boards, office: PostOffice) -> None:
        """Every minute, and whenever a run ended: put in order what is not."""

        async def post() -> None:
            """Letters of which nobody knew whether they were stored are in the outbox and nowhere else."""
            office.take([sent.letter for sent in await self._store.unsent()])

        async def draw() -> None:
            boards.past = await self._past()
            boards.changed()

        while True:
            for chore in (post, draw, roster.mend):
                try:
                    await chore()
                except Trouble as error:
                    log.warning("not in order", why=str(error))
                except Exception:
                    log.exception("a defect while putting things in order")
            await woken(self._mend, MEND_SECONDS)

    async def _past(self) -> list[Row]:
        pairs = await self._store.recent(PAST)
        return [
            view.past_row(launched, ended)
            for launched, ended in pairs
            if isinstance(launched.event, Launched) and isinstance(ended.event, Ended)  # what can still be read
        ]


def _rows(roster: Roster, seen_from: Conversation) -> list[Row]:
    runs = sorted(roster.live.values(), key=lambda run: -run.state.began)
    return [view.row(run.state, run.moment, seen_from=seen_from) for run in runs if run.state.launched]
