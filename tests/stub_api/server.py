"""A stub of the Messages API on loopback: it speaks HTTP and SSE; what is said comes from `script`.

It knows no agent CLI. Every request is kept, so that a test can ask what the model was shown and when.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Self

from aiohttp import web

from tests.stub_api.script import Play, next_play

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One call of `/v1/messages`."""

    at: float
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def for_agent(self) -> bool:
        """Whether this is the agent's own conversation and no side request."""
        return bool(self.body.get("tools"))

    def blocks(self, kind: str) -> Iterator[dict[str, Any]]:
        """Every content block of this kind, in every message, also inside tool results."""
        for message in self.body.get("messages", []):
            content = message.get("content", "")
            yield from _blocks([{"type": "text", "text": content}] if isinstance(content, str) else content, kind)

    def text(self) -> str:
        """All text that the model was shown, without the system prompt."""
        return "\n".join(block["text"] for block in self.blocks("text"))

    def system(self) -> str:
        """The system prompt."""
        system = self.body.get("system", "")
        return system if isinstance(system, str) else "\n".join(block.get("text", "") for block in system)


class StubApi:
    """The server: `async with StubApi() as api: …` with `api.url` for `ANTHROPIC_BASE_URL`."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.url = ""
        self._port = port
        self._runner: web.AppRunner | None = None
        self._came = asyncio.Event()
        self._errors: Counter[str] = Counter()
        self._ids = count(1)
        self._seed = f"{time.time_ns():x}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/messages/count_tokens", self._count_tokens)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def seen(self, wanted: Callable[[Request], bool], *, within: float = 15.0) -> Request:
        """The first request of the agent that is wanted, now or as soon as it comes."""
        async with asyncio.timeout(within):
            while True:
                self._came.clear()
                for request in self.requests:
                    if request.for_agent and wanted(request):
                        return request
                await self._came.wait()

    async def _count_tokens(self, request: web.Request) -> web.Response:
        return web.json_response({"input_tokens": len(await request.text()) // 4})

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.text())
        self.requests.append(Request(time.time(), {k.lower(): v for k, v in request.headers.items()}, body))
        self._came.set()
        play = next_play(body)
        if play.error and (play.errors < 0 or self._errors[play.opening] < play.errors):
            self._errors[play.opening] += 1
            return web.json_response(_error(play.error), status=play.error, headers={"request-id": self._id("req")})
        if not body.get("stream"):
            return web.json_response(self._whole(body, play))
        async with _events(request) as send:
            async for event in self._stream(body, play):
                await send(event)
        return send.response

    def _id(self, kind: str) -> str:
        return f"{kind}_{self._seed}{next(self._ids):04x}"

    def _head(self, body: dict[str, Any], play: Play) -> dict[str, Any]:
        return {
            "id": self._id("msg"),
            "type": "message",
            "role": "assistant",
            "model": body.get("model", "stub"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": play.tokens[0], "output_tokens": 1},
        }

    def _contents(self, play: Play) -> Iterator[dict[str, Any]]:
        if play.thinking:
            yield {"type": "thinking", "thinking": play.thinking, "signature": "c3R1Yg=="}
        if play.pieces:
            yield {"type": "text", "text": "".join(play.pieces)}
        if play.tool:
            yield {"type": "tool_use", "id": self._id("toolu"), "name": play.tool[0], "input": play.tool[1]}

    def _whole(self, body: dict[str, Any], play: Play) -> dict[str, Any]:
        message = self._head(body, play) | {"content": list(self._contents(play)), "stop_reason": _stop_reason(play)}
        message["usage"]["output_tokens"] = play.tokens[1]
        return message

    async def _stream(self, body: dict[str, Any], play: Play) -> AsyncIterator[dict[str, Any]]:
        yield {"type": "message_start", "message": self._head(body, play)}
        for index, block in enumerate(self._contents(play)):
            yield {"type": "content_block_start", "index": index, "content_block": _opened(block)}
            for delta in _deltas(block, play):
                yield {"type": "content_block_delta", "index": index, "delta": delta}
                if block["type"] == "text" and play.pause:
                    await asyncio.sleep(play.pause)
            if play.midstream:
                yield {"type": "error", "error": {"type": play.midstream, "message": "scripted"}}
                return
            yield {"type": "content_block_stop", "index": index}
        usage = {"output_tokens": play.tokens[1]}
        yield {"type": "message_delta", "delta": {"stop_reason": _stop_reason(play)}, "usage": usage}
        yield {"type": "message_stop"}


@dataclass(slots=True)
class _Events:
    response: web.StreamResponse = field(
        default_factory=lambda: web.StreamResponse(headers={"content-type": "text/event-stream"})
    )

    async def __call__(self, event: dict[str, Any]) -> None:
        await self.response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())


@asynccontextmanager
async def _events(request: web.Request) -> AsyncIterator[_Events]:
    send = _Events()
    await send.response.prepare(request)
    try:
        yield send
    except ConnectionError:
        return  # the CLI was interrupted or killed: that is what the test does
    await send.response.write_eof()


def _blocks(blocks: list[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    for block in blocks:
        if block.get("type") == kind:
            yield block
        if isinstance(block.get("content"), list):
            yield from _blocks(block["content"], kind)


def _error(status: int) -> dict[str, Any]:
    return {"type": "error", "error": {"type": ERROR_TYPES.get(status, "api_error"), "message": f"scripted {status}"}}


def _stop_reason(play: Play) -> str:
    return "tool_use" if play.tool else "end_turn"


def _opened(block: dict[str, Any]) -> dict[str, Any]:
    match block["type"]:
        case "text":
            return block | {"text": ""}
        case "thinking":
            return block | {"thinking": "", "signature": ""}
        case _:
            return block | {"input": {}}


def _deltas(block: dict[str, Any], play: Play) -> Iterator[dict[str, Any]]:
    match block["type"]:
        case "text":
            for piece in play.pieces:
                yield {"type": "text_delta", "text": piece}
        case "thinking":
            yield {"type": "thinking_delta", "thinking": block["thinking"]}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case _:
            yield {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
