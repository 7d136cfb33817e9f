"""Claims and starts of which the bot knows less than the cluster: answers that are lost, and a watch that is behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta

import pytest

from adapters.kubernetes import Cluster, Door
from adapters.kubernetes.claims import Claims
from adapters.kubernetes.known import Known
from adapters.kubernetes.pod import pod_of
from adapters.kubernetes.spares import Spares
from adapters.kubernetes.starts import Starts
from orchestrator.errors import Broken, Busy, Refused
from orchestrator.nouns import RunId
from tests.contract.listener import AGENT, RUN
from tests.kubeapi import Fault, KubeApi
from tests.kubernetes.spares import GUEST, PATIENCE, Json, carriers, idle, spare

Bench = tuple[Cluster, Known, Starts]


@pytest.fixture
async def bench(door: Door) -> AsyncIterator[Bench]:
    """The parts without a watch: they know what they are told."""

    async def no_room() -> bool:
        return False

    async with Cluster(door) as cluster:
        known = Known()
        claims = Claims(cluster, known, Spares(cluster, known))
        yield cluster, known, Starts(cluster, known, claims, make_room=no_room)


async def test_a_claim_that_finds_its_node_gone_leaves_the_pod(api: KubeApi, bench: Bench) -> None:
    cluster, known, starts = bench
    known.put([await spare(api, cluster, "warm-1")])
    api.node.be_missed()  # and the watch is late
    assert await starts.begin(RUN, pod_of(RUN, AGENT, GUEST))
    assert carriers(api) == [RUN]
    assert list(idle(api)) == ["warm-1"]
    api.node.revive()


async def test_a_start_without_an_answer_is_not_followed_by_a_claim(api: KubeApi, bench: Bench) -> None:
    cluster, known, starts = bench
    body = pod_of(RUN, AGENT, GUEST)
    api.fail("create pods", Fault.cut_after())
    with pytest.raises(Broken):
        await starts.begin(RUN, body)
    known.learn(await spare(api, cluster, "warm-1"))
    assert not await starts.begin(RUN, body), "its name is taken"
    assert carriers(api) == [RUN]
    assert await starts.begin(RunId("r-2"), pod_of(RunId("r-2"), AGENT, GUEST))
    assert carriers(api, RunId("r-2")) == ["warm-1"]


@pytest.mark.parametrize("refusal", [Fault.busy(0.1), Fault.status(422)])
async def test_what_is_refused_later_does_not_undo_a_start_without_an_answer(
    api: KubeApi, bench: Bench, refusal: Fault
) -> None:
    cluster, known, starts = bench
    body = pod_of(RUN, AGENT, GUEST)
    api.fail("create pods", Fault.cut())
    with pytest.raises(Broken):
        await starts.begin(RUN, body)
    api.fail("create pods", refusal)
    with pytest.raises((Busy, Refused)):
        await starts.begin(RUN, body)
    assert await cluster.create(body)  # the first one arrives
    known.learn(await spare(api, cluster, "warm-1"))
    created = [call.right for call in api.calls].count(("create", "pods"))
    assert not await starts.begin(RUN, body), "its name is taken"
    assert carriers(api) == [RUN]
    assert [call.right for call in api.calls].count(("create", "pods")) == created, "a quota might refuse it"


async def test_a_refused_start_is_in_no_doubt(api: KubeApi, bench: Bench) -> None:
    cluster, known, starts = bench
    body = pod_of(RUN, AGENT, GUEST)
    api.fail("create pods", Fault.busy(0.1))
    with pytest.raises(Busy):
        await starts.begin(RUN, body)
    known.learn(await spare(api, cluster, "warm-1"))
    assert await starts.begin(RUN, body)
    assert carriers(api) == ["warm-1"]


@pytest.mark.parametrize("trouble", [Fault.busy(0.1), Fault.status(422), Fault.status(403)])
async def test_what_is_refused_later_does_not_undo_a_claim_without_an_answer(
    api: KubeApi, bench: Bench, trouble: Fault
) -> None:
    cluster, known, starts = bench
    body = pod_of(RUN, AGENT, GUEST)
    better = await spare(api, cluster, "warm-0")
    known.learn(await spare(api, cluster, "warm-1"))
    api.fail("patch pods", Fault.cut_after())
    with pytest.raises(Broken):
        await starts.begin(RUN, body)
    began = datetime.fromisoformat(better["status"]["startTime"]) - timedelta(minutes=1)
    known.learn({**better, "status": {**better["status"], "startTime": began.isoformat()}})
    api.fail("patch pods", trouble)
    with suppress(Busy):
        await starts.begin(RUN, body)
    with suppress(Busy):
        await starts.begin(RUN, body)
    await api.until(lambda: len(carriers(api)) == 1, within=PATIENCE)


async def test_one_whose_container_was_started_again_is_taken_by_nobody(api: KubeApi, bench: Bench) -> None:
    cluster, known, starts = bench
    known.learn(await spare(api, cluster, "warm-1"))
    api.life("warm-1").oom()
    await api.until(lambda: restarts(api.pod("warm-1")) == 1, within=PATIENCE)
    assert await starts.begin(RUN, pod_of(RUN, AGENT, GUEST))  # what is known is from before that
    assert carriers(api) == [RUN]
    assert await starts.begin(RunId("r-2"), pod_of(RunId("r-2"), AGENT, GUEST))
    assert carriers(api, RunId("r-2")) == ["r-2"]


def restarts(pod: Json | None) -> int:
    return int(((pod or {})["status"].get("containerStatuses") or [{}])[0].get("restartCount", 0))


async def test_a_claim_that_arrives_late_is_still_the_only_one(api: KubeApi, bench: Bench) -> None:
    cluster, known, starts = bench
    body = pod_of(RUN, AGENT, GUEST)
    known.learn(await spare(api, cluster, "warm-1"))
    api.fail("patch pods", Fault.cut_after())
    with pytest.raises(Broken):
        await starts.begin(RUN, body)
    known.learn(await spare(api, cluster, "warm-2"))
    assert await starts.begin(RUN, body)
    assert carriers(api) == ["warm-1"]
    assert list(idle(api)) == ["warm-2"]


async def test_one_whose_status_changed_meanwhile_is_taken_all_the_same(api: KubeApi, bench: Bench) -> None:
    cluster, known, starts = bench
    old = await spare(api, cluster, "warm-1")
    await cluster.patch("warm-1", {"metadata": {"annotations": {"somebody": "else"}}})
    known.learn(old)
    assert await starts.begin(RUN, pod_of(RUN, AGENT, GUEST))
    assert carriers(api) == ["warm-1"]
    assert [call.status for call in api.calls if call.verb == "patch"] == [200, 409, 200]


async def test_a_watch_that_is_behind_gives_no_claimed_pod_back(api: KubeApi, bench: Bench) -> None:
    cluster, known, starts = bench
    old = await spare(api, cluster, "warm-1")
    known.learn(old)
    assert await starts.begin(RUN, pod_of(RUN, AGENT, GUEST))
    known.change("MODIFIED", old)
    assert known.spares() == []
    assert known.get(RUN) is not None


async def test_one_that_somebody_claims_meanwhile_is_not_given_up(api: KubeApi, bench: Bench) -> None:
    cluster, known, starts = bench
    seen = known.learn(await spare(api, cluster, "warm-1"))
    assert await starts.begin(RUN, pod_of(RUN, AGENT, GUEST))
    assert not await Spares(cluster, known).give_up(seen, "it is in the way")
    assert carriers(api) == ["warm-1"]
    assert "deletionTimestamp" not in (api.pod("warm-1") or {})["metadata"]


async def test_one_whose_status_changed_meanwhile_is_given_up_all_the_same(api: KubeApi, bench: Bench) -> None:
    cluster, known, _ = bench
    seen = known.learn(await spare(api, cluster, "warm-1"))
    await cluster.patch("warm-1", {"metadata": {"annotations": {"somebody": "else"}}})
    assert await Spares(cluster, known).give_up(seen, "it is in the way")
    await api.until(lambda: api.pod("warm-1") is None, within=PATIENCE)


async def test_what_was_to_be_claimed_for_a_run_that_ends_goes_with_it(api: KubeApi, bench: Bench) -> None:
    cluster, known, starts = bench
    known.learn(await spare(api, cluster, "warm-1"))
    api.fail("patch pods", Fault.cut())
    with pytest.raises(Broken):
        await starts.begin(RUN, pod_of(RUN, AGENT, GUEST))
    await starts.forget(RUN)  # for all that is known, the claim may still arrive
    await api.until(lambda: api.pod("warm-1") is None, within=PATIENCE)


async def test_a_name_that_is_used_again_is_one_pod(bench: Bench) -> None:
    cluster, known, starts = bench
    body = pod_of(RUN, AGENT, GUEST)
    assert await starts.begin(RUN, body)
    first = known.get(RUN)
    assert await cluster.delete(RUN, grace=0)
    again = await cluster.create(body)
    assert first is not None
    assert again is not None
    old = {**again, "metadata": {**again["metadata"], "uid": first.uid}}
    known.learn(again)
    known.change("MODIFIED", old)  # a watch that is behind
    seen = known.get(RUN)
    assert seen is not None
    assert seen.uid == again["metadata"]["uid"]
    assert known.doubles() == []
