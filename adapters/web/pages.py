"""The shell of the page: the login, and the files that come with the package, as they are.

It knows no conversation: what stands in the shell comes by the events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from adapters.web.bodies import body_of
from adapters.web.guard import Guard, refuse
from adapters.web.markdown import plain

_TYPES = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "html": "text/html",
}


class Pages:
    """The shell's own addresses."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._assets = _read_assets()

    async def page(self, request: web.Request) -> web.Response:
        """The page; empty, until its script has been told what to show."""
        return self._asset_named(request, "page.html")

    async def login_page(self, request: web.Request) -> web.StreamResponse:
        """The login, for who has not logged in."""
        if await self._guard.knows(request):
            return web.Response(status=303, headers={"Location": "/"})
        return self._asset_named(request, "login.html")

    async def asset(self, request: web.Request) -> web.Response:
        """A file of the shell, by its name."""
        name = request.match_info["name"]
        return refuse(404, "There is no such file.") if name.endswith(".html") else self._asset_named(request, name)

    async def login(self, request: web.Request) -> web.StreamResponse:
        """Begin a session, or show the login again and say why."""
        form = parse_qs((await body_of(request, 10_000)).decode("utf-8", "replace"))
        try:
            response = await self._guard.log_in(request, form.get("token", [""])[0])
        except web.HTTPTooManyRequests as error:
            return self._login_again(429, error.text or "")
        return response or self._login_again(401, "This is not the token that WEB_TOKEN holds.")

    def _asset_named(self, request: web.Request, name: str) -> web.Response:
        if name not in self._assets:
            return refuse(404, "There is no such file.")
        content, tag = self._assets[name]
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        kind = _TYPES[name.rpartition(".")[2]]
        return web.Response(body=content, headers=headers, content_type=kind, charset="utf-8")

    def _login_again(self, status: int, words: str) -> web.Response:
        page = self._assets["login.html"][0].decode().replace("<!--words-->", plain(words))
        return web.Response(text=page, status=status, content_type="text/html")


def _read_assets() -> dict[str, tuple[bytes, str]]:
    folder = resources.files("adapters.web") / "assets"
    found: Iterable[Any] = (item for item in folder.iterdir() if item.name.rpartition(".")[2] in _TYPES)
    contents = {item.name: item.read_bytes() for item in found}
    return {name: (content, f'"{hashlib.sha256(content).hexdigest()[:20]}"') for name, content in contents.items()}
