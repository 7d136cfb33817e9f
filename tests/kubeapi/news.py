"""Something has happened: told to everybody who waits at that moment. It knows not what."""

from __future__ import annotations

import asyncio


class News:
    """Nobody who begins to wait later hears of what was before."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    async def wait(self) -> None:
        """Return when something happens."""
        told = asyncio.get_running_loop().create_future()
        self._waiting.add(told)
        try:
            await told
        finally:
            self._waiting.discard(told)

    def tell(self) -> None:
        """Something has happened."""
        for told in self._waiting:
            if not told.done():
                told.set_result(None)
