"""Run the server by hand: `python -m tests.botapi --port 8081`, then point TELEGRAM_API_BASE at what it prints."""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from tests.botapi import TOKEN, BotApi
from tests.botapi.control import control


async def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.botapi", description=__doc__)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--token", default=TOKEN)
    options.add_argument("--private-topics", action="store_true")
    given = options.parse_args()
    async with BotApi(token=given.token, port=given.port, private_topics=given.private_topics, also=control) as api:
        print(f"TELEGRAM_API_BASE={api.url}", flush=True)
        print(f"talk to it: curl -d '{{}}' {api.url}/control/state", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
