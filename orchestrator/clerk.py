"""The clerk of one place: sends what waits there, one request at a time, within the place's budget.

A letter leaves the outbox when it stands in the chat, when its platform refuses it, or when it was told elsewhere
because its conversation is no more. Which letters and pages there are is the post office's affair; whose turn it is,
the place's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import structlog

from orchestrator.errors import Broken, Busy, Gone, Refused
from orchestrator.keys import anew, is_excuse, refused
from orchestrator.nouns import Conversation, Lane, Letter, Message, MessageId
from orchestrator.pacing import Budget
from orchestrator.paying import LEAST_SECONDS, paying
from orchestrator.place import NEVER, Dispatch, Errand, Hold, Page, Place, Row, Shown
from orchestrator.ports import Change, Chat, Sent, Store
from orchestrator.tasks import patiently, woken

log = structlog.get_logger()

T = TypeVar("T")

LONGEST_TRYING = 6 * 3600.0
"""Seconds for which a letter is tried again while its platform is heard and fails over it; then the next one goes."""

EDITS_A_PASS = 3
"""Edits of pages that leave before something that nobody waits for, where both wait."""

Bereft = Callable[[Letter, str], Coroutine[Any, Any, None]]
"""Sees to it that a letter whose conversation is no more is told elsewhere; gets the platform's words."""

Turn = tuple[Lane, Callable[[], Awaitable[None]] | None, float | None]
"""How urgent what leaves next is, and how to send it; or the seconds until there will be something (None: unknown)."""


class _Later(Exception):
    """It is to be tried again. `why` is what happened; `unsure`: it may have been done all the same."""

    def __init__(self, why: Exception, *, unsure: bool) -> None:
        super().__init__(str(why))
        self.why = why
        self.unsure = unsure


class Clerk:
    """Serves one place over one chat. `overall` is the budget of the whole platform, `taken` the keys that wait."""

    def __init__(
        self, place: Place, chat: Chat, *, overall: Budget, store: Store, taken: set[str], bereft: Bereft | None
    ) -> None:
        self.place = place
        self._chat = chat
        self._overall = overall
        self._store = store
        self._taken = taken
        self._bereft = bereft

    async def serve(self, where: Conversation) -> None:
        """Send what this place has, in the order of the lanes, until a new place would be no other than this one."""
        place, overall = self.place, self._overall
        while True:
            now = asyncio.get_running_loop().time()
            place.budget.adopt(self._chat.pace(where))
            lane, work, pause = self._turn(now)
            if work is not None:
                wait = max(place.budget.wait(lane, now), overall.wait(lane, now))
                if not wait:
                    await work()
                    continue
                pause = wait if pause is None else min(wait, pause)  # what is held now may be more urgent then
            elif pause is None and not place.pages:
                pause = place.budget.remembers(now)
                if pause <= 0:
                    return
            await woken(place.woken, None if pause is None else max(pause, LEAST_SECONDS))

    async def find(self, page: Page) -> None:
        """A page that was posted in a former life has its message already."""
        sent = await self._sent(page.key)
        if self.place.pages.get(page.key) is page and page.id is None and sent and sent.message_id:
            page.id, page.doubt = sent.message_id, True  # that life may have been posting it anew
            self.place.woken.set()

    def removal(self, where: Conversation, old: MessageId) -> Errand:
        """Take away a message that a page was once, whenever there is room. Nobody waits for it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_told)
        return Errand(where, lambda: self._chat.remove(where, old), done, lane=Lane.LIVE)

    def _turn(self, now: float) -> Turn:
        place = self.place
        row, again = place.next_item(now)
        if row and row.lane is not Lane.LIVE:
            return row.lane, lambda: self._send(row), again
        page, soon = place.next_page(now)
        sign, settled = place.next_sign(now)
        pages_wait = page is not None or (
            soon is not None and place.budget.dear(now) and soon < place.budget.share(now)
        )
        if (sign or row) and (not pages_wait or place.drawn >= EDITS_A_PASS):
            return Lane.LIVE, lambda: self._pass(sign, row), again
        if page:
            return page.lane, lambda: self._draw(page), again
        return Lane.LIVE, None, min((time for time in (again, soon, settled) if time is not None), default=None)

    async def _pass(self, sign: Shown | None, row: Row | None) -> None:
        """Something that nobody waits for: a sign or a letter, in turns."""
        place = self.place
        drawn, place.drawn, place.paid = place.drawn, 0, False
        place.signed = sign is not None and not (row and place.signed)
        if sign and place.signed:
            await self._sign(sign)
        elif row:
            await self._send(row)
        if not place.paid:  # the platform has no such sign
            place.drawn, place.signed = drawn, False

    async def _send(self, row: Row) -> None:
        item = row.items[0]
        row.served = asyncio.get_running_loop().time()
        if isinstance(item, Errand):
            await self._run(item)
        elif not await self._settle(row, item):
            return
        self.place.drop(item)

    async def _run(self, errand: Errand) -> None:
        if errand.done.done():  # nobody waits for it any more
            return
        try:
            result = await self._paid(errand.run, live=False)
        except Exception as error:  # noqa: BLE001 - whoever waits for it gets it, whatever it is
            if not errand.done.done():
                errand.done.set_exception(error)
        else:
            if not errand.done.done():
                errand.done.set_result(result)

    # --- letters -----------------------------------------------------------------------------------------------------

    async def _settle(self, row: Row, dispatch: Dispatch) -> bool:
        """Bring one letter to its end. False when it must be tried again later."""
        letter = dispatch.letter
        try:
            landed = await self._deliver(row, dispatch)
        except _Later as later:
            if not self._too_long(dispatch, later.why):
                return False
            why = f"it failed for {LONGEST_TRYING / 3600:.0f} hours: {later.why}"
            await self._give_up(dispatch, Refused(why))
        except (Gone, Refused) as trouble:
            await self._give_up(dispatch, trouble)
        else:
            for other in dispatch.merged or ():
                other.landed = landed
            await patiently(lambda: self._store.delivered(letter.key, landed), what="a letter as delivered")
            page = self.place.pages.get(letter.key)
            if page:
                page.id, page.dirty, page.at = landed, True, asyncio.get_running_loop().time()
        self._taken.discard(letter.key)
        return True

    def _too_long(self, dispatch: Dispatch, why: Exception) -> bool:
        """Whether a letter failed for so long, while its platform was heard, that it must be the letter's own fault."""
        if isinstance(why, Busy) or self._chat.pulse().trouble:
            dispatch.failing = None
            return False
        now = asyncio.get_running_loop().time()
        if dispatch.failing is None:
            dispatch.failing = now
        return now - dispatch.failing > LONGEST_TRYING

    async def _give_up(self, dispatch: Dispatch, trouble: Gone | Refused) -> None:
        """It will never stand here. First see to what is told instead: killed in between, it would be told nowhere."""
        letter, why = dispatch.letter, str(trouble)
        log.error("letter given up", key=letter.key, where=str(letter.where), why=why)
        if isinstance(trouble, Refused):
            await self._excuse(dispatch, why)
        elif self._bereft and not letter.edits:
            try:
                await self._bereft(letter, why)
            except Exception:
                log.exception("a defect kept a letter from being told elsewhere", key=letter.key)
        await patiently(lambda: self._store.given_up(letter.key, why), what="a letter as given up")

    async def _excuse(self, dispatch: Dispatch, why: str) -> None:
        """Say, where a letter that the platform does not take would have stood, or changed something, what it is."""
        letter = dispatch.letter
        if is_excuse(letter.key):
            return
        words = Message(status=f"⚠ a message could not be shown here: {why}", rings=letter.message.rings)
        excuse = replace(letter, key=refused(letter.key), message=words)
        await patiently(lambda: self._store.write(Change(letters=[excuse])), what="an excuse")
        if excuse.key not in self._taken:
            self._taken.add(excuse.key)
            self.place.put_behind(Dispatch(excuse), dispatch)

    async def _deliver(self, row: Row, dispatch: Dispatch) -> MessageId:
        """The message that the letter has become. Raises `_Later`, `Gone` and `Refused`."""
        letter, chat = dispatch.letter, self._chat
        if dispatch.landed is not None:
            return dispatch.landed
        known = await self._sent(letter.key)
        if known is not None and known.message_id is not None:  # taken once more while it was on its way
            return known.message_id
        if letter.edits:
            target = await self._sent(letter.edits)
            if target is None or target.message_id is None:
                raise Gone("the message that it changes was never posted")
            id_ = target.message_id
            await self._within(lambda: chat.edit(letter.where, id_, letter.message), hold=row.hold, row=row)
            return id_
        if dispatch.merged is None:
            dispatch.doubt = known is not None and known.tries > 0
            dispatch.merged = await self._merge(dispatch)
        look, doubt = (dispatch.merged[-1].letter if dispatch.merged else letter).message, dispatch.doubt
        await patiently(lambda: self._store.trying(letter.key), what="an attempt")
        post = lambda: chat.post(letter.where, look, key=letter.key, again=doubt)  # noqa: E731 - read where it is used
        try:
            return await self._within(post, hold=row.hold, row=row)
        except _Later as later:
            dispatch.doubt = doubt or later.unsure  # that this one did nothing says nothing of those before
            raise

    async def _merge(self, dispatch: Dispatch) -> list[Dispatch]:
        """The letters with whose look this one leaves: what would be edited at once is posted as it would look then.

        At every attempt, in this life and the next, they must be the same ones: of a message that stands already, a
        platform tells which one it is, and not how it looks. So each is marked as tried before the letter itself is.
        """
        edits = self.place.edits_of(dispatch)
        if dispatch.doubt:
            known = [await self._sent(edit.letter.key) for edit in edits]
            return [edit for edit, sent in zip(edits, known, strict=True) if sent and sent.tries]
        for edit in edits:
            await patiently(lambda key=edit.letter.key: self._store.trying(key), what="an attempt")  # type: ignore[misc]
        return edits

    async def _sent(self, key: str) -> Sent | None:
        """What became of a letter, as soon as the store says it."""
        return await patiently(lambda: self._store.sent(key), what="the outbox")

    # --- signs and pages ---------------------------------------------------------------------------------------------

    async def _sign(self, shown: Shown) -> None:
        """Show one sign. One that fails is lost: it was for the moment."""
        self.place.shown(shown)
        where, sign = shown.where, shown.sign
        try:
            await self._within(lambda: self._chat.sign(where, sign))
        except (Gone, Refused) as why:
            log.info("sign not shown", where=str(where), sign=type(sign).__name__, why=str(why))
        except _Later:
            pass  # it is in the log

    async def _draw(self, page: Page) -> None:
        """Send the newest look of a page, if it differs from the one that stands there."""
        self.place.pages.pop(page.key)
        self.place.drawn += 1
        self.place.pages[page.key] = page  # to the end of the row: the others come first now
        try:
            if not page.left:
                await self._edit(page)
            if page.left and not self.place.budget.wait(page.lane, asyncio.get_running_loop().time()):
                await self._take_away(page)
        except Gone as why:
            log.warning("page given up", key=page.key, why=str(why))
            page.id = None  # it stays here without one: taken off, the next change would look for it and edit it again
        except _Later:
            page.dirty = True  # the last state always lands: whatever it is by then

    async def _edit(self, page: Page) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        fades, page.dirty, page.fades = page.fades, False, NEVER
        if page.lane is Lane.BOARD:  # also when it turns out to look the same: it is drawn from every run there is
            page.at = began
        try:
            look = page.look(self.place.budget.slowed(began))
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
                lasts = await self._look(page, page.id, look)
        except Refused as why:  # this look; the next one may do
            log.warning("look refused", key=page.key, again_in=page.hold.failed(began), why=str(why))
        page.shown = look
        if lasts:
            page.fades = loop.time() + lasts

    async def _look(self, page: Page, message: MessageId, look: Message) -> float:
        return await self._within(lambda: self._chat.edit(page.where, message, look), hold=page.hold, live=True)

    async def _roll(self, page: Page, look: Message) -> None:
        """Post a page anew, in silence, because its message became too old to be edited; the old one goes."""
        old, doubt = page.id, page.doubt
        assert old is not None
        key, silent = anew(page.key, old), replace(look, rings=False)
        post = lambda: self._chat.post(page.where, silent, key=key, again=doubt)  # noqa: E731 - as above
        try:
            new = await self._within(post, hold=page.hold, live=True)
        except _Later as later:
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
            await self._within(lambda: self._chat.remove(page.where, old), hold=page.hold, live=True)
        except (Gone, Refused) as why:
            log.warning("an old message stays", key=page.key, why=str(why))
        page.left.remove(old)

    # --- requests ----------------------------------------------------------------------------------------------------

    async def _within(
        self,
        request: Callable[[], Awaitable[T]],
        *,
        hold: Hold | None = None,
        row: Row | None = None,
        live: bool = False,
    ) -> T:
        """Do a request within the budget. Raises `_Later`, `Gone` and `Refused`.

        When it fails, `hold` grows, and where letters of other rows failed too, the whole place waits. `live`: it is an
        edit of a page.
        """
        now = asyncio.get_running_loop().time
        try:
            result = await self._paid(request, live=live)
        except (Gone, Refused):
            raise
        except Busy as busy:
            log.warning("told to wait", seconds=busy.seconds, why=str(busy))
            raise _Later(busy, unsure=False) from busy
        except (Broken, TimeoutError) as error:
            if row:
                self.place.failed(row, now())
            pause = hold.failed(now()) if hold else 0.0
            log.warning("sending failed", again_in=pause, why=str(error) or "no answer in time")
            raise _Later(error, unsure=not isinstance(error, Broken) or error.unsure) from error
        except Exception as error:
            log.exception("defect while sending")
            raise Refused(f"a defect kept this from being shown: {type(error).__name__}") from error
        if row:
            self.place.worked()
        if hold:
            hold.lift()
        return result

    async def _paid(self, request: Callable[[], Awaitable[T]], *, live: bool) -> T:
        """What comes of a request that is counted; one that is told to wait closes what it was told for."""
        try:
            return await paying(self.place, self._overall, request, live=live)
        except Busy as busy:
            now = asyncio.get_running_loop().time()
            (self._overall if busy.everywhere else self.place.budget).close(busy.seconds + 1, now)
            raise


def _told(removed: asyncio.Future[None]) -> None:
    """What becomes of something that nobody waits for is in the log."""
    if not removed.cancelled() and (error := removed.exception()):
        log.warning("an old message stays", why=str(error))
