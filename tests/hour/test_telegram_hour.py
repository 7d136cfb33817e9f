"""An hour of five agents in one Telegram group, ten lines a second each, against a server that enforces its budget."""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_right
from itertools import pairwise

import pytest

from adapters.telegram.chat import TelegramChat
from orchestrator.commands import COMMANDS
from orchestrator.gate import Rule
from orchestrator.nouns import RunId
from orchestrator.run import run_id
from tests.botapi import BotApi, Call, Chat, Person
from tests.fakes.artifacts import MemoryArtifacts
from tests.fakes.notes import MemoryNotes
from tests.hour.fleet import HOUR, Fleet, eventually, percentile, room

pytestmark = [pytest.mark.looptime, pytest.mark.slow]

RUNS = 5
SEED = int(os.environ.get("ARMY_SEED", "1"))


async def test_five_agents_in_one_group_for_an_hour() -> None:
    print(f"seed {SEED} (ARMY_SEED)")
    fleet = Fleet(SEED)
    loop = asyncio.get_running_loop()
    async with BotApi() as api:
        ann = api.person(7, "Ann")
        group = api.group(-1001234567890, forum=True)
        api.street.member(group, ann)
        chat = TelegramChat(
            MemoryNotes(),
            MemoryArtifacts(),
            token=api.token,
            api_base=api.url,
            commands=COMMANDS,
            allowed_users=[7],
            allowed_chats=[group.id],
        )
        rule = Rule(people=frozenset({"7"}), chats=frozenset({str(group.id)}))
        async with chat, room(fleet, {"telegram": chat}, {"telegram": rule}):
            runs = [await launch(ann, group, n) for n in range(RUNS)]
            start = loop.time()
            person = asyncio.create_task(answer_everything(api, ann, group))
            async with asyncio.TaskGroup() as work:
                for run in runs:
                    work.create_task(fleet.work(run, until=start + HOUR))
            await eventually(lambda: all_final(api, group, fleet), seconds=300)
            person.cancel()
            await asyncio.wait([person])
        assert fleet.lines > 0.9 * RUNS * HOUR / 0.1
        assert (api.told_to_wait, api.into_penalty) == (0, 0)
        seen = visible(api, group)
        waits = [seen[told.text] - told.at for told in fleet.asked]
        late = percentile(waits, 0.95)
        stale, waited = staleness(api, group, since=start + 60)
        print(
            f"{fleet.lines} lines, {len(api.calls)} requests, {len(fleet.finals)} finals, {len(waits)} questions seen "
            f"within {late:.2f} s (p95) and {max(waits):.2f} s (all), live pages at most {max(stale):.2f} (p95 "
            f"{percentile(stale, 0.95):.2f}) times as old as the budget allowed in the tightest minute of their wait, "
            f"{max(waited):.2f} (p95 {percentile(waited, 0.95):.2f}) times as old as by what it allowed meanwhile"
        )
        assert late <= 3.0
        assert percentile(stale, 0.99) <= 1.5
        assert max(stale) <= 1.6  # 1.41 to 1.47 with the seeds 1 to 4; real sockets move it a little
        assert percentile(waited, 0.95) <= 1.5
        for told in fleet.finals:
            (final,) = [m for m in api.messages(group.id) if m.text.startswith(told.text.splitlines()[0][3:] + "\n") and
                        same(m.text, told.text)]  # fmt: skip
            assert not final.silent


async def launch(ann: Person, group: Chat, number: int) -> RunId:
    """Ask for a run, as a person does."""
    said = await ann.says(group, f"/launch played task {number}")
    await asyncio.sleep(20)
    return run_id(f"telegram/{group.id}/{said.id}")


async def answer_everything(api: BotApi, ann: Person, group: Chat) -> None:
    """A person who taps Yes after a while, and says "go on" when it is her turn."""
    done: set[int] = set()
    while True:
        await asyncio.sleep(2)
        for message in list(api.messages(group.id)):
            if message.id in done or not message.own:
                continue
            if message.text.endswith("go on?") and message.buttons:
                done.add(message.id)
                await ann.presses(message, "Yes")
            elif message.text.startswith("Turn ") and not message.silent and message.thread:
                done.add(message.id)
                await ann.says(group, "go on", thread=message.thread)


def visible(api: BotApi, group: Chat) -> dict[str, float]:
    """When each question stood in the chat."""
    return {m.text.splitlines()[-1]: m.at for m in api.messages(group.id) if m.text.endswith("go on?")}


def staleness(api: BotApi, group: Chat, *, since: float) -> tuple[list[float], list[float]]:
    """How old live pages became between two looks while their agents wrote, in shares of what the group bears.

    At any moment it bears, of twenty requests a minute, what nothing else took in the minute before; a page's share of
    that is one look of N. First by the tightest minute that ended while a page waited: what was spent on looks before
    the others came cannot be had back within it. Then by what the group bore from one look to the next, moment by
    moment, which counts that against us.
    """
    counted = [call for call in api.calls if call.chat == group.id and call.method != "getFile"]
    others = [call.at for call in counted if not is_live(call)]
    end = int(counted[-1].at) + 2
    borne = [0.0]
    for second in range(end):
        taken = bisect_right(others, second) - bisect_right(others, second - 60)
        borne.append(borne[-1] + max(0, 20 - taken) / 60)
    looks: dict[int, list[float]] = {}
    for call in counted:
        if is_live(call):
            looks.setdefault(int(str(call.params["message_id"])), []).append(call.at)
    spans = [pair for at in looks.values() for pair in pairwise(at) if pair[0] > since]

    def tightest(earlier: float, later: float) -> int:
        ends = (earlier, later, *others[bisect_right(others, earlier) : bisect_right(others, later)])
        return max(bisect_right(others, end) - bisect_right(others, end - 60) for end in ends)

    shares = [(later - earlier) * max(1, 20 - tightest(earlier, later)) / 60 / RUNS for earlier, later in spans]
    return shares, [(borne[round(later)] - borne[round(earlier)]) / RUNS for earlier, later in spans]


def is_live(call: Call) -> bool:
    """A look of a page whose agent is at work: it alone has a running clock."""
    return call.method == "editMessageText" and "started" in str(call.params.get("text", "")).partition("\n")[0]


def all_final(api: BotApi, group: Chat, fleet: Fleet) -> bool:
    standing = [m for m in api.messages(group.id) if not m.silent]
    return all(any(same(m.text, told.text) for m in standing) for told in fleet.finals)


def same(shown: str, said: str) -> bool:
    """Word for word what the agent said, its marks aside."""
    return words(shown) == words(said)


def words(text: str) -> list[str]:
    """The words of a markdown text, without its marks."""
    for mark in ("## ", "```python", "```", "**", "`", "- ", "• "):
        text = text.replace(mark, " ")
    return text.split()
