from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

from kubernetes_asyncio import client

from agent.wire import Beat, parse_up
from tests.kubeapi import KubeApi
from tests.kubeapi.client import SPACE, Client, Heard, pod, refused, shell

STUBBORN = "trap '' TERM; echo here; while :; do sleep 0.05; done"


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def state(kube: Client, name: str = "r-1") -> dict[str, dict[str, object]]:
    found = kube.api.pod(name)
    assert found is not None
    [status] = found["status"].get("containerStatuses") or [{"state": {}}]
    return dict(status["state"])


async def test_a_pod_runs_agentd_and_says_so(api: KubeApi, kube: Client) -> None:
    await kube.running()
    async with kube.attach() as socket:
        heard = Heard(socket)
        await socket.send_bytes(b'\0\n{"do":"resume","epoch":"","after":0}\n')
        assert await heard.until(lambda it: it.out.count(b"\n") >= 2)
        first = heard.out.split(b"\n")[1]
        assert isinstance(parse_up(first), Beat)
    read = await kube.read()
    assert read["spec"]["nodeName"] == api.node.name
    assert {c["type"]: c["status"] for c in read["status"]["conditions"]}["Ready"] == "True"
    told = [event["reason"] for event in api.events("r-1")]
    assert told == ["Scheduled", "Pulled", "Created", "Started"]


async def test_it_goes_gracefully_and_then_is_gone(api: KubeApi, kube: Client) -> None:
    await kube.running(pod(command=shell("trap 'echo bye; exit 0' TERM; while :; do sleep 0.02; done")))
    container = api.life("r-1").container
    assert container is not None
    going = await kube.core.delete_namespaced_pod("r-1", SPACE)
    assert going.metadata.deletion_timestamp is not None
    assert (await kube.read())["metadata"]["deletionGracePeriodSeconds"] == 30
    await api.until(lambda: api.pod("r-1") is None)
    assert (await refused(kube.read()))[0] == 404
    assert not runs(container.pid)


async def stubborn(kube: Client) -> None:
    """A pod that has said that it ignores what it is asked."""
    await kube.running(pod(command=shell(STUBBORN)))
    async with asyncio.timeout(60):
        while "here" not in await kube.core.read_namespaced_pod_log("r-1", SPACE):  # noqa: ASYNC110 - a log has no bell
            await asyncio.sleep(0.02)


async def test_who_ignores_sigterm_runs_for_the_whole_grace(api: KubeApi, kube: Client) -> None:
    await stubborn(kube)
    began = time.monotonic()
    await kube.core.delete_namespaced_pod("r-1", SPACE, grace_period_seconds=1)
    assert (await refused(kube.create(pod())))[0] == 409
    await asyncio.sleep(0.3)
    assert kube.phase() == "Running"
    await api.until(lambda: api.pod("r-1") is None)
    assert time.monotonic() - began > 0.9
    await kube.running()


async def test_a_second_delete_is_quicker(api: KubeApi, kube: Client) -> None:
    await stubborn(kube)
    began = time.monotonic()
    await kube.core.delete_namespaced_pod("r-1", SPACE)
    await kube.core.delete_namespaced_pod("r-1", SPACE, grace_period_seconds=0)
    assert api.pod("r-1") is None
    await api.until(lambda: not api.node.lives())
    assert time.monotonic() - began < 5


async def test_a_crash_is_a_restart_in_the_same_folders(api: KubeApi, kube: Client) -> None:
    script = (
        'echo x >> "$STATE/lives"; wc -l < "$STATE/lives"; [ $(wc -l < "$STATE/lives") -gt 2 ] && exec sleep 60; exit 3'
    )
    await kube.running(pod(command=shell(script), env=[{"name": "STATE", "value": "/state"}]))
    await api.until(lambda: api.life("r-1").restarts == 2 and "running" in state(kube))
    read = await kube.read()
    [status] = read["status"]["containerStatuses"]
    assert status["restartCount"] == 2
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert "BackOff" in {event["reason"] for event in api.events("r-1")}
    await api.until(lambda: b"3" in b"".join(line for _, line in api.life("r-1").logs[-1].lines()))


async def test_who_ends_well_has_succeeded(api: KubeApi, kube: Client) -> None:
    await kube.create(pod(command=shell("echo done")))
    await api.until(lambda: kube.phase() == "Succeeded")
    assert state(kube)["terminated"]["reason"] == "Completed"
    assert await kube.core.read_namespaced_pod_log("r-1", SPACE) == "done\n"
    await kube.core.delete_namespaced_pod("r-1", SPACE)
    assert api.pod("r-1") is None


async def test_what_a_killed_container_started_dies_with_it(api: KubeApi, kube: Client) -> None:
    await kube.running(pod(command=shell("setsid sleep 77 & echo $!; wait"), spec={"restartPolicy": "Never"}))
    life = api.life("r-1")
    await api.until(lambda: list(life.logs[0].lines()))
    [(_, line)] = life.logs[0].lines()
    life.crash()
    await api.until(lambda: kube.phase() == "Failed")
    assert state(kube)["terminated"]["exitCode"] == 128 + signal.SIGKILL
    assert not runs(int(line))


async def test_variables_come_from_secrets_and_fields(api: KubeApi, kube: Client) -> None:
    env = [
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "token", "key": "value"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "other", "key": "value", "optional": True}}},
        {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "BOTH", "value": "$(ME)/$(KEY)"},
    ]
    await kube.create(pod(command=shell("echo $KEY $ME $BOTH ${NONE-unset}"), env=env))
    await api.until(
        lambda: "waiting" in state(kube) and state(kube)["waiting"]["reason"] == "CreateContainerConfigError"
    )
    secret = client.V1Secret(metadata=client.V1ObjectMeta(name="token"), string_data={"value": "s3"})
    await kube.core.create_namespaced_secret(SPACE, secret)
    await api.until(lambda: kube.phase() == "Succeeded")
    assert await kube.core.read_namespaced_pod_log("r-1", SPACE) == "s3 r-1 r-1/s3 unset\n"
