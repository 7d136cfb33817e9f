from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
import yaml
from kubernetes_asyncio import client

from tests.kubeapi import Fault, KubeApi
from tests.kubeapi.client import SPACE, Client, connected, pod, refused
from tests.kubeapi.refusal import Json


@pytest.fixture(autouse=True)
def hollow(api: KubeApi) -> None:
    api.node.hollow = True


def changed(**spec: Any) -> Json:
    return pod(spec=spec)


def of_container(**container: Any) -> Json:
    return pod(**container)


def named(name: str) -> Json:
    return pod(name)


UNSAFE = "violates PodSecurity"
REFUSALS = [
    pytest.param(named("Not_A_Name"), 422, "RFC 1123", id="name"),
    pytest.param(changed(restartPolicy="Sometimes"), 422, "Unsupported value", id="policy"),
    pytest.param(changed(activeDeadlineSeconds=0), 422, "greater than or equal to 1", id="deadline"),
    pytest.param(changed(volumes=[]), 422, "Not found", id="volume"),
    pytest.param(of_container(resources={"requests": {"cpu": 2}, "limits": {"cpu": 1}}), 422, "cpu limit", id="cpu"),
    pytest.param(of_container(resources={"limits": {"cpu": "much"}}), 422, "quantities must match", id="quantity"),
    pytest.param(of_container(stdin="yes"), 400, "cannot unmarshal", id="type"),
    pytest.param(changed(runtimeClassName="kata-none"), 403, 'RuntimeClass "kata-none" not found', id="class"),
    pytest.param(changed(priorityClassName="kings"), 403, "no PriorityClass with name kings", id="priority"),
    pytest.param(changed(serviceAccountName="nobody"), 403, 'serviceaccount "nobody" not found', id="account"),
    pytest.param(changed(securityContext={}), 403, "runAsNonRoot != true", id="root"),
    pytest.param(of_container(securityContext={}), 403, "allowPrivilegeEscalation != false", id="escalation"),
    pytest.param(changed(hostNetwork=True), 403, "host namespaces", id="host"),
    pytest.param(
        changed(volumes=[{"name": "state", "hostPath": {"path": "/"}}, {"name": "work", "emptyDir": {}}]),
        403, "restricted volume types", id="host-path",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("body", "code", "words"), REFUSALS)
async def test_what_makes_no_sense_is_refused_in_the_servers_words(
    api: KubeApi, kube: Client, body: Json, code: int, words: str
) -> None:
    told = await refused(kube.create(body))
    assert told[0] == code
    status = json.loads(told[1])
    assert (status["kind"], status["code"]) == ("Status", code)
    assert words in status["message"]
    assert api.pod("r-1") is None


async def test_unknown_fields_are_refused_when_asked_to_be_strict(api: KubeApi, kube: Client) -> None:
    body = pod(spec={"runtimeClass": "kata-fc"})
    code, words = await refused(kube.create(body, field_validation="Strict"))
    assert code == 400
    assert 'strict decoding error: unknown field "spec.runtimeClass"' in json.loads(words)["message"]
    assert api.violations == []


async def test_unknown_fields_fail_the_test_when_not(tmp_path: Path) -> None:
    async def use() -> None:
        async with KubeApi() as api, connected(api, tmp_path) as kube:
            api.node.hollow = True
            await kube.create(pod(imagePull="Never"))

    with pytest.raises(AssertionError, match=r"containers\[0\]\.imagePull"):
        await use()


async def test_a_taken_name_is_409(kube: Client) -> None:
    await kube.create(pod())
    code, words = await refused(kube.create(pod()))
    assert (code, json.loads(words)["reason"]) == (409, "AlreadyExists")


async def test_the_manifests_of_the_cluster_hold_here(api: KubeApi, kube: Client) -> None:
    root = Path(__file__).parents[2] / "k8s" / "base"
    for name in ("limits", "priorities", "runtimeclasses"):
        api.apply(*yaml.safe_load_all((root / f"{name}.yaml").read_text(encoding="utf-8")))
    big = {"limits": {"cpu": "2", "memory": "6Gi"}, "requests": {"cpu": "1", "memory": "4Gi"}}
    first = await kube.create(pod("r-1", resources=big, spec={"runtimeClassName": "kata-fc"}))
    assert first["spec"]["overhead"] == {"cpu": "250m", "memory": "130Mi"}
    assert first["spec"]["nodeSelector"] == {"katacontainers.io/kata-runtime": "true"}
    assert first["spec"]["containers"][0]["resources"]["limits"]["ephemeral-storage"] == "8Gi"
    await kube.create(pod("r-2", resources=big))
    code, words = await refused(kube.create(pod("r-3", resources=big)))
    assert code == 403
    assert "exceeded quota: agents, requested: " in words
    code, words = await refused(kube.create(pod("r-4", resources={"limits": {"cpu": "9"}})))
    assert (code, "maximum cpu usage per Container is 4, but limit is 9" in words) == (403, True)


async def test_one_of_two_claims_wins(api: KubeApi, kube: Client) -> None:
    made = await kube.create(pod("warm-1"))
    await api.until(lambda: kube.phase("warm-1") == "Running")
    version = (await kube.read("warm-1"))["metadata"]["resourceVersion"]

    lost: list[tuple[object, bool]] = []

    async def claim(run: str, version: str) -> bool:
        meta = {"resourceVersion": version, "labels": {"army/run": run}, "annotations": {"army/claimed": "yes"}}
        try:
            await kube.core.patch_namespaced_pod("warm-1", SPACE, {"metadata": meta})
        except client.ApiException as error:
            lost.append((error.status, "the object has been modified" in str(error.body)))
            return False
        return True

    assert not await claim("r-0", made["metadata"]["resourceVersion"])
    won = await asyncio.gather(*(claim(f"r-{n}", version) for n in range(5)))
    assert sum(won) == 1
    assert lost == [(409, True)] * 5
    assert (await kube.read("warm-1"))["metadata"]["labels"]["army/run"] == f"r-{won.index(True)}"


async def test_json_patch_tests_before_it_changes(kube: Client) -> None:
    await kube.create(pod())

    def steps(old: str, new: str) -> Any:
        path = "/metadata/labels/army~1run"
        return [{"op": "test", "path": path, "value": old}, {"op": "replace", "path": path, "value": new}]

    await kube.core.patch_namespaced_pod("r-1", SPACE, steps("r-1", "r-7"))
    assert (await refused(kube.core.patch_namespaced_pod("r-1", SPACE, steps("r-1", "r-8"))))[0] == 422
    assert (await kube.read())["metadata"]["labels"]["army/run"] == "r-7"


async def test_a_pod_cannot_become_another_one(kube: Client) -> None:
    await kube.create(pod())
    code, words = await refused(kube.core.patch_namespaced_pod("r-1", SPACE, {"spec": {"restartPolicy": "Never"}}))
    assert (code, "may not change fields" in words) == (422, True)


async def test_a_deadline_can_only_come_nearer_and_counts_from_the_pods_start(api: KubeApi, kube: Client) -> None:
    await kube.create(pod(spec={"activeDeadlineSeconds": 300}))

    async def set_to(seconds: int | None) -> Any:
        return await kube.core.patch_namespaced_pod("r-1", SPACE, {"spec": {"activeDeadlineSeconds": seconds}})

    assert "less than or equal to previous" in (await refused(set_to(301)))[1]
    assert (await refused(set_to(None)))[0] == 422
    assert (await refused(set_to(0)))[0] == 422
    await api.until(lambda: kube.phase() == "Running")
    await set_to(1)
    await api.until(lambda: kube.phase() == "Failed")
    assert (await kube.read())["status"]["reason"] == "DeadlineExceeded"


async def test_a_delete_with_a_condition(kube: Client) -> None:
    made = await kube.running()
    other = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="another"))
    assert (await refused(kube.core.delete_namespaced_pod(made, SPACE, body=other)))[0] == 409
    uid = (await kube.read())["metadata"]["uid"]
    right = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=uid), grace_period_seconds=0)
    await kube.core.delete_namespaced_pod(made, SPACE, body=right)
    assert (await refused(kube.core.delete_namespaced_pod(made, SPACE)))[0] == 404


async def test_a_lease_is_lost_to_who_was_quicker(kube: Client) -> None:
    lease = {"metadata": {"name": "refresher"}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}}
    made = await kube.leases.create_namespaced_lease(SPACE, cast("client.V1Lease", lease))
    made.spec.holder_identity = "b"
    await kube.leases.replace_namespaced_lease("refresher", SPACE, made)
    made.spec.holder_identity = "c"
    assert (await refused(kube.leases.replace_namespaced_lease("refresher", SPACE, made)))[0] == 409
    read = await kube.leases.read_namespaced_lease("refresher", SPACE)
    assert read.spec.holder_identity == "b"
    made.metadata = client.V1ObjectMeta(name="refresher")
    assert (await refused(kube.leases.replace_namespaced_lease("refresher", SPACE, made)))[0] == 422


async def test_what_was_done_and_not_answered(api: KubeApi, kube: Client) -> None:
    api.fail("create pods", Fault.cut_after())
    with pytest.raises(aiohttp.ClientError):
        await kube.create(pod())
    assert (await refused(kube.create(pod())))[0] == 409


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_a_server_that_cannot_now(api: KubeApi, kube: Client, code: int) -> None:
    api.fail("create pods", Fault.busy(2) if code == 429 else Fault.status(code))
    with pytest.raises(client.ApiException) as caught:
        await kube.create(pod())
    assert caught.value.status == code
    if code == 429:
        assert caught.value.headers is not None
        assert caught.value.headers["Retry-After"] == "2"
    await kube.create(pod())
