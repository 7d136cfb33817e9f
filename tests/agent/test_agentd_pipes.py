"""agentd's two ends of the pipe by themselves: the printer that nobody holds up, and the ears."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from agent.agentd.disk import Patience
from agent.agentd.ears import Ears
from agent.agentd.journal import Journal
from agent.agentd.pipes import Inlet, Outlet
from agent.agentd.printer import Printer
from agent.driver import Mark
from agent.wire import Beat, Command, Frame, Lines, Malformed, Resume, Say, TextSoFar, Wrote, line_of, parse_up


class Reader:
    """The other end of a pipe, read only when a test wants it."""

    def __init__(self) -> None:
        self.fd, self.writer = os.pipe()
        os.set_blocking(self.fd, False)
        self.lines = Lines()
        self.got: list[Any] = []
        self.torn = 0

    async def until(self, n: int) -> None:
        """Read until the frame of this number came."""
        async with asyncio.timeout(10):
            while not any(isinstance(one, Frame) and one.n == n for one in self.got):
                self.read()
                await asyncio.sleep(0)

    def read(self) -> None:
        try:
            chunk = os.read(self.fd, 50_000)
        except BlockingIOError:
            return
        for line in self.lines.feed(chunk):
            try:
                self.got.append(parse_up(line))
            except Malformed:
                self.torn += 1

    def close(self) -> None:
        os.close(self.fd)
        os.close(self.writer)


async def test_a_stalled_reader_holds_up_nothing_and_misses_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    reader = Reader()
    outlet = Outlet(reader.writer)
    printer = Printer(outlet, journal, patience=Patience(), note=tmp_path / "note")
    async with asyncio.TaskGroup() as tasks:
        printing = tasks.create_task(printer.run())
        for number in range(300):
            journal.append([Mark(Wrote(f"{number}" + "x" * 10_000), "")])
            printer.follow()
            printer.show(TextSoFar(f"live {number}"))
            await asyncio.sleep(0)
        assert len(printer._chunk) <= 64 << 10
        await reader.until(300)
        printer.show(TextSoFar("the newest"))
        async with asyncio.timeout(5):
            while TextSoFar("the newest") not in reader.got:
                reader.read()
                await asyncio.sleep(0.001)
        printing.cancel()
    frames = [one.n for one in reader.got if isinstance(one, Frame)]
    assert frames == list(range(1, 301))
    assert reader.torn == 0
    assert os.get_blocking(reader.writer), "the description that others share is as it was"
    outlet.close()
    reader.close()


async def test_resume_in_the_middle_of_a_long_line_tears_one_line_and_not_two(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append([Mark(Wrote("x" * 190_000), ""), Mark(Wrote("two"), ""), Mark(Wrote("three"), "")])
    reader = Reader()
    outlet = Outlet(reader.writer)
    printer = Printer(outlet, journal, patience=Patience(), note=tmp_path / "note")
    async with asyncio.TaskGroup() as tasks:
        printing = tasks.create_task(printer.run())
        await asyncio.sleep(0.01)  # the pipe is full with a part of the first line
        printer.resume(Resume(journal.epoch, 1))
        await reader.until(3)
        printing.cancel()
    kinds = [one.n if isinstance(one, Frame) else type(one).__name__ for one in reader.got]
    assert kinds == ["Beat", "Beat", 2, 3]
    assert reader.torn == 1
    assert printer.confirmed == 1
    outlet.close()
    reader.close()


async def test_a_new_life_prints_from_where_the_last_one_stood(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append([Mark(Wrote(text), "") for text in ("one", "two", "three")])
    note = tmp_path / "note"
    note.write_text(f"{journal.epoch} {journal.offset_after(2)}\n")
    for text, first in (
        (note.read_text(), 3),
        (f"other {journal.offset_after(2)}", 1),
        (f"{journal.epoch} 50", 1),
        ("", 1),
    ):
        note.write_text(text)
        reader = Reader()
        outlet = Outlet(reader.writer)
        printer = Printer(outlet, journal, patience=Patience(), note=note)
        async with asyncio.TaskGroup() as tasks:
            printing = tasks.create_task(printer.run())
            await reader.until(3)
            printing.cancel()
        assert isinstance(reader.got[0], Beat)
        assert reader.got[1].n == first
        outlet.close()
        reader.close()


async def test_what_comes_behind_a_dropped_command_waits_for_the_next_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.agentd.ears.MOST_WAITING", 2)
    stdin, writer = os.pipe()
    stdout, outlet = os.pipe()
    printer = Printer(Outlet(outlet), Journal(tmp_path / "journal"), patience=Patience(), note=tmp_path / "note")
    ears = Ears(Inlet(stdin), printer)

    async def tell(*ids: str, dropped: int) -> None:
        os.write(writer, b"".join(line_of(Command(id_, Say("x"))) for id_ in ids))
        async with asyncio.timeout(5):
            while printer.dropped < dropped:  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(ears.run())
        await tell("one", "two", "three", dropped=1)
        assert (await ears.next()).id == "one"
        await tell("four", dropped=2)
        os.write(writer, line_of(Resume()))
        await tell("three", "four", "five", dropped=4)
        assert [(await ears.next()).id for _ in range(2)] == ["two", "three"]
        listening.cancel()
    for fd in (stdin, writer, stdout, outlet):
        os.close(fd)
