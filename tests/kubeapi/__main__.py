"""`python -m tests.kubeapi KUBECONFIG`: the cluster for a person at a terminal, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import suppress
from pathlib import Path

from tests.kubeapi.server import KubeApi


async def serve(kubeconfig: Path, port: int) -> None:
    """Be there, and say where."""
    async with KubeApi(port=port, lenient=True) as api:
        api.kubeconfig(kubeconfig)
        print(f"{api.url}; KUBECONFIG={kubeconfig}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.kubeapi", description="A Kubernetes for tests, on loopback.")
    parser.add_argument("kubeconfig", type=Path, help="the file to write; it holds the token")
    parser.add_argument("--port", type=int, default=0)
    asked = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(asked.kubeconfig, asked.port))


if __name__ == "__main__":
    main()
