"""What every drawer of notes does, sentence by sentence of the port; the one in memory first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path

import pytest

from adapters.sqlite import open_store
from adapters.sqlite.notes import SqliteNotes
from orchestrator.errors import Broken
from orchestrator.ports import Notes
from tests.contract.full import full_database, full_memory
from tests.fakes.notes import MemoryNotes

Opening = Callable[[], AbstractAsyncContextManager[Notes]]

TRICKY = "1\n\x00\"é'%_🚀"
TOP = "\U0010ffff"


class NotesContract:
    """`opening` opens the same drawer again and again; `failing` makes it unable to write for a while."""

    @pytest.fixture
    def opening(self, tmp_path: Path) -> Opening:
        raise NotImplementedError

    def failing(self, notes: Notes) -> AbstractAsyncContextManager[None]:
        raise NotImplementedError

    @pytest.fixture
    async def notes(self, opening: Opening) -> AsyncIterator[Notes]:
        async with opening() as notes:
            yield notes

    async def test_an_empty_drawer(self, notes: Notes) -> None:
        assert list(await notes.scan()) == []
        await notes.put({})
        await notes.put({"never there": None})
        assert list(await notes.scan()) == []

    async def test_notes_come_back_by_name(self, notes: Notes) -> None:
        await notes.put({"b": "2", "a": TRICKY, "B": ""})
        assert list(await notes.scan()) == [("B", ""), ("a", TRICKY), ("b", "2")]

    async def test_a_note_is_replaced_and_removed(self, notes: Notes) -> None:
        await notes.put({"a": "1", "b": "2", "c": "3"})
        await notes.put({"a": "new", "b": None, "d": "4"})
        assert list(await notes.scan()) == [("a", "new"), ("c", "3"), ("d", "4")]

    async def test_names_that_begin_with_a_prefix(self, notes: Notes) -> None:
        names = ["post", "post/", "post/1", "post/%", "post/_", f"post/{TOP}", f"post/{TOP}z", "post0", "pos", "q"]
        await notes.put(dict.fromkeys(names, "x"))
        found = [name for name, _ in await notes.scan("post/")]
        assert found == ["post/", "post/%", "post/1", "post/_", f"post/{TOP}", f"post/{TOP}z"]
        assert [name for name, _ in await notes.scan("post/_")] == ["post/_"]
        assert list(await notes.scan("r")) == []

    async def test_pages(self, notes: Notes) -> None:
        names = [f"a/{n:03}" for n in range(25)]
        await notes.put(dict.fromkeys([*names, "b", "Z"], "x"))
        found: list[str] = []
        while page := await notes.scan("a/", after=found[-1] if found else "", limit=10):
            assert len(page) <= 10
            assert page[0][0] not in found
            found += [name for name, _ in page]
        assert found == names
        assert list(await notes.scan("a/", limit=0)) == []
        assert list(await notes.scan("a/", after="b")) == []
        assert [name for name, _ in await notes.scan("b", after="a/9")] == ["b"]

    async def test_all_or_none(self, notes: Notes) -> None:
        await notes.put({"a": "1", "b": "2"})
        async with self.failing(notes):
            with pytest.raises(Broken) as caught:
                await notes.put({"a": "x" * 2_000_000, "b": None, "c": "3"})
        assert str(caught.value).endswith(".")
        assert list(await notes.scan()) == [("a", "1"), ("b", "2")]
        await notes.put({"a": "new"})
        assert list(await notes.scan()) == [("a", "new"), ("b", "2")]

    async def test_everything_is_there_after_reopening(self, opening: Opening) -> None:
        async with opening() as notes:
            await notes.put({"a": "1", "b": "2"})
            await notes.put({"b": None})
        async with opening() as notes:
            assert list(await notes.scan()) == [("a", "1")]


class TestMemoryNotes(NotesContract):
    @pytest.fixture
    def opening(self, tmp_path: Path) -> Opening:
        notes = MemoryNotes()
        return lambda: nullcontext(notes)

    @asynccontextmanager
    async def failing(self, notes: Notes) -> AsyncIterator[None]:
        assert isinstance(notes, MemoryNotes)
        with full_memory(notes):
            yield


class TestSqliteNotes(NotesContract):
    @pytest.fixture
    def opening(self, tmp_path: Path) -> Opening:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Notes]:
            async with open_store(tmp_path / "store.db") as db:
                yield db.notes("telegram")

        return opened

    @asynccontextmanager
    async def failing(self, notes: Notes) -> AsyncIterator[None]:
        assert isinstance(notes, SqliteNotes)
        async with full_database(notes._writer):
            yield

    async def test_nobody_else_looks_into_it(self, tmp_path: Path) -> None:
        async with open_store(tmp_path / "store.db") as db:
            await db.notes("telegram").put({"a": "1"})
            await db.notes("web").put({"a": "2", "b": "3"})
            await db.notes("web").put({"a": None})
            assert list(await db.notes("telegram").scan()) == [("a", "1")]
            assert list(await db.notes("web").scan()) == [("b", "3")]
            assert list(await db.notes("").scan()) == []
