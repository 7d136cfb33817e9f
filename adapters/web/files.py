"""What travels as a file, up and down: attachments, what agents hand over, and texts too long to be shown.

It knows artifacts and posts; who may have them was asked before, and what is done with an upload is said elsewhere.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from urllib.parse import quote

from aiohttp import web

from adapters.web.bodies import give, part_of
from adapters.web.guard import HEADERS, refuse
from adapters.web.talk import Talk
from agent.wire import MAX_FILE
from orchestrator.errors import Gone, Trouble
from orchestrator.nouns import ArtifactId, File
from orchestrator.ports import Artifacts
from orchestrator.words import clean

MOST_FILES = 20

_HEX = re.compile(r"[0-9a-f]{64}")
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


class Files:
    """What is fetched, what is brought, and what a message may name of it."""

    def __init__(self, talk: Talk, artifacts: Artifacts) -> None:
        self._talk = talk
        self._artifacts = artifacts

    async def text(self, request: web.Request) -> web.StreamResponse:
        """The whole text of a message."""
        try:
            message = (await self._talk.posts.get(request.match_info["place"], request.match_info["id"])).kept.message
        except Gone as gone:
            return refuse(404, str(gone))
        text = "\n".join(part for part in (message.status, message.text, "\n".join(message.log)) if part)
        headers = _attachment("message.md") | {"Content-Type": "text/plain; charset=utf-8"}
        return web.Response(body=clean(text).encode(), headers=headers)

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A file; shown in place where it is a picture and that is wanted."""
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
                await give(response, first)
                async for part in parts:
                    await give(response, part)
        except Gone as gone:
            return refuse(404, str(gone))
        return response

    async def upload(self, request: web.Request) -> web.Response:
        """Keep what comes; a message may name it then."""
        name = clean(request.query.get("name", "")).replace("/", "_").replace("\\", "_").replace("\n", " ")[:200]
        if request.content_length is not None and request.content_length > MAX_FILE:
            return refuse(413, f"{name or 'The file'} is larger than {MAX_FILE >> 20} MiB, the most that travels.")
        upload, size = f"web-{secrets.token_hex(16)}", 0
        try:
            while data := await part_of(request):
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

    async def known(self, files: object) -> tuple[File, ...]:
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
