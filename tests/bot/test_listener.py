"""The listener's own routes, over a real socket."""

from __future__ import annotations

import aiohttp
import pytest

from bot.listener import application, listening
from bot.settings import Bind
from orchestrator.errors import Refused

HERE = Bind("127.0.0.1", 0)


async def status(port: int, path: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}{path}", headers=headers) as answer:
        return answer.status


async def test_metrics_want_the_token_where_there_is_one() -> None:
    async with listening(application(ready=lambda: True, metrics=lambda: b"x 1\n", token="secret"), HERE) as port:
        assert await status(port, "/metrics") == 401
        assert await status(port, "/metrics", Authorization="Bearer wrong") == 401
        assert await status(port, "/metrics", Authorization="Bearer secret") == 200
        assert await status(port, "/healthz") == 200
    async with listening(application(ready=lambda: False, metrics=lambda: b"x 1\n"), HERE) as port:
        assert await status(port, "/metrics") == 200
        assert await status(port, "/readyz") == 503


async def test_a_port_in_use_is_named_with_another_one() -> None:
    app = application(ready=lambda: True, metrics=lambda: b"")
    async with listening(app, HERE) as port:
        with pytest.raises(Refused, match=rf"port {port} .* in use .* 127\.0\.0\.1:{port + 1}"):
            async with listening(application(ready=lambda: True, metrics=lambda: b""), Bind("127.0.0.1", port)):
                pass
