"""A cluster and the runtime in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from adapters.kubernetes import Door, Guest, KubernetesRuntime, Warm
from orchestrator.errors import Broken, Busy, Gone
from orchestrator.nouns import Agent, RunId
from tests.contract.listener import AGENT, RUN
from tests.kubeapi import KubeApi
from tests.kubeapi.role import shipped_role
from tests.kubernetes.spares import Live

Open = Callable[[], AbstractAsyncContextManager[KubernetesRuntime]]


async def starve(api: KubeApi, run: RunId) -> None:
    """The run's container ends for want of memory, and so does the next: the first is started again at once."""
    for _ in range(2):
        await api.until(lambda: api.life(run).container, within=60)
        api.life(run).oom()
        await api.until(lambda: not api.life(run).container, within=60)


@pytest.fixture
async def api() -> AsyncIterator[KubeApi]:
    """With the rights of the bot's Role and no others."""
    async with KubeApi(rbac=shipped_role()) as api:
        yield api


@pytest.fixture
def door(api: KubeApi, tmp_path: Path) -> Door:
    return Door(namespace=api.namespace, kubeconfig=str(api.kubeconfig(tmp_path / "kubeconfig")))


@pytest.fixture
def new_life(door: Door) -> Open:
    """Another life of the bot on the same cluster; a pod that has not come after half a second is told of."""
    return lambda: KubernetesRuntime(
        door, Guest(image="agent:1"), grace_seconds=1.5, come_seconds=0.5, longest_pause=0.3
    )


@pytest.fixture
async def runtime(new_life: Open) -> AsyncIterator[KubernetesRuntime]:
    async with new_life() as runtime:
        yield runtime


@pytest.fixture
def live(door: Door, monkeypatch: pytest.MonkeyPatch) -> Live:
    """A life of the bot that keeps so many pods started ahead, and is quick about it."""
    monkeypatch.setattr("adapters.kubernetes.pool.HOLD_SECONDS", 0.5)
    monkeypatch.setattr("adapters.kubernetes.pool.FIT_SECONDS", 0.2)

    def begin(
        count: int, *, image: str = "agent:1", agent: Callable[[], Awaitable[Agent | None]] | None = None, **more: Any
    ) -> KubernetesRuntime:
        async def rehearsal() -> Agent | None:
            return AGENT

        warm = Warm(count, agent or rehearsal, **{"pause": 0.2, **more})
        return KubernetesRuntime(door, Guest(image=image), warm=warm, grace_seconds=1.5, longest_pause=0.3)

    return begin


async def attach(runtime: KubernetesRuntime) -> None:
    async with runtime.attach(RUN):
        pass


async def is_gone(runtime: KubernetesRuntime, *, seconds: float = 60.0) -> str:
    """Why an attach says that the pod is gone."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                async with runtime.attach(RUN) as session:
                    async for _ in session.frames():
                        pass
            except Gone as gone:
                return str(gone)
            except (Busy, Broken):
                pass
            await asyncio.sleep(0.02)
