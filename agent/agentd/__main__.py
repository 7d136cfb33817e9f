"""`python -m agent.agentd --state DIR`: stdin and stdout are the pipe, stderr is for people."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import signal
import sys
from pathlib import Path

from agent.agentd.complain import complain
from agent.agentd.deadlines import Deadlines
from agent.agentd.process import adopt_orphans
from agent.agentd.supervise import Folder, Life


def main() -> int:
    """Live once."""
    parser = argparse.ArgumentParser(prog="agentd", description="Keeps an agent CLI running and tells what it does.")
    parser.add_argument("--state", type=Path, required=True, help="its folder; made when missing, kept over restarts")
    parser.add_argument("--workspace", type=Path, help="where the agent works; without it a folder in the state")
    parser.add_argument("--pace", type=float, default=1.0, help="multiplies every deadline; for tests")
    asked = parser.parse_args()
    try:
        folder = Folder.make(asked.state.resolve(), workspace=asked.workspace and asked.workspace.resolve())
        lock = os.open(folder.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # By this number the local runtime knows whom to end. Written over the former one: a full disk has room for it.
        os.pwrite(lock, f"{os.getpid():<20}\n".encode(), 0)
    except BlockingIOError:
        return _refuse(f"another agentd works on {asked.state}; one at a time.")
    except OSError as error:
        return _refuse(f"cannot use the folder {asked.state}: {error.strerror}. Name one that can be written.")
    # It outlives the terminal that it was started from. One that is ignored would be so in all that it starts, too.
    signal.signal(signal.SIGHUP, lambda *_: None)
    adopt_orphans()
    return asyncio.run(_live(folder, Deadlines().times(asked.pace)))


async def _live(folder: Folder, deadlines: Deadlines) -> int:
    return await Life(folder, stdin=sys.stdin.fileno(), stdout=sys.stdout.fileno(), deadlines=deadlines).run()


def _refuse(words: str) -> int:
    complain(words)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
