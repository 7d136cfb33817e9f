"""What holds for every test."""

import asyncio

from hypothesis import settings

# A busy machine is no defect: what must be quick is measured by the benchmarks.
settings.register_profile("army", deadline=None)
settings.load_profile("army")


def pytest_configure() -> None:
    # looptime asks for the thread's event loop before every test. Where none was ever set, asking makes one, which
    # nobody closes, and some later test fails over the warning.
    asyncio.set_event_loop(None)
