"""A run in memory: its folded state, the lock under which it changes, and what is true only now.

Write, then act: a change is decided on the state, folded on a copy of it, and stored, all under the run's lock; only
when it is stored does the copy become the state, and letters and pages go out. So the state in memory is never ahead of
the journal. It knows neither how the agent is reached nor what commands people have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from orchestrator import view
from orchestrator.errors import Broken
from orchestrator.events import Entry, Event
from orchestrator.fold import fold
from orchestrator.keys import at_seat, page_key
from orchestrator.letters import receipts, speak
from orchestrator.nouns import Conversation, Letter, Message, Phase, RunId, Sign, Standing, Typing
from orchestrator.ports import Change, Sent, Store
from orchestrator.post import PostOffice
from orchestrator.run import State
from orchestrator.tasks import to_the_end
from orchestrator.view import Moment

Clock = Callable[[], float]
"""Unix seconds."""


@dataclass(slots=True)
class Draft:
    """What somebody decided to write: events with their keys, and letters besides those that the events cause."""

    events: list[tuple[str, Event]] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)


Decide = Callable[[State], Draft | None]

Tell = Callable[[State, Entry], list[Letter]]
"""The letters that an event causes, by the state just before it."""


class LiveRun:
    """One run that has not ended. `changed` is called after every stored change."""

    def __init__(
        self,
        state: State,
        *,
        store: Store,
        office: PostOffice,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self.state = state
        self.moment = Moment()
        self.wake = asyncio.Event()
        self.watched = asyncio.Event()  # somebody wants to follow it from elsewhere
        self._store = store
        self._office = office
        self._clock = clock
        self._changed = changed
        self._lock = asyncio.Lock()
        self._unsure: Change | None = None  # nobody knows whether this was stored

    @property
    def id(self) -> RunId:  # noqa: D102 - the noun says it
        return self.state.run

    @property
    def title(self) -> str:
        """The name of its threads."""
        return self.state.launched.title if self.state.launched else self.id

    @property
    def chats(self) -> set[Conversation]:
        """The chats in which it is; before it has a place, the one in which it was launched."""
        if not self.state.seated and self.state.launched:
            return {self.state.launched.origin.outside}
        return {where.outside for where in self.state.seats.values()}

    async def write(self, decide: Decide, *, once: str = "", tell: Tell = speak) -> bool:
        """Store what is decided on the run's newest state. False: nothing was decided, or `once` was known.

        Raises `Broken` when it could not be stored: then nothing of it happened, or, with `unsure`, all of it.
        """
        async with self._lock:
            await self._settle()
            draft = decide(self.state)
            if draft is None:
                return False
            entries: list[Entry] = []
            letters: list[Letter] = []
            signs: list[tuple[Conversation, Sign]] = []
            state = self.state.copy()
            for key, event in draft.events:
                entry = Entry(self.id, key, self._clock(), event)
                letters += tell(state, entry)
                signs += receipts(state, entry)
                fold(state, entry)
                entries.append(entry)
            letters += draft.letters
            change = Change(once=once, entries=entries, letters=letters)
            return await to_the_end(self._put(state, change, signs))

    async def settle(self) -> None:
        """Make sure that the state says what the journal does. Raises `Broken`."""
        async with self._lock:
            await self._settle()

    async def _put(self, state: State, change: Change, signs: Sequence[tuple[Conversation, Sign]]) -> bool:
        """Store it, and only then make it true and act on it."""
        try:
            stored = await self._store.write(change)
        except Broken as error:
            self._unsure = change if error.unsure else None
            raise
        if stored:
            self._become(state, change.letters, signs)
        return stored

    async def _settle(self) -> None:
        """Find out what became of a change of which nobody knows, and act on it if it was stored."""
        if self._unsure is None:
            return
        await self._store.write(Change())  # comes after it, so that it is there by now or never will be
        state = await load(self._store, self.id)
        letters = [letter for letter in self._unsure.letters if _waits(await self._store.sent(letter.key))]
        self._unsure = None
        self._become(state, letters, [])

    def _become(self, state: State, letters: Sequence[Letter], signs: Sequence[tuple[Conversation, Sign]]) -> None:
        old, self.state = self.state, state
        self._office.take(letters)
        for where, sign in (*signs, *_standing(old, state)):
            self._office.sign(where, sign)
        for seat, where in old.seats.items():
            if seat not in state.seats or state.ended:
                self._office.leave(at_seat(page_key(self.id, state.page), seat), where)
        self.wake.set()
        if state.watching:
            self.watched.set()
        self.show()
        self._changed()

    def now(self, *, text: str | None = None, thinking: bool | None = None, words: str | None = None) -> None:
        """Something about this moment has changed; it is shown, not stored."""
        old = self.moment
        self.moment = replace(
            old,
            text=old.text if text is None else text,
            thinking=old.thinking if thinking is None else thinking,
            words=old.words if words is None else words,
        )
        if self.moment != old:
            self.show()

    def show(self) -> None:
        """The page is to look like the state does."""
        if self.state.page_open:
            key = page_key(self.id, self.state.page)
            for seat, where in self.state.seats.items():
                self._office.show(at_seat(key, seat), where, self.look)

    def look(self, slowed: float) -> Message:
        """The page as it should look now."""
        return view.page(self.state, replace(self.moment, slowed=slowed))


def _standing(old: State, new: State) -> list[tuple[Conversation, Sign]]:
    """What is seen of a change from outside of the run's threads, and before its next page stands."""
    signs: list[tuple[Conversation, Sign]] = []
    if new.phase is not old.phase or new.seats != old.seats:
        standing = Standing(new.phase, new.ended.reason if new.ended else "")
        signs += [(where, standing) for where in new.seats.values()]
    if new.phase is Phase.IDLE and new.pending and not old.pending:
        signs += [(where, Typing()) for where in new.seats.values()]
    return signs


def _waits(sent: Sent | None) -> bool:
    return sent is not None and sent.message_id is None and not sent.lost


async def load(store: Store, run: RunId) -> State:
    """A run's state, from its journal."""
    state = State(run)
    async for entries in store.journal(run):
        for entry in entries:
            fold(state, entry)
    return state
