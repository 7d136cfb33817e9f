"""Any story told to the store in memory and to the one on disk leaves both with the same answers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.sqlite import Database, open_store
from agent.wire import Heard, Noticed, Wrote
from orchestrator.events import Ended, Entry, Event, Launched, Opened
from orchestrator.nouns import Agent, Conversation, Letter, Message, MessageId, Person, RunId
from orchestrator.ports import Change, Notes, Store
from tests.fakes.notes import MemoryNotes
from tests.fakes.store import MemoryStore

few = st.sampled_from
keys = few(["a", "b", "c", "d"])
runs = few([RunId("r-1"), RunId("r-2"), RunId("r-3")])
places = few([Conversation("web", "1"), Conversation("web", "1", "2"), Conversation("web", "12")])
texts = st.text(st.characters(exclude_categories=()), max_size=5)
names = st.text(few("ab/%é🚀\U0010ffff"), max_size=4)
limits = st.integers(-1, 4)

ANN = Person("web", "7")
LAUNCHED = Launched(Agent("a", "b"), "task", ANN, Conversation("web", "1"), "title")
events: st.SearchStrategy[Event] = st.one_of(
    st.just(LAUNCHED),
    st.builds(Opened, places),
    st.builds(Ended, few(["completed", "failed"]), texts),
    st.builds(Wrote, texts),
    st.builds(Heard, keys, texts),
    st.builds(Noticed, texts, texts, texts),
)
changes = st.builds(
    Change,
    once=few(["", "", "in-1", "in-2"]),
    entries=st.lists(st.builds(Entry, runs, keys, st.floats(0, 2e9), events), max_size=4),
    letters=st.lists(st.builds(Letter, keys, places, st.builds(Message, texts), edits=few(["", "a"])), max_size=3),
)

Told = tuple[str, tuple[object, ...]]
stories = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.tuples(changes)),
        st.tuples(st.just("trying"), st.tuples(keys)),
        st.tuples(st.just("delivered"), st.tuples(keys, few([MessageId("1"), MessageId("2")]))),
        st.tuples(st.just("given_up"), st.tuples(keys, st.text(max_size=3))),
        st.tuples(st.just("keep_agent"), st.tuples(st.builds(Agent, names, st.just("x"), texts))),
        st.tuples(st.just("drop_agent"), st.tuples(names)),
    ),
    max_size=25,
)


async def tell(store: Store, story: Sequence[Told]) -> list[object]:
    """What each call of the story answered."""
    return [await getattr(store, name)(*args) for name, args in story]


async def answers(store: Store) -> dict[str, object]:
    """Everything that can be asked of a store."""
    found: dict[str, object] = {
        "live": list(await store.live()),
        "unsent": list(await store.unsent()),
        "agents": list(await store.agents()),
        "sent": [await store.sent(key) for key in "abcd"],
    }
    for limit in range(-1, 4):
        found[f"recent {limit}"] = list(await store.recent(limit))
    for run in ("r-1", "r-2", "r-3"):
        found[f"journal of {run}"] = [entry async for page in store.journal(RunId(run)) for entry in page]
    for where in (Conversation("web", "1"), Conversation("web", "1", "2"), Conversation("web", "12")):
        found[f"run at {where}"] = await store.run_at(where)
    return found


def on_a_new_file(story: Callable[[Path], Awaitable[None]]) -> None:
    with TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:  # noqa: PTH112
        asyncio.run(_awaited(story(Path(folder) / "store.db")))


async def _awaited(work: Awaitable[None]) -> None:
    await work


@settings(max_examples=80, deadline=None)
@given(stories, st.integers(0, 25))
def test_any_story_of_a_store(story: list[Told], reopened_after: int) -> None:
    async def compare(path: Path) -> None:
        memory = MemoryStore()
        expected = await tell(memory, story)
        async with open_store(path) as db:
            told = await tell(db.store, story[:reopened_after])
        async with open_store(path) as db:
            assert told + await tell(db.store, story[reopened_after:]) == expected
            assert await answers(db.store) == await answers(memory)

    on_a_new_file(compare)


@settings(max_examples=40, deadline=None)
@given(stories)
def test_any_story_told_all_at_once(story: list[Told]) -> None:
    """In one group, in the order in which it was told."""

    async def compare(path: Path) -> None:
        memory = MemoryStore()
        expected = await tell(memory, story)
        async with open_store(path) as db:
            assert await asyncio.gather(*(getattr(db.store, name)(*args) for name, args in story)) == expected
            assert await answers(db.store) == await answers(memory)

    on_a_new_file(compare)


drawers = st.dictionaries(names, st.one_of(st.none(), st.text(max_size=3)), max_size=4)
questions = st.lists(st.tuples(names, names, limits), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None)
@given(st.lists(drawers, max_size=8), questions)
def test_any_story_of_notes(puts: list[dict[str, str | None]], asked: list[tuple[str, str, int]]) -> None:
    async def scans(notes: Notes) -> list[list[tuple[str, str]]]:
        return [list(await notes.scan(prefix, after=after, limit=limit)) for prefix, after, limit in asked]

    async def compare(path: Path) -> None:
        memory = MemoryNotes()
        async with open_store(path) as db:
            await _put(db, memory, puts)
            assert await scans(db.notes("n")) == await scans(memory)

    on_a_new_file(compare)


async def _put(db: Database, memory: MemoryNotes, puts: list[dict[str, str | None]]) -> None:
    await db.notes("other").put({"a": "not asked for"})
    for put in puts:
        await memory.put(put)
        await db.notes("n").put(put)
