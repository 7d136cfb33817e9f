"""Processes that agentd started: ended as a group, and never somebody else's."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from agent.agentd.group import Note, end_group, started_at
from agent.agentd.pipes import readable
from agent.agentd.process import Process, Reaper

CHILD = "import subprocess,sys,time;p=subprocess.Popen(['sleep','60']);print(p.pid,flush=True);time.sleep(60)"


async def test_a_left_group_is_killed_by_its_note_and_a_stranger_is_not(tmp_path: Path) -> None:
    reaper = Reaper()
    process = Process(reaper, [sys.executable, "-c", CHILD], cwd=tmp_path, env=dict(os.environ))
    await readable(process.out)
    said = process.read()
    assert said
    grandchild = psutil.Process(int(said))
    started = started_at(process.pid)
    assert started
    await end_group(Note(1, process.pid, started + "0"))  # the number was given to another process
    assert not process.exit.done()
    assert grandchild.is_running()
    await end_group(Note(1, process.pid, started))
    assert await process.exit == -signal.SIGKILL
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE
    process.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a note does not name the start of the machine")
async def test_a_group_of_after_a_new_start_of_the_machine_is_left_alone(tmp_path: Path) -> None:
    argv = ["sh", "-c", "sleep 60 & echo $!"]  # the leader is gone, its group is not
    process = Process(Reaper(), argv, cwd=tmp_path, env=dict(os.environ))
    started = started_at(process.pid)
    await process.exit
    left = psutil.Process(int(process.read() or b""))
    await end_group(Note(1, process.pid, "00000000-0000-4000-8000-000000000000 77"))
    assert left.is_running()
    await end_group(Note(1, process.pid, started))
    assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE
    process.close()


async def test_a_child_that_reads_nothing_blocks_nobody(tmp_path: Path) -> None:
    process = Process(Reaper(), [sys.executable, "-c", "import time;time.sleep(60)"], cwd=tmp_path, env={})
    process.tell(b"x" * (3 << 20))
    assert process.unread > 2 << 20
    process.kill(signal.SIGKILL)
    assert await process.exit == -signal.SIGKILL
    process.close()
