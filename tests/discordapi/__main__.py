"""Run the server by hand: `python -m tests.discordapi --port 8082`, then point the bot at what it prints."""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from tests.discordapi.control import control
from tests.discordapi.server import Discord


async def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.discordapi", description=__doc__)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--token", default="a.bots.token")
    given = options.parse_args()
    async with Discord(token=given.token, port=given.port, lenient=True, also=control) as api:
        room, forum = api.text_channel(), api.forum(tags=["running", "waiting", "failed", "done"])
        print(f"DISCORD_API_BASE={api.rest} DISCORD_GATEWAY_URL={api.gateway}", flush=True)
        print(f"guild={api.guild.id} channel={room.id} forum={forum.id}", flush=True)
        print(f"talk to it: curl -d '{{}}' {api.url}/control/state", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
