"""`python -m tests.bench [NAME…]`, of those below: measures here, prints a table, writes `bench.json`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import agentd, chats, kubernetes, room, store, warm
from tests.bench.rows import Row, table

BENCHES: dict[str, Callable[[], Coroutine[None, None, list[Row]]]] = {
    "store": store.measure,
    "room": room.measure,
    "chats": chats.measure,
    "agentd": agentd.measure,
    "kubernetes": kubernetes.measure,
    "warm": warm.measure,
}
FILES = 4096


def measure(names: list[str]) -> None:
    """One after the other: they share the machine."""
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    if load > 0.5:
        print(f"This machine is busy already (load {load:.1f} on {cores} cores): expect worse figures than it can do.")
    rows: list[Row] = []
    for name in names:
        print(f"measuring {name} …", flush=True)
        rows += asyncio.run(BENCHES[name]())
    machine = {
        "processors": cores,
        "system": platform.system(),
        "python": platform.python_version(),
        "load_before": round(load, 2),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    Path("bench.json").write_text(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=1))
    print(table(rows))
    missed = [row for row in rows if row.verdict == "MISSED"]
    print(f"{len(rows)} figures, {len(missed)} aims missed; also in bench.json")


def main() -> None:
    """Measure what the command line names, or everything."""
    parser = argparse.ArgumentParser(prog="tests.bench", description="Measures on this machine.")
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], help="what to measure; all of it by default")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES:  # three files for each of the 500 agents that are played
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard) if hard > 0 else FILES, hard))
    measure(parser.parse_args().names or list(BENCHES))


if __name__ == "__main__":
    main()
