"""A real client of the server for its tests: kubernetes-asyncio, and what every test says of a pod."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import aiohttp
from kubernetes_asyncio import client, config
from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.stream import WsApiClient

from tests.kubeapi.refusal import Json
from tests.kubeapi.server import KubeApi

SPACE = "claude-agents"
HARMLESS: Json = {
    "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
}  # fmt: skip


def pod(name: str = "r-1", *, command: list[str] | None = None, spec: Json | None = None, **container: Any) -> Json:
    """A pod that every gate lets through; without a command it is agentd."""
    mounts = [{"name": "state", "mountPath": "/state"}, {"name": "work", "mountPath": "/work"}]
    if command is not None:
        container["command"] = command
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "agent", "army/run": name}},
        "spec": {
            "restartPolicy": "OnFailure", "terminationGracePeriodSeconds": 30, "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "agent", "image": "registry.example/agent:1", "stdin": True, "stdinOnce": False,
                "securityContext": HARMLESS, "volumeMounts": mounts, **container}],
            "volumes": [{"name": "state", "emptyDir": {}}, {"name": "work", "emptyDir": {}}],
            **(spec or {}),
        },
    }  # fmt: skip


def shell(script: str) -> list[str]:
    """A container that runs this."""
    return ["sh", "-c", script]


class Client:
    """The core API, and a socket to a pod."""

    def __init__(self, api: KubeApi, configuration: client.Configuration) -> None:
        self.api = api
        self._configuration = configuration
        self._http = client.ApiClient(configuration)
        self.core = client.CoreV1Api(self._http)
        self.leases = client.CoordinationV1Api(self._http)
        self.reviews = client.AuthorizationV1Api(self._http)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.close()

    async def create(self, body: Json, **options: Any) -> Json:
        """Create a pod; what the server answers."""
        return await self._plain(self.core.create_namespaced_pod(SPACE, cast("client.V1Pod", body), **options))

    async def read(self, name: str = "r-1") -> Json:
        """The pod as the server shows it."""
        return await self._plain(self.core.read_namespaced_pod(name, SPACE))

    async def _plain(self, asked: Awaitable[object]) -> Json:
        plain: Json = self._http.sanitize_for_serialization(await asked)
        return plain

    async def running(self, body: Json | None = None) -> str:
        """Create a pod and wait until it runs; its name."""
        made = await self.create(body or pod())
        name = str(made["metadata"]["name"])
        await self.api.until(lambda: self.phase(name) == "Running")
        return name

    def phase(self, name: str = "r-1") -> str:
        """The pod's phase; empty when it is gone."""
        found = self.api.pod(name)
        return found["status"]["phase"] if found else ""

    @asynccontextmanager
    async def attach(
        self, name: str = "r-1", *, heartbeat: float | None = None, **options: Any
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A socket to the pod's container."""
        asked = {"stdin": True, "stdout": True, "stderr": True, **options}
        async with WsApiClient(self._configuration, heartbeat=heartbeat) as http:
            opening = await client.CoreV1Api(http).connect_get_namespaced_pod_attach(
                name, SPACE, container="agent", _preload_content=False, **asked
            )
            async with cast("AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]", opening) as socket:
                yield socket


@asynccontextmanager
async def connected(api: KubeApi, folder: Path) -> AsyncIterator[Client]:
    """A client that found the server by its kubeconfig."""
    configuration = client.Configuration()
    await config.load_kube_config(str(api.kubeconfig(folder / "kubeconfig")), client_configuration=configuration)
    it = Client(api, configuration)
    try:
        yield it
    finally:
        await it.close()


def raw(answer: object) -> aiohttp.ClientResponse:
    """What a call without `_preload_content` answers, whatever its annotation says."""
    assert isinstance(answer, aiohttp.ClientResponse)
    return answer


async def refused(asked: Awaitable[object]) -> tuple[int, str]:
    """The code and the words of a refusal."""
    try:
        await asked
    except ApiException as error:
        return int(error.status), error.body.decode() if isinstance(error.body, bytes) else str(error.body)
    raise AssertionError("it was not refused")


class Heard:
    """What came over a socket, by channel."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.by = dict.fromkeys(range(5), b"")
        self.frames: list[bytes] = []
        self._socket = socket

    @property
    def out(self) -> bytes:
        """The container's stdout."""
        return self.by[1]

    async def until(self, wanted: Callable[[Heard], object]) -> bool:
        """Read until this is so; False when the connection ended before."""
        while not wanted(self):
            message = await self._socket.receive(timeout=20)
            if message.type is not aiohttp.WSMsgType.BINARY:
                return False
            self.frames.append(message.data)
            self.by[message.data[0]] += message.data[1:]
        return True

    async def all(self) -> bytes:
        """Everything to the end."""
        await self.until(lambda _: False)
        return self.out
