"""The way into one cluster: how to get in, and the few calls that are needed, each with a deadline and in plain JSON.

It knows addresses and credentials, and nothing of what pods mean.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import aiohttp
from kubernetes_asyncio import client, config
from kubernetes_asyncio.stream import WsApiClient

from adapters.kubernetes.errors import Changed, Expired, as_trouble, handshake, trouble
from orchestrator.errors import Broken, Gone

Json = dict[str, Any]

CALL_SECONDS = 10.0
CONNECT_SECONDS = 5.0
PAGE = 500
HEARTBEAT_SECONDS = 10.0
"""A connection over which no pong comes for half as long again is dead, whatever the sockets believe."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where the cluster is. Without a context, a pod's own account is taken where there is one, then the kubeconfig."""

    namespace: str = "claude-agents"
    context: str = ""
    kubeconfig: str = ""
    in_cluster: bool = False

    @classmethod
    def of(cls, environ: Mapping[str, str], *, namespace: str, context: str, kubeconfig: str) -> Door:
        """The door that this environment leads to; without a kubeconfig, kubectl's own. It may be several, as there."""
        home = Path(environ.get("HOME", "~"))
        paths = kubeconfig.split(os.pathsep) if kubeconfig else [str(home / ".kube" / "config")]
        inside = bool(environ.get("KUBERNETES_SERVICE_HOST")) and not context
        return cls(namespace, context, os.pathsep.join(map(os.path.expanduser, paths)), in_cluster=inside)

    def __str__(self) -> str:
        """For people."""
        return (
            "this cluster, by the pod's own account"
            if self.in_cluster
            else (f"{self.kubeconfig}, context {self.context or 'current'}")
        )


class Cluster:
    """Use it as `async with`. Every call raises the four kinds of trouble and nothing else."""

    def __init__(self, door: Door) -> None:
        self.namespace = door.namespace
        self._door = door
        self._calls: client.ApiClient
        self._streams: WsApiClient
        self._core: Any  # the library's generated calls have no types
        self._attach: Any

    async def __aenter__(self) -> Self:
        with as_trouble("to find the way into the cluster"):
            settings = await self._configuration()
        settings.connection_pool_maxsize = 0  # one connection for each run that is attached: no bound but theirs
        self._calls = client.ApiClient(settings)
        self._streams = WsApiClient(settings, heartbeat=HEARTBEAT_SECONDS)
        self._core = cast("Any", client.CoreV1Api)(self._calls)
        self._attach = cast("Any", client.CoreV1Api)(self._streams)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await cast("Any", self._streams).close()
        await cast("Any", self._calls).close()

    async def _configuration(self) -> Any:
        settings: Any = cast("Any", client.Configuration)()
        if self._door.in_cluster:
            cast("Any", config.load_incluster_config)(client_configuration=settings)
        else:
            if not await asyncio.to_thread(_some_file, self._door.kubeconfig):
                raise config.ConfigException(f"there is no kubeconfig at {self._door.kubeconfig}")
            await cast("Any", config.load_kube_config)(
                config_file=self._door.kubeconfig,
                context=self._door.context or None,
                client_configuration=settings,
                persist_config=False,
            )
        return settings

    # --- pods ---

    async def create(self, body: Json) -> Json | None:
        """A new pod; None when its name is taken. `Busy` when the quota is used up."""
        call = self._core.create_namespaced_pod(self.namespace, body, _preload_content=False)
        return await self._made(call, doing=f"to start {body['metadata']['name']}")

    async def _made(self, call: Any, *, doing: str) -> Json | None:
        with as_trouble(doing):
            async with asyncio.timeout(CALL_SECONDS):
                response: aiohttp.ClientResponse = await call
                async with response:
                    answer = await response.read()
                    if response.status == 409 and b'"AlreadyExists"' in answer:
                        return None
                    if response.status >= 300:
                        raise await _refusal(response, doing=doing)
        return _object(answer, doing=doing)

    async def pod(self, name: str) -> Json | None:
        """The pod as it is at this moment."""
        call = self._core.read_namespaced_pod(name, self.namespace, _preload_content=False)
        try:
            return await self._answer(call, doing=f"to look at {name}")
        except Gone:
            return None

    async def patch(self, name: str, changes: Json) -> Json:
        """The pod with these changes. Raises `Changed` when it is not the version that they name, `Gone` without it."""
        call = self._core.patch_namespaced_pod(
            name, self.namespace, changes, _content_type="application/merge-patch+json", _preload_content=False
        )
        return await self._answer(call, doing=f"to change {name}")

    async def delete(self, name: str, *, uid: str = "", version: str = "", grace: int | None = None) -> bool:
        """Begin to end a pod; False when there is none (or it is another one by now, or not this version of it)."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if conditions := {key: value for key, value in (("uid", uid), ("resourceVersion", version)) if value}:
            options["preconditions"] = conditions
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        call = self._core.delete_namespaced_pod(name, self.namespace, body=options, _preload_content=False)
        try:
            await self._answer(call, doing=f"to stop {name}")
        except Gone:
            return False
        except Changed:
            if conditions:
                return False
            raise
        return True

    async def page(self, what: str, *, more: str = "", **filters: str) -> Json:
        """One page of `pods` or `events`."""
        filters = filters | ({"_continue": more} if more else {})
        call = self._lister(what)(self.namespace, limit=PAGE, _preload_content=False, **filters)
        return await self._answer(call, doing=f"to list the {what}")

    @asynccontextmanager
    async def watch(
        self, what: str, *, after: str, seconds: int, **filters: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The changes after that version as bytes, for at most so many seconds."""
        doing = f"to watch the {what}"
        with as_trouble(doing):
            async with asyncio.timeout(CALL_SECONDS):
                response: aiohttp.ClientResponse = await self._lister(what)(
                    self.namespace,
                    watch=True,
                    allow_watch_bookmarks=True,
                    resource_version=after,
                    timeout_seconds=seconds,
                    _preload_content=False,
                    _request_timeout=aiohttp.ClientTimeout(
                        sock_connect=CONNECT_SECONDS, sock_read=seconds + CALL_SECONDS
                    ),
                    **filters,
                )
            async with response:
                if response.status >= 300:
                    raise await _refusal(response, doing=doing)
                yield response.content.iter_any()

    async def log(self, name: str, *, container: str) -> aiohttp.ClientResponse:
        """What a container printed, as far as the node kept it."""
        doing = f"to read what {name} printed"
        with as_trouble(doing):
            async with asyncio.timeout(CALL_SECONDS):
                response: aiohttp.ClientResponse = await self._core.read_namespaced_pod_log(
                    name, self.namespace, container=container, _preload_content=False,
                    _request_timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=CALL_SECONDS),
                )  # fmt: skip
            if response.status >= 300:
                async with response:
                    raise await _refusal(response, doing=doing)
            return response

    async def attach(self, name: str, *, container: str) -> aiohttp.ClientWebSocketResponse:
        """A stream to the container's stdin and from its stdout."""
        doing = f"to attach to {name}"
        with as_trouble(doing):
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    opening = await self._attach.connect_get_namespaced_pod_attach(
                        name, self.namespace, container=container, stdin=True, stdout=True, stderr=False, tty=False,
                        _preload_content=False,
                    )  # fmt: skip
                    return cast("aiohttp.ClientWebSocketResponse", await opening)
            except aiohttp.WSServerHandshakeError as error:
                raise handshake(error.status, name) from None

    # --- credentials ---

    async def create_secret(self, body: Json) -> bool:
        """A new Secret; False when its name is taken. It is never read back."""
        call = self._core.create_namespaced_secret(self.namespace, body, _preload_content=False)
        return await self._made(call, doing=f"to keep the Secret {body['metadata']['name']}") is not None

    async def lease(self, name: str) -> Json | None:
        """The Lease of this name."""
        api = cast("Any", client.CoordinationV1Api)(self._calls)
        try:
            return await self._answer(
                api.read_namespaced_lease(name, self.namespace, _preload_content=False),
                doing=f"to look at the lease {name}",
            )
        except Gone:
            return None

    # --- what the bot may ---

    async def may(self, verb: str, resource: str, *, group: str = "", subresource: str = "", name: str = "") -> bool:
        """Whether our account may do this in the namespace of the agents."""
        what: Json = {"verb": verb, "resource": resource, "group": group, "namespace": self.namespace}
        what |= {key: text for key, text in (("subresource", subresource), ("name", name)) if text}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": what},
        }
        api = cast("Any", client.AuthorizationV1Api)(self._calls)
        call = api.create_self_subject_access_review(body, _preload_content=False)
        answer = await self._answer(call, doing="to ask what the bot may do")
        return bool(answer.get("status", {}).get("allowed"))

    async def version(self) -> str:
        """The server's version."""
        api = cast("Any", client.VersionApi)(self._calls)
        answer = await self._answer(api.get_code(_preload_content=False), doing="to greet the cluster")
        return str(answer.get("gitVersion", "?"))

    async def runtime_class(self, name: str) -> Json | None:
        """The runtime class of this name."""
        api = cast("Any", client.NodeV1Api)(self._calls)
        try:
            return await self._answer(
                api.read_runtime_class(name, _preload_content=False), doing=f"to look at the runtime class {name}"
            )
        except Gone:
            return None

    async def try_create(self, body: Json) -> None:
        """What the cluster would say to this pod; nothing is made."""
        call = self._core.create_namespaced_pod(self.namespace, body, dry_run="All", _preload_content=False)
        await self._answer(call, doing="to try a pod")

    def _lister(self, what: str) -> Any:
        return {"pods": self._core.list_namespaced_pod, "events": self._core.list_namespaced_event}[what]

    async def _answer(self, call: Any, *, doing: str) -> Json:
        with as_trouble(doing):
            async with asyncio.timeout(CALL_SECONDS):
                response: aiohttp.ClientResponse = await call
                async with response:
                    if response.status >= 300:
                        raise await _refusal(response, doing=doing)
                    answer = await response.read()
        return _object(answer, doing=doing)


def _object(answer: bytes, *, doing: str) -> Json:
    """The JSON object that was answered. Something else comes from somebody in between; what was done is not known."""
    try:
        parsed = json.loads(answer)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise Broken(f"What answers as the cluster's API is not it ({doing}).", unsure=True)
    return parsed


def _some_file(paths: str) -> bool:
    return any(_is_file(path) for path in paths.split(":") if path)


def _is_file(path: str) -> bool:
    try:
        return Path(path).expanduser().is_file()
    except RuntimeError:  # `~name` of somebody who is not known here
        return False


async def _refusal(response: aiohttp.ClientResponse, *, doing: str) -> Exception:
    body = await response.read()
    if response.status == 410:
        return Expired()
    return trouble(response.status, body, doing=doing, retry_after=response.headers.get("Retry-After", ""))
