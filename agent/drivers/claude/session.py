"""The driver: one Claude Code session through as many processes as it takes.

It keeps what belongs to a process (inputs under way, the turn, questions) apart from what belongs to the session (the
references of everything journalled). It does no I/O beyond reading uploads, has no clock, and never raises over what
the CLI prints.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any

from agent.driver import Done, Input, Launch, Step, Tell, Workplace
from agent.drivers.claude import words
from agent.drivers.claude.asks import Asks, refuse, tell
from agent.drivers.claude.launch import launch, objection
from agent.drivers.claude.loose import mapping, number, objects, word
from agent.drivers.claude.notices import Notices
from agent.drivers.claude.once import Refs
from agent.drivers.claude.reading import Reading
from agent.drivers.claude.speech import content_of, uuid_of
from agent.wire import (
    Answer,
    CliStarted,
    Other,
    Start,
    Taken,
    TextSoFar,
    ToolReturned,
    TurnEnded,
    TurnStarted,
)

QUIET = frozenset({
    "init", "status", "thinking_tokens", "background_tasks_changed", "hook_started", "hook_response", "hook_progress",
    "task_started", "task_progress", "task_notification", "session_state_changed",
})  # fmt: skip
PATIENCE = 3
"""Refusals of the credential until the turn is broken off: the CLI alone would go on for many minutes."""

CUT_OFF = "(The CLI was restarted before this tool returned.)"
NO_RESULT = "(The turn ended before this tool returned.)"
LOST_END = "The CLI ended while it finished this turn; its last words may be missing. Ask the agent to repeat them."


class Claude:
    """See `agent.driver.Driver`. Raises ValueError with a sentence for what cannot be started."""

    name = "claude"

    def __init__(self, start: Start, place: Workplace) -> None:
        self._start = start
        self._place = place
        self._refs = Refs()
        self._asks = Asks(self._refs)
        self._ids: dict[str, str] = {}  # the CLI's uuid of an input → the command's id
        self._on_disk: bool | None = None  # whether the CLI has the session; None: nobody knows yet
        self._missing = False  # the CLI said that it has no such session
        self._resumed = False
        self._spent_up = False
        self._attempt = 1
        self._version = ""
        self._requests = count(1)
        self._forget_process()
        if words := objection(launch(start, place, resumed=False, left_usd=None).argv):
            raise ValueError(words)

    def launch(self, *, attempt: int, spent_usd: float) -> Launch:
        """See `Driver.launch`."""
        cap = self._start.budget_usd
        self._attempt = attempt
        self._resumed = attempt > 1 if self._on_disk is None else self._on_disk
        left = cap - spent_usd if cap > 0 else None
        self._spent_up = left is not None and left <= 0
        return launch(self._start, self._place, resumed=self._resumed, left_usd=left)

    def begin(self, refs: frozenset[str], open_answers: Mapping[str, Answer]) -> Iterable[Step]:
        """See `Driver.begin`."""
        self._refs.learn(refs)
        self._forget_process()
        self._asks.restart(open_answers)
        yield TextSoFar("")
        open_calls = set(self._refs.of("called")) - set(self._refs.of("returned")) - self._asks.left_calls
        for call in sorted(open_calls):
            yield from self._refs.once(ToolReturned(call, ok=False, output=CUT_OFF), f"returned:{call}")
        self._initialize = self._request_id()
        yield _control(self._initialize, "initialize")

    def read(self, line: bytes) -> Iterable[Step]:
        """See `Driver.read`."""
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            yield Other("unreadable", line.decode("utf-8", "replace"))
            return
        match message.get("type"):
            case "stream_event":
                yield from self._streamed(message)
            case "assistant":
                yield from self._assistant(message)
            case "user":
                yield from self._user(message)
            case "result":
                yield from self._result(message)
            case "command_lifecycle":
                command_id = self._ids.get(word(message.get("command_uuid")), "")
                yield from self._lifecycle(command_id, word(message.get("state")))
            case "control_request":
                request = mapping(message.get("request"))
                yield from self._asked(word(message.get("request_id")), request)
            case "control_cancel_request":
                yield from self._asks.cancel(word(message.get("request_id")))
            case "control_response":
                yield from self._responded(mapping(message.get("response")))
            case "system":
                yield from self._system(message, line)
            case "rate_limit_event":
                yield from self._notices.rate_limit(mapping(message.get("rate_limit_info")))
            case "conversation_reset":
                self._reading.reset_cost()
                yield from self._notices.say("warning", "reset", "The agent's conversation was cleared.")
            case "keep_alive":
                pass
            case other:
                yield Other(word(other) or "untyped", line.decode("utf-8", "replace"))

    def say(self, said: Input) -> Iterable[Step]:
        """See `Driver.say`."""
        uuid = uuid_of(said.id)
        if uuid in self._told:
            return
        self._told.add(uuid)
        self._ids[uuid] = said.id
        if self._spent_up:
            yield from self._decline(said.id)
        elif self._resumed and f"merged:{said.id}" in self._refs:
            # The CLI does not know the uuid of a message that it gave to a running turn: it would give it again.
            yield Done(said.id)
        else:
            self._owed.add(said.id)
            message = {"role": "user", "content": content_of(said)}
            yield tell({"type": "user", "message": message, "parent_tool_use_id": None, "session_id": "", "uuid": uuid})

    def answer(self, answer: Answer) -> Iterable[Step]:
        """See `Driver.answer`."""
        yield from self._asks.answer(answer)

    def interrupt(self) -> Iterable[Step]:
        """See `Driver.interrupt`."""
        yield _control(self._request_id(), "interrupt")

    def end(self) -> Iterable[Step]:
        """See `Driver.end`."""
        yield _control(self._request_id(), "end_session")

    def died(self, code: int, stderr: str) -> tuple[str, bool]:
        """See `Driver.died`."""
        if self._missing or "No conversation found" in stderr:
            self._missing = False
            self._on_disk = False
            lost = " and does not remember what was said" if self._refs.of("ended") else ""
            return f"The session was not on the disk yet: the agent begins anew{lost}.", True
        if "already in use" in stderr:
            self._on_disk = True
            return "The session exists already: the agent goes on with it.", True
        return words.death(code, stderr)

    def _forget_process(self) -> None:
        self._reading = Reading(self._refs, inside=str(self._place.workspace))
        self._told: set[str] = set()
        self._owed: set[str] = set()  # told, and nothing heard of it yet
        self._queued: set[str] = set()
        self._merging: list[str] = []  # given to the running turn, but the model has not answered since
        self._notices = Notices()
        self._active = False  # a turn runs in this process
        self._idle = False  # the CLI said that it resumed nothing
        self._missing = False
        self._failure = ""
        self._initialize = ""
        self._greeted = False

    def _request_id(self) -> str:
        return f"agentd-{next(self._requests)}"

    def _up(self) -> Iterator[Step]:
        """The process speaks."""
        if not self._greeted:
            self._greeted = True
            yield CliStarted(self.name, self._start.session, self._version, self._start.model, self._attempt)

    # --- turns ------------------------------------------------------------------------------------------------------

    @property
    def _turn(self) -> tuple[int, bool]:
        """The number of the last turn, and whether it is open in the journal: a crash does not end it."""
        last = max((int(ref) for ref in self._refs.of("began")), default=0)
        return last, last > 0 and f"ended:{last}" not in self._refs

    def _begin_turn(self) -> Iterator[Step]:
        if self._active:
            return
        yield from self._up()
        self._active = self._on_disk = True
        self._notices.begin_turn()
        number_, is_open = self._turn
        if not is_open:
            yield from self._refs.once(TurnStarted(), f"began:{number_ + 1}")

    def _end_turn(self, ended: TurnEnded) -> Iterator[Step]:
        yield from self._asks.cancel_all()
        yield from self._merged("taken")
        for call in self._reading.forget_calls():
            yield from self._refs.once(ToolReturned(call, ok=False, output=NO_RESULT), f"returned:{call}")
        yield TextSoFar("")
        yield from self._refs.once(ended, f"ended:{self._turn[0]}")
        self._active = False
        self._failure = ""

    def _settle(self) -> Iterator[Step]:
        """End a turn that a former process had finished but for its last line: nobody else will."""
        if self._idle and not self._active and not self._owed and self._turn[1]:
            yield from self._end_turn(TurnEnded("failed", error=LOST_END))

    def _decline(self, command_id: str) -> Iterator[Step]:
        yield from self._begin_turn()
        yield from self._refs.once(Taken(command_id), f"taken:{command_id}")
        yield from self._end_turn(TurnEnded("budget", error=words.budget(self._start.budget_usd)))
        yield Done(command_id)

    def _result(self, message: dict[str, Any]) -> Iterator[Step]:
        errors = message.get("errors")
        if isinstance(errors, list) and any("No conversation found" in word(error) for error in errors):
            self._missing = True
            return
        yield from self._begin_turn()
        yield from self._end_turn(
            self._reading.ended(message, cap_usd=self._start.budget_usd, failure=self._failure)
        )  # fmt: skip

    # --- inputs -----------------------------------------------------------------------------------------------------

    def _lifecycle(self, command_id: str, state: str) -> Iterator[Step]:
        if state == "started":
            merging = self._active
            yield from self._begin_turn()
            if not command_id:
                return  # a turn that the CLI began by itself, or an input that was done with before a crash
            if merging and command_id in self._queued:
                self._merging.append(command_id)
            else:
                yield from self._refs.once(Taken(command_id), f"taken:{command_id}")
        elif state == "queued" and command_id:
            self._queued.add(command_id)
        elif state in {"completed", "cancelled"} and command_id:
            # A bare "completed" comes at once for what the CLI knows from a former life: it has it, and goes on with
            # it by itself, which is all that Done wants to say.
            self._owed.discard(command_id)
            yield from self._merged("taken")
            yield Done(command_id)
            yield from self._settle()

    def _merged(self, kind: str) -> Iterator[Step]:
        """What was given to the running turn has reached the model, or at least the turn."""
        for command_id in self._merging:
            if f"taken:{command_id}" not in self._refs:
                yield from self._refs.once(Taken(command_id), f"{kind}:{command_id}")
        self._merging.clear()

    def _streamed(self, message: dict[str, Any]) -> Iterator[Step]:
        # Only by its start: the last pieces of an interrupted message may come when its turn is over.
        if mapping(message.get("event")).get("type") == "message_start" and not message.get("parent_tool_use_id"):
            yield from self._begin_turn()
        yield from self._reading.streamed(message)

    def _assistant(self, message: dict[str, Any]) -> Iterator[Step]:
        yield from self._begin_turn()
        # Not at the first sign of an answer: the CLI writes to its disk a tenth of a second late, and a reply that is
        # believed to be there is not given again after a crash.
        yield from self._merged("merged")
        yield from self._reading.assistant(message)

    def _user(self, message: dict[str, Any]) -> Iterator[Step]:
        command_id = self._ids.get(word(message.get("uuid")), "")
        if message.get("isReplay") is True and command_id and command_id not in self._queued:
            if f"merged:{command_id}" not in self._refs:
                yield from self._refs.once(Taken(command_id), f"taken:{command_id}")
            return
        for call, returned in self._reading.user(message):
            former = self._asks.returned(call)
            yield from self._refs.once(returned, f"returned:{call}")
            if former:
                again = ToolReturned(former, ok=returned.ok, output=returned.output)
                yield from self._refs.once(again, f"returned:{former}")

    # --- control ----------------------------------------------------------------------------------------------------

    def _asked(self, request_id: str, request: dict[str, Any]) -> Iterator[Step]:
        subtype = word(request.get("subtype"))
        if subtype == "can_use_tool" and request_id:
            yield from self._begin_turn()
            called = self._reading.calls.get(word(request.get("tool_use_id")), {})
            yield from self._asks.request(request_id, request, called=called)
        else:
            yield refuse(request_id, subtype)
            yield Other(f"control_request/{subtype}")

    def _responded(self, response: dict[str, Any]) -> Iterator[Step]:
        if response.get("request_id") != self._initialize:
            return
        told = mapping(response.get("response"))
        self._version = word(told.get("claude_code_version"))
        yield from self._up()
        for pending in objects(response.get("pending_permission_requests")):
            yield from self._asked(word(pending.get("request_id")), mapping(pending.get("request")))
        self._idle = told.get("session_state") == "idle"
        if self._idle and not self._active:
            yield from self._asks.drop_left()
        yield from self._settle()

    # --- trouble ----------------------------------------------------------------------------------------------------

    def _system(self, message: dict[str, Any], line: bytes) -> Iterator[Step]:
        subtype = word(message.get("subtype"))
        if subtype == "init":
            yield from self._begin_turn()
        elif subtype == "api_retry":
            yield from self._retry(int(number(message.get("error_status"))), number(message.get("attempt")))
        elif subtype not in QUIET:
            yield from self._notices.system(subtype, message, line)

    def _retry(self, status: int, attempt: float) -> Iterator[Step]:
        yield from self._notices.retry(status)
        if status in words.CREDENTIAL and attempt >= PATIENCE and not self._failure:
            self._failure = words.given_up(status, "")
            yield from self.interrupt()


def _control(request_id: str, subtype: str) -> Tell:
    return tell({"type": "control_request", "request_id": request_id, "request": {"subtype": subtype}})
