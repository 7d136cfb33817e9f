"""The pipe's vocabulary: what agentd reports, what it is told, and how both become lines.

Plain data and the standard library only; both ends of the pipe share this file and nothing else. It knows no CLI, no
chat and no store. A line is one JSON object in UTF-8, at most `MAX_LINE` bytes with its newline.

Up, a durable frame:  {"n": 7, "epoch": "k3…", "at": 1763940000.1, "kind": "wrote", "body": {…}}
Up, a live frame:     {"at": 1763940000.1, "kind": "beat", "body": {…}}              never stored, may be lost
Down, a command:      {"id": "…", "do": "say", "body": {…}}                          done once for each id
Down, without id:     {"do": "resume", "body": {"epoch": "k3…", "after": 41}}
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

MAX_LINE = 1 << 20
"""Bytes of the longest line, newline included. A longer one is dropped by whoever reads it."""

PIECE = 256 << 10
"""Bytes of a file in one piece, before base64: the line that carries it stays far below `MAX_LINE`."""

MAX_FILE = 32 << 20
"""Bytes of the largest file that travels either way."""

BEAT_SECONDS = 15.0
"""Silence longer than three of these means that the stream is dead, not that the agent thinks."""


class Malformed(ValueError):
    """A line that is not of this vocabulary; the message is a sentence fit for a log."""


# --- up, durable: what happened -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer that an Ask offers; its position in the Ask is its name."""

    label: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """A command is on agentd's disk and will be done; with `error`, it was understood as far as to refuse it."""

    id: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class CliStarted:
    """A CLI process is up. `attempt` is 1 for the first and counts restarts on the same session."""

    cli: str
    session: str
    version: str = ""
    model: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class CliDied:
    """The CLI ended by itself in the middle of its life; agentd starts it again unless it says `Finished` next."""

    words: str
    code: int = 0


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The model began to work."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a person said (the command's id) has reached the model's running turn."""

    id: str


@dataclass(frozen=True, slots=True)
class Wrote:
    """A whole block of the agent's text, GitHub markdown. Long ones are cut; the cut is said in the text."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """A whole block of the model's reasoning, where the CLI shows it."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The agent began to use a tool. `summary` is one line for people: the command, the path, the pattern."""

    call: str
    name: str
    summary: str = ""


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """A tool answered. `output` is its beginning and end; `cut` counts the bytes left out between them."""

    call: str
    ok: bool = True
    output: str = ""
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """The agent waits for a person. `kind` is question, permission or plan; a text always answers too.

    `detail` is what is asked about (the command, the plan), shown as it is.
    """

    ask: str
    kind: str
    text: str
    choices: tuple[Choice, ...] = ()
    several: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AskWithdrawn:
    """The agent no longer waits for this answer."""

    ask: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class FilePiece:
    """A part of a file that the agent hands to the person, base64; the piece with `last` completes it."""

    file: str
    name: str
    size: int
    sha256: str
    offset: int
    data: str
    last: bool = False


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The model stopped working. `outcome`: done, interrupted, failed, budget or turns.

    `text` is the final answer; `error` one sentence when it failed; `cost_usd` what this turn cost, never a total.
    """

    outcome: str
    text: str = ""
    error: str = ""
    cost_usd: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something a person should know while it lasts. `level`: info, warning or error; `code`: its kind."""

    level: str
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last report of a run: nothing follows. `reason`: stopped, completed, failed or expired."""

    reason: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Other:
    """A message of the CLI that nobody here knows yet; kept so that nothing is lost, shown to nobody."""

    type: str
    body: str = ""


# --- up, live: the state of this moment -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextSoFar:
    """The tail of the text block that is being written; `thinking` when it is reasoning. Empty: nothing any more."""

    text: str
    thinking: bool = False


@dataclass(frozen=True, slots=True)
class Beat:
    """agentd is alive; also the answer to `resume`. `dropped` counts unreadable lines, `trouble` is what hurts."""

    epoch: str
    n: int
    dropped: int = 0
    trouble: str = ""


Report = (
    Heard | CliStarted | CliDied | TurnStarted | Taken | Wrote | Thought | ToolCalled | ToolReturned
    | Asked | AskWithdrawn | FilePiece | TurnEnded | Noticed | Finished | Other
)  # fmt: skip
Live = TextSoFar | Beat


# --- down -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Everything agentd needs to know to begin. Credentials are not here: they come with the process's environment.

    `permission`: autonomous (only questions ask), supervised (tools ask), locked (what is not allowed is denied) or
    plan. `session` is a UUID. `files` are names sent before by `Put`. `budget_usd` 0 means without a cap.
    """

    driver: str
    session: str
    task: str
    model: str = ""
    instructions: str = ""
    permission: str = "autonomous"
    tools: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    disallowed: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    budget_usd: float = 0.0
    script: str = ""
    files: tuple[str, ...] = ()
    silence_seconds: float = 1800.0


@dataclass(frozen=True, slots=True)
class Say:
    """A person's words for the agent. `quoted`: forwarded material, not an instruction of the person."""

    text: str
    files: tuple[str, ...] = ()
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to an Ask: positions of the choices taken, or a text in the person's own words."""

    ask: str
    picks: tuple[int, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Put:
    """A part of a file for the agent, base64, in order of `offset`; the piece with `last` completes it."""

    name: str
    offset: int
    data: str
    last: bool = False


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop the present turn; the session goes on."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run: interrupt, a moment for the CLI to close, then the end. Answered at last by `Finished`."""

    words: str = ""


@dataclass(frozen=True, slots=True)
class Resume:
    """Print every durable frame above `after` again, then follow. The only command without an id."""

    epoch: str = ""
    after: int = 0


Order = Start | Say | Answer | Put | Interrupt | Stop


@dataclass(frozen=True, slots=True)
class Command:
    """An order with its idempotency key."""

    id: str
    order: Order


@dataclass(frozen=True, slots=True)
class Frame:
    """A durable report with its place in agentd's journal. `at`: Unix seconds by the pod's clock."""

    n: int
    epoch: str
    at: float
    report: Report


# --- lines ----------------------------------------------------------------------------------------------------------


def kind_name(cls: type) -> str:
    """The word that names this class on the wire and in the journal: `ToolCalled` is `tool_called`."""
    name = cls.__name__
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


REPORTS: dict[str, type] = {kind_name(cls): cls for cls in get_args(Report)}
LIVE: dict[str, type] = {kind_name(cls): cls for cls in get_args(Live)}
ORDERS: dict[str, type] = {kind_name(cls): cls for cls in get_args(Order)}
_KINDS: dict[type, str] = {cls: kind for group in (REPORTS, LIVE, ORDERS) for kind, cls in group.items()}

T = TypeVar("T")


def kind_of(thing: object) -> str:
    """`kind_name` of the thing's class."""
    cls = type(thing)
    return _KINDS.get(cls) or kind_name(cls)


def pack(thing: object) -> dict[str, Any]:
    """A flat dataclass as a JSON object; fields that have their default are left out."""
    body: dict[str, Any] = {}
    for name, default in _defaults(cast("Any", type(thing))):
        value = getattr(thing, name)
        if value != default:
            body[name] = _plain(value)
    return body


def unpack(cls: type[T], body: object) -> T:
    """The dataclass that `pack` made this of, every field's type checked; raises `Malformed`.

    Unknown fields are ignored, so that either end may be the newer one.
    """
    if not isinstance(body, dict):
        raise Malformed(f"{kind_name(cls)}: the body is not an object")
    values: dict[str, Any] = {}
    for name, check, required in _shape(cast("Any", cls)):
        if name in body:
            try:
                values[name] = check(body[name])
            except (TypeError, ValueError) as error:
                raise Malformed(f"{kind_name(cls)}: '{name}' is {error}") from None
        elif required:
            raise Malformed(f"{kind_name(cls)}: '{name}' is missing")
    return cls(**values)


def line_of(item: Frame | Live | Command | Resume, *, at: float = 0.0) -> bytes:
    """One line, newline included. Raises `Malformed` where it would be longer than `MAX_LINE`."""
    match item:
        case Frame():
            head: dict[str, Any] = {"n": item.n, "epoch": item.epoch, "at": item.at, "kind": kind_of(item.report)}
            head["body"] = pack(item.report)
        case Command():
            head = {"id": item.id, "do": kind_of(item.order), "body": pack(item.order)}
        case Resume():
            head = {"do": "resume", "body": pack(item)}
        case _:
            head = {"at": at, "kind": kind_of(item), "body": pack(item)}
    line = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
    if len(line) > MAX_LINE:
        raise Malformed(f"{head.get('kind') or head.get('do')}: {len(line)} bytes are more than a line may have")
    return line


def parse_up(line: bytes) -> Frame | Live:
    """What agentd printed. Raises `Malformed`; a kind that is not known is kept as `Other` when it is durable."""
    head = _object(line)
    kind, body = head.get("kind"), head.get("body", {})
    if not isinstance(kind, str):
        raise Malformed("a line without a kind")
    if "n" not in head:
        if kind not in LIVE:
            raise Malformed(f"a live frame of unknown kind {kind[:40]!r}")
        live: Live = unpack(LIVE[kind], body)
        return live
    n, epoch, at = head["n"], head.get("epoch"), head.get("at", 0.0)
    if type(n) is not int or n < 1 or not isinstance(epoch, str) or not epoch or type(at) not in (int, float):
        raise Malformed("a durable frame without a good n, epoch or at")
    report: Report = (
        unpack(REPORTS[kind], body) if kind in REPORTS else Other(type=kind, body=json.dumps(body, ensure_ascii=False))
    )
    return Frame(n=n, epoch=epoch, at=float(at), report=report)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A command whose order this agentd does not know: it is refused by a `Heard` with an error, never ignored."""

    id: str
    words: str


def parse_down(line: bytes) -> Command | Resume | Unknown:
    """What agentd was told. Raises `Malformed` where not even an id can be answered."""
    head = _object(line)
    do, body = head.get("do"), head.get("body", {})
    if do == "resume":
        return unpack(Resume, body)
    id_ = head.get("id")
    if not isinstance(id_, str) or not id_:
        raise Malformed("a command without an id")
    if not isinstance(do, str) or do not in ORDERS:
        return Unknown(id_, f"unknown command {str(do)[:40]!r}")
    try:
        order: Order = unpack(ORDERS[do], body)
    except Malformed as error:
        return Unknown(id_, str(error))
    return Command(id_, order)


class Lines:
    """Cuts a byte stream into lines, however it was torn into chunks. Overlong lines are dropped and counted."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self.dropped = 0
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without their newlines; blank ones are left out."""
        *whole, rest = chunk.split(b"\n")
        lines: list[bytes] = []
        for piece in whole:
            self._take(piece)
            if not self._skipping and (line := b"".join(self._parts)).strip():
                lines.append(line)
            self._parts, self._size, self._skipping = [], 0, False
        if rest:
            self._take(rest)
        return lines

    def _take(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size >= self._limit:
            self.dropped += not self._skipping
            self._skipping = True
            self._parts = []
        elif not self._skipping:
            self._parts.append(piece)


def _object(line: bytes) -> dict[str, Any]:
    try:
        head = json.loads(line)
    except (ValueError, RecursionError):
        raise Malformed(f"a line of {len(line)} bytes that is not JSON") from None
    if not isinstance(head, dict):
        raise Malformed("a line that is not an object")
    return head


Check = Callable[[Any], Any]


@cache
def _shape(cls: Any) -> tuple[tuple[str, Check, bool], ...]:
    hints = get_type_hints(cls)
    return tuple((f.name, _checker(hints[f.name]), f.default is MISSING) for f in fields(cls))


@cache
def _defaults(cls: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((f.name, f.default) for f in fields(cls))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return pack(value) if is_dataclass(value) else value


def _checker(hint: Any) -> Check:
    """A function that returns a JSON value as this type, or raises ValueError or TypeError saying what it is not."""
    if get_origin(hint) is tuple:
        item = _checker(get_args(hint)[0])
        return lambda value: tuple(item(one) for one in _exactly(list, value))
    if isinstance(hint, UnionType):
        known = _checker(next(arm for arm in get_args(hint) if arm is not NoneType))
        return lambda value: None if value is None else known(value)
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda value: unpack(hint, value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if hint is float:
        return lambda value: float(value if type(value) is int else _exactly(float, value))
    wanted = getattr(hint, "__supertype__", hint)  # a NewType is checked as what it is made of
    return lambda value: _exactly(wanted, value)


def _exactly(wanted: type, value: Any) -> Any:
    if type(value) is not wanted:
        raise TypeError(f"not a {wanted.__name__}")
    return value
