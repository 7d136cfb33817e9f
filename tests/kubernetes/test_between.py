"""Somebody between the bot and the cluster answers in its place: nothing that he says is known of any pod."""

from __future__ import annotations

import asyncio
import json

import pytest

from adapters.kubernetes import Cluster, Door, KubernetesRuntime
from adapters.kubernetes.errors import Expired
from orchestrator.errors import Broken, Busy, Gone
from orchestrator.nouns import RunId
from tests.contract.listener import AGENT, RUN, attached, is_there
from tests.kubeapi import Fault, KubeApi
from tests.kubernetes.conftest import Open

PAGE = "404 page not found\n"
TUNNEL = json.dumps({"error": "tunnel not found"})
OTHERS = json.dumps({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404, "message": "no cluster"})
OK = json.dumps({"ok": True})
GONE = {"kind": "Status", "code": 410, "reason": "Gone", "message": "gone"}


@pytest.mark.parametrize(
    ("code", "text"),
    [(404, PAGE), (404, TUNNEL), (404, OTHERS), (404, ""), (410, "gone"), (410, json.dumps(GONE)), (403, "blocked"),
     (409, "conflict"), (302, "over there"), (200, OK), (200, "[]"), (200, "hello"), (200, '{"kind": "Pod"}')],
)  # fmt: skip
async def test_what_somebody_in_between_says_is_sure_of_no_pod(
    api: KubeApi, runtime: KubernetesRuntime, door: Door, code: int, text: str
) -> None:
    await runtime.start(RUN, AGENT)
    async with attached(runtime):
        pass
    async with Cluster(door) as cluster:
        for request, ask in {
            "get pods": cluster.pod(RUN),
            "patch pods": cluster.patch(RUN, {"metadata": {"labels": {"x": "y"}}}),
            "delete pods": cluster.delete(RUN, uid="another"),
            "list pods": cluster.page("pods"),
            "create pods": cluster.create({"metadata": {"name": "r-9"}}),
            "get leases": cluster.lease("agent-login"),
        }.items():
            api.fail(request, Fault.foreign(code, text))
            with pytest.raises(Broken, match="What answers as the cluster's API is not it") as raised:
                await ask
            assert raised.value.unsure, request
    await is_there(runtime)


async def test_a_pod_that_somebody_in_between_does_not_know_goes_on(api: KubeApi, runtime: KubernetesRuntime) -> None:
    await runtime.start(RUN, AGENT)
    async with attached(runtime):
        pass
    for request in ("get pods/attach", "get pods"):
        api.fail(request, Fault.foreign(404))
    with pytest.raises(Broken):
        async with runtime.attach(RUN):
            pass
    assert (await runtime.pods())[RUN].alive
    api.fail("get pods", Fault.foreign(404))
    with pytest.raises(Broken):
        await runtime.stop(RUN)
    api.fail("delete pods", Fault.foreign(404))
    with pytest.raises(Broken):
        await runtime.stop(RUN)
    async with attached(runtime):
        pass
    await runtime.stop(RUN)
    assert api.pod(RUN) is None
    with pytest.raises(Gone):
        async with runtime.attach(RUN):
            pass


@pytest.mark.parametrize("code", [200, 302, 410, 418])
async def test_a_stream_that_somebody_in_between_refuses(api: KubeApi, runtime: KubernetesRuntime, code: int) -> None:
    await runtime.start(RUN, AGENT)
    async with attached(runtime):
        pass
    api.fail("get pods/attach", Fault.foreign(code, OK))
    with pytest.raises(Broken, match=f"not it .*{code}"):
        async with runtime.attach(RUN):
            pass


async def test_only_the_server_itself_says_that_a_version_is_too_old(api: KubeApi, door: Door) -> None:
    async with Cluster(door) as cluster:
        api.fail("watch pods", Fault.foreign(410, "gone"))
        with pytest.raises(Broken):
            async with cluster.watch("pods", after="1", seconds=1):
                pass
        api.fail("list pods", Fault.foreign(410, json.dumps({**GONE, "reason": "Expired"})), times=2)
        with pytest.raises(Broken):
            await cluster.page("pods")
        with pytest.raises(Expired):
            await cluster.page("pods", more="the rest")


async def test_a_runtime_outlives_whoever_answers_in_json(api: KubeApi, new_life: Open) -> None:
    api.fail("any", Fault.foreign(200, OK), times=20)
    async with new_life() as runtime:
        with pytest.raises(Broken, match="is not it"):
            await runtime.start(RUN, AGENT)
        api.faults.clear()
        await is_started(runtime)


async def is_started(runtime: KubernetesRuntime) -> None:
    """As soon as the cluster is heard."""
    async with asyncio.timeout(60):
        while True:
            try:
                await runtime.start(RUN, AGENT)
            except Broken:
                await asyncio.sleep(0.05)
            else:
                break
    await is_there(runtime)


# --- the cluster itself ---


async def test_a_quota_that_nobody_has_counted_yet_is_waited_for(api: KubeApi, runtime: KubernetesRuntime) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "agents"},
        "spec": {"hard": {"pods": "4"}},
    }
    api.apply({**quota, "status": {}})
    with pytest.raises(Busy, match="not counted yet"):
        await runtime.start(RUN, AGENT)
    api.apply({**quota, "status": {"hard": {"pods": "4"}, "used": {"pods": "0"}}})
    await runtime.start(RUN, AGENT)
    assert RunId(RUN) in await runtime.pods()


async def test_a_machine_that_is_off_is_its_nodes_silence(
    api: KubeApi, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await runtime.start(RUN, AGENT)
    async with attached(runtime):
        pass
    monkeypatch.setattr("adapters.kubernetes.cluster.ATTACH_SECONDS", 0.3)
    api.node.dial_seconds = 600.0
    api.node.die()
    with pytest.raises(Broken, match="did not answer in time"):
        async with runtime.attach(RUN):
            pass
    api.node.be_missed()
    pauses = []
    await api.until(lambda: runtime._known.get(RUN) and not runtime._known.get(RUN).ready, within=60)  # type: ignore[union-attr]
    for _ in range(4):
        with pytest.raises(Busy, match="Its node does not answer") as raised:
            async with runtime.attach(RUN):
                pass
        pauses.append(raised.value.seconds)
    assert pauses == sorted(set(pauses)), "it is asked less and less often"
    assert (await runtime.pods())[RUN].alive
    monkeypatch.undo()
    api.node.dial_seconds = 0.0
    api.node.revive()
    await is_there(runtime)
