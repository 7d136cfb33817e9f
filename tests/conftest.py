"""What holds for every test."""

import asyncio
import os

from hypothesis import settings

# A busy machine is no defect: what must be quick is measured by the benchmarks. The same inputs every time, so that red
# means the change that was made; `make explore` looks for others.
settings.register_profile("army", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("explore" if os.environ.get("ARMY_EXPLORE") else "army")


def pytest_configure() -> None:
    # looptime asks for the thread's event loop before every test. Where none was ever set, asking makes one, which
    # nobody closes, and some later test fails over the warning.
    asyncio.set_event_loop(None)
