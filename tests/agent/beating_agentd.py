"""agentd that beats ten times a second, so that a test need not wait for beats."""

from __future__ import annotations

from agent.agentd import printer
from agent.agentd.__main__ import main

if __name__ == "__main__":
    vars(printer)["BEAT_SECONDS"] = 0.1
    raise SystemExit(main())
