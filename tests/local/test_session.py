"""The connection alone: the test holds agentd's ends of the two pipes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.local.session import FifoSession
from agent.wire import MAX_LINE, Beat, Command, Frame, Live, Put, Resume, Say, Wrote, line_of, parse_down
from orchestrator.errors import Broken, Busy

DEADLINE = 10.0


class Agentd:
    """Both pipes, held open for both directions as the real one does."""

    def __init__(self, folder: Path) -> None:
        self.into, self.out = folder / "in", folder / "out"
        os.mkfifo(self.into)
        os.mkfifo(self.out)
        self.stdin = os.open(self.into, os.O_RDWR | os.O_NONBLOCK)
        self.stdout = os.open(self.out, os.O_RDWR | os.O_NONBLOCK)

    def session(self, *, send_seconds: float = DEADLINE) -> FifoSession:
        return FifoSession.open(out=self.out, into=self.into, name="r-1", send_seconds=send_seconds)

    def print(self, data: bytes) -> int:
        return os.write(self.stdout, data)

    def fill(self) -> int:
        """Print until nothing fits any more."""
        total = 0
        with suppress(BlockingIOError):
            while True:
                total += self.print(b"x" * 4095 + b"\n")
        return total

    async def hear(self, size: int) -> bytes:
        heard = b""
        async with asyncio.timeout(DEADLINE):
            while len(heard) < size:
                try:
                    heard += os.read(self.stdin, 1 << 20)
                except BlockingIOError:
                    await asyncio.sleep(0.001)
        return heard

    def die(self) -> None:
        for fd in (self.stdin, self.stdout):
            with suppress(OSError):
                os.close(fd)


@pytest.fixture
def agentd(tmp_path: Path) -> Iterator[Agentd]:
    agentd = Agentd(tmp_path)
    yield agentd
    agentd.die()


def frame(n: int, text: str = "hello") -> Frame:
    return Frame(n=n, epoch="e", at=1.5, report=Wrote(text))


async def take(session: FifoSession, count: int) -> list[Frame | Live]:
    got: list[Frame | Live] = []
    async with asyncio.timeout(DEADLINE):
        async for batch in session.frames():
            got.extend(batch)
            if len(got) >= count:
                break
    return got


async def flood(session: FifoSession) -> None:
    for _ in range(100):
        await session.send(Command("a", Say("x" * 50_000)))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=40), min_size=1, max_size=5), st.lists(st.integers(1, 60), min_size=1))
def test_lines_come_whole_however_they_are_torn(agentd: Agentd, texts: list[str], cuts: list[int]) -> None:
    frames = [frame(n, text) for n, text in enumerate(texts, start=1)]
    asyncio.run(_read_torn(agentd, frames, cuts))


async def _read_torn(agentd: Agentd, frames: list[Frame], cuts: list[int]) -> None:
    session = agentd.session()

    async def print_torn() -> None:
        raw, at = b"".join(map(line_of, frames)), 0
        for cut in [*cuts, len(raw)]:
            agentd.print(raw[at : at + cut])
            at += cut
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(print_torn())
        assert await take(session, len(frames)) == frames
    session.close()


async def test_what_cannot_be_read_is_dropped_and_counted(agentd: Agentd) -> None:
    session = agentd.session()
    agentd.print(b'lf of a line"}}\n\n\xff\xfe\n{"n":0}\n[]\n' + line_of(frame(1)) + b'{"kind":"never seen"}\n')
    agentd.print(line_of(Beat("e", 1)))
    assert await take(session, 2) == [frame(1), Beat("e", 1)]
    assert session.dropped == 5
    session.close()


async def test_a_line_without_end_is_dropped_and_counted(agentd: Agentd) -> None:
    session = agentd.session()

    async def print_much() -> None:
        rest = memoryview(b"x" * (MAX_LINE + 5) + b"\n" + line_of(frame(1)))
        while rest:
            try:
                rest = rest[agentd.print(bytes(rest[:60_000])) :]
            except BlockingIOError:
                await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(print_much())
        assert await take(session, 1) == [frame(1)]
    assert session.dropped == 1
    session.close()


async def test_nothing_is_read_before_it_is_asked_for(agentd: Agentd) -> None:
    session = agentd.session()
    agentd.fill()
    await asyncio.sleep(0)
    with pytest.raises(BlockingIOError):
        agentd.print(b"y" * 4096)
    session.close()


async def test_the_end_of_agentd_ends_the_session(agentd: Agentd) -> None:
    session = agentd.session()
    agentd.print(line_of(frame(1)))
    agentd.die()
    async with asyncio.timeout(DEADLINE):
        assert [batch async for batch in session.frames()] == [[frame(1)]]
    with pytest.raises(Broken):
        await session.send(Resume())
    session.close()


async def test_closing_ends_whoever_waits(agentd: Agentd) -> None:
    session = agentd.session(send_seconds=60)

    async def read() -> None:
        assert [batch async for batch in session.frames()] == []

    async def write() -> None:
        with pytest.raises(Broken):
            await flood(session)

    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        tasks.create_task(write())
        for _ in range(10):
            await asyncio.sleep(0)
        session.close()
        session.close()


async def test_an_agentd_that_does_not_read_is_broken_after_a_while(agentd: Agentd) -> None:
    session = agentd.session(send_seconds=0.1)
    with pytest.raises(Broken, match="not read") as caught:
        await flood(session)
    assert caught.value.unsure
    with pytest.raises(Broken):
        await session.send(Resume())


async def test_the_longest_command_gets_through_a_small_pipe(agentd: Agentd) -> None:
    session = agentd.session()
    command = Command("a", Put("file", 0, "A" * (MAX_LINE - 200)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(session.send(command))
        heard = await agentd.hear(len(line_of(command)))
    assert parse_down(heard) == command
    session.close()


async def test_a_send_that_was_given_up_half_way_spoils_no_other(agentd: Agentd) -> None:
    session = agentd.session()
    sending = asyncio.ensure_future(session.send(Command("a", Say("x" * 500_000))))
    for _ in range(10):
        await asyncio.sleep(0)
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    half = await agentd.hear(1)
    assert b"\n" not in half
    await session.send(Command("b", Say("whole")))
    torn, line, rest = (await agentd.hear(1)).split(b"\n")
    assert parse_down(line) == Command("b", Say("whole"))
    assert not torn
    assert not rest
    session.close()


async def test_many_senders_keep_their_lines_apart(agentd: Agentd) -> None:
    session = agentd.session()
    commands = [Command(str(number), Say(str(number) * 20_000)) for number in range(10)]
    async with asyncio.TaskGroup() as tasks:
        for command in commands:
            tasks.create_task(session.send(command))
        heard = await agentd.hear(sum(len(line_of(command)) for command in commands))
    assert [parse_down(line) for line in heard.splitlines()] == commands
    session.close()


async def test_no_agentd_is_a_sentence(agentd: Agentd) -> None:
    agentd.die()
    with pytest.raises(Busy, match="does not listen"):
        agentd.session()
