"""Pods that are started ahead: they are in nobody's way, and what waits is what is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from adapters.kubernetes import Door
from adapters.kubernetes.checkup import checkup
from adapters.kubernetes.warm import WARM
from orchestrator.errors import Busy
from orchestrator.nouns import Agent, RunId
from orchestrator.ports import Restarts
from tests.contract.listener import AGENT, RUN
from tests.kubeapi import KubeApi
from tests.kubernetes.spares import GUEST, OTHER, PATIENCE, Json, Live, carriers, full, idle, lives, pods

QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "agents"}}


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
        await api.until(lambda: "does not answer" in runtime.warmth().words, within=PATIENCE)
        assert not runtime.warmth().ready
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


async def test_one_whose_container_was_started_again_is_replaced(api: KubeApi, live: Live) -> None:
    """It has already failed once, and would tell the run's page of a death that was not the run's."""
    async with live(1) as runtime:
        await full(api, runtime, 1)
        (name,) = idle(api)
        api.life(name).oom()
        await api.until(lambda: "out of memory" in runtime.warmth().words, within=PATIENCE)
        await api.until(lambda: name not in idle(api), within=PATIENCE)
        await full(api, runtime, 1)
        await runtime.start(RUN, AGENT)
        await lives(runtime)
        assert runtime.restarts(RUN) == Restarts()


async def test_the_doctor_says_how_many_wait_and_what_for(api: KubeApi, door: Door, live: Live) -> None:
    async def said() -> tuple[bool, str]:
        (finding,) = [one for one in await checkup(door, GUEST, warm=1) if one.what == "warm pods"]
        return finding.good, finding.words

    unknown = "A bot that has just begun needs a while for it; else its log says why."
    assert await said() == (False, f"0 of 1 pods are started ahead. {unknown}")
    async with live(1) as runtime:
        await full(api, runtime, 1)
        await runtime.start(RunId("r-1"), OTHER)
        assert await said() == (True, "1 of 1 are started ahead")
    api.node.be_missed()  # with no bot there that would replace it
    assert not (await said())[0], "its node is gone"
    api.node.revive()
    for name in [*idle(api), "r-1"]:
        api.drop("Pod", name)
    api.node.missing_images.add("agent:*")
    async with live(1) as runtime, asyncio.timeout(PATIENCE):
        found = await said()
        while "image cannot be had" not in found[1]:
            await asyncio.sleep(0.1)
            found = await said()
    assert not found[0]


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
    async with live(1, agent=newest(profiles)) as runtime:
        await full(api, runtime, 1)
        profiles.append(replace(AGENT, memory="512Mi"))
        api.apply(_touched(next(iter(idle(api).values()))))  # anything that happens to one makes the bot look
        await api.until(lambda: [_memory(pod) for pod in idle(api).values()] == ["512Mi"], within=PATIENCE)


def newest(profiles: Sequence[Agent]) -> Callable[[], Awaitable[Agent | None]]:
    """Whom the pool starts pods for, when somebody adds to these."""

    async def last() -> Agent | None:
        return profiles[-1]

    return last


def _touched(pod: Json) -> Json:
    kept = {key: value for key, value in pod["metadata"].items() if key not in {"resourceVersion", "uid"}}
    return {**pod, "metadata": {**kept, "annotations": {**kept["annotations"], "touched": "yes"}}}


def _memory(pod: Json) -> str:
    return str(pod["spec"]["containers"][0]["resources"]["limits"]["memory"])


async def test_a_profile_that_makes_no_sense_leaves_nothing_undone(api: KubeApi, live: Live) -> None:
    """Somebody mistypes it: nothing waits for its former form, and what carries a run twice goes all the same."""
    profiles = [AGENT]
    async with live(2, agent=newest(profiles)) as runtime:
        await full(api, runtime, 2)
        await runtime.start(RUN, OTHER)
        late, former = sorted(idle(api))
        profiles.append(replace(AGENT, cpu="one"))
        pod = idle(api)[late]
        labels = {key: text for key, text in pod["metadata"]["labels"].items() if key != WARM}
        api.apply({**pod, "metadata": {**_touched(pod)["metadata"], "labels": {**labels, "army/run": RUN}}})
        await api.until(lambda: api.pod(late) is None and api.pod(former) is None, within=PATIENCE)
        assert "cpu" in runtime.warmth().words
        assert carriers(api) == [RUN]
        profiles.append(AGENT)
        await runtime.stop(RUN)  # anything that happens makes the bot look
        await full(api, runtime, 2)
        await api.until(lambda: not runtime.warmth().words, within=PATIENCE)


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
