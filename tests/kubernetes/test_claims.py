"""A run takes a pod that was started ahead: which one, that nobody gets two, and that a claim cut off is settled."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from adapters.kubernetes import Cluster, Door
from adapters.kubernetes.pod import pod_of
from adapters.kubernetes.spares import Spares
from adapters.kubernetes.warm import ASKED, DEADLINE, WARM, form_of, warm_of
from agent.wire import Start
from orchestrator.errors import Broken, Busy
from orchestrator.nouns import Agent, Limits, RunId
from tests.contract.listener import AGENT, RUN, Listener, attached, command, tell_on
from tests.kubeapi import Fault, KubeApi
from tests.kubernetes.spares import GUEST, OTHER, PATIENCE, Live, carriers, full, idle, lives, spare


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
    assert claimed["metadata"]["annotations"].items() >= wanted["metadata"]["annotations"].items()
    assert claimed["metadata"]["annotations"].keys() == cold["metadata"]["annotations"].keys()
    assert int(claimed["metadata"]["annotations"][ASKED]) <= int(cold["metadata"]["annotations"][ASKED])
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
