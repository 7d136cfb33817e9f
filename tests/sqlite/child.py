"""A bot's worth of writing in a process that is killed: `python -m tests.sqlite.child FILE` until the end comes.

It prints the number of each change after it was acknowledged. The changes of one worker carry 7 entries, a letter and
an inbound each, so that a torn one would be seen.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from adapters.sqlite import open_store
from agent.wire import Wrote
from orchestrator.events import Entry
from orchestrator.nouns import Conversation, Letter, Message, RunId
from orchestrator.ports import Change, Store

WORKERS = 8
ENTRIES = 7
ROOM = Conversation("web", "hall")


def change(name: str) -> Change:
    entries = [Entry(RunId(name), str(n), 1.0, Wrote("x" * 300)) for n in range(ENTRIES)]
    return Change(once=name, entries=entries, letters=[Letter(name, ROOM, Message("x" * 300))])


async def work(store: Store, life: str, worker: int) -> None:
    n = 0
    while True:
        name = f"{life}-{worker}-{n}"
        assert await store.write(change(name))
        os.write(1, f"{name}\n".encode())
        n += 1


async def main(path: Path, life: str) -> None:
    async with open_store(path) as db, asyncio.TaskGroup() as group:
        for worker in range(WORKERS):
            group.create_task(work(db.store, life, worker))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
