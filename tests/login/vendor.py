"""The vendor's hosts as the real CLI reaches them: a proxy of ours, behind which a server of ours has their names.

It speaks the token endpoint of `Tokens`, and as much of the Messages API as one short answer takes.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest
from aiohttp import web

from tests.login.stage import Tokens

HOSTS = ("platform.claude.com", "api.anthropic.com", "claude.ai", "console.anthropic.com")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the hosts' certificate")


class Vendor(Tokens):
    """`env` leads a CLI here. `heard` counts what was asked, by path and status."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.heard: Counter[tuple[str, int]] = Counter()
        self._folder = folder
        self._port = 0
        self._proxy: asyncio.Server | None = None
        self._site: web.AppRunner | None = None

    @property
    def env(self) -> dict[str, str]:
        """By these variables its names are ours."""
        return {
            "HTTPS_PROXY": f"http://127.0.0.1:{self._port}",
            "NODE_EXTRA_CA_CERTS": str(self._folder / "ca.pem"),
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "2",
        }

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._folder.mkdir(exist_ok=True)
        await asyncio.to_thread(_certificate, self._folder)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._folder / "ca.pem", self._folder / "ca.key")
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/oauth/token", self._counted_token)
        app.router.add_post("/v1/messages", self._messages)
        self._site = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._site.setup()
        await web.TCPSite(self._site, "127.0.0.1", 0, ssl_context=context).start()
        self._proxy = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self._port = self._proxy.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._proxy is not None:
            self._proxy.close()
        if self._site is not None:
            await self._site.cleanup()
        await super().__aexit__()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._site is not None
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            host = head.split()[1].partition(b":")[0].decode()
            if host not in HOSTS:
                writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                return
            inside, outside = await asyncio.open_connection("127.0.0.1", self._site.addresses[0][1])
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(_pump(reader, outside), _pump(inside, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # the CLI has gone
        finally:
            writer.close()

    async def _counted_token(self, request: web.Request) -> web.Response:
        answer = await self._token(request)
        self.heard["token", answer.status] += 1
        return answer

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.text())
        if request.headers.get("Authorization") != f"Bearer {self.access}":
            self.heard["messages", 401] += 1
            error = {"type": "authentication_error", "message": "OAuth token has expired."}
            return web.json_response({"type": "error", "error": error}, status=401)
        self.heard["messages", 200] += 1
        usage = {"input_tokens": 1, "output_tokens": 1}
        whole: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"],
                                 "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}  # fmt: skip
        text = f"asked with {self.access}"
        if not body.get("stream"):
            content = [{"type": "text", "text": text}]
            return web.json_response({**whole, "content": content, "stop_reason": "end_turn"})
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in (
            {"type": "message_start", "message": whole},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ):
            await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        return response


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


def _certificate(folder: Path) -> None:
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "ca.key", "-out",
         folder / "ca.pem", "-days", "2", "-subj", "/CN=a test", "-addext", f"subjectAltName={names}"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
