"""A whole room over fakes: one person, one chat, pods in memory. Kill it and build it again on what was stored.

Another person, Bob, sees it from another platform.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agent import wire
from agent.wire import Command
from orchestrator.core import Orchestrator, Rules
from orchestrator.doctor import Examine, nothing
from orchestrator.gate import Gate, Rule
from orchestrator.nouns import Agent, Conversation, File, Inbound, Limits, Message, MessageId, Pace, Person, RunId
from orchestrator.post import PostOffice
from orchestrator.roster import Roster
from orchestrator.run import run_id
from tests.fakes.artifacts import MemoryArtifacts
from tests.fakes.chat import FakeChat, Posted
from tests.fakes.notes import MemoryNotes
from tests.fakes.runtime import Behave, FakePod, FakeRuntime, echo
from tests.fakes.store import MemoryStore

ME = Person("fake", "7", "Ada")
LOBBY = Conversation("fake", "hall")
BOB = Person("other", "9", "Bob")
THERE = Conversation("other", "1/2")
ECHO = Agent("echo", "rehearsal", about="says everything back", limits=Limits(start=60, idle=3600, life=7200, ask=600))
QUICK = Pace(burst=1000, per=1.0, reserve=100, edit_every=0.05)


def asking(pod: FakePod, command: Command) -> None:
    """Starts a turn; asks when told to; ends it with what was answered."""
    match command.order:
        case wire.Start():
            pod.report(wire.CliStarted("quiet", command.order.session))
            pod.report(wire.TurnStarted())
        case wire.Say(text="ask"):
            pod.report(wire.Asked("q1", "question", "Which colour?", (wire.Choice("red"), wire.Choice("blue"))))
        case wire.Answer():
            pod.report(wire.TurnEnded("done", text=f"It is {command.order.picks}."))
        case wire.Say():
            pod.report(wire.TurnStarted())
            pod.report(wire.TurnEnded("done", text=command.order.text))
        case _:
            pass


@dataclass
class World:
    """What outlives the bot, and the bot that lives now."""

    behave: Behave = echo
    pace: Pace = QUICK
    rules: Rules = field(default_factory=Rules)
    store: MemoryStore = field(default_factory=MemoryStore)
    notes: MemoryNotes = field(default_factory=MemoryNotes)
    artifacts: MemoryArtifacts = field(default_factory=MemoryArtifacts)
    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    chat: FakeChat = field(default_factory=lambda: FakeChat("fake"))
    other: FakeChat = field(default_factory=lambda: FakeChat("other"))
    examine: Examine = nothing
    said: int = 0
    _room: Orchestrator | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.runtime.behave = self.behave
        self.chat.set_pace(self.pace)

    @asynccontextmanager
    async def life(self) -> AsyncIterator[World]:
        """One life of the bot; leaving it is a kill: nothing is closed in order."""
        loop = asyncio.get_running_loop()
        await self.store.keep_agent(ECHO)
        room = self._room = Orchestrator(
            store=self.store,
            notes=self.notes,
            artifacts=self.artifacts,
            chats={"fake": self.chat, "other": self.other},
            runtime=self.runtime,
            gate=Gate(
                {
                    "fake": Rule(people=frozenset({"7"}), chats=frozenset({"hall"})),
                    "other": Rule(people=frozenset({"9"}), servers=frozenset({"1"})),
                }
            ),
            clock=lambda: 1_000_000.0 + loop.time(),
            rules=self.rules,
            examine=self.examine,
        )
        task = asyncio.create_task(room.run())
        await self.until(lambda: room.ready.is_set() or task.done())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()):
                raise error

    # --- the bot that lives now, or lived last ---

    @property
    def room(self) -> Orchestrator:
        if self._room is None:
            raise RuntimeError("this world has had no bot yet: enter life() first")
        return self._room

    @property
    def roster(self) -> Roster:
        if self.room.roster is None:
            raise RuntimeError("this bot has no roster: its life ended before it was ready")
        return self.room.roster

    @property
    def office(self) -> PostOffice:
        if self.room.office is None:
            raise RuntimeError("this bot has no post office: its life ended before it was ready")
        return self.room.office

    # --- what a person does ---

    async def say(
        self,
        text: str,
        where: Conversation = LOBBY,
        *,
        key: str = "",
        person: Person = ME,
        files: tuple[File, ...] = (),
        message: str = "",
    ) -> str:
        """Say something; returns the key of what was said."""
        self.said += 1
        key = key or f"fake/{self.said}"
        await self.room.receive(Inbound(key, where, person, text=text, files=files, message=MessageId(message or key)))
        return key

    async def press(self, token: str, where: Conversation = LOBBY, *, key: str = "", person: Person = ME) -> str:
        self.said += 1
        key = key or f"fake/{self.said}"
        await self.room.receive(Inbound(key, where, person, press=token))
        return key

    async def begin(self, task: str = "the task") -> tuple[RunId, Conversation]:
        """Launch a run and wait for its place alone: its pod may not come."""
        run = run_id(await self.say(f"/launch echo {task}"))
        await self.until(lambda: self.thread(run))
        return run, self.place(run)

    async def launch(self, task: str = "the task", *, agent: str = "echo") -> tuple[RunId, FakePod]:
        """Launch a run and wait for its pod and its place."""
        run = run_id(await self.say(f"/launch {agent} {task}"))
        pod = await self.runtime.wait_pod(run)
        await self.until(lambda: self.thread(run) is not None)
        await pod.wait_attached()
        return run, pod

    async def converse(self, task: str = "hello") -> tuple[RunId, FakePod, Conversation]:
        """Launch a run that says its task back, and wait until it stands there."""
        run, pod = await self.launch(task)
        where = self.place(run)
        await self.until(lambda: self.texts(where) == [task])
        return run, pod, where

    async def launch_and_stop(self) -> RunId:
        """A run that is over since its person stopped it."""
        run, _ = await self.launch()
        await self.say("/stop", self.place(run))
        await self.until(lambda: not self.roster.live)
        return run

    async def watch(self) -> tuple[RunId, FakePod, Conversation, Conversation]:
        """A run launched in the one chat and followed from the other: its id, pod, home and further place."""
        run, pod = await self.launch()
        await self.say("/runs", THERE, person=BOB)
        await self.until(lambda: self.other.seen(THERE)[-1].board)
        (row,) = self.other.seen(THERE)[-1].rows
        (watch,) = [button for button in row.buttons if button.label == "Watch here"]
        await self.press(watch.token, THERE, person=BOB)
        await self.until(lambda: f"{run}@1" in self.other.threads)
        return run, pod, self.place(run), self.other.threads[f"{run}@1"]

    # --- what a person sees ---

    def thread(self, run: RunId) -> Conversation | None:
        return self.chat.threads.get(run)

    def place(self, run: RunId) -> Conversation:
        where = self.thread(run)
        assert where
        return where

    def posts(self, where: Conversation) -> list[Posted]:
        return [post for post in self.chat.posts if post.where == where]

    def looks(self, where: Conversation) -> list[Message]:
        """The messages as they stand there now, in order."""
        return [post.message for post in self.posts(where)]

    def words(self, where: Conversation) -> list[str]:
        """The text of each message there, whether it rings or not."""
        return [look.text for look in self.looks(where)]

    def texts(self, where: Conversation) -> list[str]:
        """The texts of messages that ring: finals, questions, failures."""
        return [look.text or look.status for look in self.looks(where) if look.rings]

    async def until(self, condition: Callable[[], object], *, seconds: float = 120.0, step: float = 0.01) -> None:
        """Wait for something to be seen. Polls, since a fake chat has no doorbell; free in virtual time."""

        def seen() -> object:
            try:
                return condition()
            except IndexError:  # a message that is not there yet
                return False

        async with asyncio.timeout(seconds):
            while not seen():  # noqa: ASYNC110 - it has no event to wait for
                await asyncio.sleep(step)
