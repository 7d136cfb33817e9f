"""Dashboards over a long life: few in each chat, where they were asked for last, never forgotten while they stand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.sqlite import open_store
from adapters.sqlite.database import Database
from agent import wire
from orchestrator.board import Boards
from orchestrator.nouns import Conversation, Pace
from orchestrator.post import PostOffice
from tests.core.world import LOBBY, World, asking
from tests.fakes.chat import FakeChat

GROUP = Pace(burst=18, per=60.0, reserve=3, edit_every=4.0)
MONTH = 31 * 86400.0


def threads(count: int) -> list[Conversation]:
    return [Conversation("fake", "hall", f"old{n}") for n in range(count)]


@pytest.mark.looptime
async def test_a_chat_has_one_dashboard_and_one_more_in_its_threads() -> None:
    world = World(behave=asking)
    async with world.life():
        for where in (LOBBY, *threads(3), LOBBY):
            await world.say("/runs", where)
        await world.until(lambda: len(world.looks(LOBBY)) == 2)
        await asyncio.sleep(30)
        assert [look.status for look in world.looks(LOBBY)] == ["the dashboard has moved down", "no live run"]
        words = [world.looks(where)[0].status for where in threads(3)]
        assert words == ["the dashboard has moved", "the dashboard has moved", "no live run"]
    async with world.life():  # and so it is after a restart
        await world.launch()
        await world.until(lambda: world.looks(LOBBY)[1].status == "1 live run")
        await world.until(lambda: world.looks(threads(3)[2])[0].status == "1 live run")
        assert len(await world.notes.scan("board/")) == 2


@pytest.mark.looptime
async def test_dashboards_in_many_threads_leave_a_page_its_share() -> None:
    async def drawn(boards: int) -> int:
        world = World(behave=asking, pace=GROUP)
        async with world.life():
            run, pod = await world.launch()
            for where in threads(boards):
                await world.say("/runs", where)
            await asyncio.sleep(600)
            before = len(world.chat.calls)
            for n in range(600):
                pod.live(wire.TextSoFar(f"text {n}"))
                pod.report(wire.Noticed("error", "c", f"notice {n}"))
                await asyncio.sleep(1)
            page = world.posts(world.place(run))[0].id
            return sum(call.method == "edit" and call.key == page for call in world.chat.calls[before:])

    none, many = await drawn(0), await drawn(30)
    print(f"a page was drawn {none} times in ten minutes without a dashboard, {many} times after 30")
    assert many > none / 3


@asynccontextmanager
async def boards(database: Database, chat: FakeChat) -> AsyncIterator[Boards]:
    async with asyncio.TaskGroup() as group:
        ready: asyncio.Future[Boards] = asyncio.get_running_loop().create_future()

        async def life() -> None:
            async with asyncio.TaskGroup() as inner:
                office = PostOffice({"fake": chat}, database.store, inner)
                made = Boards(store=database.store, notes=database.notes("core"), office=office, live=lambda _: [])
                await made.recover([LOBBY])
                ready.set_result(made)
                await asyncio.Event().wait()

        task = group.create_task(life())
        yield await ready
        task.cancel()


async def settled(database: Database, count: int) -> None:
    async with asyncio.timeout(60):
        while len(await database.store.unsent()) or count:
            count = max(0, count - 1)
            await asyncio.sleep(0.01)


async def test_a_dashboard_that_is_months_old_is_still_the_dashboard(tmp_path: Path) -> None:
    clock = [1_000_000.0]
    chat = FakeChat("fake", remembers=False)
    for _ in range(3):
        async with open_store(tmp_path / "army.db", now=lambda: clock[0]) as database, boards(database, chat) as made:
            await settled(database, 10)
            clock[0] += MONTH
            await database.prune(before=clock[0] - MONTH / 2, keep=made.kept())
    assert len(chat.posts) == 1
    async with open_store(tmp_path / "army.db", now=lambda: clock[0]) as database, boards(database, chat) as made:
        await made.post(LOBBY, once="fake/runs")
        await settled(database, 10)
    assert [post.message.status for post in chat.posts] == ["the dashboard has moved down", "no live run"]
