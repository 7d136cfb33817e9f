"""The post office: everything that goes to a chat leaves here, one request at a time for each place.

Letters must land, once and in their order: they are rows of the outbox, taken off when they stand in the chat. Pages
are states: only their newest look is sent, with what the letters leave of the place's budget, in turns. Signs are small
and may be lost. A place that is told to wait waits alone. The office knows no platform and no run; what a page looks
like it asks when it sends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any

import structlog

from orchestrator.clerk import Clerk
from orchestrator.delivery import Bereft
from orchestrator.errors import Gone
from orchestrator.nouns import Conversation, Lane, Letter, Sign, Typing
from orchestrator.pacing import Budget
from orchestrator.place import Dispatch, Errand, Look, Page, Place
from orchestrator.ports import Chat, Store
from orchestrator.tasks import told_to_go

log = structlog.get_logger()

DEFECT_SECONDS = 60.0
"""A place in which a defect came to light is served again after so long."""


class PostOffice:
    """Sends letters and pages. `group` owns its tasks: one for each place that has something to say."""

    def __init__(
        self, chats: Mapping[str, Chat], store: Store, group: asyncio.TaskGroup, *, bereft: Bereft | None = None
    ) -> None:
        self._chats = chats
        self._store = store
        self._group = group
        self._bereft = bereft
        self._clerks: dict[str, Clerk] = {}
        self._overall = {platform: Budget(chat.overall) for platform, chat in chats.items()}
        self._taken: set[str] = set()  # the keys of the letters that wait here
        self._unconnected: set[str] = set()  # platforms of letters that cannot leave

    def take(self, letters: Iterable[Letter]) -> None:
        """These are in the outbox now: deliver them, after all that their rows were given before. Twice is once."""
        for letter in letters:
            if letter.key in self._taken:
                continue
            place = self._place(letter.where)
            if place is None:
                self._cannot_leave(letter)
                continue
            if letter.edits:
                self.leave(letter.edits, letter.where)  # its last look is on the way: no live edit may come after it
            place.put(Dispatch(letter), asyncio.get_running_loop().time())
            self._taken.add(letter.key)
            place.woken.set()

    def show(self, key: str, where: Conversation, look: Look, *, lane: Lane = Lane.LIVE) -> None:
        """The page that this letter became has changed, or is to be kept up to date from now on."""
        clerk = self._clerk(where)
        if clerk is None:
            return
        page = clerk.place.pages.get(key)
        if page is None:
            page = clerk.place.pages[key] = Page(key, where, look, lane)
            self._begin(clerk.drawing.find(page))
        page.dirty = True
        if page.id is not None:
            clerk.place.woken.set()

    def leave(self, key: str, where: Conversation) -> None:
        """The page of this letter is kept up to date no longer."""
        clerk = self._clerk(where)
        page = clerk.place.pages.pop(key, None) if clerk else None
        if clerk and page:
            for old in page.left:
                clerk.place.put(clerk.drawing.removal(where, old), asyncio.get_running_loop().time())
                clerk.place.woken.set()

    def sign(self, where: Conversation, sign: Sign) -> None:
        """Show this when the place has a moment for it; the newest of its kind is enough."""
        place = self._place(where)
        if place is None:
            return
        now = asyncio.get_running_loop().time()
        if not (isinstance(sign, Typing) and place.budget.busy(now)):
            place.note(where, sign, now)
            place.woken.set()

    async def errand(self, where: Conversation, run: Callable[[Chat], Awaitable[Any]]) -> Any:
        """Do something on this platform within the place's budget, and return what comes of it. Raises `Trouble`.

        When nobody waits for it any more and it has not begun, it is not done.
        """
        place = self._place(where)
        if place is None:
            raise Gone(f"{where.platform} is not connected")
        chat, loop = self._chats[where.platform], asyncio.get_running_loop()
        errand = Errand(where, lambda: run(chat), loop.create_future())
        place.put(errand, loop.time())
        place.woken.set()
        return await errand.done

    def waiting(self) -> int:
        """Letters that have not landed yet."""
        return sum(clerk.place.waiting() for clerk in self._clerks.values())

    def _place(self, where: Conversation) -> Place | None:
        clerk = self._clerk(where)
        return clerk.place if clerk else None

    def _clerk(self, where: Conversation) -> Clerk | None:
        chat = self._chats.get(where.platform)
        if chat is None:
            return None
        scope = f"{where.platform}:{chat.scope(where)}"
        clerk = self._clerks.get(scope)
        if clerk is None:
            clerk = self._clerks[scope] = Clerk(
                Place(Budget(chat.pace(where))),
                chat,
                overall=self._overall[where.platform],
                store=self._store,
                taken=self._taken,
                bereft=self._bereft,
            )
            self._begin(self._serve(scope, clerk, where))
        return clerk

    async def _serve(self, scope: str, clerk: Clerk, where: Conversation) -> None:
        """See to it that a place is served for as long as there is anything."""
        while True:
            try:
                await clerk.serve(where)
            except (Exception, asyncio.CancelledError):
                if told_to_go():
                    raise
                log.exception("a defect in a place", scope=scope, again_in=DEFECT_SECONDS)
                await asyncio.sleep(DEFECT_SECONDS)
            else:  # nothing was awaited since it was done: whoever comes next opens the place anew
                del self._clerks[scope]
                return

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this beside the rest. While the bot is leaving, nothing begins: the next life reads the outbox."""
        guarded = _guarded(work)
        try:
            self._group.create_task(guarded)
        except RuntimeError:  # the group's word for that it accepts no more
            guarded.close()
            work.close()
            log.info("left for the next life")

    def _cannot_leave(self, letter: Letter) -> None:
        """Say it once for each platform: the letters stay in the outbox and are taken again and again."""
        platform = letter.where.platform
        if platform not in self._unconnected:
            self._unconnected.add(platform)
            log.error("letters wait for a platform that is not connected", platform=platform, first=letter.key)


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    """A defect in what is done beside the rest ends that alone."""
    try:
        await work
    except (Exception, asyncio.CancelledError):
        if told_to_go():
            raise
        log.exception("a defect in the post office")
