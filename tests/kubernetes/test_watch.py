"""What lists and watches leave in doubt: how things are is known all the same, sooner or later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest

from adapters.kubernetes.cluster import Cluster
from adapters.kubernetes.known import Known
from adapters.kubernetes.seen import Stage, see
from adapters.kubernetes.watch import Watch
from orchestrator.errors import Busy, Gone
from orchestrator.nouns import RunId
from tests.contract.listener import AGENT, RUN, attached, is_there
from tests.kubeapi import Fault, KubeApi
from tests.kubeapi.sorts import EVENTS
from tests.kubernetes.conftest import Open
from tests.kubernetes.test_known import pod

Json = dict[str, Any]
ENOUGH = 3


class Script:
    """A cluster of which a watch brings these lines and ends; its lists have these versions, the last one for ever."""

    def __init__(self, *lines: bytes, versions: Sequence[str] = ("100",), items: Sequence[Any] = ()) -> None:
        self.lists = 0
        self.enough = asyncio.Event()
        self._lines = lines
        self._versions = versions
        self._items = items

    async def page(self, _what: str, *, more: str = "", **_filters: str) -> Json:
        assert not more
        version = self._versions[min(self.lists, len(self._versions) - 1)]
        self.lists += 1
        if self.lists == ENOUGH:
            self.enough.set()
        return {"items": list(self._items), "metadata": {"resourceVersion": version}}

    @asynccontextmanager
    async def watch(
        self, _what: str, *, after: str, seconds: int, **_filters: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        assert after
        assert seconds

        async def lines() -> AsyncIterator[bytes]:
            for text in self._lines:
                yield text + b"\n"

        yield lines()


async def until_listed_again(cluster: Script) -> list[int]:
    """Follow until it was listed often enough; the versions that were put."""
    put: list[int] = []
    watch = Watch(
        cast("Cluster", cluster),
        "pods",
        put=lambda _, *, version: put.append(version),
        change=lambda _kind, _thing: None,
        longest_pause=0.05,
    )
    following = asyncio.create_task(watch.run())
    await asyncio.wait_for(cluster.enough.wait(), 60)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    return put


@pytest.mark.parametrize("code", [410, 429, 500, 504])
async def test_a_watch_that_ends_with_an_error_is_not_begun_again_from_there(code: int) -> None:
    status = {"kind": "Status", "code": code, "message": "etcd event received with PrevKv=nil"}
    await until_listed_again(Script(json.dumps({"type": "ERROR", "object": status}).encode()))


async def test_a_watch_that_says_what_nobody_can_read_is_not_begun_again_from_there() -> None:
    await until_listed_again(Script(b'{"type":"MODI'))


async def test_all_is_listed_again_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.kubernetes.watch.LIST_SECONDS", 0.0)
    assert await until_listed_again(Script(versions=("100", "100", "120"))) == [100, 100, 120][:3]


async def test_a_list_from_before_what_was_followed_is_one_of_another_past(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.kubernetes.watch.LIST_SECONDS", 0.0)
    mark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "900"}}}
    assert (await until_listed_again(Script(json.dumps(mark).encode(), versions=("100", "500"))))[:2] == [100, 0]


# --- one object among many ---

ODD: list[Any] = [
    None,
    [],
    "pod",
    {},
    {"metadata": None},
    {"metadata": {"resourceVersion": 7}},
    {"metadata": {"resourceVersion": "7"}},
    {"metadata": {"resourceVersion": "7", "name": "r-2", "uid": "u"}, "status": None},
    {
        "metadata": {"resourceVersion": "7", "name": "r-2", "uid": "u"},
        "status": {"containerStatuses": [{"name": "agent", "restartCount": []}]},
    },
]


@pytest.mark.parametrize("odd", ODD, ids=json.dumps)
async def test_an_object_that_makes_no_sense_hides_no_other(odd: Any) -> None:
    good, heard = pod(8, running=True), asyncio.Event()
    cluster = Script(json.dumps({"type": "MODIFIED", "object": odd}).encode(),
                     json.dumps({"type": "MODIFIED", "object": good}).encode(), items=[odd, good])  # fmt: skip
    put: list[Json] = []
    changed: list[Json] = []

    def change(_kind: str, thing: Json) -> None:
        changed.append(thing)
        heard.set()

    def listed(things: Sequence[Json], /, *, version: int) -> None:
        assert version
        put.extend(things)

    watch = Watch(cast("Cluster", cluster), "pods", put=listed, change=change, read=see, longest_pause=0.05)
    following = asyncio.create_task(watch.run())
    await asyncio.wait_for(heard.wait(), 60)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    assert put[0] == good
    assert changed[0] == good
    assert watch.version == "8"


@pytest.mark.parametrize(
    "event", [b"[]", b"7", b'{"type": "ERROR", "object": []}', b'{"type": "ERROR", "object": null}']
)
async def test_an_event_that_is_none_is_not_the_end(event: bytes) -> None:
    await until_listed_again(Script(event))


async def test_runs_go_on_beside_an_event_that_makes_no_sense(api: KubeApi, new_life: Open) -> None:
    async with new_life() as runtime:
        await runtime.start(RUN, AGENT)
        await is_there(runtime)
        event = {"reason": "Failed", "message": "odd", "involvedObject": {"kind": "Pod"}}
        made = api.stock.create(EVENTS, {**event, "metadata": {"name": "odd", "namespace": api.namespace}})
        made.object["involvedObject"]["uid"] = ["u-1"]
        api.watches.cut()
        await runtime.start(RunId("r-2"), AGENT)
        await runtime.stop(RUN)
        assert set(await runtime.pods()) == {"r-2"}


# --- what a list says against what was heard ---


def stage(known: Known) -> Stage | None:
    seen = known.get(RUN)
    return seen.stage if seen else None


def test_a_list_does_not_know_what_was_made_after_it() -> None:
    known = Known()
    known.learn(pod(101, running=False))
    known.put([], version=100)
    assert stage(known) is Stage.COMING
    known.put([], version=101)
    assert stage(known) is None


def test_a_list_does_not_undo_what_is_newer_than_it() -> None:
    known = Known()
    known.learn(pod(120, running=True))
    known.put([pod(90, running=False)], version=110)
    assert stage(known) is Stage.RUNNING
    known.put([pod(130, running=False)], version=140)
    assert stage(known) is Stage.COMING


def test_after_a_restore_the_list_alone_counts() -> None:
    known = Known()
    buried = known.learn(pod(9000, running=True))
    known.put([pod(500, running=False)], version=0)
    assert stage(known) is Stage.COMING
    known.bury(buried)
    known.put([pod(500, running=True)], version=0)
    assert stage(known) is Stage.RUNNING, "it was taken away after the backup"


async def test_a_pod_that_is_made_while_a_list_is_on_its_way_is_not_lost(api: KubeApi, new_life: Open) -> None:
    """The server was killed and is back, all is listed again, and a launch that waited for it makes its pod."""
    api.node.pull_seconds = 1.5
    async with new_life() as runtime:
        await runtime.pods()
        listed, go = asyncio.Event(), asyncio.Event()
        page = runtime._cluster.page

        async def slow(what: str, *, more: str = "", **filters: str) -> Json:
            answer = await page(what, more=more, **filters)
            if what == "pods" and "army/run" not in filters["label_selector"]:
                listed.set()
                await go.wait()
            return answer

        runtime._cluster.page = slow  # type: ignore[method-assign]
        api.fail("watch pods", Fault.expired())
        await api.down()
        await api.up()
        await asyncio.wait_for(listed.wait(), 60)
        await runtime.start(RUN, AGENT)
        asyncio.get_running_loop().call_later(0.1, go.set)
        with pytest.raises(Busy):
            async with runtime.attach(RUN):
                pass
        await is_there(runtime)


async def test_what_a_list_lets_out_is_asked_for_before_it_is_called_gone(api: KubeApi, new_life: Open) -> None:
    api.node.pull_seconds = 600.0
    async with new_life() as runtime:
        await runtime.start(RUN, AGENT)
        asyncio.get_running_loop().call_later(0.1, runtime._known.put, [])
        with pytest.raises(Busy):
            async with runtime.attach(RUN):
                pass
        api.drop("Pod", RUN)
        with pytest.raises(Gone):
            async with attached(runtime):
                pass


async def test_a_cluster_that_was_set_back_is_heard_again(
    api: KubeApi, new_life: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with new_life() as runtime:
        await runtime.start(RUN, AGENT)
        await is_there(runtime)
        before = (await runtime.pods())[RUN]
        api.stock.restore(500)
        monkeypatch.setattr("adapters.kubernetes.watch.LIST_SECONDS", 0.0)
        api.watches.cut()
        await api.until(lambda: len([1 for call in api.calls if call.right == ("list", "pods")]) > 1, within=60)
        api.life(RUN).evict()
        async with asyncio.timeout(60):
            while (await runtime.pods())[RUN].alive:  # noqa: ASYNC110 - it has no event to wait for
                await asyncio.sleep(0.02)
        assert before.alive
        await runtime.start(RunId("r-2"), AGENT)
        assert set(await runtime.pods()) == {RUN, "r-2"}
