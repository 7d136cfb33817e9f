"""The API server on loopback: `async with KubeApi() as api:` and everything that a test asks of it.

It puts the parts together: who asks, what, whether he may, and who answers. What is kept outlives `down` and `up`, as
etcd outlives an API server; so do the node's containers.
"""

from __future__ import annotations

import asyncio
import copy
import json
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import yaml
from aiohttp import web

from tests.kubeapi import bodies, refusal
from tests.kubeapi.ask import Call, Target, target
from tests.kubeapi.faults import Fault, Faults, Kind
from tests.kubeapi.life import Life
from tests.kubeapi.node import Node
from tests.kubeapi.reading import Lists, Watches
from tests.kubeapi.refusal import Json, Refusal
from tests.kubeapi.rights import EVERYTHING, Wish
from tests.kubeapi.sorts import ACCOUNTS, EVENTS, NAMESPACES, PODS, PRIORITIES, RUNTIME_CLASSES, sort_of
from tests.kubeapi.stock import Stock
from tests.kubeapi.streams import PROTOCOL, Attachment, Break, Streams, Wanted
from tests.kubeapi.writing import Writer

USER = "system:serviceaccount:controlplane:army-bot"
OPEN = ("/healthz", "/livez", "/readyz")
CLASSES = {"kata-fc": "kata-fc", "kata-clh": "kata-clh", "kata-qemu": "kata-qemu", "gvisor": "runsc"}
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class KubeApi:
    """One cluster of one node."""

    def __init__(
        self,
        *,
        port: int = 0,
        namespace: str = "claude-agents",
        rbac: Iterable[Json] = EVERYTHING,
        version: str = "1.36",
        lenient: bool = False,
    ) -> None:
        self.namespace = namespace
        self.token = secrets.token_urlsafe(24)
        """The one token that counts; give it another value and who holds the old one gets 401."""
        self.rbac: Sequence[Json] = list(rbac)
        """What the token's account may do in the namespace: a Role's rules."""
        self.cluster_rbac: Sequence[Json] = []
        """What it may do everywhere: a ClusterRole's rules."""
        self.version = version
        self.ready = True
        """Whether /readyz says so."""
        self.calls: list[Call] = []
        self.wishes: set[Wish] = set()
        """Every right that some request needed, whether it was had or not."""
        self.violations: list[str] = []
        """Unknown fields in bodies: a real server only warns; here the test fails when the server is left."""
        self.faults = Faults()
        self.root = Path(tempfile.mkdtemp(prefix="kubeapi-"))
        self.streams = Streams()
        self.stock = Stock()
        self.node = Node(self.stock, self.root)
        self.node.shed = self._shed
        self._following: set[asyncio.Transport] = set()
        self.watches = Watches(self.stock)
        self._lists = Lists(self.stock)
        self._writer = Writer(self.stock, version=version, complain=self.violations.append)
        self._port = port
        self._lenient = lenient
        self._runner: web.AppRunner | None = None
        self._restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        self._furnish()

    def _furnish(self) -> None:
        for name in ("default", "kube-system", "controlplane", self.namespace):
            labels = self._restricted if name == self.namespace else {}
            self.stock.create(NAMESPACES, {"metadata": {"name": name, "labels": dict(labels)}})
            self.stock.create(ACCOUNTS, {"metadata": {"name": "default", "namespace": name}})
        self.stock.create(PRIORITIES, {"metadata": {"name": "agents"}, "value": -100, "preemptionPolicy": "Never"})
        for name, handler in CLASSES.items():
            self.stock.create(RUNTIME_CLASSES, {"metadata": {"name": name}, "handler": handler})

    # --- being there ---

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self.down()
        await self.node.close()
        await asyncio.to_thread(shutil.rmtree, self.root, ignore_errors=True)
        if kind is None and not self._lenient and self.violations:
            raise AssertionError("bodies have fields that nobody knows:\n" + "\n".join(self.violations))

    async def up(self) -> None:
        """Listen; again on the same port after `down`."""
        app = web.Application(client_max_size=8 << 20)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Be killed: every connection breaks, and who connects is refused."""
        runner, self._runner = self._runner, None
        if runner is not None and runner.server is not None:
            for site in list(runner.sites):
                await site.stop()
            for connection in list(runner.server.connections):
                if connection.transport is not None:
                    connection.transport.abort()
            await runner.cleanup()

    @property
    def url(self) -> str:
        """Where the server is."""
        return f"http://127.0.0.1:{self._port}"

    def kubeconfig(self, path: Path, *, context: str = "test") -> Path:
        """Write the file by which a client finds this server and its token."""
        path.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": context,
            "clusters": [{"name": context, "cluster": {"server": self.url}}],
            "users": [{"name": context, "user": {"token": self.token}}],
            "contexts": [{"name": context, "context": {
                "cluster": context, "user": context, "namespace": self.namespace}}],
        }), encoding="utf-8")  # fmt: skip
        return path

    def settings(self, path: Path) -> dict[str, str]:
        """What a bot must be told to start its agents here; its kubeconfig is written to this path."""
        return {"RUNTIME": "kubernetes", "KUBECONFIG": str(self.kubeconfig(path)), "KUBE_NAMESPACE": self.namespace}

    # --- setting the scene ---

    def apply(self, *things: Json) -> None:
        """Put objects there behind everybody's back, manifests as they are; those that are there are replaced."""
        for thing in copy.deepcopy(things):
            sort = sort_of(thing)
            if sort is None:
                raise ValueError(f"this server keeps no {thing.get('kind')}")
            bodies.validate(thing, sort)
            meta = {**thing["metadata"]}
            if sort.namespaced:
                meta.setdefault("namespace", self.namespace)
            old = self.stock.find(sort, meta.get("namespace", ""), meta["name"])
            if old is None:
                self.stock.create(sort, {**thing, "metadata": meta})
            else:
                self.stock.replace(sort, {**old.object, **thing, "metadata": {**old.object["metadata"], **meta}})

    def drop(self, kind: str, name: str) -> None:
        """Take an object away, such as a RuntimeClass."""
        for thing in list(self._everything()):
            if thing["kind"] == kind and thing["metadata"]["name"] == name:
                sort = sort_of(thing)
                assert sort is not None
                self.stock.remove(sort, thing["metadata"].get("namespace", ""), name)

    def _everything(self) -> Iterable[Json]:
        for sort in (NAMESPACES, ACCOUNTS, PRIORITIES, RUNTIME_CLASSES, PODS):
            yield from (thing.object for thing in self.stock.all(sort))

    def fail(self, request: str, fault: Fault, *, times: int = 1) -> None:
        """Let the next requests like "create pods", "get pods/log", "watch" or "any" go wrong."""
        self.faults.plan(request, fault, times=times)

    def compact(self) -> None:
        """Forget the past: a list's page or a watch from an older version gets 410."""
        self.stock.compact()

    def break_next(self, *breaks: Break) -> None:
        """The next attachments break like this, one each."""
        self.streams.planned.extend(breaks)

    def lose_node(self, name: str, *, forgotten: bool = False) -> None:
        """The pod's machine is gone. Its pod is deleted and never ends; `forgotten`: the node's object went, too."""
        life = self.life(name)
        words = f"Node {self.node.name} which was running pod {name} is unresponsive"
        life.vanish(reason="DeletionByPodGC" if forgotten else "DeletionByTaintManager", message=words)
        if forgotten:
            self.stock.remove(PODS, self.namespace, name)

    # --- looking ---

    def pod(self, name: str) -> Json | None:
        """The pod's object as it is now."""
        found = self.stock.find(PODS, self.namespace, name)
        return found.object if found else None

    def of_run(self, run: str) -> str:
        """The name of the pod that carries this run: its own, or that of a warm pod which was claimed for it."""
        pods = (thing.object["metadata"] for thing in self.stock.all(PODS, self.namespace))
        return next((meta["name"] for meta in pods if (meta.get("labels") or {}).get("army/run") == run), run)

    def life(self, name: str) -> Life:
        """The pod's life, with what a test may do to it: `evict`, `oom`, `crash`, `container`, `places`."""
        found = self.node.life(name, self.namespace)
        assert found is not None, f"there is no pod {name}"
        return found

    def events(self, name: str) -> list[Json]:
        """What was told of a pod."""
        return [e.object for e in self.stock.all(EVENTS) if e.object["involvedObject"]["name"] == name]

    @property
    def rights_used(self) -> set[tuple[str, str]]:
        """Every verb and resource that was asked for."""
        return {call.right for call in self.calls if call.resource}

    async def until(self, wanted: Callable[[], object], *, within: float = 20.0) -> None:
        """Wait until this is so, looking whenever an object has changed."""
        async with asyncio.timeout(within):
            while not wanted():
                version = self.stock.version
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):  # not everything that is asked for is an object's
                        await self.stock.changed(version)

    # --- answering ---

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = Call(request.method.lower(), "", query=dict(request.query))
        self.calls.append(call)
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
            return web.Response(text="ok" if self.ready else "not ready", status=200 if self.ready else 500)
        if request.path in {"/version", "/version/"}:
            major, minor = self.version.split(".")
            return web.json_response({"major": major, "minor": minor, "gitVersion": f"v{self.version}.0"})
        given = request.headers.get("Authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            raise refusal.unauthorised()
        if request.path == REVIEWS and request.method == "POST":
            call.verb, call.resource, call.group = "create", "selfsubjectaccessreviews", "authorization.k8s.io"
            return web.json_response(self._review(bodies.load(await request.read())), status=201)
        asked = target(request.method, request.path, request.query)
        call.verb, call.resource, call.group = asked.verb, asked.resource, asked.sort.group
        call.namespace, call.name = asked.namespace, asked.name
        fault = self.faults.take(call.verb, call.resource)
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
        return wish.allowed(self.cluster_rbac) or (wish.namespace == self.namespace and wish.allowed(self.rbac))

    def _check(self, asked: Target) -> None:
        """Attaching by WebSocket is a GET; newer servers want the right to create, too."""
        verbs = [asked.verb]
        if asked.sub in {"attach", "exec"} and tuple(map(int, self.version.split("."))) > (1, 33):
            verbs = ["get", "create"]
        wishes = [asked.wish(verb) for verb in verbs]
        self.wishes.update(wishes)
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
                thing = self.stock.get(asked.sort, asked.namespace, asked.name)
                return _json(thing.raw)
            case "", "list":
                return _json(self._lists.answer(asked, request.query))
            case "", "watch":
                return await self.watches.serve(request, asked, expire=expire)
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
                return await self._logs(request, asked)
            case "attach", ("get" | "create") if asked.sort is PODS:
                return await self._attach(request, asked)
            case _:
                raise refusal.Refusal(
                    405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
                )

    # --- the kubelet's part ---

    async def _life(self, asked: Target, request: web.Request) -> Life:
        pod = self.stock.get(PODS, asked.namespace, asked.name).object
        names = [container["name"] for container in pod["spec"]["containers"]]
        wanted = request.query.get("container", names[0])
        if wanted not in names:
            raise refusal.bad_request(f"container {wanted} is not valid for pod {asked.name}")
        if not pod["spec"].get("nodeName"):
            raise refusal.bad_request(f"pod {asked.name} does not have a host assigned")
        if self.node.dead:
            await asyncio.sleep(self.node.dial_seconds)
            why = "i/o timeout" if self.node.dial_seconds else "connect: connection refused"
            raise refusal.internal(f"error dialing backend: dial tcp 10.0.0.11:10250: {why}")
        if self.node.dazed:
            raise refusal.not_found("pods", asked.name)
        life = self.node.life(asked.name, asked.namespace)
        assert life is not None
        return life

    async def _attach(self, request: web.Request, asked: Target) -> web.StreamResponse:
        life = await self._life(asked, request)
        query = request.query
        wanted = Wanted(*(query.get(name, default).lower() in {"true", "1"} for name, default in (
            ("stdin", "false"), ("stdout", "true"), ("stderr", "true"))))  # fmt: skip
        if not (wanted.stdin or wanted.channels):
            raise refusal.bad_request("you must specify at least 1 of stdin, stdout, stderr")
        protocols = [one.strip() for one in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        if request.headers.get("Upgrade", "").lower() != "websocket" or PROTOCOL not in protocols:
            raise refusal.bad_request(f"unable to upgrade: this server speaks {PROTOCOL} only")
        container = life.container
        if container is None:
            raise refusal.internal(f'container not found ("{life.spec["containers"][0]["name"]}")')
        once = bool(life.spec["containers"][0].get("stdinOnce")) and wanted.stdin
        attachment = Attachment(self.streams, container, pod=asked.name, wanted=wanted, once=once)
        return await attachment.serve(request)

    async def _logs(self, request: web.Request, asked: Target) -> web.StreamResponse:
        life, query = await self._life(asked, request), request.query
        logs = life.logs[:-1] if query.get("previous", "").lower() == "true" else life.logs
        if not logs:
            name = life.spec["containers"][0]["name"]
            raise refusal.bad_request(
                f'container "{name}" in pod "{asked.name}" is waiting to start: ContainerCreating'
            )
        log = logs[-1]
        since = time.time() - int(query["sinceSeconds"]) if "sinceSeconds" in query else 0.0
        follow = query.get("follow", "").lower() == "true"
        piece = log.end.piece
        lines = list(log.lines(since=since))
        if follow:  # the end of a line that is not whole yet comes with what follows
            lines = [line for line in lines if line[1].endswith(b"\n")]
        if "tailLines" in query:
            lines = lines[max(0, len(lines) - int(query["tailLines"])) :]
        stamped = query.get("timestamps", "").lower() == "true"
        text = b"".join((_stamp(at) if stamped else b"") + line for at, line in lines)
        if "limitBytes" in query:
            text = text[: int(query["limitBytes"])]
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await response.write(text)
        if follow:
            await self._follow(request, response, log.follow(piece))
        await response.write_eof()
        return response

    async def _follow(self, request: web.Request, response: web.StreamResponse, lines: AsyncIterator[bytes]) -> None:
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        self._following.add(transport)
        try:
            async for more in lines:
                await response.write(more)
        finally:
            self._following.discard(transport)

    def _shed(self) -> None:
        """The kubelet is gone, and with it everything that came through it."""
        self.streams.cut()
        for transport in self._following:
            transport.abort()


def _stamp(at: float) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)).encode() + b".%09dZ " % (at % 1 * 1e9)


def _json(body: bytes, *, status: int = 200, warnings: Sequence[str] = ()) -> web.Response:
    response = web.Response(body=body, status=status, content_type="application/json")
    for warning in warnings:
        response.headers.add("Warning", f'299 - "{warning.replace(chr(34), chr(92) + chr(34))}"')
    return response
