"""Trouble on demand: what is to go wrong with which call, and how often. It knows no method and no message."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web

from tests.botapi.refusal import Refusal
from tests.botapi.wire import no
from tests.faults import Plan

ANY = "*"


class Kind(StrEnum):
    """What goes wrong."""

    WAIT = "wait"  # 429 with `seconds`; the chat is closed for so long
    STATUS = "status"  # an error in the platform's own form: `status` and `words`
    CUT_BEFORE = "cut before"  # the connection breaks and nothing was done
    CUT_AFTER = "cut after"  # the work is done and the connection breaks instead of the answer
    HANGS = "hangs"  # nothing is done and nothing answered until `release`, then both
    HANGS_AFTER = "hangs after"  # the work is done and the answer waits for `release`
    HALF_OPEN = "half open"  # accepted, never answered, not even after a poll's own timeout
    MALFORMED = "malformed"  # the work is done and the answer is cut in its middle
    PROXY = "proxy"  # a page of HTML from somebody in between, with `status`


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of trouble."""

    kind: Kind
    status: int = 502
    words: str = "Bad Gateway"
    seconds: float = 5.0

    @classmethod
    def unauthorized(cls) -> Fault:
        """The token was revoked."""
        return cls(Kind.STATUS, status=401, words="Unauthorized")

    @classmethod
    def conflict(cls) -> Fault:
        """Somebody else polls."""
        words = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
        return cls(Kind.STATUS, status=409, words=words)


class Cut(Exception):
    """The connection is to break here."""


class Faults:
    """Which trouble comes next."""

    def __init__(self) -> None:
        self._plan: Plan[Fault] = Plan()
        self._held = asyncio.Event()

    def plan(self, method: str, fault: Fault, *, chat: int | None, times: int) -> None:
        """The next calls of this method (`ANY`: of any), in this chat or in any, end in this."""
        self._plan.add(method.lower(), fault, where=chat, times=times)

    def next(self, method: str, chat: int | None) -> Fault | None:
        """What happens to this call; a plan is used up by the calls that it hits."""
        # A plan for any call spares the polls: they come all the time and would use it up.
        return self._plan.take({method} if method == "getupdates" else {method, ANY}, chat)

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self._plan.clear()

    async def before(self, fault: Fault | None) -> web.Response | None:
        """What goes wrong before the work; an answer when the work is not to be done at all."""
        match fault and fault.kind:
            case Kind.STATUS if fault:
                return no(Refusal(fault.status, fault.words))
            case Kind.PROXY if fault:
                page = f"<html><head><title>{fault.status} {fault.words}</title></head><body>proxy</body></html>"
                return web.Response(status=fault.status, text=page, content_type="text/html")
            case Kind.CUT_BEFORE:
                raise Cut
            case Kind.HANGS:
                await self._held.wait()
            case Kind.HALF_OPEN:
                await asyncio.Event().wait()
            case _:
                pass
        return None

    async def after(self, fault: Fault | None, response: web.Response) -> web.Response:
        """What goes wrong after the work, with its answer."""
        match fault and fault.kind:
            case Kind.CUT_AFTER:
                raise Cut
            case Kind.HANGS_AFTER:
                await self._held.wait()
            case Kind.MALFORMED:
                text = response.text or ""
                return web.Response(text=text[: len(text) // 2], content_type="application/json")
            case _:
                pass
        return response

    def release(self) -> None:
        """Everything that hangs goes on."""
        self._held.set()
        self._held = asyncio.Event()
