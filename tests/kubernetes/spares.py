"""Pods that are started ahead, as tests see them: which wait, who carries a run, when all is there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

from adapters.kubernetes import Cluster, Guest, KubernetesRuntime
from adapters.kubernetes.warm import WARM, warm_of
from orchestrator.nouns import RunId
from tests.contract.listener import AGENT, RUN, Listener, tell_on
from tests.kubeapi import KubeApi
from tests.kubeapi.sorts import PODS

Json = dict[str, Any]
Live = Callable[..., AbstractAsyncContextManager[KubernetesRuntime]]

GUEST = Guest(image="agent:1")
OTHER = replace(AGENT, name="big", memory="2Gi")
PATIENCE = 60.0


def pods(api: KubeApi) -> list[Json]:
    return [thing.object for thing in api.stock.all(PODS, api.namespace)]


def idle(api: KubeApi) -> dict[str, Json]:
    """Those that wait for a run and are not on their way out, by name."""
    return {
        pod["metadata"]["name"]: pod
        for pod in pods(api)
        if WARM in pod["metadata"]["labels"] and "deletionTimestamp" not in pod["metadata"]
    }


def carriers(api: KubeApi, run: RunId = RUN) -> list[str]:
    return [pod["metadata"]["name"] for pod in pods(api) if pod["metadata"]["labels"].get("army/run") == run]


async def full(api: KubeApi, runtime: KubernetesRuntime, count: int) -> None:
    """Return when so many run and the bot knows it."""
    await api.until(lambda: len(idle(api)) == count == runtime.warmth().ready, within=PATIENCE)


async def lives(runtime: KubernetesRuntime, run: RunId = RUN) -> Listener:
    """The run's agentd answers."""
    listener = Listener()
    await tell_on(runtime, listener, 2, run=run)
    return listener


async def spare(api: KubeApi, cluster: Cluster, name: str) -> Json:
    await cluster.create(warm_of(name, AGENT, GUEST, idle=3600))
    await api.until(lambda: (api.pod(name) or {})["status"]["phase"] == "Running", within=PATIENCE)
    pod = await cluster.pod(name)
    assert pod is not None
    return pod
