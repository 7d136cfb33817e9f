"""Drawing: how the pages of one place come to look as they should, and where their messages become others.

Only the newest look of a page is sent, and only where it differs from the one that stands. When each is drawn is the
place's affair; what one looks like, the page's own.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import structlog

from orchestrator.attempt import Attempts, Later
from orchestrator.errors import Gone, Refused
from orchestrator.keys import anew
from orchestrator.nouns import Conversation, Lane, Message, MessageId
from orchestrator.place import NEVER, Errand, Page, Place
from orchestrator.ports import Chat, Store
from orchestrator.tasks import patiently

log = structlog.get_logger()


class Drawing:
    """The pages of one place."""

    def __init__(self, place: Place, chat: Chat, *, attempts: Attempts, store: Store) -> None:
        self._place = place
        self._chat = chat
        self._attempts = attempts
        self._store = store

    async def find(self, page: Page) -> None:
        """A page that was posted in a former life has its message already."""
        sent = await patiently(lambda: self._store.sent(page.key), what="the outbox")
        if self._place.pages.get(page.key) is page and page.id is None and sent and sent.message_id:
            page.id, page.doubt = sent.message_id, True  # that life may have been posting it anew
            self._place.woken.set()

    def removal(self, where: Conversation, old: MessageId) -> Errand:
        """Take away a message that a page was once, whenever there is room. Nobody waits for it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_told)
        return Errand(where, lambda: self._chat.remove(where, old), done, lane=Lane.LIVE)

    async def draw(self, page: Page) -> None:
        """Send the newest look of a page, if it differs from the one that stands there."""
        self._place.pages.pop(page.key)
        self._place.drawn += 1
        self._place.pages[page.key] = page  # to the end of the row: the others come first now
        try:
            if not page.left:
                await self._edit(page)
            if page.left and not self._place.budget.wait(page.lane, asyncio.get_running_loop().time()):
                await self._take_away(page)
        except Gone as why:
            log.warning("page given up", key=page.key, why=str(why))
            page.id = None  # it stays here without one: taken off, the next change would look for it and edit it again
        except Later:
            page.dirty |= not page.left  # the last state always lands, whatever it is by then

    async def _edit(self, page: Page) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        fades, page.dirty, page.fades = page.fades, False, NEVER
        if page.lane is Lane.BOARD:  # also when it turns out to look the same: it is drawn from every run there is
            page.at = began
        try:
            look = page.look(self._place.budget.slowed(began))
        except Exception:
            log.exception("a defect kept a page from being drawn", key=page.key)
            return
        if (look == page.shown and fades > began) or page.id is None:
            page.fades = fades
            return
        page.at, lasts = began, 0.0
        try:
            if self._chat.stale(page.id):
                await self._roll(page, look)
            else:
                edit = partial(self._chat.edit, page.where, page.id, look)
                lasts = await self._attempts.make(edit, hold=page.hold, live=True)
        except Refused as why:  # this look; the next one may do
            log.warning("look refused", key=page.key, again_in=page.hold.failed(began), why=str(why))
        page.shown = look
        if lasts:
            page.fades = loop.time() + lasts

    async def _roll(self, page: Page, look: Message) -> None:
        """Post a page anew, in silence, because its message became too old to be edited; the old one goes."""
        old, doubt = page.id, page.doubt
        assert old is not None
        key, silent = anew(page.key, old), replace(look, rings=False)
        post = lambda: self._chat.post(page.where, silent, key=key, again=doubt)  # noqa: E731 - as above
        try:
            new = await self._attempts.make(post, hold=page.hold, live=True)
        except Later as later:
            page.doubt = doubt or later.unsure
            raise
        await patiently(lambda: self._store.delivered(page.key, new), what="a page as posted anew")
        page.id, page.doubt = new, False
        if doubt:
            page.dirty = True  # what stood there already may be an older look
        page.left.append(old)

    async def _take_away(self, page: Page) -> None:
        """One of the messages that a page was before."""
        old = page.left[0]
        try:
            await self._attempts.make(lambda: self._chat.remove(page.where, old), hold=page.hold, live=True)
        except (Gone, Refused) as why:
            log.warning("an old message stays", key=page.key, why=str(why))
        page.left.remove(old)


def _told(removed: asyncio.Future[None]) -> None:
    """What becomes of something that nobody waits for is in the log."""
    if not removed.cancelled() and (error := removed.exception()):
        log.warning("an old message stays", why=str(error))
