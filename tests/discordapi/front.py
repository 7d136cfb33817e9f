"""What every request passes: it is written down, may be made to fail, must be allowed, in budget and well formed.

The work itself is a route's; this file knows no channel and no message.
"""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import BodyPartReader, web

from tests.discordapi.addenda import query_violations, settled
from tests.discordapi.ask import Answer, Ask, Call, Route, Upload
from tests.discordapi.errors import Json, Refusal, unauthorised
from tests.discordapi.faults import Fault, Kind
from tests.discordapi.limits import Verdict

if TYPE_CHECKING:
    from tests.discordapi.server import Discord

FILE_LIMIT, REQUEST_LIMIT = 10 << 20, 25 << 20
VIA = {"Via": "1.1 edge"}


def entrance(api: Discord, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The way into one route."""

    async def enter(request: web.Request) -> web.StreamResponse:
        call = _remembered(api, route, request)
        try:
            response = await _passed(api, route, request, call)
        except Refusal as refusal:
            response = _refused(api, call, refusal)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:  # noqa: BLE001
            # A defect of this server must not look like an error of the platform that a client tries again.
            api.violations.append(f"this server broke over {call.method} {call.route}:\n{traceback.format_exc()}")
            response = web.Response(status=500)
        call.status = response.status
        if not call.banned:
            response.headers.update(VIA)
        return response

    return enter


def _remembered(api: Discord, route: Route, request: web.Request) -> Call:
    channel = request.match_info.get("channel_id")
    call = Call(
        api.clock.loop_time(),
        route.method,
        f"{route.method} {route.template}",
        int(channel) if channel else None,
        query=dict(request.query),
    )
    call.early = api.limits.in_penalty(call.route, place_of(request), webhook=route.webhook)
    api.into_penalty += call.early
    api.calls.append(call)
    api.town.came()
    return call


def place_of(request: web.Request) -> str:
    """The part of a path that has a bucket of its own."""
    info = request.match_info
    return info.get("channel_id") or info.get("token") or info.get("guild_id") or ""


async def _passed(api: Discord, route: Route, request: web.Request, call: Call) -> web.Response:
    fault = api.faults.take(call.route, call.channel)
    if fault is not None and (failed := await _before(api, fault, request, call)) is not None:
        return failed
    if not route.webhook and not api.right(request.headers.get("Authorization", "").removeprefix("Bot ")):
        raise unauthorised()
    verdict = api.limits.ask(call.route, place_of(request), webhook=route.webhook)
    if not verdict.passed:
        api.told_to_wait += 1
        return answer(verdict.body, 429, verdict.headers)
    ask = await _read(request)
    call.body, call.files = ask.body, tuple(upload.name for upload in ask.files)
    wrong = route.check(api, ask) + query_violations(call.route, ask.query)
    if wrong:
        api.violations += [f"{call.route}: {one}" for one in wrong]
        errors: Json = {"body": {"_errors": [{"code": "SCHEMA", "message": one} for one in wrong]}}
        nested = {"0": errors} if isinstance(ask.body, list) else errors
        return answer({"message": "Invalid Form Body", "code": 50035, "errors": nested}, 400, verdict.headers)
    response = _worked(api, route, ask, call, verdict)
    return await _after(fault, request, response) if fault is not None else response


def _worked(api: Discord, route: Route, ask: Ask, call: Call, verdict: Verdict) -> web.Response:
    api.town.settle()
    try:
        done: Answer = route.work(api, ask)
    except Refusal as refusal:
        response = _refused(api, call, refusal)
        response.headers.update(verdict.headers)
        return response
    if done is None:
        return web.Response(status=204, headers=verdict.headers)
    return answer(done, 200, verdict.headers)


def _refused(api: Discord, call: Call, refusal: Refusal) -> web.Response:
    call.code = refusal.code
    body = refusal.body
    headers = {}
    if refusal.status == 429:
        api.told_to_wait += 1
        body |= {"retry_after": round(refusal.retry_after, 3), "global": False}
        call.shared = True
        headers = {"Retry-After": str(int(refusal.retry_after) + 1), "X-RateLimit-Scope": "shared"}
    return answer(body, refusal.status, headers)


def answer(body: Json | list[Any], status: int, headers: dict[str, str]) -> web.Response:
    """JSON with a content type that has no charset: with one a client takes the body for text."""
    return web.Response(body=json.dumps(body).encode(), status=status, headers=headers, content_type="application/json")


# --- reading --------------------------------------------------------------------------------------------------------


async def _read(request: web.Request) -> Ask:
    body: Any = None
    files: list[Upload] = []
    if request.content_type.startswith("multipart/"):
        body, files = await _parts(request)
    elif raw := await request.read():
        if request.headers.get("Content-Type") != "application/json":
            raise Refusal(50035, said="Expected \"Content-Type\" header to be one of {'application/json'}.")
        body = _json(raw)
    return Ask(dict(request.match_info), dict(request.query), settled(body), tuple(files))


async def _parts(request: web.Request) -> tuple[Any, list[Upload]]:
    body: Any = None
    files: list[Upload] = []
    total = 0
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        name, raw = part.name or "", bytes(await part.read())
        total += len(raw)
        if name == "payload_json":
            body = _json(raw)
            continue
        number = name.removeprefix("files[").removesuffix("]")
        if not name.startswith("files[") or not number.isdigit():
            raise Refusal(50035, said=f"a form has no part named {name!r}")
        if len(raw) > FILE_LIMIT:
            raise Refusal(40005)
        kind = part.headers.get("Content-Type", "application/octet-stream")
        files.append(Upload(int(number), part.filename or name, raw, kind))
    if total > REQUEST_LIMIT:
        raise Refusal(40005)
    return body, files


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        raise Refusal(50109) from None


# --- faults ---------------------------------------------------------------------------------------------------------


async def _before(api: Discord, fault: Fault, request: web.Request, call: Call) -> web.Response | None:
    match fault.kind:
        case Kind.BUSY:
            api.told_to_wait += 1
            call.shared = fault.scope == "shared"
            place = place_of(request)
            api.limits.punish(call.route, place, fault.seconds, scope=fault.scope)
            verdict = Verdict(False, {}, fault.seconds, fault.scope)
            headers = {"Retry-After": str(int(fault.seconds) + 1), "X-RateLimit-Scope": fault.scope}
            return answer(verdict.body, 429, headers | _global(fault))
        case Kind.BANNED:
            api.told_to_wait += 1
            call.banned = True
            headers = {"Retry-After": str(int(fault.seconds))}
            return web.Response(text="error code: 1015", status=429, content_type="text/plain", headers=headers)
        case Kind.CURT:
            api.told_to_wait += 1
            return answer({"message": "Maximum number of edits reached.", "code": 30046}, 429, {})
        case Kind.STATUS:
            return web.Response(text="upstream error", status=fault.status, content_type="text/plain")
        case Kind.REFUSED:
            raise Refusal(fault.code, status=fault.status)
        case Kind.UNAUTHORISED:
            raise unauthorised()
        case Kind.CUT:
            return _cut(request)
        case Kind.HANG:
            await asyncio.sleep(fault.seconds)
            return _cut(request)
        case _:
            return None


def _global(fault: Fault) -> dict[str, str]:
    return {"X-RateLimit-Global": "true"} if fault.scope == "global" else {}


async def _after(fault: Fault, request: web.Request, response: web.Response) -> web.Response:
    match fault.kind:
        case Kind.CUT_AFTER:
            return _cut(request)
        case Kind.HANG_AFTER:
            await asyncio.sleep(fault.seconds)
        case Kind.GARBLED:
            return web.Response(body=b'{"id": ', status=200, content_type="application/json")
        case Kind.HOLLOW:
            return answer({}, 200, {})
        case _:
            pass
    return response


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
