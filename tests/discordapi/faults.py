"""Trouble on demand: what a test asks the platform to do wrong, and in which of its routes. The front does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from tests.discordapi.limits import shape
from tests.faults import Plan

ANY = "any"


class Kind(Enum):
    """The ways a request goes wrong."""

    BUSY = "busy"
    BANNED = "banned"
    CURT = "curt"
    STATUS = "status"
    CUT = "cut"
    CUT_AFTER = "cut after"
    HANG = "hang"
    HANG_AFTER = "hang after"
    UNAUTHORISED = "unauthorised"
    GARBLED = "garbled"
    HOLLOW = "hollow"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail; made by the functions below."""

    kind: Kind
    seconds: float = 0.0
    scope: str = "user"
    status: int = 0
    code: int = 0

    @classmethod
    def busy(cls, retry_after: float, *, scope: str = "user") -> Fault:
        """429 with this patience, for one user, shared or global."""
        return cls(Kind.BUSY, seconds=retry_after, scope=scope)

    @classmethod
    def banned(cls, retry_after: float = 60.0) -> Fault:
        """429 as the edge answers it: no `Via`, no JSON."""
        return cls(Kind.BANNED, seconds=retry_after)

    @classmethod
    def curt(cls) -> Fault:
        """429 of a limit that names no time."""
        return cls(Kind.CURT)

    @classmethod
    def broken(cls, status: int = 500) -> Fault:
        """A server's error; with any other status, words in the server's place from something in between."""
        return cls(Kind.STATUS, status=status)

    @classmethod
    def refused(cls, code: int, *, status: int = 0) -> Fault:
        """A refusal with this code of the platform, such as 10003."""
        return cls(Kind.REFUSED, code=code, status=status)

    @classmethod
    def unauthorised(cls) -> Fault:
        """401."""
        return cls(Kind.UNAUTHORISED)

    @classmethod
    def cut(cls) -> Fault:
        """The connection breaks before anything was done."""
        return cls(Kind.CUT)

    @classmethod
    def cut_after(cls) -> Fault:
        """The connection breaks after the work was done and before the answer."""
        return cls(Kind.CUT_AFTER)

    @classmethod
    def hang(cls, seconds: float = 3600.0) -> Fault:
        """Nothing comes back for so long, and nothing was done."""
        return cls(Kind.HANG, seconds=seconds)

    @classmethod
    def hang_after(cls, seconds: float = 3600.0) -> Fault:
        """The work is done, and the answer takes so long."""
        return cls(Kind.HANG_AFTER, seconds=seconds)

    @classmethod
    def garbled(cls) -> Fault:
        """The work is done, and the answer says that it is JSON and is not."""
        return cls(Kind.GARBLED)

    @classmethod
    def hollow(cls) -> Fault:
        """The work is done, and the answer is JSON with nothing in it."""
        return cls(Kind.HOLLOW)

    @classmethod
    def named(cls, name: str, options: Mapping[str, object]) -> Fault:
        """The fault of this name, for whoever asks over HTTP: `{"fault": "busy", "retry_after": 3}`."""
        number = {
            key: float(str(options[key])) for key in ("retry_after", "seconds", "status", "code") if key in options
        }
        match name:
            case "busy":
                return cls.busy(number.get("retry_after", 1.0), scope=str(options.get("scope", "user")))
            case "broken":
                return cls.broken(int(number.get("status", 500)))
            case "refused":
                return cls.refused(int(number["code"]))
            case "hang" | "hang_after":
                return cls(Kind[name.upper()], seconds=number.get("seconds", 3600.0))
            case "banned" | "cut" | "cut_after" | "unauthorised" | "garbled" | "hollow" | "curt":
                return cls(Kind[name.upper()], seconds=number.get("retry_after", 60.0))
            case _:
                raise ValueError(f"no such fault: {name}")


class Faults:
    """What is planned for which route."""

    def __init__(self) -> None:
        self._plan: Plan[Fault] = Plan()

    def plan(self, route: str, fault: Fault, *, channel: int | None, times: int) -> None:
        """Let the next requests of this route fail: "POST /channels/{}/messages", a mere "POST", or "any"."""
        self._plan.add(shape(route), fault, where=channel, times=times)

    def take(self, route: str, channel: int | None) -> Fault | None:
        """The fault that is due to this request."""
        return self._plan.take({ANY, shape(route), route.split(" ", 1)[0]}, channel)

    def clear(self) -> None:
        """Nothing fails any more."""
        self._plan.clear()
