"""A run in memory: its folded state, the lock under which it changes, and what is true only now.

Write, then act: a change is decided on the state, folded, and stored, all under the run's lock; letters and pages go
out after it is stored. When storing fails, the state is read again from the journal before anything else is decided.
It knows neither how the agent is reached nor what commands people have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from orchestrator import view
from orchestrator.events import Entry, Event
from orchestrator.letters import page_key, speak
from orchestrator.nouns import Letter, Message, RunId
from orchestrator.ports import Change, Store
from orchestrator.post import PostOffice
from orchestrator.run import State, fold
from orchestrator.view import Moment

Clock = Callable[[], float]
"""Unix seconds."""


@dataclass(slots=True)
class Draft:
    """What somebody decided to write: events with their keys, and letters besides those that the events cause."""

    events: list[tuple[str, Event]] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)


Decide = Callable[[State], Draft | None]


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
        self._store = store
        self._office = office
        self._clock = clock
        self._changed = changed
        self._lock = asyncio.Lock()
        self._stale = False

    @property
    def id(self) -> RunId:  # noqa: D102 - the noun says it
        return self.state.run

    async def write(self, decide: Decide, *, once: str = "") -> bool:
        """Store what is decided on the run's newest state. False: nothing was decided, or `once` was known.

        Raises `Broken` when it could not be stored: then nothing of it happened.
        """
        async with self._lock:
            if self._stale:
                self.state = await load(self._store, self.id)
                self._stale = False
            draft = decide(self.state)
            if draft is None:
                return False
            entries: list[Entry] = []
            letters: list[Letter] = []
            self._stale = True  # until it is stored, the state in memory is ahead of the truth
            for key, event in draft.events:
                entry = Entry(self.id, key, self._clock(), event)
                letters += speak(self.state, entry)
                fold(self.state, entry)
                entries.append(entry)
            letters += draft.letters
            if not await self._store.write(Change(once=once, entries=entries, letters=letters)):
                return False
            self._stale = False
            self._office.take(letters)
        self.wake.set()
        self.show()
        self._changed()
        return True

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
        if self.state.page_open and self.state.where:
            self._office.show(page_key(self.id, self.state.page), self.state.where, self.look)

    def look(self, slowed: float) -> Message:
        """The page as it should look now."""
        return view.page(self.state, replace(self.moment, slowed=slowed))


async def load(store: Store, run: RunId) -> State:
    """A run's state, from its journal."""
    state = State(run)
    async for entries in store.journal(run):
        for entry in entries:
            fold(state, entry)
    return state
