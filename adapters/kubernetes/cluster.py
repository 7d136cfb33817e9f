"""One cluster: the few calls that are needed, each with a deadline and in plain JSON.

It knows addresses, and nothing of what pods mean. How to get in is told in `door.py`, and how to stay in, when a
credential runs out, in `passage.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, cast

import aiohttp
from kubernetes_asyncio import client

from adapters.kubernetes.door import Door
from adapters.kubernetes.errors import Changed, Expired, as_trouble, forgotten, handshake, not_kubernetes, trouble
from adapters.kubernetes.passage import CALL_SECONDS, Passage
from orchestrator.errors import Gone

Json = dict[str, Any]

ATTACH_SECONDS = 10.0
CONNECT_SECONDS = 5.0
PAGE = 500


class Cluster:
    """Use it as `async with`. Every call raises the four kinds of trouble and nothing else."""

    def __init__(self, door: Door) -> None:
        self.namespace = door.namespace
        self._passage = Passage(door)

    async def __aenter__(self) -> Self:
        await self._passage.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._passage.__aexit__(kind, error, trace)

    @property
    def _core(self) -> Any:  # the library's generated calls have no types
        return cast("Any", client.CoreV1Api)(self._passage.calls)

    # --- pods ---

    async def create(self, body: Json) -> Json | None:
        """A new pod; None when its name is taken. `Busy` when the quota is used up."""
        return await self._made(
            lambda: self._core.create_namespaced_pod(self.namespace, body, _preload_content=False),
            "Pod",
            doing=f"to start {body['metadata']['name']}",
        )

    async def _made(self, send: Callable[[], Awaitable[Any]], kind: str, *, doing: str) -> Json | None:
        with as_trouble(doing):
            async with await self._passage.sent(send) as response, asyncio.timeout(CALL_SECONDS):
                answer = await response.read()
                if response.status == 409 and b'"AlreadyExists"' in answer:
                    return None
                if response.status >= 300:
                    raise await _refusal(response, doing=doing)
        return _object(answer, kind, doing=doing)

    async def pod(self, name: str) -> Json | None:
        """The pod as it is at this moment."""
        try:
            return await self._answer(
                lambda: self._core.read_namespaced_pod(name, self.namespace, _preload_content=False),
                "Pod",
                doing=f"to look at {name}",
            )
        except Gone:
            return None

    async def patch(self, name: str, changes: Json) -> Json:
        """The pod with these changes. Raises `Changed` when it is not the version that they name, `Gone` without it."""
        return await self._answer(
            lambda: self._core.patch_namespaced_pod(
                name, self.namespace, changes, _content_type="application/merge-patch+json", _preload_content=False
            ),
            "Pod",
            doing=f"to change {name}",
        )

    async def delete(self, name: str, *, uid: str = "", version: str = "", grace: int | None = None) -> bool:
        """Begin to end a pod; False when there is none (or it is another one by now, or not this version of it)."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if conditions := {key: value for key, value in (("uid", uid), ("resourceVersion", version)) if value}:
            options["preconditions"] = conditions
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            await self._answer(
                lambda: self._core.delete_namespaced_pod(name, self.namespace, body=options, _preload_content=False),
                "Pod",
                "Status",
                doing=f"to stop {name}",
            )
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
        doing = f"to list the {what}"
        page = await self._answer(
            lambda: self._lister(what)(self.namespace, limit=PAGE, _preload_content=False, **filters),
            {"pods": "PodList", "events": "EventList"}[what],
            doing=doing,
            expires=bool(more),
        )
        if not isinstance(page["metadata"].get("resourceVersion"), str) or not isinstance(
            page.get("items"), list | None
        ):
            raise not_kubernetes(doing)
        return page

    @asynccontextmanager
    async def watch(
        self, what: str, *, after: str, seconds: int, **filters: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The changes after that version as bytes, for at most so many seconds."""
        doing = f"to watch the {what}"
        with as_trouble(doing):
            response = await self._passage.sent(
                lambda: self._lister(what)(
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
            )
            async with response:
                if response.status >= 300:
                    raise await _refusal(response, doing=doing, expires=True)
                yield response.content.iter_any()

    async def log(self, name: str, *, container: str) -> aiohttp.ClientResponse:
        """What a container printed, as far as the node kept it."""
        doing = f"to read what {name} printed"
        with as_trouble(doing):
            response = await self._passage.sent(
                lambda: self._core.read_namespaced_pod_log(
                    name, self.namespace, container=container, _preload_content=False,
                    _request_timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=CALL_SECONDS),
                )
            )  # fmt: skip
            if response.status >= 300:
                async with response:
                    raise await _refusal(response, doing=doing)
            return response

    async def attach(self, name: str, *, container: str) -> aiohttp.ClientWebSocketResponse:
        """A stream to the container's stdin and from its stdout. A `Gone` is not sure: ask for the pod."""
        with as_trouble(f"to attach to {name}"):
            try:
                return await self._passage.streamed(lambda: self._stream(name, container=container))
            except aiohttp.WSServerHandshakeError as error:
                raise handshake(error.status, name) from None

    async def _stream(self, name: str, *, container: str) -> aiohttp.ClientWebSocketResponse:
        async with asyncio.timeout(ATTACH_SECONDS):
            opening = await cast("Any", client.CoreV1Api)(self._passage.streams).connect_get_namespaced_pod_attach(
                name, self.namespace, container=container, stdin=True, stdout=True, stderr=False, tty=False,
                _preload_content=False,
            )  # fmt: skip
            return cast("aiohttp.ClientWebSocketResponse", await opening)

    # --- credentials ---

    async def create_secret(self, body: Json) -> bool:
        """A new Secret; False when its name is taken. It is never read back."""
        made = await self._made(
            lambda: self._core.create_namespaced_secret(self.namespace, body, _preload_content=False),
            "Secret",
            doing=f"to keep the Secret {body['metadata']['name']}",
        )
        return made is not None

    async def lease(self, name: str) -> Json | None:
        """The Lease of this name."""
        api = cast("Any", client.CoordinationV1Api)
        try:
            return await self._answer(
                lambda: api(self._passage.calls).read_namespaced_lease(name, self.namespace, _preload_content=False),
                "Lease",
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
        api = cast("Any", client.AuthorizationV1Api)
        doing = "to ask what the bot may do"
        answer = await self._answer(
            lambda: api(self._passage.calls).create_self_subject_access_review(body, _preload_content=False),
            doing=doing,
        )
        if answer.get("kind") != "SelfSubjectAccessReview":
            raise not_kubernetes(doing)
        return bool((answer.get("status") or {}).get("allowed"))

    async def version(self) -> str:
        """The server's version."""
        api = cast("Any", client.VersionApi)
        doing = "to greet the cluster"
        answer = await self._answer(lambda: api(self._passage.calls).get_code(_preload_content=False), doing=doing)
        if "gitVersion" not in answer:
            raise not_kubernetes(doing)
        return str(answer["gitVersion"])

    async def runtime_class(self, name: str) -> Json | None:
        """The runtime class of this name."""
        api = cast("Any", client.NodeV1Api)
        try:
            return await self._answer(
                lambda: api(self._passage.calls).read_runtime_class(name, _preload_content=False),
                "RuntimeClass",
                doing=f"to look at the runtime class {name}",
            )
        except Gone:
            return None

    async def try_create(self, body: Json) -> None:
        """What the cluster would say to this pod; nothing is made."""
        await self._answer(
            lambda: self._core.create_namespaced_pod(self.namespace, body, dry_run="All", _preload_content=False),
            "Pod",
            doing="to try a pod",
        )

    def _lister(self, what: str) -> Any:
        return {"pods": self._core.list_namespaced_pod, "events": self._core.list_namespaced_event}[what]

    async def _answer(self, send: Callable[[], Awaitable[Any]], *kinds: str, doing: str, expires: bool = False) -> Json:
        with as_trouble(doing):
            async with await self._passage.sent(send) as response, asyncio.timeout(CALL_SECONDS):
                if response.status >= 300:
                    raise await _refusal(response, doing=doing, expires=expires)
                answer = await response.read()
        return _object(answer, *kinds, doing=doing)


def _object(answer: bytes, *kinds: str, doing: str) -> Json:
    """The object of one of these kinds that was answered. Something else comes from somebody in between."""
    try:
        parsed = json.loads(answer)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise not_kubernetes(doing)
    if kinds and not (parsed.get("kind") in kinds and isinstance(parsed.get("metadata"), dict)):
        raise not_kubernetes(doing)
    return parsed


async def _refusal(response: aiohttp.ClientResponse, *, doing: str, expires: bool = False) -> Exception:
    """What this answer means. Where versions can expire, that it has is the server's to say."""
    async with asyncio.timeout(CALL_SECONDS):
        body = await response.read()
    if expires and response.status == 410 and forgotten(body):
        return Expired()
    return trouble(response.status, body, doing=doing, retry_after=response.headers.get("Retry-After", ""))
