"""Pods that are ended or removed while there is still something to be heard of them."""

from __future__ import annotations

import asyncio
import time

import pytest

from adapters.kubernetes import Cluster, Door, KubernetesRuntime
from adapters.kubernetes.farewells import Farewells
from adapters.kubernetes.known import Known
from adapters.kubernetes.reach import Reach
from orchestrator.errors import Broken, Busy, Gone, Refused
from tests.contract.listener import AGENT, RUN, Listener, attached, counted, is_there, send_all, tell
from tests.kubeapi import Fault, KubeApi
from tests.kubeapi.life import Doom
from tests.kubernetes.conftest import Open, attach, is_gone
from tests.kubernetes.test_known import pod

DOOMS = [
    (Doom(0, reason="Evicted", message="low on memory", condition="TerminationByKubelet"), "evicted it"),
    (Doom(45, reason="DeadlineExceeded", message="Pod was active on the node for too long"), "longer than it may"),
    (Doom(10, reason="Terminated", message="node shutdown", condition="TerminationByKubelet"), "shut down"),
]


async def told_more(new_life: Open) -> Listener:
    """A run of which three reports were heard, and three more were printed while nobody listened."""
    async with new_life() as runtime:
        listener = await tell(runtime, 3)
        whole = Listener(epoch=listener.epoch, n=listener.n)
        async with attached(runtime) as session:
            await send_all(session, range(3, 6))
            assert await whole.hear(session, counted(3))
    return listener


async def ended_by(api: KubeApi, doom: Doom) -> None:
    api.life(RUN).doom(doom)
    await api.until(lambda: (api.pod(RUN) or {})["status"]["phase"] == "Failed", within=60)


# --- ended -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("doom", "words"), DOOMS)
async def test_what_was_said_before_a_pod_was_ended_is_heard_and_then_it_is_gone(
    api: KubeApi, new_life: Open, doom: Doom, words: str
) -> None:
    listener = await told_more(new_life)
    await ended_by(api, doom)
    async with new_life() as runtime:
        await runtime.start(RUN, AGENT, again=True)
        async with runtime.attach(RUN) as session:
            assert await listener.hear(session, counted(6))
        assert words in await is_gone(runtime)
        with pytest.raises(Gone, match=words):
            await runtime.start(RUN, AGENT, again=True)
        await runtime.stop(RUN)
        with pytest.raises(Gone, match="no pod"):
            await runtime.start(RUN, AGENT, again=True)
    assert [frame.n for frame in listener.frames] == list(range(1, listener.n + 1))


async def test_one_that_was_ended_and_nobody_heard_of_is_not_made_anew_when_it_has_done_something(
    api: KubeApi, new_life: Open
) -> None:
    await told_more(new_life)
    uid = (api.pod(RUN) or {})["metadata"]["uid"]
    await ended_by(api, DOOMS[0][0])
    async with new_life() as runtime:  # which has not written down what the one before it heard
        await runtime.start(RUN, AGENT)
        listener = Listener()
        async with runtime.attach(RUN) as session:
            assert not await listener.hear(session, counted(99))
        assert len(listener.heard) == 6
        with pytest.raises(Refused, match="Nobody heard anything"):
            await runtime.start(RUN, AGENT)
    assert (api.pod(RUN) or {})["metadata"]["uid"] == uid


@pytest.mark.parametrize("ill", ["dead", "dazed"])
async def test_what_a_node_does_not_show_of_one_that_was_ended_is_not_waited_for_for_ever(
    api: KubeApi, new_life: Open, monkeypatch: pytest.MonkeyPatch, ill: str
) -> None:
    await told_more(new_life)
    await ended_by(api, DOOMS[0][0])
    setattr(api.node, ill, True)
    async with new_life() as runtime:
        await runtime.start(RUN, AGENT, again=True)
        for _ in range(3):
            with pytest.raises((Busy, Broken)):
                await attach(runtime)
        monkeypatch.setattr("adapters.kubernetes.farewells.FAREWELL_SECONDS", 0.0)
        with pytest.raises(Gone, match="evicted it"):
            await attach(runtime)
        with pytest.raises(Gone, match="evicted it"):
            await runtime.start(RUN, AGENT, again=True)


async def test_a_cluster_that_does_not_answer_says_nothing_of_last_words(
    api: KubeApi, new_life: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.kubernetes.farewells.FAREWELL_SECONDS", 0.0)
    listener = await told_more(new_life)
    await ended_by(api, DOOMS[0][0])
    async with new_life() as runtime:
        await runtime.start(RUN, AGENT, again=True)
        await api.down()
        for _ in range(3):
            with pytest.raises(Broken):
                await attach(runtime)
        await api.up()
        async with attached(runtime) as session:
            assert await listener.hear(session, counted(6))


# --- being removed ---------------------------------------------------------------------------------------------------


async def asked_to_go(api: KubeApi, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody deletes the pod, and its agentd takes its time."""
    with monkeypatch.context() as patch:
        patch.setattr(api.life(RUN), "doom", lambda _doom: None)
        async with Cluster(door) as cluster:
            await cluster.delete(RUN)


async def test_one_that_is_being_removed_is_heard_for_as_long_as_it_lives(
    api: KubeApi, door: Door, new_life: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = await told_more(new_life)
    await asked_to_go(api, door, monkeypatch)
    async with new_life() as runtime:
        await runtime.start(RUN, AGENT, again=True)
        async with attached(runtime) as session:
            assert await listener.hear(session, counted(6))
            await send_all(session, range(6, 7))
            assert await listener.hear(session, counted(7))
            api.life(RUN).doom(Doom(1, deleted=True))
            await api.until(lambda: api.pod(RUN) is None, within=60)
        assert "being removed" in await is_gone(runtime)
        with pytest.raises(Gone, match="being removed"):
            await runtime.start(RUN, AGENT, again=True)
        await runtime.stop(RUN)


async def test_the_last_words_of_one_that_was_removed_are_read_while_its_object_is_there(
    api: KubeApi, door: Door, new_life: Open
) -> None:
    listener = await told_more(new_life)
    api.node.linger_seconds = 60.0
    async with Cluster(door) as cluster:
        await cluster.delete(RUN)
    await api.until(lambda: not api.life(RUN).container, within=60)
    async with new_life() as runtime:
        await runtime.start(RUN, AGENT, again=True)
        async with attached(runtime) as session:
            assert await listener.hear(session, counted(6))


async def test_one_that_is_being_removed_by_a_node_that_is_away_is_not_waited_for_for_ever(
    api: KubeApi, door: Door, new_life: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    await told_more(new_life)
    await asked_to_go(api, door, monkeypatch)
    api.node.dead = True
    async with new_life() as runtime:
        await runtime.start(RUN, AGENT, again=True)
        for _ in range(3):
            with pytest.raises(Busy):
                await attach(runtime)
        monkeypatch.setattr("adapters.kubernetes.farewells.FAREWELL_SECONDS", 0.0)
        with pytest.raises(Gone, match="being removed"):
            await attach(runtime)


async def test_one_that_is_being_removed_and_that_nobody_heard_of_is_made_anew(
    api: KubeApi, door: Door, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await runtime.start(RUN, AGENT)
    epoch = (await is_there(runtime)).epoch
    await asked_to_go(api, door, monkeypatch)
    await api.until(lambda: "deletionTimestamp" in (api.pod(RUN) or {"metadata": {}})["metadata"], within=60)
    began = time.monotonic()
    while (await runtime.pods())[RUN].alive:
        assert time.monotonic() < began + 60
        await asyncio.sleep(0.05)
    await runtime.start(RUN, AGENT)
    assert (await is_there(runtime)).epoch != epoch


def test_why_a_former_pod_went_is_not_why_this_one_does(door: Door) -> None:
    known, cluster = Known(), Cluster(door)
    farewells = Farewells(cluster, known, Reach(cluster, known))
    drained = pod(9, running=True)
    drained["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    known.change("MODIFIED", drained)
    farewells.note(RUN)
    known.change("DELETED", drained)
    late = pod(30, running=False, uid="u-2")
    known.change("ADDED", {**late, "status": {"phase": "Failed", "reason": "DeadlineExceeded"}})
    farewells.note(RUN)
    assert "longer than it may" in farewells.why(RUN, "")


async def test_a_cluster_that_is_away_says_nothing_of_a_pod_that_is_being_removed(
    api: KubeApi, door: Door, new_life: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.kubernetes.farewells.FAREWELL_SECONDS", 0.3)
    async with new_life() as runtime:
        await tell(runtime, 1)
        await asked_to_go(api, door, monkeypatch)
        async with asyncio.timeout(60):
            while (await runtime.pods())[RUN].alive:  # noqa: ASYNC110 - the watch has no bell
                await asyncio.sleep(0.02)
        api.fail("any", Fault.cut(), times=10_000)
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            with pytest.raises((Broken, Busy)):
                await attach(runtime)
            await asyncio.sleep(0.05)
