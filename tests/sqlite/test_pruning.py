"""What is forgotten after a while, and what is still needed and stays."""

from __future__ import annotations

from pathlib import Path

from adapters.sqlite import open_store
from agent.wire import Wrote
from orchestrator.events import Ended, Entry, Launched
from orchestrator.nouns import Agent, Conversation, Letter, Message, MessageId, Person, RunId
from orchestrator.ports import Change

ROOM = Conversation("web", "hall")
LIVE, OVER = RunId("r-live"), RunId("r-over")


def letter(key: str, *, edits: str = "", run: RunId | None = None) -> Letter:
    return Letter(key, ROOM, Message("x"), edits=edits, run=run or RunId(""))


def launched(run: RunId) -> Entry:
    return Entry(run, "launched", 1.0, Launched(Agent("a", "b"), "t", Person("web", "1"), ROOM, "title"))


async def test_what_is_old_and_settled_is_forgotten_and_the_rest_stays(tmp_path: Path) -> None:
    clock = [100.0]
    async with open_store(tmp_path / "store.db", now=lambda: clock[0]) as db:
        store = db.store
        old = [
            letter("settled"), letter("lost"), letter("waiting"), letter("of a live run", run=LIVE),
            letter("of an ended run", run=OVER), letter("edited later"), letter("edit waits for it"),
        ]  # fmt: skip
        await store.write(Change(once="web/old", entries=[launched(LIVE), launched(OVER)], letters=old))
        await store.write(
            Change(entries=[Entry(OVER, "1", 1.0, Wrote("x")), Entry(OVER, "2", 1.0, Ended("stopped", ""))])
        )
        for one in old:
            if one.key == "lost":
                await store.given_up("lost", "why")
            elif one.key != "waiting":
                await store.delivered(one.key, MessageId("1"))
        await store.write(Change(letters=[letter("unsent edit", edits="edit waits for it")]))
        clock[0] = 200.0
        young = [letter("young"), letter("young edit", edits="edited later")]
        await store.write(Change(once="web/young", letters=young))
        for one in young:
            await store.delivered(one.key, MessageId("2"))

        await db.prune(before=150.0)

        kept = [one.key for one in [*old, *young] if await store.sent(one.key)]
        assert kept == [
            "waiting", "of a live run", "edited later", "edit waits for it", "young", "young edit",
        ]  # fmt: skip
        assert [one.letter.key for one in await store.unsent()] == ["waiting", "unsent edit"]
        assert await store.write(Change(once="web/old"))
        assert not await store.write(Change(once="web/young"))
        assert len([entry async for page in store.journal(OVER) for entry in page]) == 3
        await db.prune(before=150.0)
