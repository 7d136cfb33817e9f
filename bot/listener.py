"""The HTTP listener: health, readiness and metrics, and whatever an adapter adds. It knows none of them."""

from __future__ import annotations

import errno
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from bot.settings import Bind
from orchestrator.errors import Refused

CLOSE_SECONDS = 3.0
"""How long open connections (a page's stream) may take to end when the bot does."""

MOST_BYTES = 40 << 20
"""The largest request: a file of 32 MiB with what is around it."""


def application(*, ready: Callable[[], bool], metrics: Callable[[], bytes], token: str = "") -> web.Application:
    """The listener's own routes. `/healthz`: the process answers; `/readyz`: it hears people.

    With a token, `/metrics` wants it as a bearer token: what runs here and what it costs is not for everybody.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ready\n") if ready() else web.Response(status=503, text="starting\n")

    async def show_metrics(request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and not hmac.compare_digest(given.encode(), token.encode()):
            return web.Response(status=401, text="This needs the bearer token that WEB_TOKEN holds.\n")
        return web.Response(body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application(client_max_size=MOST_BYTES)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", show_metrics)
    return app


@asynccontextmanager
async def listening(app: web.Application, bind: Bind) -> AsyncIterator[int]:
    """Listen for as long as the block lasts; gives the port (of use where 0 was asked for). Raises `Refused`."""
    runner = web.AppRunner(app, shutdown_timeout=CLOSE_SECONDS, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, bind.host, bind.port)
        try:
            await site.start()
        except OSError as error:
            raise Refused(why_not(bind, error)) from None
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def why_not(bind: Bind, error: OSError) -> str:
    """Why this address cannot be listened on, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return (
            f"The port {bind.port} on {bind.host} is in use by another program, perhaps another bot. "
            f"Stop that one, or set HTTP_BIND to another port, for example {bind.host}:{bind.port % 65535 + 1}."
        )
    return f"HTTP_BIND {bind}: this address cannot be listened on ({error.strerror})."
