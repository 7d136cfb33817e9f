"""Brings updates to a webhook, one after the other, again and again until the other side takes them."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from tests.botapi.refusal import Json
from tests.botapi.updates import Updates, Waiting

MOST_PAUSE = 60.0
ANSWER_WITHIN = 30.0


async def deliver(updates: Updates) -> None:
    """Deliver while there is a webhook; sleeps while there is none. Ends when cancelled."""
    pause = 1.0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN)) as session:
        while True:
            updates.came.clear()
            hook = updates.webhook
            if hook is None or not updates.waiting:
                await updates.came.wait()
                continue
            first = updates.waiting[0]
            if trouble := await _bring(session, hook, first):
                hook |= {"last_error_date": int(time.time()), "last_error_message": trouble}
                await asyncio.sleep(pause)
                pause = min(pause * 2, MOST_PAUSE)
            else:
                updates.confirm(first.id + 1)
                pause = 1.0


async def _bring(session: aiohttp.ClientSession, hook: Json, update: Waiting) -> str:
    headers = {"X-Telegram-Bot-Api-Secret-Token": hook["secret"]} if hook["secret"] else {}
    try:
        async with session.post(hook["url"], json=update.body, headers=headers) as answer:
            await answer.read()
            good = 200 <= answer.status < 300
            return "" if good else f"Wrong response from the webhook: {answer.status} {answer.reason}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"Connection failed: {type(error).__name__}"
