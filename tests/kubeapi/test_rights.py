from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from kubernetes_asyncio import client

from tests.kubeapi import Json, KubeApi
from tests.kubeapi.client import SPACE, Client, connected, pod, refused

PODS: Json = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "create", "delete"]}


def attaching(*verbs: str) -> list[Json]:
    return [PODS, {"apiGroups": [""], "resources": ["pods/attach"], "verbs": list(verbs)}]


async def test_only_the_token_counts(api: KubeApi, kube: Client) -> None:
    api.token = "another"
    assert (await refused(kube.core.list_namespaced_pod(SPACE)))[0] == 401
    assert api.calls[-1].status == 401


async def test_every_verb_needs_its_right(api: KubeApi, kube: Client) -> None:
    api.rbac = [PODS]
    api.node.hollow = True
    await kube.create(pod())
    code, words = await refused(kube.core.patch_namespaced_pod("r-1", SPACE, {"metadata": {"labels": {"a": "b"}}}))
    assert code == 403
    assert 'cannot patch resource \\"pods\\" in API group \\"\\" in the namespace \\"claude-agents\\"' in words
    assert (await refused(kube.core.read_namespaced_pod_log("r-1", SPACE)))[0] == 403
    assert (await refused(kube.core.list_namespaced_secret(SPACE)))[0] == 403
    assert (await refused(kube.core.list_pod_for_all_namespaces()))[0] == 403
    assert (await refused(kube.core.list_namespaced_pod("default")))[0] == 403
    assert {("create", "pods"), ("patch", "pods"), ("get", "pods/log")} <= api.rights_used


@pytest.mark.parametrize(
    ("version", "verbs", "may"),
    [
        ("1.36", ["get", "create"], True), ("1.36", ["get"], False), ("1.36", ["create"], False),
        ("1.33", ["get"], True), ("1.33", ["create"], False),
    ],
)  # fmt: skip
async def test_attaching_needs_more_since_1_36(tmp_path: Path, version: str, verbs: list[str], *, may: bool) -> None:
    async with KubeApi(rbac=attaching(*verbs), version=version) as api, connected(api, tmp_path) as kube:
        await kube.running()
        if may:
            async with kube.attach():
                return
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with kube.attach():
                pass
        assert caught.value.status == 403


async def test_it_can_be_asked_what_one_may(api: KubeApi, kube: Client) -> None:
    api.rbac = attaching("get")

    async def may(verb: str, sub: str) -> bool:
        asked = client.V1ResourceAttributes(verb=verb, resource="pods", subresource=sub, namespace=SPACE)
        review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=asked))
        answer = await kube.reviews.create_self_subject_access_review(review)
        return bool(answer.status.allowed)

    assert await may("get", "attach")
    assert not await may("create", "attach")
    assert not await may("get", "log")


async def test_who_is_there_may_ask_how_it_is(api: KubeApi) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{api.url}/version") as answer:
            assert (await answer.json())["minor"] == "36"
        api.ready = False
        async with http.get(f"{api.url}/readyz") as answer:
            assert answer.status == 500
        async with http.get(f"{api.url}/api/v1/namespaces/claude-agents/pods") as answer:
            assert answer.status == 401
