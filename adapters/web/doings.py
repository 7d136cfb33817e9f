"""What a person does on the page: words and files that are sent, buttons that are pressed.

It checks what came and answers with what became of it. It knows the conversation's name and nothing of what is in it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from typing import Any

from aiohttp import web

from adapters.web.bodies import READ_SECONDS, object_of
from adapters.web.files import Files
from adapters.web.guard import refuse
from adapters.web.render import clean_token
from adapters.web.talk import Talk
from orchestrator.commands import MAX_TEXT
from orchestrator.errors import Gone, Refused, Trouble

_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class Doings:
    """What the page's scripts ask for on a person's behalf."""

    def __init__(self, talk: Talk, files: Files) -> None:
        self._talk = talk
        self._files = files

    async def send(self, request: web.Request) -> web.Response:
        """A message of the person's; the same id again is the same message."""
        body = await object_of(request)
        id_, place = _id(body), await self._place(body)
        again = body.get("again") is True
        text, files = ("", ()) if again else (_words(body), await self._files.known(body.get("files", [])))
        if not again and not text.strip() and not files:
            return refuse(400, "There is nothing to send.")
        quoted = body.get("quoted") is True
        return await _told(self._talk.say(place, id_, text, files, quoted=quoted, again=again))

    async def press(self, request: web.Request) -> web.Response:
        """A button of a message was pressed."""
        body = await object_of(request)
        id_, place = _id(body), await self._place(body)
        token, message = body.get("token"), body.get("message")
        if not isinstance(token, str) or not 0 < len(token) <= 60 or clean_token(token) != token:
            return refuse(400, "This button is not one of ours.")
        if not isinstance(message, str):
            return refuse(400, "The message that the button stands on is missing.")
        return await _told(self._talk.press(place, id_, token, on=message))

    async def _place(self, body: dict[str, Any]) -> str:
        place = body.get("conversation")
        if not isinstance(place, str) or await self._talk.threads.title(place) is None:
            raise web.HTTPNotFound(text="There is no such conversation.")
        return place


async def _told(work: Awaitable[None]) -> web.Response:
    """What came of it, as a status: 200 stored, 403 refused, 503 nothing was stored and it may be sent again."""
    try:
        async with asyncio.timeout(READ_SECONDS):
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


def _id(body: dict[str, Any]) -> str:
    id_ = body.get("id")
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise web.HTTPBadRequest(text="The message needs an id of 8 to 64 letters, digits, - or _.")
    return id_


def _words(body: dict[str, Any]) -> str:
    text = body.get("text", "")
    if not isinstance(text, str):
        raise web.HTTPBadRequest(text="The text is not a text.")
    if len(text) > MAX_TEXT:
        words = f"The text has {len(text):,} characters; {MAX_TEXT:,} are the most. Send it as a file."
        raise web.HTTPRequestEntityTooLarge(MAX_TEXT, len(text), text=words)
    return text
