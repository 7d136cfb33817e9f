"""What is seen while it happens: the stream of one open page, and what was said before it.

It knows connections and nothing of what the events say: `viewer.py` makes them.
"""

from __future__ import annotations

from contextlib import aclosing

import structlog
from aiohttp import web

from adapters.web.bodies import give
from adapters.web.guard import HEADERS, Guard, refuse
from adapters.web.talk import Talk
from adapters.web.viewer import Viewer
from orchestrator.errors import Trouble

log = structlog.get_logger(__name__)

MOST_VIEWERS = 100


class Events:
    """The streams that are open, and how many."""

    def __init__(self, talk: Talk, guard: Guard) -> None:
        self._talk = talk
        self._guard = guard
        self._viewers = 0

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """One page's stream of events, for as long as somebody reads it."""
        place = request.query.get("conversation", "")
        if await self._talk.threads.title(place) is None:
            return refuse(404, "There is no such conversation.")
        if self._viewers >= MOST_VIEWERS:
            return refuse(503, f"{MOST_VIEWERS} pages are open already; close some.")
        last = request.headers.get("Last-Event-ID") or request.query.get("last", "")
        response = web.StreamResponse(
            headers=HEADERS | {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        self._viewers += 1
        try:
            await self._stream(request, response, Viewer(place), last)
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()  # who does not read will not read a polite goodbye either
        except Trouble as trouble:
            log.warning("page cut off", place=place, error=str(trouble))
        finally:
            self._viewers -= 1
        return response

    async def earlier(self, request: web.Request) -> web.Response:
        """The messages before one that the page shows."""
        place, before = request.query.get("conversation", ""), request.query.get("before", "")
        if await self._talk.threads.title(place) is None:
            return refuse(404, "There is no such conversation.")
        return web.json_response(await self._talk.streams.earlier(place, before))

    async def _stream(self, request: web.Request, response: web.StreamResponse, viewer: Viewer, last: str) -> None:
        async def allowed() -> bool:
            return await self._guard.knows(request)

        def gone() -> bool:
            return request.transport is None or request.transport.is_closing()

        with self._talk.viewing(viewer):
            async with aclosing(self._talk.streams.events(viewer, last, allowed=allowed, gone=gone)) as events:
                async for event in events:
                    await give(response, event)
