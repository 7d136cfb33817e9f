from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from tests.kubeapi import Image, KubeApi
from tests.kubeapi.client import SPACE, Client, pod, raw, refused, shell
from tests.kubeapi.refusal import Json


def waiting(api: KubeApi) -> str:
    found = api.pod("r-1")
    assert found is not None
    [status] = found["status"].get("containerStatuses") or [{"state": {}}]
    return str(status["state"].get("waiting", {}).get("reason", ""))


def told(api: KubeApi) -> dict[str, str]:
    return {event["reason"]: event["message"] for event in api.events("r-1")}


async def test_no_room(api: KubeApi, kube: Client) -> None:
    api.node.no_room = "1 Insufficient memory."
    api.node.retry_seconds = 0.02
    await kube.create(pod())
    await api.until(lambda: "FailedScheduling" in told(api))
    assert told(api)["FailedScheduling"].startswith("0/1 nodes are available: 1 Insufficient memory.")
    [condition] = (await kube.read())["status"]["conditions"]
    assert (condition["type"], condition["reason"]) == ("PodScheduled", "Unschedulable")
    code, words = await refused(kube.core.read_namespaced_pod_log("r-1", SPACE))
    assert (code, "does not have a host assigned" in words) == (400, True)
    api.node.no_room = ""
    await api.until(lambda: kube.phase() == "Running")


async def test_no_room_and_deleted(api: KubeApi, kube: Client) -> None:
    api.node.no_room = "1 Insufficient cpu."
    await kube.create(pod())
    await kube.core.delete_namespaced_pod("r-1", SPACE)
    assert api.pod("r-1") is None
    await api.until(lambda: not api.node.lives())


async def test_an_image_that_is_not_there(api: KubeApi, kube: Client) -> None:
    api.node.missing_images = {"registry.example/*"}
    api.node.retry_seconds = 0.05
    await kube.create(pod())
    await api.until(lambda: waiting(api) == "ErrImagePull")
    await api.until(lambda: waiting(api) == "ImagePullBackOff")
    assert "not found" in told(api)["Failed"] or "ErrImagePull" in told(api)["Failed"]
    api.node.missing_images.clear()
    await api.until(lambda: kube.phase() == "Running")


async def test_a_handler_that_the_node_lacks_never_fails(api: KubeApi, kube: Client) -> None:
    api.node.handlers.discard("kata-fc")
    api.node.retry_seconds = 0.02
    await kube.create(pod(spec={"runtimeClassName": "kata-fc"}))
    await api.until(lambda: any(e["count"] > 3 for e in api.events("r-1") if e["reason"] == "FailedCreatePodSandBox"))
    assert 'no runtime for "kata-fc" is configured' in told(api)["FailedCreatePodSandBox"]
    assert (kube.phase(), waiting(api)) == ("Pending", "ContainerCreating")
    await kube.core.delete_namespaced_pod("r-1", SPACE)
    await api.until(lambda: api.pod("r-1") is None)


async def test_a_program_that_is_not_in_the_image(api: KubeApi, kube: Client) -> None:
    await kube.create(pod(command=["/no/such/program"], spec={"restartPolicy": "Never"}))
    await api.until(lambda: kube.phase() == "Failed")
    [status] = (await kube.read())["status"]["containerStatuses"]
    assert status["state"]["terminated"]["reason"] == "StartError"


async def test_a_container_that_eats_too_much(api: KubeApi, kube: Client) -> None:
    await kube.running()
    api.life("r-1").oom()
    await api.until(lambda: api.life("r-1").restarts == 1 and not waiting(api))
    [status] = (await kube.read())["status"]["containerStatuses"]
    ended = status["lastState"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


async def test_a_pod_that_has_to_go(api: KubeApi, kube: Client) -> None:
    await kube.running()
    api.life("r-1").evict()
    await api.until(lambda: kube.phase() == "Failed")
    status = (await kube.read())["status"]
    assert status["reason"] == "Evicted"
    assert "DisruptionTarget" in {c["type"] for c in status["conditions"]}


EATS = "dd if=/dev/zero of=much bs=1M count=3 2>/dev/null; sleep 60"
MOST = {"requests": {"memory": "64Mi"}, "limits": {"memory": "64Mi", "ephemeral-storage": "2Mi"}}


@pytest.mark.parametrize(
    ("size", "resources", "word"),
    [("1Mi", {}, 'Usage of EmptyDir volume "work" exceeds'), ("", MOST, "total limit of containers 2Mi")],
)
async def test_a_pod_that_takes_too_much_of_the_disk(
    api: KubeApi, kube: Client, size: str, resources: Json, word: str
) -> None:
    api.node.look_seconds = 0.02
    work = {"name": "work", "emptyDir": {"sizeLimit": size} if size else {}}
    volumes = [{"name": "state", "emptyDir": {}}, work]
    await kube.create(pod(command=shell(EATS), workingDir="/work", spec={"volumes": volumes}, resources=resources))
    await api.until(lambda: kube.phase() == "Failed", within=60)
    status = (await kube.read())["status"]
    assert (status["reason"], word in status["message"]) == ("Evicted", True)
    assert "DisruptionTarget" not in {c["type"] for c in status["conditions"]}, "this is the pod's own fault"


async def test_a_pod_that_takes_what_it_may(api: KubeApi, kube: Client) -> None:
    looks, api.node.look_seconds = api.node.look_seconds, 0.02
    most = {**MOST, "limits": {"memory": "64Mi", "ephemeral-storage": "8Mi"}}
    await kube.running(pod(command=shell(EATS), workingDir="/work", resources=most))
    much = Path(api.life("r-1").places.here("/work")) / "much"
    await api.until(lambda: much.exists() and much.stat().st_size == 3 << 20, within=60)
    await asyncio.sleep(api.node.look_seconds * 5)
    assert looks > 1
    assert kube.phase() == "Running"


async def test_a_pod_that_has_had_its_time(api: KubeApi, kube: Client) -> None:
    await kube.running(pod(spec={"activeDeadlineSeconds": 1}))
    await api.until(lambda: kube.phase() == "Failed")
    assert (await kube.read())["status"]["reason"] == "DeadlineExceeded"


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_machine_that_is_gone(api: KubeApi, kube: Client, *, forgotten: bool) -> None:
    await kube.running()
    container = api.life("r-1").container
    api.lose_node("r-1", forgotten=forgotten)
    assert container is not None
    await container.run()
    if not forgotten:
        await asyncio.sleep(0.1)
        read = await kube.read()
        assert read["metadata"]["deletionTimestamp"]
        assert read["status"]["reason"] == "NodeLost"
        await kube.core.delete_namespaced_pod("r-1", SPACE, grace_period_seconds=0)
    await api.until(lambda: not api.node.lives())
    await kube.running()


async def test_a_kubelet_that_is_gone(api: KubeApi, kube: Client) -> None:
    await kube.running(pod(command=shell("echo hello; sleep 60")))
    await api.until(lambda: list(api.life("r-1").logs[0].lines()))
    following = raw(await kube.core.read_namespaced_pod_log("r-1", SPACE, follow=True, _preload_content=False))
    assert await following.content.readline() == b"hello\n"
    api.node.die()
    with pytest.raises(aiohttp.ClientError):
        await following.content.readline()
    following.close()
    code, words = await refused(kube.core.read_namespaced_pod_log("r-1", SPACE))
    assert (code, "error dialing backend" in words) == (500, True)
    await kube.core.delete_namespaced_pod("r-1", SPACE, grace_period_seconds=1)
    await asyncio.sleep(0.1)
    assert kube.phase() == "Running"
    api.node.revive()
    await api.until(lambda: api.pod("r-1") is None)


async def test_a_log_is_followed_until_it_rotates(api: KubeApi, kube: Client) -> None:
    await kube.running(pod(command=shell("echo one; echo two; read x; echo $x; read y; echo $y; sleep 60")))
    life = api.life("r-1")
    await api.until(lambda: len(list(life.logs[0].lines())) == 2)
    assert await kube.core.read_namespaced_pod_log("r-1", SPACE, tail_lines=1) == "two\n"
    following = raw(
        await kube.core.read_namespaced_pod_log("r-1", SPACE, follow=True, since_seconds=60, _preload_content=False)
    )
    assert life.container is not None
    await life.container.write(b"three\n")
    for line in (b"one\n", b"two\n", b"three\n"):
        assert await following.content.readline() == line
    life.logs[0].rotate()
    assert await following.content.read() == b""
    following.close()
    await life.container.write(b"four\n")
    await api.until(lambda: list(life.logs[0].lines()))
    assert await kube.core.read_namespaced_pod_log("r-1", SPACE) == "four\n"


async def test_another_image(api: KubeApi, kube: Client) -> None:
    api.node.images["registry.example/login:*"] = Image(("sh", "-c", "echo $GREETING"), {"GREETING": "hi"})
    await kube.create(pod(image="registry.example/login:1"))
    await api.until(lambda: kube.phase() == "Succeeded")
    assert await kube.core.read_namespaced_pod_log("r-1", SPACE) == "hi\n"


async def test_a_thousand_hollow_pods_cost_little(api: KubeApi, kube: Client) -> None:
    api.node.hollow = True
    began = time.monotonic()
    await asyncio.gather(*(kube.core.create_namespaced_pod(SPACE, pod(f"r-{n}")) for n in range(100)))  # type: ignore[arg-type]
    await api.until(lambda: all(kube.phase(f"r-{n}") == "Running" for n in range(100)))
    assert time.monotonic() - began < 10
    assert len((await kube.core.list_namespaced_pod(SPACE)).items) == 100


async def test_an_image_takes_its_time(api: KubeApi, kube: Client) -> None:
    api.node.pull_seconds = 0.3
    await kube.create(pod())
    await api.until(lambda: waiting(api) == "ContainerCreating")
    with pytest.raises(aiohttp.WSServerHandshakeError, match="500"):
        async with kube.attach():
            pass
    await api.until(lambda: kube.phase() == "Running")


async def test_a_pod_gets_an_accounts_token_unless_it_declines(api: KubeApi, kube: Client) -> None:
    body = pod(
        command=shell("cat $T/token"), env=[{"name": "T", "value": "/var/run/secrets/kubernetes.io/serviceaccount"}]
    )
    del body["spec"]["automountServiceAccountToken"]
    await kube.create(body)
    await api.until(lambda: kube.phase() == "Succeeded")
    assert "token" in await kube.core.read_namespaced_pod_log("r-1", SPACE)
