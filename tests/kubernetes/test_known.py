"""What is known of a pod comes by several ways at once, and the newest counts, not what came last."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from adapters.kubernetes import KubernetesRuntime
from adapters.kubernetes.guest import Guest
from adapters.kubernetes.known import Known
from adapters.kubernetes.pod import pod_of
from adapters.kubernetes.seen import Stage
from adapters.kubernetes.warm import ASKED
from orchestrator.errors import Busy
from orchestrator.nouns import Agent, RunId
from tests.contract import listener
from tests.kubeapi import Fault, KubeApi

RUN = RunId("r-1")
Json = dict[str, Any]


def pod(version: int, *, running: bool, uid: str = "u-1") -> Json:
    """The pod at this version of it."""
    body = copy.deepcopy(pod_of(RUN, Agent("rehearsal", "rehearsal"), Guest(image="agent:1")))
    meta = {"uid": uid, "resourceVersion": str(version), "creationTimestamp": "2026-01-01T00:00:00Z"}
    state = {"running": {"startedAt": "2026-01-01T00:00:01Z"}} if running else {"waiting": {"reason": "Creating"}}
    status = {"phase": "Running" if running else "Pending", "containerStatuses": [{"name": "agent", "state": state}]}
    return {**body, "metadata": {**body["metadata"], **meta}, "status": status}


def stage(known: Known) -> Stage:
    seen = known.get(RUN)
    assert seen is not None
    return seen.stage


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(Known.learn, id="answer"),
        pytest.param(lambda known, old: known.put([old], version=50), id="list"),
        pytest.param(lambda known, old: known.change("MODIFIED", old), id="watch"),
    ],
)
def test_what_comes_late_does_not_undo_what_is_newer(late: Callable[[Known, Json], object]) -> None:
    """The answer to a create may be read after the watch has told that the pod runs; nothing more would follow."""
    known = Known()
    known.change("ADDED", pod(9, running=False))
    known.change("MODIFIED", pod(100, running=True))
    late(known, pod(9, running=False))
    assert stage(known) is Stage.RUNNING
    known.change("MODIFIED", pod(101, running=False))
    assert stage(known) is Stage.COMING


def test_a_change_that_says_nothing_new_is_still_the_newest() -> None:
    known = Known()
    known.change("ADDED", pod(9, running=False))
    known.change("MODIFIED", pod(11, running=False))
    known.learn(pod(10, running=True))
    assert stage(known) is Stage.COMING


async def test_who_waits_is_woken_by_what_is_newer_alone() -> None:
    known = Known()
    known.learn(pod(5, running=False))
    waiting = asyncio.create_task(
        known.until(RUN, lambda seen: seen is not None and seen.stage is Stage.RUNNING, seconds=60)
    )
    await asyncio.sleep(0)
    known.learn(pod(4, running=True))
    await asyncio.sleep(0)
    assert not waiting.done()
    known.learn(pod(6, running=True))
    assert (await waiting) is not None


# --- what was buried ---

GONE = json.dumps({"kind": "Status", "code": 404, "reason": "NotFound", "details": {"name": RUN, "kind": "pods"}})


def buried(known: Known) -> None:
    """Somebody said of the pod, which was seen at version 9, that it is no more."""
    known.bury(known.learn(pod(9, running=True)))
    assert known.get(RUN) is None


def test_a_list_that_is_newer_than_its_burial_brings_a_pod_back() -> None:
    known = Known()
    buried(known)
    known.put([pod(9, running=True)], version=12)
    assert stage(known) is Stage.RUNNING
    known.change("MODIFIED", pod(13, running=False))
    assert stage(known) is Stage.COMING


def test_a_look_that_is_newer_than_its_burial_brings_a_pod_back() -> None:
    known = Known()
    buried(known)
    known.learn(pod(9, running=True), version=12)
    assert stage(known) is Stage.RUNNING


def test_what_is_older_than_its_burial_brings_no_pod_back() -> None:
    known = Known()
    known.put([], version=60)
    buried(known)
    known.put([pod(9, running=True)], version=55)
    known.learn(pod(9, running=True), version=55)
    known.learn(pod(70, running=True))  # an answer of which nobody knows when it was asked for
    known.change("MODIFIED", pod(71, running=True))  # a watch that is behind
    assert known.get(RUN) is None
    known.put([pod(71, running=True)], version=80)
    assert stage(known) is Stage.RUNNING


def test_of_two_pods_of_one_name_the_newer_is_there() -> None:
    known = Known()
    buried(known)
    known.learn(pod(20, running=True, uid="u-2"))
    known.put([pod(9, running=True)], version=15)  # begun before either happened
    now = known.get(RUN)
    assert now is not None
    assert now.uid == "u-2"
    known.change("MODIFIED", pod(21, running=False, uid="u-2"))
    assert stage(known) is Stage.COMING


async def test_a_run_that_lives_after_all_is_known_after_the_next_list(
    api: KubeApi, runtime: KubernetesRuntime
) -> None:
    await listener.tell(runtime, 1)
    api.fail("delete pods", Fault.foreign(404, GONE))
    await runtime.stop(RUN)
    assert await runtime.pods() == {}
    api.compact()
    api.watches.cut()
    async with asyncio.timeout(60):
        while RUN not in await runtime.pods():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.05)
    assert api.pod(RUN) is not None


async def test_a_run_that_lives_after_all_is_found_when_it_is_stopped_again(
    api: KubeApi, runtime: KubernetesRuntime
) -> None:
    await listener.tell(runtime, 1)
    api.fail("delete pods", Fault.foreign(404, GONE))
    await runtime.stop(RUN)
    await runtime.stop(RUN)
    assert api.pod(RUN) is None


# --- which of two carries a run ---


def one_of_two(name: str, *, made: int, asked: str = "") -> Json:
    body = pod(9, running=True, uid=name)
    body["metadata"] |= {"name": name, "creationTimestamp": f"2026-01-01T00:00:0{made}Z"}
    body["metadata"]["annotations"] |= {ASKED: asked} if asked else {}
    return body


@pytest.mark.parametrize(
    ("works", "late"),
    [
        pytest.param(one_of_two("r-1", made=5, asked="200"), one_of_two("warm-1", made=1, asked="90"), id="cold"),
        pytest.param(one_of_two("warm-1", made=1, asked="200"), one_of_two("r-1", made=5, asked="90"), id="warm"),
        pytest.param(one_of_two("warm-2", made=2, asked="200"), one_of_two("warm-1", made=1), id="not noted"),
        pytest.param(one_of_two("r-1", made=5), one_of_two("warm-1", made=1, asked="nonsense"), id="own name"),
        pytest.param(one_of_two("warm-1", made=1), one_of_two("warm-2", made=2), id="older"),
    ],
)
def test_each_life_of_the_bot_takes_the_same_one_of_two(works: Json, late: Json) -> None:
    """Who asked last had made sure that there was none: it works with that one, and the other one came late."""
    this = Known()
    this.put([works], version=10)
    this.change("MODIFIED", late)
    assert [seen.uid for seen in this.doubles()] == [late["metadata"]["uid"]]
    for pods in ([works, late], [late, works]):
        following = Known()
        following.put(pods, version=10)
        assert [seen.uid for seen in following.doubles()] == [late["metadata"]["uid"]]


# --- what it waits for ---


async def test_a_pod_that_has_a_node_is_not_said_to_find_none(api: KubeApi, runtime: KubernetesRuntime) -> None:
    api.node.no_room = "1 Insufficient memory."
    api.node.pull_seconds = 60.0
    await runtime.start(RUN, listener.AGENT)
    with pytest.raises(Busy, match=r"No node can take it yet: .*Insufficient memory"):
        async with runtime.attach(RUN):
            pass
    api.node.no_room = ""
    words = ""
    async with asyncio.timeout(60):
        while "is being" not in words:
            with pytest.raises(Busy) as busy:
                async with runtime.attach(RUN):
                    pass
            words = str(busy.value)
            assert "It does not run yet: no node" not in words


# --- labels that somebody else changes -----------------------------------------------------------------------------


def relabelled(body: Json, **labels: str | None) -> Json:
    kept = {**body["metadata"]["labels"], **{f"army/{key}": text for key, text in labels.items()}}
    return {**body, "metadata": {**body["metadata"], "labels": {key: text for key, text in kept.items() if text}}}


def test_a_pod_whose_label_names_another_run_is_that_ones() -> None:
    known = Known()
    known.change("ADDED", pod(9, running=True))
    known.change("MODIFIED", relabelled(pod(10, running=True), run="r-2"))
    assert known.get(RUN) is None
    assert set(known.all()) == {"r-2"}
    known.change("DELETED", relabelled(pod(11, running=True), run="r-2"))
    assert (known.all(), known.unplaced()) == ({}, [])


def test_a_claim_that_a_restored_cluster_knows_nothing_of_is_undone() -> None:
    known = Known()
    known.put([pod(20, running=True)], version=20)
    known.put([relabelled(pod(10, running=True), run=None, warm="f0")], version=0)
    assert known.get(RUN) is None
    (waits,) = known.spares()
    assert waits.spare is not None
    assert waits.spare.form == "", "what the run said is in it: nobody else gets it"
    known.change("MODIFIED", relabelled(pod(11, running=True), run=None, warm="f0"))
    (waits,) = known.spares()
    assert waits.spare is not None
    assert waits.spare.form == ""


def test_a_double_that_waits_again_is_none_any_more() -> None:
    known = Known()
    known.change("ADDED", pod(9, running=True))
    second = pod(10, running=True, uid="u-2")
    second["metadata"]["name"] = "warm-1"
    known.change("ADDED", second)
    assert [seen.uid for seen in known.doubles()] == ["u-2"]
    again = relabelled(second, run=None, warm="f0")
    known.change("MODIFIED", {**again, "metadata": {**again["metadata"], "resourceVersion": "11"}})
    assert known.doubles() == []
