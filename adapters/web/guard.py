"""Who may talk to the page: the names it answers to, the origin of what changes something, and who is logged in.

It knows no conversation. Without a token only this machine may look, under a loopback name; with a token everything but
the login needs a session, which is a random cookie that is kept here as a keyed hash: reading the drawer gives nobody
a way in, and another token ends every session.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import urlsplit

from aiohttp import web

from orchestrator.errors import Trouble
from orchestrator.ports import Notes

COOKIE = "army"
SESSION_DAYS = 30
FREE_TRIES = 5
_LONGEST_WAIT = 60.0
_ADDRESSES = 1000
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # not no-referrer: a form would then be sent with the origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """The one gate of the page's listener; every route goes through `wrap`."""

    def __init__(self, notes: Notes, *, token: str, hosts: Collection[str], https: bool) -> None:
        self._notes = notes
        self._token = token.encode()
        self._hosts = {_bare(host) for host in hosts} | _LOOPBACK
        self._any_host = bool(token) and not hosts
        self._https = https
        self._sessions: OrderedDict[str, float] = OrderedDict()
        self._tries: OrderedDict[str, tuple[int, float]] = OrderedDict()

    @property
    def asks(self) -> bool:
        """Whether one has to log in."""
        return bool(self._token)

    def wrap(self, answer: Answer, *, open_to_all: bool = False, script: bool = True) -> Answer:
        """The route behind every check; `script` routes are called by our own scripts and nobody else."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            response: web.StreamResponse | None = self._wrong_door(request) or self._wrong_sender(
                request, script=script
            )
            if response is None and not open_to_all and not await self.knows(request):
                response = _to_login(request)
            if response is None:
                response = await _answered(answer, request)
            if not response.prepared:
                for name, value in HEADERS.items():
                    response.headers.setdefault(name, value)
            return response

        return guarded

    async def knows(self, request: web.Request) -> bool:
        """Whether this request may see anything."""
        if not self._token:
            return _is_loopback(request.remote)
        cookie = request.cookies.get(COOKIE, "")
        if not cookie:
            return False
        name = self._session_name(cookie)
        if name not in self._sessions:
            found = await self._notes.scan(name, limit=1)
            if not found or found[0][0] != name:
                return False
            self._sessions[name] = float(found[0][1])
            if len(self._sessions) > _ADDRESSES:
                self._sessions.popitem(last=False)
        return self._sessions[name] > time.time()

    async def log_in(self, request: web.Request, token: str) -> web.StreamResponse | None:
        """A response with a new session, or None where the token is wrong. Raises 429 after too many tries."""
        who = _network(request.remote)
        failures, until = self._tries.get(who, (0, 0.0))
        if (wait := until - time.monotonic()) > 0:
            raise web.HTTPTooManyRequests(text=f"Too many wrong tokens. Try again in {int(wait) + 1} seconds.")
        if not hmac.compare_digest(_digest(token.encode("utf-8", "replace")), _digest(self._token)):
            failures += 1
            delay = min(_LONGEST_WAIT, 2.0 ** (failures - FREE_TRIES)) if failures >= FREE_TRIES else 0.0
            self._tries[who] = (failures, time.monotonic() + delay)
            self._tries.move_to_end(who)
            if len(self._tries) > _ADDRESSES:
                self._tries.popitem(last=False)
            return None
        self._tries.pop(who, None)
        return await self._begin_session(request)

    async def log_out(self, request: web.Request) -> web.StreamResponse:
        """End this browser's session."""
        name = self._session_name(request.cookies.get(COOKIE, ""))
        self._sessions.pop(name, None)
        await self._notes.put({name: None})
        response = web.HTTPSeeOther("/login")
        response.del_cookie(COOKIE, path="/")
        return _plain(response)

    async def _begin_session(self, request: web.Request) -> web.StreamResponse:
        session, now = secrets.token_urlsafe(32), time.time()
        old = {name: None for name, until in await self._notes.scan("s/") if float(until) < now}
        until = now + SESSION_DAYS * 86400
        await self._notes.put({**old, self._session_name(session): str(until)})
        response = _plain(web.HTTPSeeOther("/"))
        response.set_cookie(
            COOKIE,
            session,
            max_age=SESSION_DAYS * 86400,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self._https or request.secure,
        )
        return response

    def _session_name(self, session: str) -> str:
        return "s/" + hmac.new(self._token, session.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def _wrong_door(self, request: web.Request) -> web.Response | None:
        """A name that is not ours means that somebody else's page was pointed at this machine (DNS rebinding)."""
        host = _bare(request.headers.get("Host", ""))
        if host and (self._any_host or host in self._hosts):
            return None
        return refuse(421, f"This page does not answer to the name {host[:80]!r}.")

    def _wrong_sender(self, request: web.Request, *, script: bool) -> web.Response | None:
        fetched = request.headers.get("Sec-Fetch-Site", "")
        foreign = fetched in {"cross-site", "same-site"}
        if request.method in {"GET", "HEAD"}:
            navigates = request.headers.get("Sec-Fetch-Mode") == "navigate"
            return refuse(403, "Another site may not read this.") if foreign and not navigates else None
        origin = request.headers.get("Origin", "")
        same = urlsplit(origin).netloc == request.headers.get("Host") if origin else fetched == "same-origin"
        if foreign or not same:
            return refuse(403, "This was not sent from this page; open it again and repeat it there.")
        if script and request.headers.get("X-Army") != "1":
            return refuse(403, "The header X-Army: 1 is missing; only this page's own scripts may do this.")
        return None


async def _answered(answer: Answer, request: web.Request) -> web.StreamResponse:
    try:
        return await answer(request)
    except web.HTTPException as error:
        return refuse(error.status, error.text or error.reason)
    except Trouble as trouble:
        return refuse(503, str(trouble))


def refuse(status: int, words: str) -> web.Response:
    """A refusal with its sentence, for the script that asked."""
    response = web.json_response({"words": words}, status=status)
    if status == web.HTTPTooManyRequests.status_code:
        response.headers["Retry-After"] = str(int(_LONGEST_WAIT))
    return response


def _to_login(request: web.Request) -> web.StreamResponse:
    if request.method != "GET" or request.path != "/":
        return refuse(401, "Log in first.")
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        # a link elsewhere led here, and a strict cookie is not sent along with such a step; the next step is our own
        again = '<!doctype html><meta http-equiv="refresh" content="0; url=/"><title>RJ AI Army</title>'
        return web.Response(text=again, content_type="text/html")
    return _plain(web.HTTPSeeOther("/login"))


def _plain(redirect: web.HTTPSeeOther) -> web.Response:
    return web.Response(status=redirect.status, headers={"Location": str(redirect.location)})


def _bare(host: str) -> str:
    """A host without its port: `localhost:80` → `localhost`, `[::1]:80` → `::1`."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
    return name.rstrip(".")


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def _network(address: str | None) -> str:
    """Whose tries are counted together: an IPv4 address, or the /64 that one customer of an IPv6 provider has."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
