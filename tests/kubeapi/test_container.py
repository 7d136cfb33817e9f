"""A container by itself: how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tests.kubeapi.container import Container
from tests.kubeapi.log import Log

MANY = 20
KILLS = 50
"""Each may be the one that meets the moment between its death and the news of it."""


async def test_who_is_killed_again_and_again_has_died_of_it(tmp_path: Path) -> None:
    containers = [Container(Log(tmp_path / f"{number}.log")) for number in range(MANY)]
    path = {"PATH": os.environ["PATH"]}
    await asyncio.gather(*(one.start(("sleep", "60"), env=path, cwd="/", stdin=False) for one in containers))
    for one in containers:
        for _ in range(KILLS):
            one.kill(signal.SIGKILL)
    codes = await asyncio.gather(*(one.run() for one in containers))
    for one in containers:
        one.log.close()
    assert set(codes) == {128 + signal.SIGKILL}
