"""What a chat bears before the platform says 429: sliding windows, and a penalty that grows when it is ignored.

The strict reading: everything that is visible in a chat shares one budget, whatever its topic or method.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tests.botapi.refusal import Refusal, patience

Windows = tuple[tuple[int, float], ...]
"""So many in any so many seconds, each of them."""


class Family(StrEnum):
    """Kinds of calls that a chat's budget may count."""

    SEND = "send"
    EDIT = "edit"
    TOPIC = "topic"
    ACTION = "action"
    REACTION = "reaction"
    PIN = "pin"
    DRAFT = "draft"
    DELETE = "delete"


FAMILIES: Mapping[str, Family] = {
    "sendchataction": Family.ACTION,
    "setmessagereaction": Family.REACTION,
    "pinchatmessage": Family.PIN,
    "unpinchatmessage": Family.PIN,
    "unpinallchatmessages": Family.PIN,
    "sendmessagedraft": Family.DRAFT,
    "sendrichmessagedraft": Family.DRAFT,
    "deletemessage": Family.DELETE,
    "deletemessages": Family.DELETE,
    "createforumtopic": Family.TOPIC,
    "editforumtopic": Family.TOPIC,
    "closeforumtopic": Family.TOPIC,
    "reopenforumtopic": Family.TOPIC,
    "deleteforumtopic": Family.TOPIC,
}


def family(method: str) -> Family | None:
    """The family of a method (in lower case); None for what costs a chat nothing."""
    if method in FAMILIES:
        return FAMILIES[method]
    if method.startswith("editmessage"):
        return Family.EDIT
    if method.startswith(("send", "copymessage", "forwardmessage")):
        return Family.SEND
    return None


@dataclass(frozen=True, slots=True)
class Limits:
    """The budgets, and which families they count."""

    group: Windows = ((20, 60.0),)
    private: Windows = ((8, 2.0), (20, 20.0))
    everything: Windows = ((30, 1.0),)
    counted: frozenset[Family] = frozenset(Family) - {Family.DELETE}


ROOMY = Limits(group=(), private=(), everything=())
"""No budget at all, for tests whose subject is another."""


GRAIN = 0.001
"""Seconds that clocks may differ by: who waits as told is never refused over a rounding."""


@dataclass(slots=True)
class _Penalty:
    until: float = 0.0
    step: float = 0.0


@dataclass
class Budget:
    """Counts what was done, says no, and remembers how often it had to."""

    limits: Limits
    clock: Callable[[], float]
    told_to_wait: int = 0
    into_penalty: int = 0
    _done: dict[int, deque[float]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=1000)))
    _penalties: dict[int, _Penalty] = field(default_factory=dict)

    def take(self, chat: int, *, private: bool, family: Family, cost: int = 1) -> None:
        """Count a call, or raise 429. A call into a penalty makes it longer by what it was."""
        if family not in self.limits.counted:
            return
        now = self.clock()
        penalty = self._penalties.get(chat)
        if penalty and now < penalty.until - GRAIN:
            self.into_penalty += 1
            penalty.until += penalty.step
            self._refuse(penalty.until - now)
        windows = self.limits.private if private else self.limits.group
        if wait := _wait(self._done[chat], windows, now, cost):
            self.punish(chat, wait)
            self._refuse(wait)
        if wait := _wait(self._done[0], self.limits.everything, now, cost):
            self._refuse(wait)  # everybody's flood is nobody's own: the chat gets no penalty for it
        self._done[chat].extend([now] * cost)
        self._done[0].extend([now] * cost)

    def punish(self, chat: int, seconds: float) -> None:
        """From now on the chat is closed for so long."""
        whole = float(patience(seconds).parameters["retry_after"])  # type: ignore[index]  # it always has them
        self._penalties[chat] = _Penalty(self.clock() + whole, whole)

    def flood(self, chat: int | None, seconds: float) -> Refusal:
        """429 for no reason of the client's own; a chat that is named is closed for so long."""
        if chat is not None:
            self.punish(chat, seconds)
        self.told_to_wait += 1
        return patience(seconds)

    def left(self, chat: int) -> float:
        """Seconds of the chat's penalty that are still to come."""
        penalty = self._penalties.get(chat)
        return max(0.0, penalty.until - self.clock()) if penalty else 0.0

    def _refuse(self, seconds: float) -> None:
        self.told_to_wait += 1
        raise patience(seconds)


def _wait(done: deque[float], windows: Windows, now: float, cost: int) -> float:
    waits = [0.0]
    for most, seconds in windows:
        recent = [at for at in done if at > now - seconds + GRAIN]
        over = len(recent) + cost - most
        if over > 0:
            waits.append(recent[min(over, len(recent)) - 1] + seconds - now if recent else seconds)
    return max(waits)
