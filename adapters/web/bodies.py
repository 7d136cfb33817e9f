"""What is read from requests and written to responses, piece by piece: bounded, and never waited for without end.

It knows no address and nothing of what a body is about; what is wrong with one is raised as the answer that it gets.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from agent.wire import PIECE

WRITE_SECONDS = 20.0
READ_SECONDS = 60.0
_BODY = 2 << 20


async def body_of(request: web.Request, limit: int) -> bytes:
    """The whole body; longer than `limit` bytes it is refused."""
    parts, size = [], 0
    while part := await part_of(request):
        size += len(part)
        if size > limit:
            raise web.HTTPRequestEntityTooLarge(limit, size, text="This is too long to be sent.")
        parts.append(part)
    return b"".join(parts)


async def part_of(request: web.Request) -> bytes:
    """The next piece of a body; empty at its end."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await request.content.read(PIECE)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="The connection was silent for too long.") from None


async def object_of(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object."""
    try:
        body = json.loads(await body_of(request, _BODY))
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest(text="This is not JSON.") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="This is not a JSON object.")
    return body


async def give(response: web.StreamResponse, part: bytes) -> None:
    """Write this, to somebody who reads. Raises `TimeoutError`."""
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(part)
