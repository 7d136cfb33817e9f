"""Starts a rehearsal. `REHEARSAL_PACE` in the environment multiplies every pause; 0 is as fast as it goes."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from agent.rehearsal.memory import Memory
from agent.rehearsal.script import load
from agent.rehearsal.stage import Stage


def main() -> None:
    """Play until stdin ends."""
    parser = argparse.ArgumentParser(prog="rehearsal", description="A scripted agent. No model is asked.")
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--session", required=True)
    parser.add_argument("--outbox", type=Path, required=True)
    asked = parser.parse_args()
    try:
        script = load(asked.script)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"rehearsal: {error}\n")
        raise SystemExit(2) from None
    memory = Memory(asked.state, asked.session)
    Stage(script, memory, outbox=asked.outbox, pace=float(os.environ.get("REHEARSAL_PACE", "1"))).play()


if __name__ == "__main__":
    main()
