"""The post office: everything that goes to a chat leaves here, one request at a time for each place.

Letters must land, once and in their order: they are rows of the outbox, taken off when they stand in the chat. Pages
are states: only their newest look is sent, with what the letters leave of the place's budget, in turns. Signs are small
and may be lost. A place that is told to wait waits alone. The office knows no platform and no run; what a page looks
like it asks when it sends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from itertools import chain, repeat
from typing import Any, TypeVar

import structlog

from orchestrator.errors import Broken, Busy, Gone, Refused
from orchestrator.nouns import Conversation, Lane, Letter, Message, MessageId, Sign, Typing
from orchestrator.pacing import Budget
from orchestrator.paying import LEAST_SECONDS, paying
from orchestrator.place import NEVER, Errand, Look, Page, Place, Turn
from orchestrator.ports import Change, Chat, Sent, Store
from orchestrator.tasks import woken

log = structlog.get_logger()

T = TypeVar("T")

RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Pauses of a place whose platform fails, one failure after another."""

LONGEST_TRYING = 6 * 3600.0
"""Seconds for which a letter is tried again while its platform is heard and fails over it; then the next one goes."""

Bereft = Callable[[Letter, str], Coroutine[Any, Any, None]]
"""Told of a letter whose conversation is no more, with the platform's words, after it was given up."""

EXCUSE = "/refused"
"""What the key of a letter ends in that stands for one which the platform refused."""


class PostOffice:
    """Sends letters and pages. `group` owns its tasks: one for each place that has something to say."""

    def __init__(
        self, chats: Mapping[str, Chat], store: Store, group: asyncio.TaskGroup, *, bereft: Bereft | None = None
    ) -> None:
        self._chats = chats
        self._store = store
        self._group = group
        self._bereft = bereft
        self._places: dict[str, Place] = {}
        self._overall = {platform: Budget(chat.overall) for platform, chat in chats.items()}
        self._taken: set[str] = set()  # the keys of the letters that wait here
        self._failed: set[str] = set()  # of those, the ones whose last attempt surely did nothing
        self._failing: dict[str, float] = {}  # of those, the ones that failed, and since when
        self._done: dict[str, MessageId] = {}  # letters that another one's look has made true already

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
            place.put(letter)
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

    def leave(self, key: str, where: Conversation) -> None:
        """The page of this letter is kept up to date no longer."""
        place = self._place(where)
        if place is not None:
            place.pages.pop(key, None)

    def sign(self, where: Conversation, sign: Sign) -> None:
        """Show this when the place has a moment for it; the newest of its kind is enough."""
        place = self._place(where)
        if place is None:
            return
        if not (isinstance(sign, Typing) and place.budget.busy(asyncio.get_running_loop().time())):
            place.note(where, sign)
            place.woken.set()

    async def errand(self, where: Conversation, run: Callable[[Chat], Awaitable[Any]]) -> Any:
        """Do something on this platform within the place's budget, and return what comes of it. Raises `Trouble`."""
        place = self._place(where)
        if place is None:
            raise Gone(f"{where.platform} is not connected")
        chat = self._chats[where.platform]
        errand = Errand(where.platform, lambda: run(chat), asyncio.get_running_loop().create_future())
        place.queue.append(errand)
        place.woken.set()
        return await errand.done

    def waiting(self) -> int:
        """Letters that have not landed yet."""
        return sum(place.waiting() for place in self._places.values())

    def _place(self, where: Conversation) -> Place | None:
        chat = self._chats.get(where.platform)
        if chat is None:
            return None
        scope = f"{where.platform}:{chat.scope(where)}"
        place = self._places.get(scope)
        if place is None:
            place = self._places[scope] = Place(Budget(chat.pace(where)))
            self._begin(self._serve(scope, place, chat, where))
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

    async def _serve(self, scope: str, place: Place, chat: Chat, where: Conversation) -> None:
        """Send what this place has, in the order of the lanes, for as long as there is anything."""
        overall = self._overall[chat.platform]
        while True:
            now = asyncio.get_running_loop().time()
            place.budget.adopt(chat.pace(where))
            lane, work, pause = self._turn(place, now)
            if work is not None:
                pause = max(place.budget.wait(lane, now), overall.wait(lane, now))
                if not pause:
                    await work()
                    continue
            elif pause is None and not place.pages:
                pause = place.budget.remembers(now)
                if pause <= 0:
                    del self._places[scope]  # nothing is awaited in between: whoever comes next opens it anew
                    return
            await woken(place.woken, None if pause is None else max(pause, LEAST_SECONDS))

    def _turn(self, place: Place, now: float) -> tuple[Lane, Callable[[], Awaitable[None]] | None, float | None]:
        """What leaves next and how urgent it is, or the seconds until there will be something (None: nobody knows)."""
        turn = place.next_letter()
        if turn and turn[0] is not Lane.LIVE:
            return turn[0], lambda: self._send(place, turn[1]), None
        page, soon = place.next_page(now)
        if (place.signs or turn) and (page is None or place.passed <= place.edited):
            return Lane.LIVE, lambda: self._pass(place, turn), None
        if page:
            return page.lane, lambda: self._edit(place, page), None
        return Lane.LIVE, None, soon

    async def _pass(self, place: Place, turn: Turn | None) -> None:
        """Something that nobody waits for."""
        if place.signs:
            await self._sign(place)
        elif turn:
            await self._send(place, turn[1])
        place.passed = asyncio.get_running_loop().time()

    # --- letters and errands -----------------------------------------------------------------------------------------

    async def _send(self, place: Place, item: Letter | Errand) -> None:
        if isinstance(item, Errand):
            await self._run(place, self._overall[item.platform], item)
        elif not await self._send_letter(place, item):
            return
        place.drop(item)

    async def _send_letter(self, place: Place, letter: Letter) -> bool:
        """False when it must be tried again later."""
        look, done = place.look_of(letter)
        try:
            landed = await self._deliver(place, letter, look)
        except (Gone, Refused) as trouble:
            why = str(trouble)
            log.error("letter given up", key=letter.key, where=str(letter.where), why=why)
            if isinstance(trouble, Refused) and not letter.edits:
                await self._excuse(place, letter, why)
            await self._note(lambda: self._store.given_up(letter.key, why))
            if isinstance(trouble, Gone) and not letter.edits and self._bereft:
                self._begin(self._bereft(letter, why))
        else:
            if landed is None:
                return False
            self._done.update(dict.fromkeys(done, landed))
            await self._note(lambda: self._store.delivered(letter.key, landed))
            page = place.pages.get(letter.key)
            if page:
                page.id, page.dirty = landed, True
        self._taken.discard(letter.key)
        self._failed.discard(letter.key)
        self._failing.pop(letter.key, None)
        return True

    async def _excuse(self, place: Place, letter: Letter, why: str) -> None:
        """Say, where a letter that the platform does not take would have stood, that there is one."""
        if letter.key.endswith(EXCUSE):
            return
        words = Message(status=f"⚠ a message could not be shown here: {why}", rings=letter.message.rings)
        excuse = replace(letter, key=letter.key + EXCUSE, message=words)
        await self._note(lambda: self._store.write(Change(letters=[excuse])))
        if excuse.key not in self._taken:
            self._taken.add(excuse.key)
            queue = place.alerts if letter in place.alerts else place.queue
            queue.insert(queue.index(letter) + 1, excuse)  # right behind the one that leaves now

    async def _deliver(self, place: Place, letter: Letter, look: Message) -> MessageId | None:
        """The message that the letter has become; None when it must be tried again. Raises `Gone` and `Refused`."""
        if letter.key in self._done:
            return self._done.pop(letter.key)
        chat = self._chats[letter.where.platform]
        known = await self._known(place, letter.key)
        if known is not None and known.message_id is not None:  # taken once more while it was on its way
            return known.message_id
        if not letter.edits:
            again = known is not None and known.tries > 0 and letter.key not in self._failed
            await self._note(lambda: self._store.trying(letter.key))
            self._failed.discard(letter.key)
            post = lambda: chat.post(letter.where, look, key=letter.key, again=again)  # noqa: E731 - read where it is used
            landed = await self._within(place, chat, post, key=letter.key)
            if landed is None and again:
                self._failed.discard(letter.key)  # that this attempt did nothing says nothing of the ones before
            return landed
        target = await self._known(place, letter.edits)
        if target is None or target.message_id is None:
            raise Gone("the message that it changes was never posted")
        id_ = target.message_id
        edit = lambda: chat.edit(letter.where, id_, letter.message)  # noqa: E731 - as above
        done = await self._within(place, chat, edit, key=letter.key)
        return None if done is None else id_

    async def _known(self, place: Place, key: str) -> Sent | None:
        """What became of a letter, as soon as the store says it."""
        for pause in chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1])):
            try:
                return await self._store.sent(key)
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the bot
                log.warning("outbox not readable", again_in=pause, error=repr(error))
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _run(self, place: Place, overall: Budget, errand: Errand) -> None:
        loop = asyncio.get_running_loop()
        try:
            result = await paying(place, overall, errand.run, live=False)
        except Exception as error:  # noqa: BLE001 - whoever waits for it gets it, whatever it is
            if isinstance(error, Busy):
                (overall if error.everywhere else place.budget).close(error.seconds + 1, loop.time())
            if not errand.done.done():
                errand.done.set_exception(error)
        else:
            if not errand.done.done():
                errand.done.set_result(result)

    # --- signs and pages ---------------------------------------------------------------------------------------------

    async def _sign(self, place: Place) -> None:
        """Show one sign. One that fails is lost: it was for the moment."""
        key = next(iter(place.signs))
        where, sign = place.signs.pop(key)
        chat = self._chats[where.platform]
        try:
            await self._within(place, chat, lambda: chat.sign(where, sign))
        except (Gone, Refused) as why:
            log.info("sign not shown", where=str(where), sign=type(sign).__name__, why=str(why))

    async def _edit(self, place: Place, page: Page) -> None:
        """Send the newest look of a page, if it differs from the one that stands there."""
        loop = asyncio.get_running_loop()
        place.pages.pop(page.key)
        place.pages[page.key] = page  # to the end of the row: the others come first now
        faded = page.fades <= loop.time()
        page.dirty, page.fades = False, NEVER
        if page.lane is Lane.BOARD:  # also when it turns out to look the same: it is drawn from every run there is
            page.at = loop.time()
        try:
            look = page.look(place.budget.slowed(loop.time()))
        except Exception:
            log.exception("a defect kept a page from being drawn", key=page.key)
            return
        if (look == page.shown and not faded) or page.id is None:
            return
        chat = self._chats[page.where.platform]
        began = loop.time()
        try:
            if chat.stale(page.id):
                lasts: float | None = 0.0 if await self._roll(place, page, chat, look) else None
            else:
                id_ = page.id
                lasts = await self._within(place, chat, lambda: chat.edit(page.where, id_, look), live=True)
        except (Gone, Refused) as why:
            log.warning("page given up", key=page.key, why=str(why))
            page.id = None  # it stays here without one: taken off, the next change would look for it and edit it again
            return
        page.at = began
        if lasts is None:
            page.dirty = True  # the last state always lands: whatever it is by then
            return
        page.shown = look
        if lasts:
            page.fades = loop.time() + lasts

    async def _roll(self, place: Place, page: Page, chat: Chat, look: Message) -> bool:
        """Post a page anew, in silence, because its message became too old to be edited; the old one goes.

        False when it must be tried again.
        """
        old = page.id
        assert old is not None
        key, silent = f"{page.key}/after/{old}", replace(look, rings=False)
        new = await self._within(place, chat, lambda: chat.post(page.where, silent, key=key), live=True)
        if new is None:
            return False
        await self._note(lambda: self._store.delivered(page.key, new))
        page.id = new
        await self._within(place, chat, lambda: chat.remove(page.where, old), live=True)
        return True

    async def _within(
        self, place: Place, chat: Chat, request: Callable[[], Awaitable[T]], *, live: bool = False, key: str = ""
    ) -> T | None:
        """Do a request within the budget. Closes the place when it fails; what stays to do is done again later.

        Returns what came of it, or None when it must be tried again; raises `Gone` and `Refused`. `key`: the letter
        that is remembered as surely not posted when that is sure, and given up in the end. `live`: it is an edit of a
        page.
        """
        loop = asyncio.get_running_loop()
        overall = self._overall[chat.platform]
        try:
            result = await paying(place, overall, request, live=live)
        except (Gone, Refused):
            raise
        except Busy as busy:
            log.warning("told to wait", seconds=busy.seconds, why=str(busy))
            (overall if busy.everywhere else place.budget).close(busy.seconds + 1, loop.time())
            if key:
                self._failed.add(key)
        except (Broken, TimeoutError) as error:
            pause = RETRY_SECONDS[min(place.failures, len(RETRY_SECONDS) - 1)]
            place.failures += 1
            log.warning("sending failed", again_in=pause, why=str(error) or "no answer in time")
            place.budget.pause(pause, loop.time())
            if key and isinstance(error, Broken) and not error.unsure:
                self._failed.add(key)
            if key and not chat.pulse().trouble:
                since = self._failing.setdefault(key, loop.time())
                if loop.time() - since > LONGEST_TRYING:
                    raise Refused(f"it failed for {LONGEST_TRYING / 3600:.0f} hours: {error}") from error
        except Exception as error:
            log.exception("defect while sending")
            raise Refused(f"a defect kept this from being shown: {type(error).__name__}") from error
        else:
            place.failures = 0
            return result
        return None

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
