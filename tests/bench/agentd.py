"""What one real agentd bears and weighs: lines and bytes through it from a CLI that prints as fast as it can."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from agent.wire import Command, Resume, Start, line_of
from tests.agent.harness import ROOT, SESSION, write_script
from tests.bench.rows import Row, row

SECONDS = 60.0


async def measure() -> list[Row]:
    """Small lines and large ones, each through an agentd of its own."""
    with TemporaryDirectory(prefix="bench-") as folder:
        lines, _, _ = await _flood(Path(folder) / "small", {"flood": 4, "piece": 200})
        _, size, weight = await _flood(Path(folder) / "large", {"flood": 40, "piece": 15_000})
    return [
        row("agentd: durable lines of 200 bytes", lines, "lines/s", better="higher", aim=1000.0),
        row("agentd: durable bytes in lines of 15 kB", size / 1e6, "MB/s", better="higher"),
        row("agentd: memory of one", weight / (1 << 20), "MiB"),
    ]


async def _flood(folder: Path, step: dict[str, object]) -> tuple[float, float, float]:
    """Lines and bytes per second, journalled and read, and the memory of agentd afterwards."""
    script = write_script(folder, step)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent.agentd", "--state", str(folder / "state"),
        cwd=ROOT, env={"PATH": os.environ["PATH"], "REHEARSAL_PACE": "0"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    start = Start(driver="rehearsal", session=SESSION, task="go", script=script)
    process.stdin.write(b"\n" + line_of(Resume()) + line_of(Command("c1", start)))
    lines = size = 0
    began = 0.0
    tail = b""
    async with asyncio.timeout(SECONDS):
        while b'"kind":"turn_ended"' not in tail:
            chunk = await process.stdout.read(1 << 20)
            assert chunk, "agentd ended"
            if not began and b'"kind":"tool_called"' in chunk:
                began = time.monotonic()
            lines += chunk.count(b"\n")
            size += len(chunk)
            tail = tail[-4096:] + chunk
    seconds = time.monotonic() - began
    weight = psutil.Process(process.pid).memory_info().rss
    process.terminate()
    await process.communicate()
    return lines / seconds, size / seconds, weight
