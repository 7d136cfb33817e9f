"""Updates that Telegram brings by itself, to an address of ours, instead of being asked for them.

An update is answered with 200 once it is stored; anything else makes Telegram bring it again.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from dataclasses import dataclass

import structlog
from aiohttp import web

from adapters.telegram.hearing import Hearing
from adapters.telegram.inbox import Inbox, update_id
from adapters.telegram.line import Line
from adapters.telegram.reading import KINDS
from orchestrator.errors import Broken, Refused

log = structlog.get_logger()

PATH = "/webhooks/telegram"
SECRET = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
MOST_BYTES = 1 << 20
LOOK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """`base` is the address of this bot's listener as Telegram reaches it, without a path."""

    base: str
    secret: str

    def __post_init__(self) -> None:
        if not self.secret:
            raise Refused("A webhook needs a secret, or anybody could speak as Telegram.")


class Door:
    """Where Telegram knocks. It is shut while nobody hears."""

    def __init__(self, line: Line, hearing: Hearing, webhook: Webhook) -> None:
        self._line = line
        self._hearing = hearing
        self._webhook = webhook
        self.inbox: Inbox | None = None

    def add_routes(self, app: web.Application) -> None:
        """Answer at this path."""
        app.router.add_post(PATH, self._knock)

    async def watch(self) -> None:
        """Tell Telegram the address, and look from time to time whether it gets through. Never ends by itself."""
        await self._hearing.patiently(self._tell)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            trouble = await self._hearing.patiently(self._look)
            self._hearing.trouble = trouble

    async def _tell(self) -> None:
        async with self._line.told() as bot:
            await bot.set_webhook(
                self._webhook.base.rstrip("/") + PATH, secret_token=self._webhook.secret, allowed_updates=list(KINDS)
            )

    async def _look(self) -> str:
        """Why updates wait, if they do."""
        async with self._line.told() as bot:
            info = await bot.get_webhook_info()
        if not info.pending_update_count:
            return ""
        return (
            f"Telegram cannot bring {info.pending_update_count} updates: {info.last_error_message or 'no answer yet'}"
        )

    async def _knock(self, request: web.Request) -> web.Response:
        given = request.headers.get(SECRET, "")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self._webhook.secret.encode()):
            log.warning("somebody knocked without the secret", remote=request.remote)
            return web.Response(status=403)
        inbox = self.inbox
        if inbox is None or inbox.full:
            return web.Response(status=503)
        if (request.content_length or 0) > MOST_BYTES:
            return web.Response(status=413)
        try:
            update = json.loads(await request.read())
        except ValueError:
            return web.Response(status=400)
        if not update_id(update):
            return web.Response(status=400)
        try:
            await inbox.keep([update])
        except Broken as why:
            log.error("update not stored", why=str(why))
            return web.Response(status=503)
        self._hearing.alive()
        return web.Response()
