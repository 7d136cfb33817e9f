"""An hour of ten agents in ten threads of one Discord channel, ten lines a second each, through the real library.

How old a page is: a look shows every line that was said before it; the first line after it waits for the next look, and
that wait is measured, for each look from an agent's first line to the last look of its last turn. It is told in shares
of what the thread bears by its headers: five edits in five seconds are one look a second, less what other edits in that
thread took of the same bucket in the five seconds before. What agents say is counted from when they are at work.
"""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest

from adapters.discord.chat import DiscordChat
from orchestrator.commands import COMMANDS
from orchestrator.gate import Rule
from orchestrator.nouns import Conversation, Person, RunId
from tests import discordapi
from tests.discordapi import Channel, Discord, Message
from tests.discordapi.ask import Call
from tests.discordapi.limits import OLD_EDITS
from tests.fakes.artifacts import MemoryArtifacts
from tests.fakes.notes import MemoryNotes
from tests.hour.fleet import HOUR, WHOLE, Fleet, Told, eventually, percentile, room

pytestmark = [pytest.mark.looptime, pytest.mark.slow]

TOKEN = "MTA0.secret-of-the-bot.x_Y-z"
RUNS = 10
LONG = 66 * 60.0
"""A turn, of a whole hour, in which a page becomes older than the platform lets it be edited freely."""

PER, BEARS = 5.0, 5
"""So many edits in so many seconds, by the headers of a thread."""

SILENT = 1 << 12
SEED = int(os.environ.get("ARMY_SEED", "1"))


async def test_ten_agents_in_ten_threads_for_an_hour() -> None:
    print(f"seed {SEED} (ARMY_SEED)")
    fleet = Fleet(SEED)
    loop = asyncio.get_running_loop()

    async def suggest(_person: Person, _where: Conversation, _typed: str) -> Sequence[tuple[str, str]]:
        return []

    async with Discord(token=TOKEN) as api:
        ann, channel = api.owner, api.text_channel("general")
        chat = DiscordChat(
            MemoryNotes(),
            MemoryArtifacts(),
            token=TOKEN,
            guilds=[str(api.guild.id)],
            may=lambda _person, _where: True,
            api_base=api.rest,
            gateway_url=api.gateway,
            commands=COMMANDS,
            suggest=suggest,
            clock=api.clock.now,
        )
        rule = Rule(people=frozenset({str(ann.id)}), servers=frozenset({str(api.guild.id)}))
        async with chat, room(fleet, {"discord": chat}, {"discord": rule}):
            await eventually(lambda: "launch" in api.command_names)
            threads = dict([await launch(fleet, api, ann, channel, n) for n in range(RUNS)])
            start, shift = loop.time(), loop.time() - api.clock.now()
            person = asyncio.create_task(answer_everything(api, ann, threads.values()))
            async with asyncio.TaskGroup() as work:
                for n, run in enumerate(threads):
                    work.create_task(fleet.work(run, until=start + HOUR, first=LONG if WHOLE and not n else 0.0))
            await eventually(lambda: all(len(stands(api, threads, told)) for told in fleet.finals), seconds=300)
            person.cancel()
            await asyncio.wait([person])
        assert fleet.lines > 0.9 * RUNS * HOUR / 0.1
        assert (api.told_to_wait, api.into_penalty, api.invalid_requests) == (0, 0, 0)
        seen = {m.text.splitlines()[-1]: m.created + shift for m in every(api, threads) if is_question(m)}
        waits = [seen[told.text] - told.at for told in fleet.asked]
        late = percentile(waits, 0.95)
        stale = [age for run, thread in threads.items() for age in staleness(api, thread, fleet.spoke[run])]
        print(
            f"{fleet.lines} lines, {len(api.calls)} requests, {len(fleet.finals)} finals, {len(waits)} questions seen "
            f"within {late:.2f} s (p95) and {max(waits):.2f} s (all), live pages at most {max(stale):.2f} (p95 "
            f"{percentile(stale, 0.95):.2f}, p99 {percentile(stale, 0.99):.2f}) times as old as the budget allows"
        )
        assert late <= 3.0
        assert max(stale) <= 1.5
        for told in fleet.finals:
            (final,) = stands(api, threads, told)
            assert not final.flags & SILENT
        if not WHOLE:
            return
        long = threads[next(iter(threads))]
        taken = [call.at for call in api.calls if call.method == "DELETE" and call.channel == long.id]
        assert taken, "a page of more than fifty minutes is posted anew and the old one goes"
        assert not any(name == OLD_EDITS for name, _ in api.limits._windows), "no message of an hour ago was edited"


async def launch(
    fleet: Fleet, api: Discord, ann: discordapi.Person, channel: Channel, number: int
) -> tuple[RunId, Channel]:
    """Ask for a run, as a person does; the run, and the thread that it opened."""
    known, before = len(fleet.runtime.runs), len(api.threads(channel))
    answer = await ann.slash(channel, "launch", agent="played", task=f"task {number}")
    assert answer.answered
    await eventually(lambda: len(fleet.runtime.runs) > known)
    await asyncio.sleep(20)
    (run,), (thread,) = fleet.runtime.runs[known:], api.threads(channel)[before:]
    return run, thread


async def answer_everything(api: Discord, ann: discordapi.Person, threads: Iterable[Channel]) -> None:
    """A person who presses Yes after a while, and says "go on" when it is her turn."""
    done: set[int] = set()
    while True:
        await asyncio.sleep(2)
        for thread in threads:
            for message in list(api.messages(thread)):
                if message.id in done or message.author is not api.world.me:
                    continue
                if is_question(message) and message.buttons:
                    done.add(message.id)
                    await ann.presses(message, "Yes")
                elif is_final(message):
                    done.add(message.id)
                    await ann.says(thread, "go on")


def every(api: Discord, threads: dict[RunId, Channel]) -> list[Message]:
    """All that stands in the threads."""
    return [message for thread in threads.values() for message in api.messages(thread)]


def is_question(message: Message) -> bool:
    """Whether it asks something, answered or not."""
    return message.text.endswith("go on?")


def is_final(message: Message) -> bool:
    """Whether it is what an agent said at the end of a turn."""
    return message.content.startswith("## Turn ")


def stands(api: Discord, threads: dict[RunId, Channel], told: Told) -> list[Message]:
    """The messages in a run's thread that are, word for word, this."""
    return [m for m in api.messages(threads[told.run]) if is_final(m) and words(m.content) == words(told.text)]


def words(text: str) -> list[str]:
    """The words of a markdown text, without its marks."""
    for mark in ("## ", "```python", "```", "**", "`", "- ", "\\"):
        text = text.replace(mark, " " if mark != "\\" else "")
    return text.split()


def staleness(api: Discord, thread: Channel, spoke: Sequence[float]) -> list[float]:
    """How long the first line after each look waited for the next look, in shares of what the thread bears."""
    looks: list[float] = []
    others: list[float] = []
    for call in api.calls:
        if call.channel == thread.id and call.status == 200:
            if is_look(call):
                looks.append(call.at)
            elif call.method == "PATCH":
                others.append(call.at)
    return [
        borne(line, later, others)
        for earlier, later in pairwise(looks)
        if (at := bisect_right(spoke, earlier)) < len(spoke) and (line := spoke[at]) <= later
    ]


def is_look(call: Call) -> bool:
    """A look of a page: it has a running clock, or is its last one."""
    first = str((call.body or {}).get("content", "")).partition("\n")[0]
    return call.route.endswith(("/messages", "/messages/{message_id}")) and ("<t:" in first or "**done" in first)


def borne(begin: float, end: float, others: Sequence[float]) -> float:
    """The looks that a thread bears in this span, less what other edits take of it."""
    taken = sum(max(0.0, min(end, at + PER) - max(begin, at)) / PER for at in others)
    return (end - begin) * BEARS / PER - taken
