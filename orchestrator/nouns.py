"""The nouns of the house, as plain values. They know no platform, no database and no cluster.

What is written here is what adapters and the core say to each other; how a chat looks, how a row is stored and what a
pod is made of stand elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NewType

MOST_LINE = 500
"""Characters of a line: of a status, of what was done, of a run's words on the dashboard."""

MOST_LABEL = 60
"""Characters on a button."""

RunId = NewType("RunId", str)
"""Lower-case letters, digits and dashes, at most 40: it also names the pod."""

MessageId = NewType("MessageId", str)
"""A message as its platform names it."""

ArtifactId = NewType("ArtifactId", str)
"""A stored file: the SHA-256 of its content, in hex."""


def line(text: str, most: int = MOST_LINE) -> str:
    """Text as one line of at most so many characters; what is one already stays as it is."""
    if len(text) <= most and (text.isprintable() or text.splitlines() == [text]):
        return text
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


@dataclass(frozen=True, slots=True)
class Conversation:
    """Where people talk. `chat` is what is allowed or forbidden; `thread` a topic or thread in it, or empty.

    Where a platform keeps its chats inside of servers, `chat` is `<server>/<channel>`.
    """

    platform: str
    chat: str
    thread: str = ""

    @property
    def outside(self) -> Conversation:
        """The chat itself, without the thread: new threads open beside it, never inside another."""
        return Conversation(self.platform, self.chat)

    def __str__(self) -> str:
        return f"{self.platform}/{self.chat}/{self.thread}".rstrip("/")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who talks. Only `platform`, `id` and `roles` decide anything; `name` is for showing."""

    platform: str
    id: str
    name: str = ""
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class File:
    """A file kept in `Artifacts`, on its way in or out."""

    artifact: ArtifactId
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Source:
    """A person's own message, and where it stands: what receipts are shown on."""

    where: Conversation
    message: MessageId


@dataclass(frozen=True, slots=True)
class Inbound:
    """What a person did in a chat: said something, or pressed a button (`press` is then that button's token).

    `key` names it for ever on every platform (`telegram/<chat>/<message>`): the same key is done once. `quoted` marks
    forwarded material. Edited messages never become an Inbound. `on` is the message whose button was pressed, `message`
    the person's own, where they wrote one. `addressed` is False for what people say to each other where the bot
    listens: it means something only where a run lives.
    """

    key: str
    where: Conversation
    person: Person
    text: str = ""
    press: str = ""
    files: tuple[File, ...] = ()
    quoted: bool = False
    on: MessageId = MessageId("")
    message: MessageId = MessageId("")
    addressed: bool = True

    @property
    def source(self) -> Source | None:
        """The message to show receipts on, if there is one."""
        return Source(self.where, self.message) if self.message else None


class Style(StrEnum):
    """What a button means, for platforms that have colours."""

    PLAIN = "plain"
    GOOD = "good"
    DANGER = "danger"


@dataclass(frozen=True, slots=True)
class Button:
    """A tap instead of typing. `token` (at most 60 bytes, ASCII) locates what is meant; it authorises nothing."""

    label: str
    token: str
    style: Style = Style.PLAIN

    def __post_init__(self) -> None:
        """Labels may be an agent's words."""
        object.__setattr__(self, "label", line(self.label, MOST_LABEL).strip() or "…")


class Phase(StrEnum):
    """Where a run stands, folded from its journal."""

    QUEUED = "queued"
    STARTING = "starting"
    WORKING = "working"
    ASKING = "waiting for you"
    IDLE = "your turn"
    STOPPING = "stopping"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Row:
    """A run as a line of the dashboard. `since`: Unix seconds when the run began; 0 when it is over."""

    run: RunId
    title: str
    agent: str
    phase: Phase
    since: float
    cost_usd: float
    where: Conversation | None
    words: str = ""
    buttons: tuple[Button, ...] = ()

    def __post_init__(self) -> None:
        """Titles and words may be anybody's."""
        object.__setattr__(self, "title", line(self.title))
        object.__setattr__(self, "words", line(self.words))


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be seen, before any platform gives it a look. All of it may be empty, not all at once.

    `text` is GitHub markdown and untrusted; an adapter renders it with a parser and splits it to its limits. `status`
    and `log` are plain text, to be escaped: one line on top, and the lines of what was done, foldable where possible.
    `since` (Unix seconds) stands beside the status as a running clock. `rings` asks for a notification. `tail`: of the
    text its end matters; where there is no room for all of it, the beginning may be left out.
    """

    text: str = ""
    status: str = ""
    log: tuple[str, ...] = ()
    since: float = 0.0
    buttons: tuple[Button, ...] = ()
    files: tuple[File, ...] = ()
    rows: tuple[Row, ...] = ()
    board: bool = False
    rings: bool = False
    tail: bool = False

    def __post_init__(self) -> None:
        """What is said to be a line is one here, for every adapter: agents and platforms write into them."""
        object.__setattr__(self, "status", line(self.status))
        object.__setattr__(self, "log", tuple(line(done) for done in self.log))


class Lane(IntEnum):
    """Who goes first in a place. Lower goes before higher."""

    FIRST = 0  # questions, command replies, finals, ends
    ALERT = 1
    BOARD = 2
    LIVE = 3


@dataclass(frozen=True, slots=True)
class Letter:
    """Something that must land in a chat exactly once, in the order of its conversation.

    `key` is unique for ever. With `edits`, it changes the message that the letter of that key became. `run` is the run
    it speaks of, or empty.
    """

    key: str
    where: Conversation
    message: Message
    lane: Lane = Lane.FIRST
    edits: str = ""
    run: RunId = RunId("")


@dataclass(frozen=True, slots=True)
class Pace:
    """What a place bears: `burst` requests in any `per` seconds; `reserve` of them are kept for `Lane.FIRST`.

    `edit_every`: seconds between two live edits of one message, at least.
    """

    burst: int
    per: float
    reserve: int = 0
    edit_every: float = 1.0


class Got(StrEnum):
    """What became of a person's message."""

    SEEN = "seen"  # it is stored
    HEARD = "heard"  # the agent has it
    REFUSED = "refused"  # nobody will act on it


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message, shown on the message itself."""

    message: MessageId
    got: Got


@dataclass(frozen=True, slots=True)
class Typing:
    """Somebody is at work here, and nothing else shows it yet."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the run of a thread is, seen from outside of the thread. `reason`: why it ended."""

    phase: Phase
    reason: str = ""


Sign = Receipt | Typing | Standing
"""Something small beside the messages. It is shown where a platform has such a thing, and lost without harm."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """How a chat is doing. `heard`: Unix seconds of the platform's last sign of life, 0 before the first.

    `trouble` says in a sentence why people are not heard now, if they are not; `aside` counts what came in and could
    not be read.
    """

    heard: float = 0.0
    trouble: str = ""
    aside: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a run may live, be silent, and wait for an answer. Seconds."""

    life: float = 24 * 3600.0
    idle: float = 6 * 3600.0
    ask: float = 12 * 3600.0
    start: float = 600.0


CREDENTIALS = ("key", "token", "gateway", "login")
"""What an agent may show to its model: an API key, the token of `claude setup-token`, a token of this run alone for the
gateway in front of the model, or the access token of the login that agents of a cluster share."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A named profile that a run is launched with. `driver` names the CLI; see `agent.wire.Start` for the words.

    `opening` is the task of a run that was launched by a tap, without one; empty: the agent waits for the first words.
    `credential` is one of `CREDENTIALS`; empty: what the settings say for all agents, or whatever there is.
    """

    name: str
    driver: str
    about: str = ""
    opening: str = ""
    model: str = ""
    instructions: str = ""
    permission: str = "autonomous"
    tools: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    disallowed: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    budget_usd: float = 0.0
    script: str = ""
    isolation: str = ""
    credential: str = ""
    limits: Limits = Limits()
    cpu: str = "1"
    memory: str = "1Gi"
