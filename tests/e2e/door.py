"""The bot's command line as a person uses it: run it, and read what it says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.product import Product


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


async def command(
    product: Product,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
    within: float = 20.0,
) -> Said:
    """Run `python -m bot …` in this product's surroundings until it ends. It never shows a traceback."""
    process = await asyncio.create_subprocess_exec(
        *under, sys.executable, "-m", "bot", *arguments,
        cwd=product.data.parent, env=product.environment() | dict(env or {}),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(within):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = Said(process.returncode or 0, out.decode(), err.decode())
    assert "Traceback" not in said.err, said.err
    return said
