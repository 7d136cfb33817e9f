"""Run the stub by hand: `python -m tests.stub_api [PORT]`, then point ANTHROPIC_BASE_URL at what it prints."""

from __future__ import annotations

import asyncio
import sys

from tests.stub_api import StubApi


async def main() -> None:
    async with StubApi(int(sys.argv[1]) if len(sys.argv) > 1 else 0) as api:
        print(f"ANTHROPIC_BASE_URL={api.url} ANTHROPIC_API_KEY=stub", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
