"""The bot stands still for half a minute while an agent prints a hundred megabytes: the agent does not notice."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from adapters.local.folder import Folder
from adapters.sqlite import open_store
from agent.wire import Frame, TurnEnded, TurnStarted, parse_up
from orchestrator.nouns import Agent
from tests.chaos.cast import Thread
from tests.chaos.truth import check_disk, settled
from tests.product import Product

STALL_SECONDS = 30.0
CATCH_UP_SECONDS = 60.0
MEGABYTES = 100
MIB = 1 << 20
SCRIPT = {
    "alone": True,
    "turns": [[{"tool": "Bash", "seconds": 0.5}, {"flood": MEGABYTES}, {"say": "the flood is over"}]],
    "then": [{"say": "echo: {said}"}],
}


@pytest.mark.slow
@pytest.mark.xdist_group("stalled")
async def test_a_reader_that_stands_still_slows_nobody_and_misses_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (tmp_path / "flood.json").write_text(json.dumps(SCRIPT))
    async with open_store(data / "army.db") as database:
        await database.store.keep_agent(Agent("flood", "rehearsal", script=str(tmp_path / "flood.json")))
    async with Product(data) as bot:
        me = bot.person()
        place = await me.launch("flood", "print")
        await me.sees(place, lambda looks: looks[0].text.startswith("working"))
        assert bot.process
        bot.process.send_signal(signal.SIGSTOP)
        stalled = time.monotonic()
        folder = Folder(bot.runs()[0])
        journal = folder.state / "journal"
        try:
            async with asyncio.timeout(STALL_SECONDS - 1):
                while b'"turn_ended"' not in tail(journal):  # noqa: ASYNC110 - a file has no bell
                    await asyncio.sleep(0.2)
            printed = time.monotonic() - stalled
            await asyncio.sleep(STALL_SECONDS - printed)
        finally:
            bot.process.send_signal(signal.SIGCONT)
        woken = time.monotonic()
        looks = await me.sees(place, lambda looks: looks[-1].text == "the flood is over", seconds=CATCH_UP_SECONDS)
        caught_up = time.monotonic() - woken
        assert [look.text for look in looks].count("the flood is over") == 1
        await me.sees(place, lambda looks: not looks[0].raw["live"])
        size = journal.stat().st_size
        agentd, of_bot = most_memory(folder.holder() or 0), most_memory(bot.process.pid)
        await me.say(place, "and now?")
        await me.sees(place, lambda looks: looks[-1].text == "echo: and now?")
        async with asyncio.timeout(CATCH_UP_SECONDS):
            while not await settled(bot):  # noqa: ASYNC110 - seen over HTTP only
                await asyncio.sleep(0.1)
        await bot.close()
        sums = check_disk(data, [Thread(place, said=["print", "and now?"])])
        took = turn_seconds(journal)
    shutil.rmtree(data)  # four times a hundred megabytes, which pytest would keep for days
    print(f"{size / 1e6:.0f} MB printed in {took:.1f} s by the agent's clock, {printed:.1f} s after the stall began")
    print(f"caught up in {caught_up:.1f} s; at most {agentd / MIB:.0f} MiB agentd, {of_bot / MIB:.0f} MiB bot; {sums}")
    assert size > MEGABYTES * 1_000_000
    assert took < STALL_SECONDS - 5
    if sys.platform == "linux":
        assert agentd < 80 * MIB
        assert of_bot < 250 * MIB


def tail(path: Path) -> bytes:
    """The end of a file."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2000))
        return file.read()


def most_memory(pid: int) -> int:
    """The most bytes that a process ever held; on other systems those that it holds now."""
    if sys.platform != "linux":
        return int(psutil.Process(pid).memory_info().rss)
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def turn_seconds(journal: Path) -> float:
    """How long the first turn took by agentd's clock."""
    began = ended = 0.0
    with journal.open("rb") as file:
        file.readline()
        for line in file:
            if b'"kind":"turn_' not in line[:200]:
                continue
            frame = parse_up(line)
            assert isinstance(frame, Frame)
            if isinstance(frame.report, TurnStarted):
                began = began or frame.at
            elif isinstance(frame.report, TurnEnded):
                ended = ended or frame.at
    return ended - began
