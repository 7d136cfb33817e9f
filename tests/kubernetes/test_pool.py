"""Pods that are started ahead: who gets one, that nobody gets two, and that they are in nobody's way."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from structlog.testing import capture_logs

from adapters.kubernetes import Cluster, Door, Guest, KubernetesRuntime, Warm
from adapters.kubernetes.checkup import checkup
from adapters.kubernetes.claims import Claims
from adapters.kubernetes.known import Known
from adapters.kubernetes.pod import pod_of
from adapters.kubernetes.spares import Spares
from adapters.kubernetes.starts import Starts
from adapters.kubernetes.warm import DEADLINE, WARM, form_of, warm_of
from agent.wire import Start
from orchestrator.errors import Broken, Busy
from orchestrator.nouns import Agent, Limits, RunId
from tests.contract.listener import AGENT, RUN, Listener, attached, command, counted, send_all, tell_on
from tests.kubeapi import Fault, KubeApi
from tests.kubeapi.sorts import PODS

Json = dict[str, Any]
Live = Callable[..., AbstractAsyncContextManager[KubernetesRuntime]]

GUEST = Guest(image="agent:1")
OTHER = replace(AGENT, name="big", memory="2Gi")
QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "agents"}}
PATIENCE = 60.0


@pytest.fixture
def live(door: Door) -> Live:
    """A life of the bot that keeps so many pods started ahead."""

    def begin(
        count: int, *, image: str = "agent:1", agent: Callable[[], Awaitable[Agent | None]] | None = None, **more: Any
    ) -> KubernetesRuntime:
        async def rehearsal() -> Agent | None:
            return AGENT

        warm = Warm(count, agent or rehearsal, **{"pause": 0.2, **more})
        return KubernetesRuntime(door, Guest(image=image), warm=warm, grace_seconds=1.5, longest_pause=0.3)

    return begin


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.kubernetes.pool.HOLD_SECONDS", 0.5)
    monkeypatch.setattr("adapters.kubernetes.pool.FIT_SECONDS", 0.2)


def pods(api: KubeApi) -> list[Json]:
    return [thing.object for thing in api.stock.all(PODS, api.namespace)]


def idle(api: KubeApi) -> dict[str, Json]:
    """Those that wait for a run and are not on their way out, by name."""
    return {
        pod["metadata"]["name"]: pod
        for pod in pods(api)
        if WARM in pod["metadata"]["labels"] and "deletionTimestamp" not in pod["metadata"]
    }


def carriers(api: KubeApi, run: RunId = RUN) -> list[str]:
    return [pod["metadata"]["name"] for pod in pods(api) if pod["metadata"]["labels"].get("army/run") == run]


async def full(api: KubeApi, runtime: KubernetesRuntime, count: int) -> None:
    """Return when so many run and the bot knows it."""
    await api.until(lambda: len(idle(api)) == count == runtime.warmth().ready, within=PATIENCE)


async def lives(runtime: KubernetesRuntime, run: RunId = RUN) -> Listener:
    """The run's agentd answers."""
    listener = Listener()
    async with attached(runtime, run) as session:
        await send_all(session, range(2))
        assert await listener.hear(session, counted(2))
    return listener


# --- one is taken ----------------------------------------------------------------------------------------------------


async def test_pods_that_wait_are_no_runs(api: KubeApi, live: Live) -> None:
    async with live(2) as runtime:
        await full(api, runtime, 2)
        assert await runtime.pods() == {}
        await runtime.stop(RunId("r-nobody"))
        assert len(idle(api)) == 2


async def test_a_launch_takes_one_and_another_one_comes(api: KubeApi, live: Live) -> None:
    async with live(2) as runtime:
        await full(api, runtime, 2)
        waiting = set(idle(api))
        await runtime.start(RUN, AGENT)
        assert api.of_run(RUN) in waiting
        listener = Listener()
        async with attached(runtime) as session:
            await session.send(
                command(Start(driver="rehearsal", session=str(uuid.uuid4()), task="hello", script="echo"))
            )
            assert await listener.hear(session, lambda it: len(it.frames) > 3)
        await full(api, runtime, 2)
        assert list(await runtime.pods()) == [RUN]
        assert (runtime.warmth().hits, runtime.warmth().misses) == (1, 0)
        await runtime.stop(RUN)
        assert carriers(api) == []


async def test_a_claimed_pod_is_the_pod_that_would_have_been_made(api: KubeApi, live: Live) -> None:
    patient = replace(AGENT, name="Patient one", limits=Limits(start=77))
    async with live(1) as runtime:
        await full(api, runtime, 1)
        await runtime.start(RUN, patient)
        claimed, wanted = api.pod(api.of_run(RUN)), pod_of(RUN, patient, GUEST)
        await runtime.start(RunId("r-2"), OTHER)
        cold = api.pod("r-2")
    assert claimed is not None
    assert cold is not None
    assert claimed["metadata"]["labels"] == wanted["metadata"]["labels"]
    assert claimed["metadata"]["annotations"] == wanted["metadata"]["annotations"]
    assert claimed["spec"].keys() - {"nodeName"} == cold["spec"].keys() - {"nodeName"}
    for field, value in wanted["spec"].items():
        if field not in {DEADLINE, "containers"}:
            assert claimed["spec"][field] == value
    assert claimed["spec"]["containers"][0].items() >= wanted["spec"]["containers"][0].items()


async def test_the_deadline_counts_from_the_claim(api: KubeApi, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    async with live(1) as runtime:
        await full(api, runtime, 1)
        monkeypatch.setattr(Spares, "age", lambda *_: 1000.0)
        await runtime.start(RUN, AGENT)
    claimed = api.pod(api.of_run(RUN))
    assert claimed is not None
    assert claimed["spec"][DEADLINE] == pod_of(RUN, AGENT, GUEST)["spec"][DEADLINE] + 1000


async def test_a_run_that_may_live_longer_than_what_waits_starts_cold(api: KubeApi, live: Live) -> None:
    long = replace(AGENT, limits=Limits(life=30 * 24 * 3600.0))
    async with live(1) as runtime:
        await full(api, runtime, 1)
        await runtime.start(RUN, long)
        assert carriers(api) == [RUN]
        assert not [call for call in api.calls if call.verb == "patch"]


async def test_another_profile_starts_cold_and_takes_none(api: KubeApi, live: Live) -> None:
    model = Agent(name="claude", driver="claude")  # its pod has a credential in it, the waiting one has none
    async with live(1) as runtime:
        await full(api, runtime, 1)
        waiting = set(idle(api))
        await runtime.start(RUN, OTHER)
        await runtime.start(RunId("r-2"), model)
        assert (carriers(api), carriers(api, RunId("r-2"))) == ([RUN], ["r-2"])
        assert set(idle(api)) == waiting
        assert (runtime.warmth().hits, runtime.warmth().misses) == (0, 2)


async def test_one_that_is_still_coming_is_taken_too(api: KubeApi, live: Live) -> None:
    api.node.pull_seconds = 1.0
    async with live(1) as runtime:
        await api.until(lambda: idle(api), within=PATIENCE)
        name = next(iter(idle(api)))
        await api.until(lambda: (api.pod(name) or {})["status"].get("containerStatuses"), within=PATIENCE)
        await runtime.start(RUN, AGENT)
        assert carriers(api) == [name]
        await lives(runtime)


async def test_what_waits_can_become_any_run_of_its_form() -> None:
    waiting = warm_of("warm-1", AGENT, GUEST, idle=3600)
    assert waiting["metadata"]["labels"][WARM] == form_of(pod_of(RUN, AGENT, GUEST))
    assert "army/run" not in waiting["metadata"]["labels"]
    assert "rehearsal" not in str(waiting)
    for version in ("1.33", "1.36"):
        kubernetes_validate.validate(waiting, version, strict=True)
    same = replace(AGENT, name="other", limits=Limits(life=60), script="long", model="opus")
    assert form_of(pod_of(RunId("r-2"), same, GUEST)) == form_of(waiting)
    for differs in (
        OTHER,
        replace(AGENT, cpu="2"),
        replace(AGENT, isolation="gvisor"),
        replace(AGENT, driver="claude"),
    ):
        assert form_of(pod_of(RUN, differs, GUEST)) != form_of(waiting)
    assert form_of(pod_of(RUN, AGENT, replace(GUEST, image="agent:2"))) != form_of(waiting)


# --- one claimer wins ------------------------------------------------------------------------------------------------


async def test_of_two_bots_one_gets_it(api: KubeApi, live: Live) -> None:
    async with live(1) as one, live(1) as other:
        await full(api, one, 1)
        await full(api, other, 1)
        (name,) = idle(api)
        api.fail("patch pods", Fault.slow(0.3), times=2)  # both claims are on their way before one is done
        await asyncio.gather(one.start(RUN, AGENT), other.start(RunId("r-2"), AGENT))
        claims = [call.status for call in api.calls if call.verb == "patch" and call.name == name]
        assert sorted(claims) == [200, 409]
        first, second = carriers(api), carriers(api, RunId("r-2"))
        assert len(first) == len(second) == 1
        assert first != second
        await lives(one)
        await lives(other, RunId("r-2"))


async def test_launches_at_once_do_not_fight_over_one(api: KubeApi, live: Live) -> None:
    runs = [RunId(f"r-{number}") for number in range(4)]
    async with live(2) as runtime:
        await full(api, runtime, 2)
        waiting = set(idle(api))
        await asyncio.gather(*(runtime.start(run, AGENT) for run in runs))
        assert waiting <= {name for run in runs for name in carriers(api, run)}
        assert all(len(carriers(api, run)) == 1 for run in runs)
        assert 409 not in [call.status for call in api.calls if call.verb == "patch"]


async def test_a_start_that_is_repeated_takes_no_second_one(api: KubeApi, live: Live) -> None:
    async with live(2) as runtime:
        await full(api, runtime, 2)
        await asyncio.gather(*(runtime.start(RUN, AGENT) for _ in range(3)))
        await runtime.start(RUN, AGENT, again=True)
        assert len(carriers(api)) == 1


# --- a claim that was cut off ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.cut(), Fault.cut_after(), Fault.status(500), Fault.garbled(), Fault.busy(0.1)])
async def test_a_claim_without_an_answer_is_settled_before_anything_else(
    api: KubeApi, live: Live, fault: Fault
) -> None:
    async with live(2) as runtime:
        await full(api, runtime, 2)
        api.fail("patch pods", fault)
        with pytest.raises((Broken, Busy)):
            await runtime.start(RUN, AGENT)
        await runtime.start(RUN, AGENT)
        await lives(runtime)
        assert len(carriers(api)) == 1
        assert not any(call.verb == "create" and call.name == RUN for call in api.calls)


async def test_a_bot_that_was_killed_after_its_claim_finds_what_it_claimed(api: KubeApi, live: Live) -> None:
    async with live(2) as runtime:
        await full(api, runtime, 2)
        api.fail("patch pods", Fault.cut_after())
        with pytest.raises(Broken):
            await runtime.start(RUN, AGENT)
        claimed = carriers(api)
    async with live(2) as runtime:  # its journal knows of a launch and nothing more
        await runtime.start(RUN, AGENT)
        assert carriers(api) == claimed
        listener = await lives(runtime)
    async with live(0) as runtime:
        assert list(await runtime.pods()) == [RUN]
        await runtime.start(RUN, AGENT, again=True)
        await tell_on(runtime, listener, 3)
        assert listener.lost == 0
        await runtime.stop(RUN)
        assert carriers(api) == []


async def test_a_run_that_is_stopped_leaves_no_claim_on_its_way(api: KubeApi, live: Live) -> None:
    async with live(1) as runtime:
        await full(api, runtime, 1)
        (name,) = idle(api)
        api.fail("patch pods", Fault.cut_after())
        with pytest.raises(Broken):
            await runtime.start(RUN, AGENT)
        await runtime.stop(RUN)
        await api.until(lambda: api.pod(name) is None, within=PATIENCE)
        assert carriers(api) == []


async def test_a_claim_that_the_watch_has_not_told_of_is_found_when_the_run_is_stopped(
    api: KubeApi, live: Live, door: Door
) -> None:
    async with live(1) as runtime, Cluster(door) as cluster:
        await full(api, runtime, 1)
        (name,) = idle(api)
        api.fail("watch pods", Fault.hang(), times=9)
        watching = len(api.calls)
        api.watches.cut()
        await api.until(lambda: any(call.right == ("watch", "pods") for call in api.calls[watching:]), within=PATIENCE)
        await cluster.patch(name, {"metadata": {"labels": {"army/run": RUN, WARM: None}}})
        await runtime.stop(RUN)
        assert api.pod(name) is None


@pytest.fixture
async def bench(door: Door) -> AsyncIterator[tuple[Cluster, Known, Starts]]:
    """The parts without a watch: they know what they are told."""

    async def no_room() -> bool:
        return False

    async with Cluster(door) as cluster:
        known = Known()
        claims = Claims(cluster, known, Spares(cluster, known))
        yield cluster, known, Starts(cluster, known, claims, make_room=no_room)


async def spare(api: KubeApi, cluster: Cluster, name: str) -> Json:
    await cluster.create(warm_of(name, AGENT, GUEST, idle=3600))
    await api.until(lambda: (api.pod(name) or {})["status"]["phase"] == "Running", within=PATIENCE)
    pod = await cluster.pod(name)
    assert pod is not None
    return pod


async def test_a_claim_that_finds_its_node_gone_leaves_the_pod(
    api: KubeApi, bench: tuple[Cluster, Known, Starts]
) -> None:
    cluster, known, starts = bench
    known.put([await spare(api, cluster, "warm-1")])
    api.node.be_missed()  # and the watch is late
    assert await starts.begin(RUN, pod_of(RUN, AGENT, GUEST))
    assert carriers(api) == [RUN]
    assert list(idle(api)) == ["warm-1"]
    api.node.revive()


async def test_a_start_without_an_answer_is_not_followed_by_a_claim(
    api: KubeApi, bench: tuple[Cluster, Known, Starts]
) -> None:
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


async def test_a_claim_that_arrives_late_is_still_the_only_one(
    api: KubeApi, bench: tuple[Cluster, Known, Starts]
) -> None:
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


async def test_one_whose_status_changed_meanwhile_is_taken_all_the_same(
    api: KubeApi, bench: tuple[Cluster, Known, Starts]
) -> None:
    cluster, known, starts = bench
    old = await spare(api, cluster, "warm-1")
    await cluster.patch("warm-1", {"metadata": {"annotations": {"somebody": "else"}}})
    known.learn(old)
    assert await starts.begin(RUN, pod_of(RUN, AGENT, GUEST))
    assert carriers(api) == ["warm-1"]
    assert [call.status for call in api.calls if call.verb == "patch"] == [200, 409, 200]


async def test_a_watch_that_is_behind_gives_no_claimed_pod_back(
    api: KubeApi, bench: tuple[Cluster, Known, Starts]
) -> None:
    cluster, known, starts = bench
    old = await spare(api, cluster, "warm-1")
    known.learn(old)
    assert await starts.begin(RUN, pod_of(RUN, AGENT, GUEST))
    known.change("MODIFIED", old)
    assert known.spares() == []
    assert known.get(RUN) is not None


async def test_one_that_somebody_claims_meanwhile_is_not_given_up(
    api: KubeApi, bench: tuple[Cluster, Known, Starts]
) -> None:
    cluster, known, starts = bench
    seen = known.learn(await spare(api, cluster, "warm-1"))
    assert await starts.begin(RUN, pod_of(RUN, AGENT, GUEST))
    assert not await Spares(cluster, known).give_up(seen, "it is in the way")
    assert carriers(api) == ["warm-1"]
    assert "deletionTimestamp" not in (api.pod("warm-1") or {})["metadata"]


async def test_one_whose_status_changed_meanwhile_is_given_up_all_the_same(
    api: KubeApi, bench: tuple[Cluster, Known, Starts]
) -> None:
    cluster, known, _ = bench
    seen = known.learn(await spare(api, cluster, "warm-1"))
    await cluster.patch("warm-1", {"metadata": {"annotations": {"somebody": "else"}}})
    assert await Spares(cluster, known).give_up(seen, "it is in the way")
    await api.until(lambda: api.pod("warm-1") is None, within=PATIENCE)


async def test_what_was_to_be_claimed_for_a_run_that_ends_goes_with_it(
    api: KubeApi, bench: tuple[Cluster, Known, Starts]
) -> None:
    cluster, known, starts = bench
    known.learn(await spare(api, cluster, "warm-1"))
    api.fail("patch pods", Fault.cut())
    with pytest.raises(Broken):
        await starts.begin(RUN, pod_of(RUN, AGENT, GUEST))
    await starts.forget(RUN)  # for all that is known, the claim may still arrive
    await api.until(lambda: api.pod("warm-1") is None, within=PATIENCE)


async def test_a_name_that_is_used_again_is_one_pod(bench: tuple[Cluster, Known, Starts]) -> None:
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


async def test_what_carries_a_run_that_another_pod_carries_is_ended(api: KubeApi, live: Live, door: Door) -> None:
    async with Cluster(door) as cluster:
        late = await spare(api, cluster, "warm-1")
        async with live(1) as runtime:
            await runtime.start(RUN, OTHER)
            await lives(runtime)
            labels = {"army/run": RUN, WARM: None}  # a former life's claim arrives only now
            await cluster.patch("warm-1", {"metadata": {"uid": late["metadata"]["uid"], "labels": labels}})
            await api.until(lambda: api.pod("warm-1") is None, within=PATIENCE)
            assert carriers(api) == [RUN]
            await runtime.start(RUN, OTHER, again=True)


# --- in nobody's way -------------------------------------------------------------------------------------------------


async def test_a_run_that_finds_the_quota_full_gets_the_place_of_one_that_waits(api: KubeApi, live: Live) -> None:
    api.apply({**QUOTA, "spec": {"hard": {"pods": "2"}}})
    async with live(2) as runtime:
        await full(api, runtime, 2)
        await runtime.start(RUN, OTHER)
        await runtime.start(RunId("r-2"), OTHER)
        with pytest.raises(Busy, match="quota"):
            await runtime.start(RunId("r-3"), OTHER)
        assert idle(api) == {}
        await lives(runtime)
        await runtime.stop(RUN)
        await api.until(lambda: len(idle(api)) == 1, within=PATIENCE)  # what runs leave free is taken again
        await api.until(lambda: "quota" in runtime.warmth().words, within=PATIENCE)


async def test_the_pool_takes_nothing_that_a_run_waits_for(
    api: KubeApi, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.kubernetes.pool.HOLD_SECONDS", 300.0)
    api.apply({**QUOTA, "spec": {"hard": {"pods": "1"}}})
    async with live(1) as runtime:
        await full(api, runtime, 1)
        await runtime.start(RunId("r-1"), OTHER)
        with pytest.raises(Busy, match="quota"):
            await runtime.start(RunId("r-2"), OTHER)
        await runtime.stop(RunId("r-1"))
        with suppress(TimeoutError):
            await api.until(lambda: idle(api), within=1.5)
        assert idle(api) == {}
        await runtime.start(RunId("r-2"), OTHER)


async def test_when_a_run_has_ended_the_pool_does_not_wait_for_its_next_attempt(api: KubeApi, live: Live) -> None:
    api.apply({**QUOTA, "spec": {"hard": {"pods": "1"}}})
    async with live(1, pause=300.0) as runtime:
        await full(api, runtime, 1)
        await runtime.start(RUN, OTHER)
        await api.until(lambda: "quota" in runtime.warmth().words, within=PATIENCE)
        await runtime.stop(RUN)
        await full(api, runtime, 1)


async def test_a_pool_that_the_quota_keeps_small_says_so_once(api: KubeApi, live: Live) -> None:
    api.apply({**QUOTA, "spec": {"hard": {"pods": "1"}}})
    with capture_logs() as logs:
        async with live(3) as runtime:
            await api.until(
                lambda: [call.status for call in api.calls if call.right == ("create", "pods")].count(403) == 3,
                within=PATIENCE,
            )
            assert "quota" in runtime.warmth().words
            api.apply({**QUOTA, "spec": {"hard": {"pods": "9"}}})
            await full(api, runtime, 3)
            await api.until(lambda: not runtime.warmth().words, within=PATIENCE)
    assert len([line for line in logs if "cannot be filled" in line["event"]]) == 1
    assert [line["log_level"] for line in logs if "full again" in line["event"]] == ["info"]


async def test_a_run_that_no_node_has_room_for_gets_the_room_of_those_that_wait(api: KubeApi, live: Live) -> None:
    async with live(2) as runtime:
        await full(api, runtime, 2)
        api.node.no_room = "1 Insufficient memory."
        await runtime.start(RUN, OTHER)
        await api.until(lambda: not [pod for pod in pods(api) if WARM in pod["metadata"]["labels"]], within=PATIENCE)
        api.node.no_room = ""
        await lives(runtime)
        await full(api, runtime, 2)


@pytest.mark.parametrize("why", ["1 node(s) didn't match Pod's node affinity/selector.", "1 node(s) had taints."])
async def test_a_run_that_no_node_can_ever_take_is_given_no_room(api: KubeApi, live: Live, why: str) -> None:
    async with live(2) as runtime:
        await full(api, runtime, 2)
        waiting = set(idle(api))
        api.node.no_room = why
        await runtime.start(RUN, OTHER)
        await api.until(lambda: "FailedScheduling" in {event["reason"] for event in api.events(RUN)}, within=PATIENCE)
        await asyncio.sleep(1)  # some looks of the pool
        assert set(idle(api)) == waiting
        api.node.no_room = "1 Insufficient cpu, 2 node(s) didn't match Pod's node affinity/selector."
        await api.until(lambda: set(idle(api)) < waiting, within=PATIENCE)


async def test_one_whose_node_does_not_answer_is_taken_by_nobody_and_replaced(api: KubeApi, live: Live) -> None:
    async with live(1) as runtime:
        await full(api, runtime, 1)
        (name,) = idle(api)
        api.node.be_missed()
        await api.until(lambda: not runtime.warmth().ready, within=PATIENCE)
        assert "does not answer" in runtime.warmth().words
        await runtime.start(RUN, AGENT)
        assert api.of_run(RUN) != name
        api.node.revive()
        await lives(runtime)
        await full(api, runtime, 1)
        assert name not in idle(api)


async def test_without_room_for_it_none_waits(api: KubeApi, live: Live) -> None:
    api.node.no_room = "1 Insufficient cpu."
    async with live(1) as runtime:
        await api.until(lambda: "no room for a warm pod" in runtime.warmth().words, within=PATIENCE)
        await api.until(lambda: not pods(api), within=PATIENCE)
        api.node.no_room = ""
        await full(api, runtime, 1)
        await api.until(lambda: not runtime.warmth().words, within=PATIENCE)


async def test_one_that_does_not_start_keeps_no_run_from_starting(api: KubeApi, live: Live) -> None:
    api.node.missing_images.add("agent:*")
    async with live(1) as runtime:
        await api.until(lambda: idle(api), within=PATIENCE)
        name = next(iter(idle(api)))
        await api.until(lambda: "waiting" in str((api.pod(name) or {})["status"].get("containerStatuses")), within=9)
        await api.until(lambda: "ErrImagePull" in str(api.pod(name)), within=PATIENCE)
        await runtime.pods()
        await runtime.start(RUN, AGENT)
        api.node.missing_images.clear()
        await lives(runtime)


async def test_one_that_ends_is_replaced(api: KubeApi, live: Live) -> None:
    async with live(1) as runtime:
        await full(api, runtime, 1)
        (name,) = idle(api)
        api.life(name).evict()
        await api.until(lambda: api.pod(name) is None, within=PATIENCE)
        await full(api, runtime, 1)
        await runtime.start(RUN, AGENT)
        await lives(runtime)


async def test_the_doctor_says_how_many_wait_and_what_for(api: KubeApi, door: Door, live: Live) -> None:
    async def said() -> tuple[bool, str]:
        (finding,) = [one for one in await checkup(door, GUEST, warm=1) if one.what == "warm pods"]
        return finding.good, finding.words

    assert await said() == (False, "0 of 1 pods are started ahead. The bot does not run, or its log says why.")
    async with live(1) as runtime:
        await full(api, runtime, 1)
        await runtime.start(RunId("r-1"), OTHER)
        assert await said() == (True, "1 wait")
        api.node.be_missed()
        assert not (await said())[0], "its node is gone"
        api.node.revive()
    for name in [*idle(api), "r-1"]:
        api.drop("Pod", name)
    api.node.missing_images.add("agent:*")
    async with live(1) as runtime:
        await api.until(lambda: "ErrImagePull" in str(idle(api)), within=PATIENCE)
        good, words = await said()
    assert not good
    assert "image cannot be had" in words


async def test_without_the_right_to_claim_every_run_starts_cold(api: KubeApi, live: Live) -> None:
    verbs = ["get", "list", "watch", "create", "delete"]
    api.rbac = [{"apiGroups": [""], "resources": ["pods", "events", "pods/attach", "pods/log"], "verbs": verbs}]
    async with live(1) as runtime:
        await full(api, runtime, 1)
        await runtime.start(RUN, AGENT)
        assert carriers(api) == [RUN]
        await lives(runtime)


async def test_a_defect_in_the_pool_ends_no_run(api: KubeApi, live: Live) -> None:
    async def broken() -> Agent | None:
        raise RuntimeError("no such thing")

    async with live(1, agent=broken) as runtime:
        await api.until(lambda: "no such thing" in runtime.warmth().words, within=PATIENCE)
        await runtime.start(RUN, AGENT)
        await lives(runtime)


# --- what waits is what is wanted ------------------------------------------------------------------------------------


async def test_after_an_upgrade_those_of_the_former_version_are_replaced(api: KubeApi, live: Live) -> None:
    async with live(2) as runtime:
        await full(api, runtime, 2)
        await runtime.start(RUN, AGENT)
        await full(api, runtime, 2)
        old = set(idle(api))
    async with live(2, image="agent:2") as runtime:
        await api.until(lambda: len(idle(api)) == 2 and not old & set(idle(api)), within=PATIENCE)
        assert {pod["spec"]["containers"][0]["image"] for pod in idle(api).values()} == {"agent:2"}
        await lives(runtime)  # a run stays what it is


async def test_a_profile_that_was_changed_changes_what_waits(api: KubeApi, live: Live) -> None:
    profiles = [AGENT]

    async def newest() -> Agent | None:
        return profiles[-1]

    async with live(1, agent=newest) as runtime:
        await full(api, runtime, 1)
        profiles.append(replace(AGENT, memory="512Mi"))
        api.apply(_touched(next(iter(idle(api).values()))))  # anything that happens to one makes the bot look
        await api.until(lambda: [_memory(pod) for pod in idle(api).values()] == ["512Mi"], within=PATIENCE)


def _touched(pod: Json) -> Json:
    kept = {key: value for key, value in pod["metadata"].items() if key not in {"resourceVersion", "uid"}}
    return {**pod, "metadata": {**kept, "annotations": {**kept["annotations"], "touched": "yes"}}}


def _memory(pod: Json) -> str:
    return str(pod["spec"]["containers"][0]["resources"]["limits"]["memory"])


async def test_what_nobody_takes_for_long_is_replaced_one_after_another(
    api: KubeApi, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.kubernetes.pool.LOOK_SECONDS", 0.3)
    async with live(2, idle_seconds=2.0) as runtime:
        await full(api, runtime, 2)
        first = set(idle(api))
        fewest = 2

        def replaced() -> bool:
            nonlocal fewest
            fewest = min(fewest, sum(pod["status"]["phase"] == "Running" for pod in idle(api).values()))
            return not first & set(idle(api))

        await api.until(replaced, within=PATIENCE)
        assert fewest >= 1


async def test_a_pool_that_is_not_wanted_any_more_is_emptied(api: KubeApi, live: Live) -> None:
    async with live(2) as runtime:
        await full(api, runtime, 2)
        await runtime.start(RUN, AGENT)
    async with live(0) as runtime:
        await api.until(lambda: [pod["metadata"]["name"] for pod in pods(api)] == carriers(api), within=PATIENCE)
        assert len(carriers(api)) == 1
        await lives(runtime)


async def test_a_pool_that_was_left_is_taken_over(api: KubeApi, live: Live) -> None:
    async with live(3) as runtime:
        await full(api, runtime, 3)
        waiting = set(idle(api))
    async with live(2) as runtime:
        await api.until(lambda: len(idle(api)) == 2, within=PATIENCE)
        assert set(idle(api)) < waiting
        with suppress(TimeoutError):
            await api.until(lambda: len(idle(api)) != 2, within=0.5)
        assert set(idle(api)) < waiting
