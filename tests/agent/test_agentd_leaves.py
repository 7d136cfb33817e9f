"""When the run is over agentd leaves, however its stdout is drained: in a cluster the node takes everything, always.

And what it printed is a log, the only thing that is left for a bot that was away.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from agent.agentd import printer as printer_module
from agent.agentd.disk import Patience
from agent.agentd.journal import Journal
from agent.agentd.pipes import Outlet
from agent.agentd.printer import Printer
from agent.driver import Mark
from agent.wire import Beat, Finished, Frame, Malformed, Resume, Stop, TurnEnded, Wrote, parse_up
from tests.agent.harness import Pod

PACE = 0.05
"""Of agentd's deadlines: it waits a second for a reader to come back for the end."""


async def finished(pod: Pod) -> None:
    """It has had its turn, was stopped, and has told so."""
    await pod.start()
    await pod.until(TurnEnded)
    await pod.order(Stop())
    await pod.until(Finished)


async def test_who_only_hears_beats_does_not_keep_it(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod", module="tests.agent.beating_agentd", pace=PACE) as pod:
        await finished(pod)
        beats = sum(isinstance(live, Beat) for live in pod.live)
        assert await pod.exited() == 0
        assert sum(isinstance(live, Beat) for live in pod.live) > beats + 3
    pod.check()


async def test_who_takes_the_story_slowly_keeps_it_until_the_end(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod", module="tests.agent.beating_agentd", pace=PACE) as pod:
        await finished(pod)
        for _ in range(6):  # longer than its grace, in steps that are shorter
            await asyncio.sleep(0.4)
            await pod.resume(after=0)
        assert pod.process is not None
        assert pod.process.returncode is None
        await pod.resume()
        assert await pod.exited() == 0
    pod.check()


# --- the log ---


class Drained(Pod):
    """Nobody asks for anything: `frames` is what one container's log has of the journal, in that order."""

    async def resume(self, after: int | None = None) -> None:
        """Nobody is there to do so."""

    def _take(self, line: bytes) -> None:
        try:
            got = parse_up(line)
        except Malformed:
            return
        if isinstance(got, Frame):
            self.frames.append(got)

    @property
    def numbers(self) -> list[int]:
        return [frame.n for frame in self.frames]

    async def come_again(self) -> None:
        """Another container on the same folder; the former one had printed everything."""
        await self.kill()
        size = (self.state / "journal").stat().st_size
        (self.state / "printed").write_text(f"{self.frames[0].epoch} {size}\n")
        self.frames.clear()
        await self.boot()


async def test_what_one_log_holds_is_not_printed_twice(tmp_path: Path) -> None:
    async with Drained(tmp_path / "pod", pace=PACE) as pod:
        await finished(pod)
        assert await pod.exited() == 0
    pod.check()


async def test_the_log_of_the_last_container_has_the_whole_story(tmp_path: Path) -> None:
    async with Drained(tmp_path / "pod", pace=PACE) as pod:
        await pod.start()
        await pod.until(TurnEnded)
        await pod.come_again()
        await pod.order(Stop())
        assert await pod.exited() == 0
    whole = pod.journal()
    assert isinstance(whole[-1].report, Finished)
    assert pod.frames[-len(whole) :] == whole


async def test_one_that_is_told_to_leave_leaves_the_whole_story_in_its_log(tmp_path: Path) -> None:
    async with Drained(tmp_path / "pod", pace=PACE) as pod:
        await pod.start()
        await pod.until(TurnEnded)
        told = pod.numbers
        await pod.come_again()
        await pod.wait(lambda: pod.frames, what="its first word")
        assert await pod.kill(signal.SIGTERM) == 128 + signal.SIGTERM
    whole = pod.journal()
    assert len(whole) >= len(told)
    assert pod.frames[-len(whole) :] == whole


@asynccontextmanager
async def printing(tmp_path: Path, *texts: str) -> AsyncIterator[tuple[Printer, Callable[[], list[int]]]]:
    """One that prints these, and the numbers of what it has printed since they were asked for last."""
    journal = Journal(tmp_path / "journal")
    there, here = os.pipe()
    os.set_blocking(there, False)
    outlet = Outlet(here)
    printer = Printer(outlet, journal, patience=Patience(), note=tmp_path / "printed")
    journal.append([Mark(Wrote(text), "") for text in texts])

    def taken() -> list[int]:
        with suppress(BlockingIOError):
            lines = os.read(there, 1 << 16).splitlines()
            return [frame.n for frame in map(parse_up, filter(None, lines)) if isinstance(frame, Frame)]
        return []

    running = asyncio.create_task(printer.run())
    try:
        yield printer, taken
    finally:
        running.cancel()
        await asyncio.wait([running])
        outlet.close()
        os.close(here)
        os.close(there)
        journal.close()


@pytest.mark.parametrize(("after", "again"), [(0, [1, 2, 3]), (1, [2, 3]), (2, []), (3, [])])
async def test_what_a_node_may_have_cut_off_its_log_is_printed_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, again: list[int]
) -> None:
    async with printing(tmp_path, *["x" * 1000] * 3) as (printer, taken):
        printer.resume(Resume("", 0))
        await printer.part(patience=60.0)
        assert taken() == [1, 2, 3]
        printer.confirmed = after
        monkeypatch.setattr(printer_module, "LOG_BYTES", 2000)
        await printer.part(patience=60.0)
        assert taken() == again


async def test_who_finds_nobody_to_print_to_leaves_all_the_same(tmp_path: Path) -> None:
    async with printing(tmp_path, *["x" * 50_000] * 5) as (printer, _), asyncio.timeout(60):
        await printer.part(patience=0.1)
