"""The page's addresses. Each one checks what came, asks the chat or the artifacts, and answers in a sentence."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable
from contextlib import aclosing
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, quote

import structlog
from aiohttp import web

from adapters.web.guard import HEADERS, Guard, refuse
from adapters.web.markdown import plain
from adapters.web.render import clean_token
from adapters.web.talk import Talk
from adapters.web.viewer import Viewer
from agent.wire import MAX_FILE, PIECE
from orchestrator.errors import Gone, Refused, Trouble
from orchestrator.nouns import ArtifactId, File
from orchestrator.ports import Artifacts
from orchestrator.words import clean

log = structlog.get_logger(__name__)

LONGEST_TEXT = 200_000
MOST_FILES = 20
MOST_VIEWERS = 100
WRITE_SECONDS = 20.0
_BODY = 2 << 20
_READ_SECONDS = 60.0

_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_HEX = re.compile(r"[0-9a-f]{64}")
_TYPES = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "html": "text/html",
}
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


class Routes:
    """What the listener answers."""

    def __init__(self, talk: Talk, guard: Guard, artifacts: Artifacts) -> None:
        self._talk = talk
        self._guard = guard
        self._artifacts = artifacts
        self._assets = _read_assets()
        self._viewers = 0

    def add_to(self, app: web.Application) -> None:
        """Mount everything at the root."""
        wrap = self._guard.wrap
        app.add_routes(
            [
                web.get("/", wrap(self._page)),
                web.get("/login", wrap(self._login_page, open_to_all=True)),
                web.post("/login", wrap(self._login, open_to_all=True, script=False)),
                web.post("/logout", wrap(self._guard.log_out, script=False)),
                web.get("/static/{name:page[.]css|login[.]css|icon[.]svg}", wrap(self._asset, open_to_all=True)),
                web.get("/static/{name}", wrap(self._asset)),
                web.get("/events", wrap(self._events), allow_head=False),
                web.get("/api/earlier", wrap(self._earlier)),
                web.post("/api/send", wrap(self._send)),
                web.post("/api/press", wrap(self._press)),
                web.post("/api/upload", wrap(self._upload)),
                web.get("/files/{artifact}/{name}", wrap(self._file)),
                web.get("/text/{place}/{id}", wrap(self._text)),
            ]
        )

        async def close(_app: web.Application) -> None:
            self._talk.close()

        app.on_shutdown.append(close)

    # --- the page itself ----------------------------------------------------------------------------------------

    async def _page(self, request: web.Request) -> web.Response:
        return self._asset_named(request, "page.html")

    async def _login_page(self, request: web.Request) -> web.StreamResponse:
        if await self._guard.knows(request):
            return web.Response(status=303, headers={"Location": "/"})
        return self._asset_named(request, "login.html")

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return refuse(404, "There is no such file.") if name.endswith(".html") else self._asset_named(request, name)

    def _asset_named(self, request: web.Request, name: str) -> web.Response:
        if name not in self._assets:
            return refuse(404, "There is no such file.")
        content, tag = self._assets[name]
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        kind = _TYPES[name.rpartition(".")[2]]
        return web.Response(body=content, headers=headers, content_type=kind, charset="utf-8")

    async def _login(self, request: web.Request) -> web.StreamResponse:
        form = parse_qs((await _body(request, 10_000)).decode("utf-8", "replace"))
        try:
            response = await self._guard.log_in(request, form.get("token", [""])[0])
        except web.HTTPTooManyRequests as error:
            return self._login_again(429, error.text or "")
        return response or self._login_again(401, "This is not the token that WEB_TOKEN holds.")

    def _login_again(self, status: int, words: str) -> web.Response:
        page = self._assets["login.html"][0].decode().replace("<!--words-->", plain(words))
        return web.Response(text=page, status=status, content_type="text/html")

    # --- what is seen -------------------------------------------------------------------------------------------

    async def _events(self, request: web.Request) -> web.StreamResponse:
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

    async def _stream(self, request: web.Request, response: web.StreamResponse, viewer: Viewer, last: str) -> None:
        async def allowed() -> bool:
            return await self._guard.knows(request)

        def gone() -> bool:
            return request.transport is None or request.transport.is_closing()

        with self._talk.viewing(viewer):
            async with aclosing(self._talk.streams.events(viewer, last, allowed=allowed, gone=gone)) as events:
                async for event in events:
                    async with asyncio.timeout(WRITE_SECONDS):
                        await response.write(event)

    async def _earlier(self, request: web.Request) -> web.Response:
        place, before = request.query.get("conversation", ""), request.query.get("before", "")
        if await self._talk.threads.title(place) is None:
            return refuse(404, "There is no such conversation.")
        return web.json_response(await self._talk.streams.earlier(place, before))

    async def _text(self, request: web.Request) -> web.StreamResponse:
        try:
            message = (await self._talk.posts.get(request.match_info["place"], request.match_info["id"])).kept.message
        except Gone as gone:
            return refuse(404, str(gone))
        text = "\n".join(part for part in (message.status, message.text, "\n".join(message.log)) if part)
        headers = _attachment("message.md") | {"Content-Type": "text/plain; charset=utf-8"}
        return web.Response(body=clean(text).encode(), headers=headers)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        artifact, name = request.match_info["artifact"], request.match_info["name"]
        if not _HEX.fullmatch(artifact):
            return refuse(404, "There is no such file.")
        try:
            size = await self._artifacts.size(ArtifactId(artifact))
            async with aclosing(_whole(self._artifacts.read(ArtifactId(artifact)))) as parts:
                first = await anext(parts, b"")
                headers = HEADERS | _attachment(name)
                kind = _picture(first) if "view" in request.query else ""
                if kind:
                    headers |= {"Content-Disposition": "inline", "Content-Type": kind}
                response = web.StreamResponse(headers=headers)
                response.content_length = size
                await response.prepare(request)
                async with asyncio.timeout(WRITE_SECONDS):
                    await response.write(first)
                async for part in parts:
                    async with asyncio.timeout(WRITE_SECONDS):
                        await response.write(part)
        except Gone as gone:
            return refuse(404, str(gone))
        return response

    # --- what is done -------------------------------------------------------------------------------------------

    async def _send(self, request: web.Request) -> web.Response:
        body = await _object(request)
        id_, place = _id(body), await self._place(body)
        again = body.get("again") is True
        text, files = ("", ()) if again else (_words(body), await self._known(body.get("files", [])))
        if not again and not text.strip() and not files:
            return refuse(400, "There is nothing to send.")
        quoted = body.get("quoted") is True
        return await _told(self._talk.say(place, id_, text, files, quoted=quoted, again=again))

    async def _press(self, request: web.Request) -> web.Response:
        body = await _object(request)
        id_, place = _id(body), await self._place(body)
        token, message = body.get("token"), body.get("message")
        if not isinstance(token, str) or not 0 < len(token) <= 60 or clean_token(token) != token:
            return refuse(400, "This button is not one of ours.")
        if not isinstance(message, str):
            return refuse(400, "The message that the button stands on is missing.")
        return await _told(self._talk.press(place, id_, token, on=message))

    async def _upload(self, request: web.Request) -> web.Response:
        name = clean(request.query.get("name", "")).replace("/", "_").replace("\\", "_").replace("\n", " ")[:200]
        if request.content_length is not None and request.content_length > MAX_FILE:
            return refuse(413, f"{name or 'The file'} is larger than {MAX_FILE >> 20} MiB, the most that travels.")
        upload, size = f"web-{secrets.token_hex(16)}", 0
        try:
            while data := await _part(request):
                if size + len(data) > MAX_FILE:
                    return refuse(413, f"{name or 'The file'} is larger than {MAX_FILE >> 20} MiB.")
                await self._artifacts.piece(upload, size, data)
                size += len(data)
            if not size:
                return refuse(400, f"{name or 'The file'} is empty.")
            artifact = await self._artifacts.complete(upload)
        except Trouble as trouble:
            return refuse(507, str(trouble))
        return web.json_response({"artifact": artifact, "name": name or "file", "size": size})

    async def _place(self, body: dict[str, Any]) -> str:
        place = body.get("conversation")
        if not isinstance(place, str) or await self._talk.threads.title(place) is None:
            raise web.HTTPNotFound(text="There is no such conversation.")
        return place

    async def _known(self, files: object) -> tuple[File, ...]:
        """The files that were uploaded before; their size is what the artifacts say, whatever the page says."""
        if not isinstance(files, list) or len(files) > MOST_FILES:
            raise web.HTTPBadRequest(text=f"At most {MOST_FILES} files go with one message.")
        found = []
        for file in files:
            artifact, name = (file.get("artifact"), file.get("name")) if isinstance(file, dict) else (None, None)
            if not isinstance(artifact, str) or not _HEX.fullmatch(artifact) or not isinstance(name, str):
                raise web.HTTPBadRequest(text="One of the files was not uploaded.")
            try:
                size = await self._artifacts.size(ArtifactId(artifact))
            except Gone as gone:
                raise web.HTTPBadRequest(text=str(gone)) from gone
            found.append(File(ArtifactId(artifact), clean(name)[:200], size))
        return tuple(found)


# --- reading and answering ------------------------------------------------------------------------------------------


async def _told(work: Awaitable[None]) -> web.Response:
    """What came of it, as a status: 200 stored, 403 refused, 503 nothing was stored and it may be sent again."""
    try:
        async with asyncio.timeout(_READ_SECONDS):
            await work
    except Refused as refused:
        return refuse(403, str(refused))
    except Gone as gone:
        return refuse(404, str(gone))
    except TimeoutError:
        return refuse(503, "The bot did not store this in time. Send it again.")
    except Trouble as trouble:
        return refuse(503, str(trouble))
    return web.json_response({})


async def _body(request: web.Request, limit: int) -> bytes:
    parts, size = [], 0
    while part := await _part(request):
        size += len(part)
        if size > limit:
            raise web.HTTPRequestEntityTooLarge(limit, size, text="This is too long to be sent.")
        parts.append(part)
    return b"".join(parts)


async def _part(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(_READ_SECONDS):
            return await request.content.read(PIECE)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="The connection was silent for too long.") from None


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await _body(request, _BODY))
    except (ValueError, RecursionError):
        raise web.HTTPBadRequest(text="This is not JSON.") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="This is not a JSON object.")
    return body


def _id(body: dict[str, Any]) -> str:
    id_ = body.get("id")
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise web.HTTPBadRequest(text="The message needs an id of 8 to 64 letters, digits, - or _.")
    return id_


def _words(body: dict[str, Any]) -> str:
    text = body.get("text", "")
    if not isinstance(text, str):
        raise web.HTTPBadRequest(text="The text is not a text.")
    if len(text) > LONGEST_TEXT:
        words = f"The text has {len(text):,} characters; {LONGEST_TEXT:,} are the most. Send it as a file."
        raise web.HTTPRequestEntityTooLarge(LONGEST_TEXT, len(text), text=words)
    return text


async def _whole(parts: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The parts as a generator, which can be closed half-way: a port promises an iterator only."""
    async for part in parts:
        yield part


def _attachment(name: str) -> dict[str, str]:
    ascii_name = re.sub(r"[^A-Za-z0-9._ -]", "_", name)[:100] or "file"
    star = quote(clean(name).replace("\n", " ")[:200], safe="")
    return {
        "Content-Disposition": f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{star}",
        "Content-Type": "application/octet-stream",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, max-age=3600",
    }


def _picture(start: bytes) -> str:
    """The type of a picture that every browser shows and that can do nothing, told by its content; or nothing."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if start.startswith(magic)), "")


def _read_assets() -> dict[str, tuple[bytes, str]]:
    folder = resources.files("adapters.web") / "assets"
    found: Iterable[Any] = (item for item in folder.iterdir() if item.name.rpartition(".")[2] in _TYPES)
    contents = {item.name: item.read_bytes() for item in found}
    return {name: (content, f'"{hashlib.sha256(content).hexdigest()[:20]}"') for name, content in contents.items()}
