"""The API server on loopback: `async with KubeApi() as api:` and everything that a test asks of it.

It puts the parts together and sets their scene; how a request is answered it leaves to `answers.py`. What is kept
outlives `down` and `up`, as etcd outlives an API server; so do the node's containers.
"""

from __future__ import annotations

import asyncio
import copy
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import yaml
from aiohttp import web

from tests.kubeapi import bodies
from tests.kubeapi.answers import Answers
from tests.kubeapi.ask import Call
from tests.kubeapi.faults import Fault, Faults
from tests.kubeapi.kubelet import Kubelet
from tests.kubeapi.life import Life
from tests.kubeapi.node import Node
from tests.kubeapi.reading import Watches
from tests.kubeapi.refusal import Json
from tests.kubeapi.rights import EVERYTHING, Wish
from tests.kubeapi.sorts import ACCOUNTS, EVENTS, NAMESPACES, PODS, PRIORITIES, RUNTIME_CLASSES, sort_of
from tests.kubeapi.stock import Stock
from tests.kubeapi.streams import Break, Streams
from tests.kubeapi.writing import Writer

CLASSES = {"kata-fc": "kata-fc", "kata-clh": "kata-clh", "kata-qemu": "kata-qemu", "gvisor": "runsc"}


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
        kubelet = Kubelet(self.node, self.streams)
        self.node.shed = kubelet.cut
        self.watches = Watches(self.stock)
        writer = Writer(self.stock, version=version, complain=self.violations.append)
        self._answers = Answers(self, stock=self.stock, watches=self.watches, writer=writer, kubelet=kubelet)
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
        app.router.add_route("*", "/{path:.*}", self._answers.answer)
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
