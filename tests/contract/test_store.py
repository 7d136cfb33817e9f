"""What every Store does, sentence by sentence of the port; the one in memory first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path

import pytest

from adapters.sqlite import open_store
from adapters.sqlite.store import SqliteStore
from agent.wire import Asked, Choice, FilePiece, Heard, Other, ToolReturned, Wrote
from orchestrator.errors import Broken
from orchestrator.events import Admitted, Ended, Entry, Event, Launched, Opened, Said
from orchestrator.nouns import (
    Agent,
    ArtifactId,
    Button,
    Conversation,
    File,
    Lane,
    Letter,
    Limits,
    Message,
    MessageId,
    Person,
    Phase,
    Row,
    RunId,
    Style,
)  # fmt: skip
from orchestrator.ports import Change, Store
from tests.contract.full import full_database, full_memory
from tests.fakes.store import MemoryStore

Opening = Callable[[], AbstractAsyncContextManager[Store]]

ANN = Person("web", "7", "Ann", roles=("owner",))
HALL = Conversation("web", "hall")
ROOM = Conversation("web", "hall", "room-1")
AGENT = Agent("claude", "claude", tools=("Bash", "Read"), limits=Limits(life=60.0))
RUN, OTHER_RUN = RunId("r-1"), RunId("r-2")


def entry(run: RunId, key: str, event: Event, *, at: float = 1.5) -> Entry:
    return Entry(run, key, at, event)


def launched(run: RunId, *, key: str = "launched") -> Entry:
    return entry(run, key, Launched(AGENT, f"the task of {run}", ANN, HALL, "A title"))


def ended(run: RunId, *, key: str = "ended", words: str = "") -> Entry:
    return entry(run, key, Ended("completed", words, cost_usd=0.25, turns=2))


def opened_in(run: RunId, where: Conversation, *, key: str = "opened") -> Entry:
    return entry(run, key, Opened(where))


def letter(key: str, *, where: Conversation = ROOM, text: str = "Hello") -> Letter:
    return Letter(key, where, Message(text))


async def journal_of(store: Store, run: RunId) -> list[Entry]:
    return [entry async for page in store.journal(run) for entry in page]


async def unsent_keys(store: Store) -> list[str]:
    return [one.letter.key for one in await store.unsent()]


class StoreContract:
    """`opening` opens the same store again and again; `failing` makes it unable to write for a while."""

    @pytest.fixture
    def opening(self, tmp_path: Path) -> Opening:
        raise NotImplementedError

    def failing(self, store: Store) -> AbstractAsyncContextManager[None]:
        raise NotImplementedError

    @pytest.fixture
    async def store(self, opening: Opening) -> AsyncIterator[Store]:
        async with opening() as store:
            yield store

    # write and journal

    async def test_entries_come_back_as_they_were_in_the_order_in_which_they_were_written(self, store: Store) -> None:
        events: list[Event] = [
            Launched(AGENT, "täsk\n\x00 🚀", ANN, HALL, "title", (File(ArtifactId("ab"), "a.txt", 3),), 1.5),
            Admitted(),
            Said("s-1", 'quo"ted', ANN, quoted=True),
            Asked("a-1", "question", "Which?", (Choice("one", "first"), Choice("two")), several=True),
            ToolReturned("c-1", ok=False, output="\ud83d is half of a character", cut=3),
            Other("novel", '{"a": 1}'),
        ]
        entries = [entry(RUN, str(n), event, at=10.0 - n) for n, event in enumerate(events)]
        assert await store.write(Change(entries=entries[:4]))
        assert await store.write(Change(entries=entries[4:]))
        assert await journal_of(store, RUN) == entries

    async def test_an_empty_journal_has_no_pages(self, store: Store) -> None:
        assert [page async for page in store.journal(RUN)] == []

    async def test_a_journal_is_one_runs(self, store: Store) -> None:
        await store.write(Change(entries=[entry(RUN, "1", Wrote("a")), entry(OTHER_RUN, "1", Wrote("b"))]))
        assert await journal_of(store, OTHER_RUN) == [entry(OTHER_RUN, "1", Wrote("b"))]

    async def test_a_known_key_of_a_run_is_left_as_it_was(self, store: Store) -> None:
        await store.write(Change(entries=[entry(RUN, "1", Wrote("first"))]))
        assert await store.write(
            Change(
                entries=[entry(RUN, "1", Wrote("second")), entry(RUN, "2", Wrote("new")), entry(RUN, "2", Wrote("x"))]
            )
        )
        assert await journal_of(store, RUN) == [entry(RUN, "1", Wrote("first")), entry(RUN, "2", Wrote("new"))]

    async def test_a_long_journal_comes_in_pages_and_in_order(self, store: Store) -> None:
        entries = [entry(RUN, str(n), Heard(str(n))) for n in range(1234)]
        for start in range(0, len(entries), 100):
            await store.write(Change(entries=entries[start : start + 100]))
        pages = [page async for page in store.journal(RUN)]
        assert [one for page in pages for one in page] == entries
        assert len(pages) > 2
        assert all(0 < len(page) < 1000 for page in pages)

    async def test_what_is_written_while_a_journal_is_read_may_be_read_but_harms_nothing(self, store: Store) -> None:
        entries = [entry(RUN, str(n), Heard(str(n))) for n in range(700)]
        await store.write(Change(entries=entries))
        found: list[Entry] = []
        async for page in store.journal(RUN):
            found += page
            await store.write(Change(entries=[entry(OTHER_RUN, page[0].key, Heard("x"))]))
        assert found == entries

    async def test_a_files_content_is_not_kept_in_the_journal(self, store: Store) -> None:
        await store.write(Change(entries=[entry(RUN, "1", FilePiece("f", "a.txt", 3, "00", 0, "QUJD", last=True))]))
        assert await journal_of(store, RUN) == [entry(RUN, "1", FilePiece("f", "a.txt", 3, "00", 0, "", last=True))]

    async def test_many_writers_at_once_each_keep_their_order(self, store: Store) -> None:
        async def write(run: RunId) -> None:
            for n in range(10):
                await store.write(Change(entries=[entry(run, str(n), Heard(str(n)))]))

        runs = [RunId(f"r-{n}") for n in range(20)]
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(write(run))
        for run in runs:
            assert [one.key for one in await journal_of(store, run)] == [str(n) for n in range(10)]

    # once

    async def test_a_known_inbound_writes_nothing(self, store: Store) -> None:
        assert await store.write(Change(once="web/1", entries=[entry(RUN, "1", Wrote("a"))]))
        again = Change(once="web/1", entries=[entry(RUN, "2", Wrote("b"))], letters=[letter("l-1")])
        assert not await store.write(again)
        assert [one.key for one in await journal_of(store, RUN)] == ["1"]
        assert await store.sent("l-1") is None

    async def test_an_inbound_alone_is_remembered(self, store: Store) -> None:
        assert await store.write(Change(once="web/1"))
        assert not await store.write(Change(once="web/1"))
        assert await store.write(Change(once="web/2"))

    async def test_without_an_inbound_the_same_change_is_always_welcome(self, store: Store) -> None:
        change = Change(entries=[entry(RUN, "1", Wrote("a"))])
        assert await store.write(change)
        assert await store.write(change)
        assert await store.write(Change())

    async def test_of_the_same_inbound_brought_many_times_at_once_one_is_written(self, store: Store) -> None:
        changes = [Change(once="web/1", entries=[entry(RUN, str(n), Wrote("a"))]) for n in range(20)]
        written = await asyncio.gather(*(store.write(change) for change in changes))
        assert sum(written) == 1
        assert len(await journal_of(store, RUN)) == 1

    # what cannot be written

    async def test_a_change_that_fails_leaves_nothing_and_may_be_brought_again(self, store: Store) -> None:
        big = Change(
            once="web/1",
            entries=[launched(RUN), entry(RUN, "1", Wrote("x" * 1_000_000))],
            letters=[letter("l-1"), letter("l-2", text="y" * 1_000_000)],
        )
        async with self.failing(store):
            with pytest.raises(Broken) as caught:
                await store.write(big)
        assert str(caught.value).endswith(".")
        assert await journal_of(store, RUN) == []
        assert await store.live() == []
        assert await unsent_keys(store) == []
        assert await store.write(big)
        assert [one.key for one in await journal_of(store, RUN)] == ["launched", "1"]
        assert await unsent_keys(store) == ["l-1", "l-2"]

    # which runs there are

    async def test_live_runs_in_the_order_of_their_launch(self, store: Store) -> None:
        for name in ("r-b", "r-a", "r-c"):
            await store.write(Change(entries=[launched(RunId(name)), opened_in(RunId(name), ROOM)]))
        await store.write(Change(entries=[ended(RunId("r-a"))]))
        await store.write(Change(entries=[entry(RunId("r-z"), "1", Wrote("never launched"))]))
        await store.write(Change(entries=[launched(RunId("r-b"), key="again")]))
        assert await store.live() == ["r-b", "r-c"]

    async def test_recent_runs_newest_end_first(self, store: Store) -> None:
        for name in ("r-1", "r-2", "r-3", "r-4"):
            await store.write(Change(entries=[launched(RunId(name)), entry(RunId(name), "1", Wrote("a"))]))
        for name in ("r-3", "r-1", "r-4"):
            await store.write(Change(entries=[ended(RunId(name), words=name)]))
        await store.write(Change(entries=[entry(RunId("r-1"), "late", Wrote("after the end"))]))
        await store.write(Change(entries=[ended(RunId("r-9"))]))
        names = [RunId("r-4"), RunId("r-1"), RunId("r-3")]
        assert await store.recent(10) == [(launched(run), ended(run, words=run)) for run in names]
        assert [first.run for first, _ in await store.recent(2)] == names[:2]
        assert await store.recent(0) == []

    async def test_a_run_that_ended_twice_is_recent_once(self, store: Store) -> None:
        await store.write(Change(entries=[launched(RUN), ended(RUN), launched(OTHER_RUN), ended(OTHER_RUN)]))
        await store.write(Change(entries=[ended(RUN, key="again", words="last"), launched(RUN, key="again-launched")]))
        assert await store.recent(10) == [
            (launched(RUN), ended(RUN, key="again", words="last")),
            (launched(OTHER_RUN), ended(OTHER_RUN)),
        ]

    async def test_the_run_that_was_opened_in_a_place_last(self, store: Store) -> None:
        assert await store.run_at(ROOM) is None
        await store.write(Change(entries=[launched(RUN), opened_in(RUN, ROOM), launched(OTHER_RUN)]))
        assert await store.run_at(ROOM) == RUN
        await store.write(Change(entries=[opened_in(OTHER_RUN, ROOM), ended(OTHER_RUN)]))
        assert await store.run_at(ROOM) == OTHER_RUN

    async def test_places_are_told_apart_by_all_of_their_names(self, store: Store) -> None:
        await store.write(Change(entries=[opened_in(RUN, Conversation("web", "a/b", "c"))]))
        assert await store.run_at(Conversation("web", "a", "b/c")) is None
        assert await store.run_at(Conversation("web", "a/b")) is None
        assert await store.run_at(Conversation("telegram", "a/b", "c")) is None
        assert await store.run_at(Conversation("web", "a/b", "c")) == RUN

    # letters

    async def test_letters_wait_in_the_order_in_which_they_were_written(self, store: Store) -> None:
        await store.write(Change(letters=[letter("z"), letter("a")]))
        await store.write(Change(entries=[launched(RUN)], letters=[letter("m"), letter("z", text="changed")]))
        assert await unsent_keys(store) == ["z", "a", "m"]
        assert [one.letter.message.text for one in await store.unsent()] == ["Hello"] * 3

    async def test_a_letter_comes_back_with_everything_in_it(self, store: Store) -> None:
        button = Button("Stop", "stop/r-1", Style.DANGER)
        row = Row(RUN, "title", "claude", Phase.ASKING, 5.0, 0.5, ROOM, "words", (button,))
        message = Message(
            "text", "status", ("one", "two"), 3.0, (button,), (File(ArtifactId("ab"), "a.txt", 3),),
            (row, Row(OTHER_RUN, "t", "a", Phase.ENDED, 1.0, 0.0, None)), board=True, rings=True,
        )  # fmt: skip
        full = Letter("k", ROOM, message, Lane.BOARD, edits="first", run=RUN)
        await store.write(Change(letters=[full]))
        one = await store.sent("k")
        assert one is not None
        assert one.letter == full
        assert isinstance(one.letter.lane, Lane)

    async def test_tries_are_counted_and_stay_in_line(self, store: Store) -> None:
        await store.write(Change(letters=[letter("a"), letter("b")]))
        await store.trying("a")
        await store.trying("a")
        assert [(one.letter.key, one.tries) for one in await store.unsent()] == [("a", 2), ("b", 0)]

    async def test_a_delivered_letter_waits_no_more_and_says_what_it_became(self, store: Store) -> None:
        await store.write(Change(letters=[letter("a"), letter("b")]))
        await store.trying("a")
        await store.delivered("a", MessageId("77"))
        assert await unsent_keys(store) == ["b"]
        one = await store.sent("a")
        assert one is not None
        assert (one.letter, one.message_id, one.tries, one.lost) == (letter("a"), "77", 1, "")

    async def test_a_letter_given_up_waits_no_more_and_says_why(self, store: Store) -> None:
        await store.write(Change(letters=[letter("a"), letter("b")]))
        await store.given_up("a", "the chat is gone")
        await store.given_up("b", "")
        assert await unsent_keys(store) == []
        one = await store.sent("a")
        assert one is not None
        assert (one.message_id, one.lost) == (None, "the chat is gone")

    async def test_a_settled_letter_brought_again_stays_settled(self, store: Store) -> None:
        await store.write(Change(letters=[letter("a")]))
        await store.delivered("a", MessageId("77"))
        await store.write(Change(letters=[letter("a")]))
        assert await unsent_keys(store) == []

    async def test_what_is_said_of_unknown_letters_is_quiet(self, store: Store) -> None:
        await store.trying("x")
        await store.delivered("x", MessageId("1"))
        await store.given_up("x", "why")
        assert await store.sent("x") is None

    # agents

    async def test_agents_by_name_replaced_and_removed(self, store: Store) -> None:
        assert await store.agents() == []
        for name in ("b", "Z", "a", "é"):
            await store.keep_agent(Agent(name, "claude", about=name, limits=Limits(idle=9.0)))
        await store.keep_agent(Agent("b", "opencode"))
        await store.drop_agent("a")
        await store.drop_agent("never there")
        found = await store.agents()
        assert [agent.name for agent in found] == ["Z", "b", "é"]
        assert found[1] == Agent("b", "opencode")
        assert found[0].limits == Limits(idle=9.0)

    # reopening

    async def test_everything_is_there_after_reopening(self, opening: Opening) -> None:
        async with opening() as store:
            await store.write(Change(once="web/1", entries=[launched(RUN), opened_in(RUN, ROOM)]))
            await store.write(Change(letters=[letter("a"), letter("b"), letter("c"), letter("d")]))
            await store.trying("b")
            await store.delivered("a", MessageId("1"))
            await store.given_up("d", "gone")
            await store.keep_agent(AGENT)
        async with opening() as store:
            await store.write(Change(entries=[entry(RUN, "1", Wrote("later"))]))
            assert [one.key for one in await journal_of(store, RUN)] == ["launched", "opened", "1"]
            assert not await store.write(Change(once="web/1"))
            assert [(one.letter.key, one.tries) for one in await store.unsent()] == [("b", 1), ("c", 0)]
            assert await store.live() == [RUN]
            assert await store.run_at(ROOM) == RUN
            assert await store.agents() == [AGENT]
            lost = await store.sent("d")
            assert lost is not None
            assert lost.lost == "gone"


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def opening(self, tmp_path: Path) -> Opening:
        store = MemoryStore()
        return lambda: nullcontext(store)

    @asynccontextmanager
    async def failing(self, store: Store) -> AsyncIterator[None]:
        assert isinstance(store, MemoryStore)
        with full_memory(store):
            yield

    async def test_what_no_disk_could_keep_is_not_kept_here_either(self, store: Store) -> None:
        with pytest.raises(TypeError):
            await store.write(Change(entries=[entry(RUN, "1", Wrote(json))]))  # type: ignore[arg-type]  # the point


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def opening(self, tmp_path: Path) -> Opening:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Store]:
            async with open_store(tmp_path / "store.db") as db:
                yield db.store

        return opened

    @asynccontextmanager
    async def failing(self, store: Store) -> AsyncIterator[None]:
        assert isinstance(store, SqliteStore)
        async with full_database(store._writer):
            yield
