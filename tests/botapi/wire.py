"""The forms in which requests come in over HTTP and answers go out."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import BodyPartReader, web

from tests.botapi.ask import Upload
from tests.botapi.refusal import Refusal


async def fields(request: web.Request) -> tuple[dict[str, Any], dict[str, Upload]]:
    """What a request carries, in any of the forms that the platform takes."""
    found: dict[str, Any] = dict(request.query)
    uploads: dict[str, Upload] = {}
    if request.content_type == "application/json":
        found |= json.loads(await request.text() or "{}")
    elif request.content_type == "multipart/form-data":
        async for part in await request.multipart():  # read here: aiohttp's own way uses threads and files
            assert isinstance(part, BodyPartReader)
            content = bytes(await part.read())
            if part.filename is None:
                found[part.name or ""] = content.decode()
            else:
                mime = part.headers.get("Content-Type", "application/octet-stream")
                uploads[part.name or ""] = Upload(part.filename, content, mime)
    else:
        found |= dict(await request.post())
    return found, uploads


def good(result: object) -> web.Response:
    """Done."""
    return web.json_response({"ok": True, "result": result})


def no(refusal: Refusal) -> web.Response:
    """Not done."""
    wait = (refusal.parameters or {}).get("retry_after")
    return web.json_response(refusal.body(), status=refusal.code, headers={"Retry-After": str(wait)} if wait else {})
