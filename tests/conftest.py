"""What holds for every test."""

import asyncio


def pytest_configure() -> None:
    # looptime asks for the thread's event loop before every test. Where none was ever set, asking makes one, which
    # nobody closes, and some later test fails over the warning.
    asyncio.set_event_loop(None)
