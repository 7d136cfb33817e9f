"""The post office: everything that goes to a chat leaves here, one request at a time for each place.

Letters must land, once and in their order: they are rows of the outbox, taken off when they stand in the chat. Pages
are states: only their newest look is sent, with what the letters leave of the place's budget, in turns. A place that is
told to wait waits alone. The office knows no platform and no run; what a page looks like it asks when it sends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

import structlog

from orchestrator.errors import Broken, Busy, Gone, Refused
from orchestrator.nouns import Conversation, Lane, Letter, Message, MessageId
from orchestrator.pacing import Budget
from orchestrator.place import Errand, Look, Page, Place
from orchestrator.ports import Change, Chat, Store
from orchestrator.tasks import woken

log = structlog.get_logger()

REQUEST_SECONDS = 90.0
"""The last resort: an adapter has deadlines of its own, and a request that outlives this one counts as unsure."""

RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Pauses of a place whose platform fails, one failure after another."""

BOARD_SECONDS = 1.0
"""A dashboard is drawn no more often than this, however many runs it shows."""

LEAST_SECONDS = 0.001
"""No pause is shorter: rounding must never make a place turn on the spot."""

EXCUSE = "/refused"
"""What the key of a letter ends in that stands for one which the platform refused."""


class PostOffice:
    """Sends letters and pages. `group` owns its tasks: one for each place that has something to say."""

    def __init__(self, chats: Mapping[str, Chat], store: Store, group: asyncio.TaskGroup) -> None:
        self._chats = chats
        self._store = store
        self._group = group
        self._places: dict[str, Place] = {}
        self._taken: set[str] = set()  # the keys of the letters that wait here

    def take(self, letters: Iterable[Letter]) -> None:
        """These are in the outbox now: deliver them, after all that this place was given before. Twice is once."""
        for letter in letters:
            if letter.key in self._taken:
                continue
            place = self._place(letter.where)
            if place is None:
                log.error("letter to a platform that is not connected", key=letter.key, where=str(letter.where))
                continue
            if letter.edits:
                place.pages.pop(letter.edits, None)  # its last look is on the way: no live edit may come after it
            place.letters[_queue(letter)].append(letter)
            self._taken.add(letter.key)
            place.woken.set()

    def show(self, key: str, where: Conversation, look: Look, *, lane: Lane = Lane.LIVE) -> None:
        """The page that this letter became has changed, or is to be kept up to date from now on."""
        place = self._place(where)
        if place is None:
            return
        page = place.pages.get(key)
        if page is None:
            page = place.pages[key] = Page(key, where, look, lane)
            self._begin(self._find(place, page))
        page.dirty = True
        if page.id is not None:
            place.woken.set()

    async def errand(self, where: Conversation, run: Callable[[Chat], Awaitable[Any]]) -> Any:
        """Do something on this platform within the place's budget, and return what comes of it. Raises `Trouble`."""
        place = self._place(where)
        if place is None:
            raise Gone(f"{where.platform} is not connected")
        chat = self._chats[where.platform]
        errand = Errand(lambda: run(chat), asyncio.get_running_loop().create_future())
        place.letters[Lane.FIRST].append(errand)
        place.woken.set()
        return await errand.done

    def waiting(self) -> int:
        """Letters that have not landed yet."""
        return sum(len(queue) for place in self._places.values() for queue in place.letters.values())

    def _place(self, where: Conversation) -> Place | None:
        chat = self._chats.get(where.platform)
        if chat is None:
            return None
        scope = f"{where.platform}:{chat.scope(where)}"
        place = self._places.get(scope)
        if place is None:
            place = self._places[scope] = Place(Budget(chat.pace(where)))
            self._begin(self._serve(scope, place))
        return place

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this beside the rest. While the bot is leaving, nothing begins: the next life reads the outbox."""
        try:
            self._group.create_task(work)
        except RuntimeError:  # the group's word for that it accepts no more
            work.close()
            log.info("left for the next life")

    async def _find(self, place: Place, page: Page) -> None:
        """A page that was posted in a former life has its message already."""
        for pause in chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1])):
            try:
                sent = await self._store.sent(page.key)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the bot
                log.warning("page not found", key=page.key, again_in=pause, error=repr(error))
                await asyncio.sleep(pause)
            else:
                break
            if place.pages.get(page.key) is not page or page.id is not None:
                return
        if sent and sent.message_id and page.id is None:
            page.id = sent.message_id
            place.woken.set()

    async def _serve(self, scope: str, place: Place) -> None:
        """Send what this place has, in the order of the lanes, for as long as there is anything."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            first = place.next_letter()
            page, soon = place.next_page(now)
            if first:
                lane, item = first
                pause: float | None = place.budget.wait(lane, now)
                if not pause:
                    await self._send(place, lane, item)
                    continue
            elif page:
                pause = place.budget.wait(page.lane, now)
                if not pause:
                    await self._edit(place, page)
                    continue
            else:
                pause = soon
                if not place.pages:
                    pause = place.budget.remembers(now)
                    if pause <= 0:
                        del self._places[scope]  # nothing is awaited in between: whoever comes next opens it anew
                        return
            await woken(place.woken, None if pause is None else max(pause, LEAST_SECONDS))

    async def _send(self, place: Place, lane: Lane, item: Letter | Errand) -> None:
        if isinstance(item, Errand):
            await self._run(place, item)
        else:
            try:
                landed = await self._within(place, lambda: self._deliver(item))
            except (Gone, Refused) as trouble:
                why = str(trouble)
                log.error("letter given up", key=item.key, where=str(item.where), why=why)
                if isinstance(trouble, Refused) and not item.edits:
                    await self._excuse(place, item, why)
                await self._note(lambda: self._store.given_up(item.key, why))
            else:
                if landed is False:
                    return
                await self._note(lambda: self._store.delivered(item.key, landed))
                page = place.pages.get(item.key)
                if page:
                    page.id, page.dirty = landed, True
            self._taken.discard(item.key)
        place.letters[lane].remove(item)

    async def _excuse(self, place: Place, letter: Letter, why: str) -> None:
        """Say, where a letter that the platform does not take would have stood, that there is one."""
        if letter.key.endswith(EXCUSE):
            return
        words = Message(status=f"⚠ a message could not be shown here: {why}", rings=letter.message.rings)
        excuse = replace(letter, key=letter.key + EXCUSE, message=words)
        await self._note(lambda: self._store.write(Change(letters=[excuse])))
        if excuse.key not in self._taken:
            self._taken.add(excuse.key)
            place.letters[_queue(letter)].insert(1, excuse)  # right behind the one that leaves now

    async def _deliver(self, letter: Letter) -> MessageId:
        chat = self._chats[letter.where.platform]
        known = await self._store.sent(letter.key)
        if known is not None and known.message_id is not None:  # taken once more while it was on its way
            return known.message_id
        if not letter.edits:
            await self._store.trying(letter.key)
            return await chat.post(letter.where, letter.message, key=letter.key)
        target = await self._store.sent(letter.edits)
        if target is None or target.message_id is None:
            raise Gone("the message that it changes was never posted")
        await chat.edit(letter.where, target.message_id, letter.message)
        return target.message_id

    async def _run(self, place: Place, errand: Errand) -> None:
        place.budget.spend(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                result = await errand.run()
        except Busy as busy:
            place.budget.close(busy.seconds + 1, asyncio.get_running_loop().time())
            if not errand.done.done():
                errand.done.set_exception(busy)
        except Exception as error:  # noqa: BLE001 - whoever waits for it gets it, whatever it is
            if not errand.done.done():
                errand.done.set_exception(error)
        else:
            if not errand.done.done():
                errand.done.set_result(result)

    async def _edit(self, place: Place, page: Page) -> None:
        """Send the newest look of a page, if it differs from the one that stands there."""
        loop = asyncio.get_running_loop()
        place.pages.pop(page.key)
        place.pages[page.key] = page  # to the end of the row: the others come first now
        page.dirty = False
        if page.lane is Lane.BOARD:  # also when it turns out to look the same: it is drawn from every run there is
            page.due = loop.time() + BOARD_SECONDS
        try:
            look = page.look(place.budget.slowed(loop.time()))
        except Exception:
            log.exception("a defect kept a page from being drawn", key=page.key)
            return
        message_id = page.id
        if look == page.shown or message_id is None:
            return
        page.due = max(page.due, loop.time() + place.budget.edit_every(loop.time()))
        chat = self._chats[page.where.platform]
        try:
            done = await self._within(place, lambda: chat.edit(page.where, message_id, look))
        except (Gone, Refused) as why:
            log.warning("page given up", key=page.key, why=str(why))
            page.id = None  # it stays here without one: taken off, the next change would look for it and edit it again
            return
        if done is False:
            page.dirty = True  # the last state always lands: whatever it is by then
        else:
            page.shown = look

    async def _within(self, place: Place, request: Callable[[], Awaitable[Any]]) -> Any:
        """Do a request within the budget. Closes the place when it fails; what stays to do is done again later.

        Returns what came of it, or False when it must be tried again; raises `Gone` and `Refused`.
        """
        loop = asyncio.get_running_loop()
        place.budget.spend(loop.time())
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                result = await request()
        except (Gone, Refused):
            raise
        except Busy as busy:
            log.warning("told to wait", seconds=busy.seconds, why=str(busy))
            place.budget.close(busy.seconds + 1, loop.time())
        except (Broken, TimeoutError) as error:
            pause = RETRY_SECONDS[min(place.failures, len(RETRY_SECONDS) - 1)]
            place.failures += 1
            log.warning("sending failed", again_in=pause, why=str(error) or "no answer in time")
            place.budget.pause(pause, loop.time())
        except Exception as error:
            log.exception("defect while sending")
            raise Refused(f"a defect kept this from being shown: {type(error).__name__}") from error
        else:
            place.failures = 0
            return result
        return False

    async def _note(self, write: Callable[[], Awaitable[object]]) -> None:
        """Write down what became of a letter, however long the store needs: until then nothing follows it."""
        for pause in chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1])):
            try:
                await write()
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the bot
                log.error("outbox not writable", again_in=pause, error=repr(error))
                await asyncio.sleep(pause)
            else:
                return


def _queue(letter: Letter) -> Lane:
    """Letters have two queues: alerts wait for everything else."""
    return Lane.ALERT if letter.lane is Lane.ALERT else Lane.FIRST
