"""What the API server asks of a pod's kubelet: attaching to its container, and its logs.

It knows the node and the pods' lives. That whoever asks may, is settled before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from tests.kubeapi import refusal
from tests.kubeapi.ask import Target
from tests.kubeapi.life import Life
from tests.kubeapi.log import Log
from tests.kubeapi.node import Node
from tests.kubeapi.sorts import PODS
from tests.kubeapi.streams import PROTOCOL, Attachment, Streams, Wanted


class Kubelet:
    """The node's end of the connections that go through the server."""

    def __init__(self, node: Node, streams: Streams) -> None:
        self._node = node
        self._streams = streams
        self._following: set[asyncio.Transport] = set()

    def cut(self) -> None:
        """It is gone, and with it everything that came through it."""
        self._streams.cut()
        for transport in self._following:
            transport.abort()

    async def attach(self, request: web.Request, asked: Target) -> web.StreamResponse:
        """Serve a container's streams until either side ends. Raises `Refusal`."""
        life = await self._life(asked, request.query)
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
        attachment = Attachment(self._streams, container, pod=asked.name, wanted=wanted, once=once)
        return await attachment.serve(request)

    async def logs(self, request: web.Request, asked: Target) -> web.StreamResponse:
        """What a container printed and, where that is asked for, what it prints from now on. Raises `Refusal`."""
        life, query = await self._life(asked, request.query), request.query
        logs = life.logs[:-1] if query.get("previous", "").lower() == "true" else life.logs
        if not logs:
            name = life.spec["containers"][0]["name"]
            raise refusal.bad_request(
                f'container "{name}" in pod "{asked.name}" is waiting to start: ContainerCreating'
            )
        log = logs[-1]
        follow = query.get("follow", "").lower() == "true"
        piece = log.end.piece
        text = _text(log, query, whole=follow)
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

    async def _life(self, asked: Target, query: Mapping[str, str]) -> Life:
        pod = self._node.stock.get(PODS, asked.namespace, asked.name).object
        names = [container["name"] for container in pod["spec"]["containers"]]
        wanted = query.get("container", names[0])
        if wanted not in names:
            raise refusal.bad_request(f"container {wanted} is not valid for pod {asked.name}")
        if not pod["spec"].get("nodeName"):
            raise refusal.bad_request(f"pod {asked.name} does not have a host assigned")
        if self._node.dead:
            await asyncio.sleep(self._node.dial_seconds)
            why = "i/o timeout" if self._node.dial_seconds else "connect: connection refused"
            raise refusal.internal(f"error dialing backend: dial tcp 10.0.0.11:10250: {why}")
        if self._node.dazed:
            raise refusal.not_found("pods", asked.name)
        life = self._node.life(asked.name, asked.namespace)
        assert life is not None
        return life


def _text(log: Log, query: Mapping[str, str], *, whole: bool) -> bytes:
    """So much of the log as is asked for; `whole`: the end of a line that is not whole yet comes with what follows."""
    since = time.time() - int(query["sinceSeconds"]) if "sinceSeconds" in query else 0.0
    lines = list(log.lines(since=since))
    if whole:
        lines = [line for line in lines if line[1].endswith(b"\n")]
    if "tailLines" in query:
        lines = lines[max(0, len(lines) - int(query["tailLines"])) :]
    stamped = query.get("timestamps", "").lower() == "true"
    text = b"".join((_stamp(at) if stamped else b"") + line for at, line in lines)
    return text[: int(query["limitBytes"])] if "limitBytes" in query else text


def _stamp(at: float) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)).encode() + b".%09dZ " % (at % 1 * 1e9)
