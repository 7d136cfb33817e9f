"""Init containers: what runs before the rest, as often as it takes, on the same volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.kubeapi import KubeApi
from tests.kubeapi.client import Client, pod, shell

WALLS = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
MOUNTS = [{"name": "state", "mountPath": "/state"}]
LASTING = shell('trap "exit 0" TERM; while :; do sleep 0.05; done')


def first(*command: str) -> dict[str, Any]:
    """A container of that kind."""
    return {
        "name": "first", "image": "agent:1", "command": list(command), "securityContext": WALLS, "volumeMounts": MOUNTS,
    }  # fmt: skip


def with_first(*command: str) -> dict[str, Any]:
    made = pod(command=LASTING, volumeMounts=MOUNTS)
    made["spec"] |= {"initContainers": [first(*command)], "volumes": [{"name": "state", "emptyDir": {}}]}
    return made


def told(api: KubeApi) -> dict[str, Any]:
    found = api.pod("r-1")
    assert found is not None
    [status] = found["status"].get("initContainerStatuses") or [{"state": {}}]
    return dict(status["state"])


async def test_it_runs_before_the_rest_and_leaves_what_it_made(api: KubeApi, kube: Client) -> None:
    await kube.running(with_first("sh", "-c", 'echo made > "$1/here"', "first", "/state"))
    assert told(api)["terminated"]["exitCode"] == 0
    assert (Path(api.life("r-1").places.here("/state")) / "here").read_text() == "made\n"


async def test_one_that_fails_is_told_and_tried_again(api: KubeApi, kube: Client) -> None:
    script = '[ -e "$1/second" ] || { touch "$1/second"; exit 3; }'
    told_of: list[str] = []

    def failed() -> bool:
        told_of.append(told(api).get("waiting", {}).get("reason", ""))
        return "CrashLoopBackOff" in told_of

    api.node.crash_seconds = 0.3
    await kube.create(with_first("sh", "-c", script, "first", "/state"))
    await api.until(failed, within=60)
    assert api.life("r-1").container is None
    await api.until(lambda: api.life("r-1").container, within=60)
    assert told(api)["terminated"]["exitCode"] == 0


async def test_it_is_gone_with_its_pod(api: KubeApi, kube: Client) -> None:
    await kube.create(with_first("sh", "-c", "sleep 1000"))
    await api.until(lambda: "running" in told(api), within=60)
    await kube.core.delete_namespaced_pod("r-1", api.namespace)
    await api.until(lambda: api.pod("r-1") is None, within=60)
