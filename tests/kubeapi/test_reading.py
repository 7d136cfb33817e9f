from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from kubernetes_asyncio import watch
from kubernetes_asyncio.client.exceptions import ApiException

from tests.kubeapi import Fault, KubeApi
from tests.kubeapi.client import SPACE, Client, pod, raw, refused, shell


@pytest.fixture(autouse=True)
def hollow(api: KubeApi) -> None:
    api.node.hollow = True


class Events:
    """What a watch says, as it comes."""

    def __init__(self, kube: Client, **options: Any) -> None:
        self._kube = kube
        self._options = options

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        options = {"watch": True, "_preload_content": False, **self._options}
        response = raw(await self._kube.core.list_namespaced_pod(SPACE, **options))
        try:
            async for line in response.content:
                yield json.loads(line)
        finally:
            response.close()


async def names(kube: Client, **options: Any) -> list[str]:
    listed = await kube.core.list_namespaced_pod(SPACE, **options)
    return [item.metadata.name for item in listed.items]


async def test_a_watch_goes_on_where_the_list_ended(kube: Client) -> None:
    await kube.running(pod("r-1"))
    listed = await kube.core.list_namespaced_pod(SPACE, label_selector="app.kubernetes.io/name=agent")
    assert [item.metadata.name for item in listed.items] == ["r-1"]
    await kube.running(pod("r-2"))
    await kube.core.delete_namespaced_pod("r-1", SPACE, grace_period_seconds=0)
    seen = []
    async for event in Events(kube, resource_version=listed.metadata.resource_version):
        seen.append((event["type"], event["object"]["metadata"]["name"], event["object"]["status"]["phase"]))
        if event["type"] == "DELETED":
            break
    assert seen[0] == ("ADDED", "r-2", "Pending")
    assert ("MODIFIED", "r-2", "Running") in seen
    assert seen[-1] == ("DELETED", "r-1", "Running")


async def test_who_leaves_the_selection_is_gone_from_the_watch(api: KubeApi, kube: Client) -> None:
    await kube.running(pod("r-1"))
    version = str(api.stock.version)

    async def label(value: str) -> None:
        await kube.core.patch_namespaced_pod("r-1", SPACE, {"metadata": {"labels": {"army/run": value}}})

    await label("x")
    await label("r-1")
    seen = []
    async for event in Events(kube, resource_version=version, label_selector="army/run=r-1"):
        seen.append(event["type"])
        if len(seen) == 2:
            break
    assert seen == ["DELETED", "ADDED"]


async def test_a_list_comes_in_pages_of_one_moment(api: KubeApi, kube: Client) -> None:
    for number in range(5):
        await kube.create(pod(f"r-{number}"))
    first = await kube.core.list_namespaced_pod(SPACE, limit=2)
    await kube.core.delete_namespaced_pod("r-4", SPACE, grace_period_seconds=0)
    assert first.metadata.remaining_item_count == 3
    second = await kube.core.list_namespaced_pod(SPACE, limit=3, _continue=first.metadata._continue)
    found = [item.metadata.name for item in [*first.items, *second.items]]
    assert found == [f"r-{n}" for n in range(5)]
    assert second.metadata.resource_version == first.metadata.resource_version
    api.compact()
    code, words = await refused(kube.core.list_namespaced_pod(SPACE, limit=2, _continue=first.metadata._continue))
    assert (code, json.loads(words)["reason"]) == (410, "Expired")


async def test_pages_of_two_lists_at_one_moment_are_each_their_own(api: KubeApi, kube: Client) -> None:
    api.node.no_room = "1 Insufficient memory."
    for number in range(3):
        await kube.create(pod(f"r-{number}"))
    await api.until(lambda: all(api.events(f"r-{n}") for n in range(3)))
    pods = await kube.core.list_namespaced_pod(SPACE, limit=1)
    events = await kube.core.list_namespaced_event(SPACE, limit=1)
    assert pods.metadata.resource_version == events.metadata.resource_version
    rest = await kube.core.list_namespaced_pod(SPACE, limit=9, _continue=pods.metadata._continue)
    assert [item.metadata.name for item in rest.items] == ["r-1", "r-2"]


async def test_selectors(kube: Client) -> None:
    await kube.running(pod("r-1"))
    body = pod("r-2")
    body["metadata"]["labels"] = {"other": "yes"}
    await kube.running(body)
    assert await names(kube, label_selector="army/run in (r-1, r-9)") == ["r-1"]
    assert await names(kube, label_selector="!army/run,other=yes") == ["r-2"]
    assert await names(kube, label_selector="other!=yes") == ["r-1"]
    assert await names(kube, field_selector="metadata.name=r-2,status.phase=Running") == ["r-2"]
    assert (await refused(names(kube, field_selector="spec.image=x")))[0] == 400
    assert (await refused(names(kube, label_selector="a==b==c")))[0] == 400


async def test_a_watch_from_before_the_compaction_is_told_that_it_is_too_old(api: KubeApi, kube: Client) -> None:
    await kube.running(pod("r-1"))
    old = str(api.stock.version - 1)
    await api.down()
    api.compact()
    await api.up()
    [event] = [event async for event in Events(kube, resource_version=old)]
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    assert await names(kube) == ["r-1"]


async def test_the_clients_own_watch_understands_410(api: KubeApi, kube: Client) -> None:
    api.fail("watch pods", Fault.expired())
    async with watch.Watch() as stream:
        with pytest.raises(ApiException) as caught:
            async for _ in stream.stream(kube.core.list_namespaced_pod, SPACE, resource_version="5", timeout_seconds=5):
                pass
    assert caught.value.status == 410


async def test_bookmarks_come_on_time_and_before_the_end(api: KubeApi, kube: Client) -> None:
    api.watches.bookmark_seconds = 0.2
    seen = [e async for e in Events(kube, resource_version="1001", allow_watch_bookmarks=True, timeout_seconds=1)]
    marks = [event["object"]["metadata"]["resourceVersion"] for event in seen if event["type"] == "BOOKMARK"]
    assert len(marks) > 2
    assert set(marks) == {str(api.stock.version)}
    assert [e async for e in Events(kube, resource_version=marks[-1], timeout_seconds=1)] == []


async def test_a_watch_may_begin_with_everything(kube: Client) -> None:
    await kube.running(pod("r-1"))
    options = {"send_initial_events": True, "resource_version_match": "NotOlderThan", "allow_watch_bookmarks": True}
    seen = [e async for e in Events(kube, timeout_seconds=1, **options)]
    assert [event["type"] for event in seen[:2]] == ["ADDED", "BOOKMARK"]
    assert seen[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


@pytest.mark.parametrize("torn", [False, True])
async def test_a_cut_watch_ends_without_an_end(api: KubeApi, kube: Client, *, torn: bool) -> None:
    events = Events(kube, resource_version=str(api.stock.version)).__aiter__()
    waiting = asyncio.ensure_future(anext(events))
    await api.until(lambda: api.watches.open)
    api.watches.cut(torn=torn)
    with pytest.raises((aiohttp.ClientError, ValueError)):
        await waiting


async def test_a_killed_server_breaks_everything_and_forgets_nothing(api: KubeApi, kube: Client) -> None:
    await kube.running(pod("r-1"))
    events = Events(kube, resource_version=str(api.stock.version)).__aiter__()
    waiting = asyncio.ensure_future(anext(events))
    await api.until(lambda: api.watches.open)
    version = str(api.stock.version)
    await api.down()
    with pytest.raises(aiohttp.ClientError):
        await waiting
    with pytest.raises(aiohttp.ClientError):
        await names(kube)
    await api.up()
    assert await names(kube) == ["r-1"]
    await kube.create(pod("r-2", command=shell("true")))
    async for event in Events(kube, resource_version=version):
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "r-2")
        break


async def test_a_version_that_is_not_there_yet_cannot_be_listed(kube: Client) -> None:
    assert (await refused(names(kube, resource_version="99999")))[0] == 504
    assert await names(kube, resource_version="0") == []
