"""From a request to its answer: who asks, for what, whether he may, what is to go wrong, and who does the work.

It does none of the work and keeps nothing. What a test may change at any time it reads from the `Terms`, anew for each
request.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Sequence
from typing import Protocol

from aiohttp import web

from tests.kubeapi import bodies, refusal
from tests.kubeapi.ask import Call, Target, target
from tests.kubeapi.faults import Fault, Faults, Kind
from tests.kubeapi.kubelet import Kubelet
from tests.kubeapi.reading import Lists, Watches
from tests.kubeapi.refusal import Json, Refusal
from tests.kubeapi.rights import Wish
from tests.kubeapi.sorts import PODS
from tests.kubeapi.stock import Stock
from tests.kubeapi.writing import Writer

USER = "system:serviceaccount:controlplane:army-bot"
OPEN = ("/healthz", "/livez", "/readyz")
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class Terms(Protocol):
    """On which terms requests are answered, and where they are written down."""

    namespace: str
    token: str
    rbac: Sequence[Json]
    cluster_rbac: Sequence[Json]
    version: str
    ready: bool
    calls: list[Call]
    wishes: set[Wish]
    faults: Faults


class Answers:
    """The server's side of every request."""

    def __init__(self, terms: Terms, *, stock: Stock, watches: Watches, writer: Writer, kubelet: Kubelet) -> None:
        self._terms = terms
        self._stock = stock
        self._lists = Lists(stock)
        self._watches = watches
        self._writer = writer
        self._kubelet = kubelet

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Whatever comes of it, written down among the calls."""
        call = Call(request.method.lower(), "", query=dict(request.query))
        self._terms.calls.append(call)
        try:
            response = await self._asked(request, call)
        except Refusal as refused:
            if refused.text:
                response = web.Response(text=refused.text, status=refused.code)
            else:
                response = web.json_response(refused.status, status=refused.code)
            if refused.retry_after is not None:
                response.headers["Retry-After"] = str(max(1, round(refused.retry_after)))
        call.status = response.status
        return response

    async def _asked(self, request: web.Request, call: Call) -> web.StreamResponse:
        if request.path in OPEN:
            return web.Response(
                text="ok" if self._terms.ready else "not ready", status=200 if self._terms.ready else 500
            )
        if request.path in {"/version", "/version/"}:
            major, minor = self._terms.version.split(".")
            return web.json_response({"major": major, "minor": minor, "gitVersion": f"v{self._terms.version}.0"})
        given = request.headers.get("Authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {self._terms.token}".encode()):
            raise refusal.unauthorised()
        if request.path == REVIEWS and request.method == "POST":
            call.verb, call.resource, call.group = "create", "selfsubjectaccessreviews", "authorization.k8s.io"
            return web.json_response(self._review(bodies.load(await request.read())), status=201)
        asked = target(request.method, request.path, request.query)
        call.verb, call.resource, call.group = asked.verb, asked.resource, asked.sort.group
        call.namespace, call.name = asked.namespace, asked.name
        fault = self._terms.faults.take(call.verb, call.resource)
        if fault is not None and (failed := await self._failed(fault, request)) is not None:
            return failed
        response = await self._done(request, asked, expire=fault is not None and fault.kind is Kind.EXPIRED)
        if fault is not None and fault.kind is Kind.CUT_AFTER and request.transport is not None:
            request.transport.abort()
        return response

    async def _failed(self, fault: Fault, request: web.Request) -> web.StreamResponse | None:
        match fault.kind:
            case Kind.STATUS if fault.code == 429:
                raise refusal.busy(fault.seconds)
            case Kind.STATUS:
                words = (
                    "etcdserver: request timed out"
                    if fault.code == 500
                    else "the server is currently unable to handle the request"
                )
                raise refusal.internal(words, code=fault.code)
            case Kind.SLOW:
                await asyncio.sleep(fault.seconds)
            case Kind.HANG:
                await asyncio.Event().wait()
            case Kind.CUT:
                assert request.transport is not None
                request.transport.abort()
                await asyncio.Event().wait()
            case Kind.GARBLED:
                return web.Response(text="<html><body>502 Bad Gateway</body></html>", content_type="text/html")
            case Kind.FOREIGN:
                kind = "application/json" if fault.text.startswith(("{", "[")) else "text/plain"
                return web.Response(text=fault.text, status=fault.code, content_type=kind)
            case Kind.CUT_AFTER | Kind.EXPIRED:
                pass
        return None

    def _may(self, wish: Wish) -> bool:
        return wish.allowed(self._terms.cluster_rbac) or (
            wish.namespace == self._terms.namespace and wish.allowed(self._terms.rbac)
        )

    def _check(self, asked: Target) -> None:
        """Attaching by WebSocket is a GET; newer servers want the right to create, too."""
        verbs = [asked.verb]
        if asked.sub in {"attach", "exec"} and tuple(map(int, self._terms.version.split("."))) > (1, 33):
            verbs = ["get", "create"]
        wishes = [asked.wish(verb) for verb in verbs]
        self._terms.wishes.update(wishes)
        for wish in wishes:
            if not self._may(wish):
                raise wish.refused(USER)

    def _review(self, body: Json) -> Json:
        asked = body["spec"].get("resourceAttributes") or {}
        resource = asked.get("resource", "")
        if sub := asked.get("subresource"):
            resource = f"{resource}/{sub}"
        wish = Wish(
            asked.get("verb", ""), asked.get("group", ""), resource, asked.get("namespace", ""), asked.get("name", "")
        )
        return {**body, "status": {"allowed": self._may(wish)}}

    async def _done(self, request: web.Request, asked: Target, *, expire: bool) -> web.StreamResponse:
        self._check(asked)
        match asked.sub, asked.verb:
            case "", "get":
                thing = self._stock.get(asked.sort, asked.namespace, asked.name)
                return _json(thing.raw)
            case "", "list":
                return _json(self._lists.answer(asked, request.query))
            case "", "watch":
                return await self._watches.serve(request, asked, expire=expire)
            case "", "create":
                made, warnings = self._writer.create(asked, await request.read(), request.query)
                return _json(made.raw, status=201, warnings=warnings)
            case "", "update":
                made, warnings = self._writer.update(asked, await request.read(), request.query)
                return _json(made.raw, warnings=warnings)
            case "", "patch":
                kind = request.headers.get("Content-Type", "")
                return _json(self._writer.patch(asked, await request.read(), kind).raw)
            case "", "delete":
                left = self._writer.delete(asked, await request.read(), request.query)
                return _json(left.raw if asked.sort is PODS else json.dumps({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                    "details": {"name": asked.name, "kind": asked.sort.plural, "uid": left.object["metadata"]["uid"]},
                }).encode())  # fmt: skip
            case "log", "get" if asked.sort is PODS:
                return await self._kubelet.logs(request, asked)
            case "attach", ("get" | "create") if asked.sort is PODS:
                return await self._kubelet.attach(request, asked)
            case _:
                raise refusal.Refusal(
                    405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
                )


def _json(body: bytes, *, status: int = 200, warnings: Sequence[str] = ()) -> web.Response:
    response = web.Response(body=body, status=status, content_type="application/json")
    for warning in warnings:
        response.headers.add("Warning", f'299 - "{warning.replace(chr(34), chr(92) + chr(34))}"')
    return response
