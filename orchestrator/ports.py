"""The holes in the wall: everything that the core asks of the outside. Each docstring is a contract.

Every implementation passes the suite of its port in `tests/contract/`, the in-memory ones first. Ports raise the four
kinds of trouble of `orchestrator.errors` and nothing else; each of their awaits ends by itself within a deadline that
the implementation sets, except where a docstring says that it waits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from agent.wire import Command, Frame, Live, Resume
from orchestrator.events import Entry
from orchestrator.nouns import (
    Agent,
    ArtifactId,
    Conversation,
    Inbound,
    Letter,
    Message,
    MessageId,
    Pace,
    Pulse,
    RunId,
    Sign,
)  # fmt: skip

# --- chat -----------------------------------------------------------------------------------------------------------

Receive = Callable[[Inbound], Awaitable[None]]
"""Takes what a person did. It returns when that is stored, so that the platform may be told. It raises `Refused` for
somebody or something that may not be (show it to that person alone), `Broken` when nothing was stored: say so, and
bring the same Inbound again. The same key again returns at once and does nothing."""


class Chat(Protocol):
    """A platform on which people talk. It has never heard of runs, pods or journals.

    Own messages never come back as an Inbound; an edited message is no Inbound; the same update is one key.
    """

    platform: str
    overall: Pace  # what all its scopes bear together

    async def serve(self, receive: Receive) -> None:
        """Hear people until cancelled. Recovers by itself from whatever the network does; ends only by raising.

        Raises `Refused` when it will not work until the operator has changed something (a token that is not accepted).
        """
        ...

    def pulse(self) -> Pulse:
        """How it is doing at this moment."""
        ...

    def scope(self, where: Conversation) -> str:
        """The name of what shares one budget with this conversation (a Telegram chat, a Discord channel)."""
        ...

    def pace(self, where: Conversation) -> Pace:
        """What that scope bears, as far as the platform has told by now."""
        ...

    async def open(self, origin: Conversation, title: str, *, key: str) -> Conversation:
        """A new place to talk, next to `origin`. Where the platform allows it, the same `key` gives the same place."""
        ...

    async def post(self, where: Conversation, message: Message, *, key: str, again: bool = False) -> MessageId:
        """A new message. Where the platform allows it, the same `key` again is the same message, not a second one.

        `again`: an earlier attempt may have succeeded although no answer came; look for its message before making one.
        """
        ...

    async def edit(self, where: Conversation, message_id: MessageId, message: Message) -> float:
        """The message looks like this now. The same look again is quiet; a message that is no more raises `Gone`.

        Returns the seconds after which this look fades and wants to be given again, 0 when it stays.
        """
        ...

    async def remove(self, where: Conversation, message_id: MessageId) -> None:
        """The message is no more. One that is gone already is fine."""
        ...

    def stale(self, message_id: MessageId) -> bool:
        """Whether this message is so old that the platform wants a new one instead of further edits."""
        ...

    async def sign(self, where: Conversation, sign: Sign) -> None:
        """Show this beside the messages, where the platform has such a thing."""
        ...


# --- runtime --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pod:
    """A run's process as the runtime sees it. `words` says what it waits for, or why it ended, to a person."""

    alive: bool
    words: str = ""


class Session(Protocol):
    """One connection to agentd. It may break at any byte; whoever holds it attaches again and resumes."""

    def frames(self) -> AsyncIterator[Sequence[Frame | Live]]:
        """What agentd prints, in order, as it comes, several at a time when there are. Ends when the connection does.

        Lines that cannot be read are dropped and counted. Reading is never ahead of the caller by more than a bounded
        buffer.
        """
        ...

    async def send(self, command: Command | Resume) -> None:
        """One line to agentd's stdin. Raises `Broken` when the connection is gone; it may have arrived all the same."""
        ...


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often the runtime itself started a run's process again, and, in words, how the last one before it ended."""

    times: int = 0
    words: str = ""


class Runtime(Protocol):
    """Where agentd runs. It knows a run's name and its agent's profile, never its task or what is said."""

    def isolation(self, agent: Agent, *, run: RunId | None = None) -> str:
        """What stands between this agent and the machine, in words shown on the run's page.

        Without a run, what would for one that is started now; of a run whose process is known, what really does.
        """
        ...

    def restarts(self, run: RunId) -> Restarts:
        """What became of the processes that this run had before the present one, as far as it is known here."""
        ...

    async def start(self, run: RunId, agent: Agent, *, again: bool = False) -> None:
        """The run's process exists when this returns, or will soon. Starting twice is starting once.

        A process that died without having finished is started again on its old state. With `again`, that state must
        be there: raises `Gone` when nothing of the run is left, instead of beginning it anew.
        """
        ...

    async def stop(self, run: RunId) -> None:
        """The run's process and everything it started are gone, and its state too. Stopping twice is stopping once."""
        ...

    async def pods(self) -> Mapping[RunId, Pod]:
        """Every process this runtime has, those of former lives of the bot included."""
        ...

    def attach(self, run: RunId) -> AbstractAsyncContextManager[Session]:
        """Connect to a run's agentd; at most one session at a time. Begins with a newline, which closes a torn line.

        Raises `Gone` when the run has no process and none is coming, `Busy` while it is still starting (its text says
        what it waits for), `Broken` otherwise.
        """
        ...


# --- credentials ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gateway:
    """A server in front of the model that knows runs: where it is, and who makes the token that a run shows to it."""

    url: str
    token: Callable[[RunId, Agent], str]


@dataclass(frozen=True, slots=True)
class Expiry:
    """A credential that runs out. `at`: Unix seconds; `words` say to a person what to do before, or what went wrong.

    `early`: so many seconds before, a person should have done it.
    """

    name: str
    at: float
    words: str
    early: float = 14 * 86400.0


Given_co = TypeVar("Given_co", covariant=True)


class Credentials(Protocol[Given_co]):
    """What agents show to their model: for each of them one of `nouns.CREDENTIALS`, as its profile chooses.

    An agent gets the one that it chose and no other, an agent that asks no model gets none; without a choice it gets
    all that are set, and its CLI takes the first. A secret goes from where it is kept into the run's process, never
    through the pipe or a journal, and nothing that renews a login ever goes there.
    """

    async def give(self, run: RunId, agent: Agent) -> Given_co:
        """What the run's process is to be started with, in the terms of its runtime; the same again is the same right.

        Raises `Refused` with a sentence for a person when there is no such credential here.
        """
        ...

    async def expiries(self) -> Sequence[Expiry]:
        """Everything that is known to run out, the first one first."""
        ...


# --- store ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """What is written as one: all of it or nothing.

    `once` is an Inbound's key: when it is already known, nothing is written. Entries and letters whose keys are known
    are left as they were.
    """

    once: str = ""
    entries: Sequence[Entry] = ()
    letters: Sequence[Letter] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a letter. `tries` counts the attempts begun; `lost` says why it was given up, if it was."""

    letter: Letter
    message_id: MessageId | None = None
    tries: int = 0
    lost: str = ""


class Store(Protocol):
    """The journal, the outbox and the agents. What was written is there after a `kill -9` of the bot.

    Raises `Broken` with a clear sentence when it cannot write (a full disk, a locked file): nothing of that change is
    then stored, and the same change may be brought again.
    """

    async def write(self, change: Change) -> bool:
        """Store a change durably. False: `once` was known before and nothing was written."""
        ...

    def journal(self, run: RunId) -> AsyncIterator[Sequence[Entry]]:
        """A run's entries in the order in which they were written, some hundreds at a time."""
        ...

    async def live(self) -> Sequence[RunId]:
        """The runs that were launched and have not ended, in order of their launch."""
        ...

    async def recent(self, limit: int) -> Sequence[tuple[Entry, Entry]]:
        """The first and the last entry (`Launched`, `Ended`) of the runs that ended last, newest first."""
        ...

    async def run_at(self, where: Conversation) -> RunId | None:
        """The run that was opened in this conversation last, live or not."""
        ...

    async def unsent(self) -> Sequence[Sent]:
        """Letters that are neither delivered nor given up, in the order in which they were written."""
        ...

    async def sent(self, key: str) -> Sent | None:
        """What became of this letter."""
        ...

    async def trying(self, key: str) -> None:
        """An attempt to deliver begins: one more try. Durable before it returns."""
        ...

    async def delivered(self, key: str, message_id: MessageId) -> None:
        """The letter stands in the chat."""
        ...

    async def given_up(self, key: str, why: str) -> None:
        """The letter will never stand in the chat."""
        ...

    async def agents(self) -> Sequence[Agent]:
        """All profiles, by name."""
        ...

    async def keep_agent(self, agent: Agent) -> None:
        """Add or replace a profile."""
        ...

    async def drop_agent(self, name: str) -> None:
        """Remove a profile; one that is not there is fine."""
        ...


class Notes(Protocol):
    """A drawer of an adapter's own: small texts by name, durable. Nobody else looks into it."""

    async def put(self, notes: Mapping[str, str | None]) -> None:
        """Keep these, all or none; None removes one."""
        ...

    async def scan(self, prefix: str = "", *, after: str = "", limit: int = 1000) -> Sequence[tuple[str, str]]:
        """Names that begin with `prefix` and sort after `after`, with their texts, by name."""
        ...


# --- artifacts ------------------------------------------------------------------------------------------------------


class Artifacts(Protocol):
    """Files that travelled, kept by their content."""

    async def piece(self, upload: str, offset: int, data: bytes) -> None:
        """A part of an upload that has a name of its own. The same piece again changes nothing."""
        ...

    async def complete(self, upload: str, *, sha256: str = "") -> ArtifactId:
        """The upload is whole. Raises `Refused` when its content is not what `sha256` says. Twice is once."""
        ...

    async def size(self, artifact: ArtifactId) -> int:
        """Bytes. Raises `Gone`."""
        ...

    def read(self, artifact: ArtifactId) -> AsyncIterator[bytes]:
        """The content, in parts of at most 256 KiB. Raises `Gone`."""
        ...
