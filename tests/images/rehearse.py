"""`python3 -m tests.images.rehearse podman agent-image`: speaks the pipe with agentd in the built image, from outside.

The container gets what a pod gets, and no network: user 1000, a read-only root, no capability, five writable folders.
Standard library and `agent.wire` only, so that any Python runs it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.wire import Command, Finished, Frame, Heard, Lines, Live, Resume, Say, Start, Stop, Wrote, line_of, parse_up

LOCKED = (
    "--network=none", "--read-only", "--user=1000:1000", "--cap-drop=all", "--security-opt=no-new-privileges",
    "--read-only-tmpfs=false", "--tmpfs=/tmp:mode=1777",
)  # fmt: skip
WRITABLE = (Path("/state"), Path("/work"), Path("/cache"), Path("/home/agent"))
SECONDS = 60.0


class Pipe:
    """An attached container: what it says, and a way to say something to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.frames: list[Frame] = []
        self._lines = Lines()

    async def say(self, *what: Command | Resume) -> None:
        """Each attach begins with a newline, so each call may."""
        assert self.process.stdin
        self.process.stdin.write(b"\n" + b"".join(line_of(one) for one in what))
        await self.process.stdin.drain()

    async def until(self, kind: type, *, holding: str = "") -> Frame:
        """The first frame of this kind from now on, every one before it kept."""
        assert self.process.stdout
        while chunk := await self.process.stdout.read(1 << 16):
            for line in self._lines.feed(chunk):
                said: Frame | Live = parse_up(line)
                if isinstance(said, Frame):
                    self.frames.append(said)
            for frame in self.frames:
                if isinstance(frame.report, kind) and holding in repr(frame.report):
                    return frame
        raise AssertionError(f"agentd went before it said {kind.__name__} {holding}")


@asynccontextmanager
async def attached(podman: str, image: str, *, name: str, disk: Path) -> AsyncIterator[Pipe]:
    """A new container on these folders, its stdin and stdout in our hands; it is gone afterwards."""
    folders = [f"--volume={disk / inside.name}:{inside}" for inside in WRITABLE]
    process = await asyncio.create_subprocess_exec(
        podman, "run", "--interactive", "--rm", f"--name={name}", *folders, *LOCKED, image,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Pipe(process)
    finally:
        if process.returncode is None:
            await output(podman, "kill", name)
            await process.wait()


async def output(*argv: str) -> str:
    """What this prints; that it fails is an error."""
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    if process.returncode:
        raise AssertionError(f"{' '.join(argv)} ended with {process.returncode}")
    return said.decode()


async def rehearse(podman: str, image: str, disk: Path) -> None:
    """Two lives of one run: the second takes up where the first was killed, and ends it."""
    name, begun = f"rehearsal-{uuid.uuid4().hex[:8]}", time.monotonic()
    start = Command("1", Start(driver="rehearsal", session=str(uuid.uuid4()), task="hello", script="echo"))
    async with attached(podman, image, name=name, disk=disk) as pipe:
        await pipe.say(Resume(epoch="", after=0), start)
        first = await pipe.until(Heard)
        print(f"agentd answered {time.monotonic() - begun:.2f} s after podman was called", flush=True)
        await pipe.until(Wrote, holding="echo: hello")
        await _confined(podman, name)
        before = pipe.frames
    assert [frame.n for frame in before] == list(range(1, len(before) + 1)), before

    async with attached(podman, image, name=f"{name}-2", disk=disk) as pipe:
        await pipe.say(Resume(epoch=first.epoch, after=2), start, Command("2", Say(text="and again")))
        await pipe.until(Wrote, holding="echo: and again")
        await pipe.say(Command("3", Stop()))
        end = await pipe.until(Finished)
        await pipe.say(
            Resume(epoch=end.epoch, after=end.n)
        )  # whoever has read the end says so, and agentd need not wait
        code = await asyncio.wait_for(pipe.process.wait(), SECONDS)
    after = pipe.frames
    assert [frame.n for frame in after] == list(range(3, len(after) + 3)), after
    assert after[: len(before) - 2] == before[2:], "what was said before the kill is not what is said again"
    assert isinstance(end.report, Finished)
    assert end.report.reason == "stopped", end
    assert code == 0, code
    print(f"{len(before)} frames, killed, {len(after)} frames; ended with {code} ({end.report.reason})")


async def _confined(podman: str, name: str) -> None:
    """Process 1 is agentd and has the rights of nobody; its root cannot be written, and there is no network."""
    status = dict(
        line.split(":\t", 1) for line in (await output(podman, "exec", name, "cat", "/proc/1/status")).splitlines()
    )
    assert status["Uid"].split() == ["1000"] * 4, status["Uid"]
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0, status["CapEff"]
    assert status["NoNewPrivs"] == "1", status
    assert "agent.agentd" in await output(podman, "exec", name, "cat", "/proc/1/cmdline")
    assert (await output(podman, "exec", name, "ls", "/sys/class/net")).split() == ["lo"]
    tried = "for folder in / /usr/local/bin /opt/army /etc; do touch $folder/x 2>/dev/null && echo $folder; done; true"
    assert not (written := await output(podman, "exec", name, "sh", "-c", tried)), written
    print("process 1 is agentd: user 1000, no capability, read-only root, only loopback", flush=True)


async def main() -> int:
    """Run it."""
    podman, image = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder)
        for inside in WRITABLE:
            os.mkdir(disk / inside.name)  # noqa: PTH102 - nothing else runs in this loop yet
            os.chmod(disk / inside.name, 0o777)  # noqa: PTH101 - it is another user who writes there
        await asyncio.wait_for(rehearse(podman, image, disk), SECONDS)
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
