"""The implementations of Runtime, each with what a suite must do behind its back: kill, forget, tear."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol, TypeVar

from adapters.kubernetes import Door, Guest, KubernetesRuntime, Warm
from adapters.local import LocalRuntime
from adapters.local.folder import Folder
from orchestrator.nouns import Agent, RunId
from orchestrator.ports import Runtime
from tests.contract.listener import AGENT, DEADLINE
from tests.fakes.runtime import FakeRuntime
from tests.kubeapi import KubeApi
from tests.kubeapi.life import Life

T = TypeVar("T")


async def eventually(look: Callable[[], T | None]) -> T:
    """The first true thing that is seen."""
    deadline = time.monotonic() + DEADLINE
    while not (seen := look()):
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.01)
    return seen


class House(Protocol):
    """An implementation with what a suite must do behind its back."""

    runtime: Runtime
    revives: bool  # whether somebody else than the bot starts again what died

    async def new_life(self) -> None:
        """The bot was gone and is here again: `runtime` is another object over the same data."""
        ...

    async def kill(self, run: RunId) -> None:
        """The agentd of this run gets kill -9, and is dead when this returns."""
        ...

    async def lose_state(self, run: RunId) -> None:
        """The killed agentd's disk is empty."""
        ...

    async def tear(self, run: RunId) -> None:
        """A former connection left half a line in agentd's stdin."""
        ...


class FakeHouse:
    revives = False

    def __init__(self) -> None:
        self.fake = FakeRuntime()
        self.runtime: Runtime = self.fake

    async def new_life(self) -> None:
        old, self.fake = self.fake, FakeRuntime()
        self.runtime = self.fake
        for run in old.runs:
            old.pod(run).cut()
            self.fake.adopt(old.pod(run))

    async def kill(self, run: RunId) -> None:
        self.fake.pod(run).die()

    async def lose_state(self, run: RunId) -> None:
        self.fake.pod(run).lose_state()

    async def tear(self, run: RunId) -> None:
        self.fake.pod(run).stale = 3


class LocalHouse:
    revives = False

    def __init__(self, root: Path) -> None:
        self._root = root
        self._live = AsyncExitStack()
        self.runtime: Runtime

    async def new_life(self) -> None:
        await self._live.aclose()
        self.runtime = await self._live.enter_async_context(LocalRuntime(self._root, python=sys.executable, env={}))

    async def kill(self, run: RunId) -> None:
        folder = Folder(self._root / run)
        pid = await eventually(folder.holder)
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: folder.holder() != pid)

    async def lose_state(self, run: RunId) -> None:
        for path in (self._root / run / "state").iterdir():
            if path.is_file() and path.name != "lock":
                path.unlink()

    async def tear(self, run: RunId) -> None:
        pipe = os.open(self._root / run / "in", os.O_WRONLY | os.O_NONBLOCK)
        os.write(pipe, b'{"id":"torn","do":"put","body":{"na')
        os.close(pipe)

    async def leave(self) -> None:
        for run in await self.runtime.pods():
            await self.runtime.stop(run)
        await self._live.aclose()


async def _rehearsal() -> Agent:
    return AGENT


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


class KubernetesHouse:
    revives = True

    def __init__(self, api: KubeApi, kubeconfig: Path, *, warm: int = 0) -> None:
        self.api = api
        self._warm = Warm(warm, _rehearsal)
        self._door = Door(namespace=api.namespace, kubeconfig=str(api.kubeconfig(kubeconfig)))
        self._live = AsyncExitStack()
        self.runtime: Runtime

    async def new_life(self) -> None:
        await self._live.aclose()
        pods = KubernetesRuntime(self._door, Guest(image="agent:1"), warm=self._warm)
        self.runtime = await self._live.enter_async_context(pods)
        await self.api.until(lambda: pods.warmth().ready == self._warm.count)

    def _pod(self, run: RunId) -> Life:
        return self.api.life(self.api.of_run(run))

    async def kill(self, run: RunId) -> None:
        life = self._pod(run)
        before = await eventually(lambda: life.container)
        life.crash()
        await eventually(lambda: life.container is not before)

    async def lose_state(self, run: RunId) -> None:
        life = self._pod(run)
        await eventually(lambda: life.container)
        self.api.node.dead = True  # so that it is not started again at once
        life.crash()
        await eventually(lambda: life.container is None)
        await asyncio.to_thread(_empty, Path(life.places.here("/state")))
        self.api.node.revive()

    async def tear(self, run: RunId) -> None:
        container = await eventually(lambda: self._pod(run).container)
        await container.write(b'{"id":"torn","do":"put","body":{"na')

    async def leave(self) -> None:
        for run in await self.runtime.pods():
            await self.runtime.stop(run)
        await self._live.aclose()
