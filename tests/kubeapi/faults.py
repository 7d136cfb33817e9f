"""Trouble on demand: how a request to the cluster goes wrong, and which of them do. The server does it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tests.faults import Plan

ANY = "any"


class Kind(Enum):
    """The ways in which a request goes wrong."""

    STATUS = "status"
    SLOW = "slow"
    HANG = "hang"
    CUT = "cut"
    CUT_AFTER = "cut after"
    GARBLED = "garbled"
    EXPIRED = "expired"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail; made by the functions below."""

    kind: Kind
    seconds: float = 0.0
    code: int = 0
    text: str = ""

    @classmethod
    def status(cls, code: int = 500) -> Fault:
        """A Status with this code, and nothing was done."""
        return cls(Kind.STATUS, code=code)

    @classmethod
    def busy(cls, retry_after: float = 1.0) -> Fault:
        """429 with this patience."""
        return cls(Kind.STATUS, code=429, seconds=retry_after)

    @classmethod
    def slow(cls, seconds: float) -> Fault:
        """The answer is right and comes late."""
        return cls(Kind.SLOW, seconds=seconds)

    @classmethod
    def hang(cls) -> Fault:
        """No answer comes, and nothing was done."""
        return cls(Kind.HANG)

    @classmethod
    def cut(cls) -> Fault:
        """The connection breaks before anything was done."""
        return cls(Kind.CUT)

    @classmethod
    def cut_after(cls) -> Fault:
        """The work is done, and the connection breaks before the answer."""
        return cls(Kind.CUT_AFTER)

    @classmethod
    def garbled(cls) -> Fault:
        """Something in between answers, in HTML."""
        return cls(Kind.GARBLED)

    @classmethod
    def foreign(cls, code: int, text: str = "404 page not found\n") -> Fault:
        """A proxy, a tunnel or an ingress answers in the server's place, with this text or JSON."""
        return cls(Kind.FOREIGN, code=code, text=text)

    @classmethod
    def expired(cls) -> Fault:
        """A watch begins, and its one event is an ERROR with 410."""
        return cls(Kind.EXPIRED)


class Faults:
    """What is planned for which requests."""

    def __init__(self) -> None:
        self._plan: Plan[Fault] = Plan()

    def plan(self, request: str, fault: Fault, *, times: int) -> None:
        """Let the next requests like "create pods", "get pods/log", "watch" or "any" fail."""
        self._plan.add(request, fault, times=times)

    def take(self, verb: str, resource: str) -> Fault | None:
        """The fault that is due to this request."""
        return self._plan.take({ANY, verb, f"{verb} {resource}"})

    def clear(self) -> None:
        """Nothing fails any more."""
        self._plan.clear()
