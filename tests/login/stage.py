"""A claim, a home, a cluster, and a token endpoint that punishes whoever spends a refresh token twice."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from tests.kubeapi import KubeApi
from tests.kubeapi.sorts import LEASES

SCRIPT = Path(__file__).parents[2] / "k8s" / "storage" / "login"
STORAGE = SCRIPT.parent
HOUR = 3600

RENEWS = """
import json, os, pathlib, sys, urllib.error, urllib.request
assert "ANTHROPIC_API_KEY" not in os.environ
path = pathlib.Path(os.environ["CLAUDE_CONFIG_DIR"], ".credentials.json")
oauth = json.loads(path.read_text())["claudeAiOauth"]
assert oauth["expiresAt"] == 1
body = json.dumps({"grant_type": "refresh_token", "refresh_token": oauth["refreshToken"]}).encode()
request = urllib.request.Request(os.environ["TOKENS"], body, {"Content-Type": "application/json"})
try:
    with urllib.request.urlopen(request, timeout=60) as answer:
        given = json.load(answer)
except urllib.error.HTTPError as error:
    sys.exit(error.read().decode())
oauth.update(accessToken=given["access_token"], refreshToken=given["refresh_token"], expiresAt=given["expires_at"])
path.write_text(json.dumps({"claudeAiOauth": oauth}))
print("ok")
"""
"""A CLI as far as a login goes: it refreshes what has expired, and writes the new pair where it found the old one."""


class Tokens:
    """The vendor's end: one family of tokens, in which each refresh token is good once."""

    def __init__(self) -> None:
        self.spent: list[str] = []
        self.good = "refresh-0"
        self.access = "access-0"
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.url = ""
        self._numbers = count(1)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/oauth/token", self._token)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1/oauth/token"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.may_answer.set()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def twice(self) -> list[str]:
        """Refresh tokens that were spent more than once."""
        return sorted({token for token in self.spent if self.spent.count(token) > 1})

    async def _token(self, request: web.Request) -> web.Response:
        token = (await request.json())["refresh_token"]
        self.spent.append(token)
        self.asked.set()
        if token != self.good:
            self.good = self.access = ""  # it was stolen, for all that can be known: nobody has a login any more
            return web.json_response({"error": "invalid_grant"}, status=400)
        number = next(self._numbers)
        self.good, self.access = f"refresh-{number}", f"access-{number}-of-the-vendor"
        answer = self.answer(8 * HOUR)
        await self.may_answer.wait()
        return web.json_response(answer)

    def answer(self, seconds: float) -> dict[str, Any]:
        """What is answered: in seconds as the vendor has it, and as a moment for the small CLI of these tests."""
        return {
            "access_token": self.access, "refresh_token": self.good, "expires_in": int(seconds),
            "expires_at": int((time.time() + seconds) * 1000), "scope": "user:inference", "token_type": "Bearer",
            "refresh_token_expires_in": 30 * 24 * HOUR,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


class House:
    """A claim, a home and a CLI, with the pods' account on a cluster."""

    def __init__(self, folder: Path, api: KubeApi) -> None:
        self.shared, self.home, self.seen = folder / "shared", folder / "home", folder / "seen"
        self.claude = folder / "claude"
        self.api = api
        self.env: dict[str, str] = {}
        self._account = folder / "account"
        for made in (self.shared, self.home, self._account):
            made.mkdir()
        (self._account / "token").write_text(api.token, "utf-8")
        (self._account / "namespace").write_text(f"{api.namespace}\n", "utf-8")
        api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "agent-login"}, "type": "Opaque"})

    def cli(self, body: str) -> None:
        """The CLI is this Python text from now on."""
        expires = str(int((time.time() + 8 * HOUR) * 1000))
        self.claude.write_text(f"#!{sys.executable}\n{body.replace('EXPIRES', expires)}", encoding="utf-8")
        self.claude.chmod(0o755)

    async def start(self, command: str, *more: str) -> asyncio.subprocess.Process:
        """Begin a command, as a pod does."""
        return await asyncio.create_subprocess_exec(
            sys.executable, "-I", str(SCRIPT), command, "--shared", str(self.shared), "--home", str(self.home),
            "--seen", str(self.seen), "--claude", str(self.claude), "--api", self.api.url,
            "--account", str(self._account), *more,
            env={"PATH": os.environ["PATH"], "ANTHROPIC_API_KEY": "no", **self.env},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def run(self, command: str, *more: str) -> Done:
        """Do a command to its end."""
        if command == "check":
            self.mount()
        process = await self.start(command, *more)
        async with asyncio.timeout(90):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())

    def oauth(self) -> dict[str, Any]:
        """Claude's login on the claim."""
        return _oauth((self.shared / ".claude" / ".credentials.json").read_bytes())

    def published(self) -> dict[str, bytes]:
        """What agents see, by the Secret's keys."""
        found = self.api.node.find(self.api.namespace)("Secret", "agent-login")
        assert found is not None
        return {key: base64.b64decode(text) for key, text in (found.get("data") or {}).items()}

    def agents_oauth(self) -> dict[str, Any]:
        """Claude's login as agents see it."""
        return _oauth(self.published()["claude-credentials.json"])

    def mount(self) -> None:
        """What a kubelet does with the Secret."""
        self.seen.mkdir(exist_ok=True)
        for key, text in self.published().items():
            (self.seen / key).write_bytes(text)

    def lease(self) -> Mapping[str, Any]:
        """The Lease, as everybody sees it."""
        return self.api.stock.get(LEASES, self.api.namespace, "agent-login").object

    def told(self, name: str) -> str:
        """What the Lease tells under this name."""
        return str(self.lease()["metadata"].get("annotations", {}).get(f"army/{name}", ""))


def _oauth(text: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    return dict(value["claudeAiOauth"])


def login(hours: float, *, token: str = "refresh-0", access: str = "access-0") -> dict[str, Any]:
    """A login as Claude Code keeps it."""
    return {
        "claudeAiOauth": {
            "accessToken": access,
            "refreshToken": token,
            "refreshTokenExpiresAt": int((time.time() + 17 * 24 * HOUR) * 1000),
            "expiresAt": int((time.time() + hours * HOUR) * 1000),
            "scopes": ["user:inference"],
            "subscriptionType": "max",
        }
    }


def put(path: Path, value: Any) -> None:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
