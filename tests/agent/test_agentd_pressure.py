"""agentd where it hurts: nobody reads, the disk is full, the reader comes and goes on named pipes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from agent.wire import (
    Beat,
    Command,
    Finished,
    Frame,
    Heard,
    Lines,
    Malformed,
    Noticed,
    Resume,
    Say,
    Start,
    ToolReturned,
    TurnEnded,
    Wrote,
    line_of,
    parse_up,
)  # fmt: skip
from tests.agent.harness import ROOT, SESSION, Pod, write_script

MIB = 1 << 20


async def test_nobody_reading_slows_nobody_and_takes_no_memory(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod") as pod:
        await pod.resume()
        await pod.until_live(Beat)
        pod.reading.clear()
        await pod.start(script="flood")
        assert pod.process is not None
        agentd = psutil.Process(pod.process.pid)
        journal = pod.state / "journal"
        most = 0
        async with asyncio.timeout(20):
            while b'"turn_ended"' not in tail(journal):
                most = max(most, agentd.memory_info().rss)
                await asyncio.sleep(0.02)
        assert journal.stat().st_size > 20_000_000
        pod.reading.set()
        assert (await pod.until(TurnEnded)).text == "the flood is over"
        most = max(most, agentd.memory_info().rss)
        await pod.stop()
    pod.check()
    assert len(pod.all(ToolReturned)) == 20_000_000 // 15_000 + 1
    if sys.platform == "linux":
        assert most < 60 * MIB, f"{most / MIB:.0f} MiB"


def tail(path: Path) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2000))
        return file.read()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process")
async def test_a_full_disk_loses_nothing_and_is_said(tmp_path: Path) -> None:
    script = write_script(
        tmp_path,
        *[{"tool": "Bash", "output": f"{n} " * 2000, "seconds": 0.002} for n in range(100)],
        {"say": "made it"},
    )
    async with Pod(tmp_path / "pod", env={"REHEARSAL_PACE": "1"}) as pod:
        await pod.start(script=script)
        await pod.until(ToolReturned, count=5)
        assert pod.process is not None
        agentd = psutil.Process(pod.process.pid)
        room = (pod.state / "journal").stat().st_size + 20_001  # in the middle of a line
        before = agentd.rlimit(psutil.RLIMIT_FSIZE)
        agentd.rlimit(psutil.RLIMIT_FSIZE, (room, before[1]))
        beat = await pod.until_live(Beat, lambda beat: beat.trouble)
        assert "disk is full" in beat.trouble
        await pod.say("said while the disk was full", command_id="said")
        n = pod.n
        pod.live = []
        await pod.resume(0)  # reading goes on all the same
        await pod.until_live(Beat, lambda beat: beat.n == n)
        assert not [heard for heard in pod.all(Heard) if heard.id == "said"]
        agentd.rlimit(psutil.RLIMIT_FSIZE, before)
        ended = await pod.until(TurnEnded)
        assert ended.text.startswith("made it")
        await pod.until(Heard, lambda heard: heard.id == "said")
        pod.live = []
        await pod.resume()
        assert (await pod.until_live(Beat)).trouble == ""
        await pod.stop()
    pod.check()
    outputs = [returned.output[:4].strip() for returned in pod.all(ToolReturned)]
    assert [output.split()[0] for output in outputs] == [str(n) for n in range(100)]


async def test_a_long_report_is_cut_or_left_out_with_a_word(tmp_path: Path) -> None:
    script = write_script(
        tmp_path,
        {"say": "ü" * 400_000},
        {"tool": "Bash", "output": "a" * 20_000 + "ß" * 20_000},
        {"ask": "x", "choices": ["y" * 300_000] * 5},
    )
    async with Pod(tmp_path / "pod") as pod:
        await pod.start(script=script)
        await pod.until(Noticed, lambda noticed: noticed.code == "too-long")
        await pod.stop()
    pod.check()
    (wrote,) = pod.all(Wrote)
    assert "200000 characters left out" in wrote.text
    (returned,) = pod.all(ToolReturned)
    assert len(returned.output.encode()) <= 16 << 10
    assert returned.cut == 60_000 - len(returned.output.encode())


class Fifos:
    """agentd on named pipes, detached, as the local runtime has it: readers come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known = 0
        self.epoch = ""
        self.frames: list[Frame] = []
        for name in ("in", "out"):
            os.mkfifo(folder / name)
        stdin, stdout = (os.open(folder / name, os.O_RDWR) for name in ("in", "out"))
        with (folder / "stderr").open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agent.agentd", "--state", str(folder / "pod")],
                stdin=stdin,
                stdout=stdout,
                stderr=errors,
                cwd=ROOT,
                env={**os.environ, "REHEARSAL_PACE": "0"},
                start_new_session=True,
            )
        os.close(stdin)
        os.close(stdout)

    def attach(self, *says: bytes, until: type, most: int = 1 << 30) -> bool:
        """Attach, resume, read until this report or so many bytes, and go away. Whether the report came."""
        reader = os.open(self.folder / "out", os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(self.folder / "in", os.O_WRONLY)
        lines = Lines()
        deadline = time.monotonic() + 15
        try:
            os.write(writer, b"\n" + line_of(Resume(self.epoch, self.known)) + b"".join(says))
            while time.monotonic() < deadline and most > 0:
                try:
                    chunk = os.read(reader, min(most, 1 << 16))
                except BlockingIOError:
                    time.sleep(0.005)
                    continue
                most -= len(chunk)
                if any([self.take(line, until) for line in lines.feed(chunk)]):  # noqa: C419 - every line is taken
                    return True
        finally:
            os.close(reader)
            os.close(writer)
        assert most <= 0, f"{until.__name__} did not come"
        return False

    def take(self, line: bytes, until: type) -> bool:
        try:
            got = parse_up(line)
        except Malformed:
            return False
        if isinstance(got, Frame) and got.n == self.known + 1:
            self.known, self.epoch = got.n, got.epoch
            self.frames.append(got)
            return isinstance(got.report, until)
        return False


def test_readers_come_and_go_on_named_pipes(tmp_path: Path) -> None:
    fifos = Fifos(tmp_path)
    start = Start(driver="rehearsal", session=SESSION, task="hello", script=write_script(tmp_path, {"flood": 2}))
    try:
        ended = fifos.attach(line_of(Command("start", start)), until=TurnEnded, most=100_000)
        for _ in range(60):
            ended = ended or fifos.attach(until=TurnEnded, most=200_001)
        assert ended, "each reader goes a little further"
        fifos.attach(line_of(Command("one", Say("again"))), until=TurnEnded)
        stop = b'{"id":"stop","do":"stop","body":{}}\n'
        fifos.attach(stop, until=Finished)
    except BaseException:
        fifos.process.kill()
        raise
    finally:
        fifos.process.send_signal(signal.SIGTERM)
        code = fifos.process.wait(10)
    assert code == 0
    assert [frame.n for frame in fifos.frames] == list(range(1, fifos.known + 1))
    assert fifos.frames[-1].report == Finished("stopped")


def test_agentd_with_no_reader_at_all_goes_on(tmp_path: Path) -> None:
    """stdout is closed by whoever read it, stdin has ended: agentd lives and finishes its work."""
    reader, writer = os.pipe()
    script = write_script(tmp_path, {"flood": 1}, {"say": "done"})
    start = Start(driver="rehearsal", session=SESSION, task="hello", script=script)
    stdin = tmp_path / "stdin"
    stdin.write_bytes(line_of(Command("start", start)))
    with stdin.open("rb") as source, (tmp_path / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "agent.agentd", "--state", str(tmp_path / "pod")],
            stdin=source,
            stdout=writer,
            stderr=errors,
            cwd=ROOT,
        )
    os.close(writer)
    os.close(reader)
    try:
        deadline = time.monotonic() + 15
        while b'"turn_ended"' not in tail(tmp_path / "pod" / "journal"):
            assert process.poll() is None, (tmp_path / "stderr").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.terminate()
        assert process.wait(10) == 143
    assert json.loads((tmp_path / "pod" / "cli").read_text())["attempt"] == 1
