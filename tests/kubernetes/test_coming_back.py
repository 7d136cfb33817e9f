"""What a node or a server says when it has just come back, and what a new life of the bot does: no run ends by it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from adapters.kubernetes import Door, Guest, KubernetesRuntime
from adapters.kubernetes.seen import MOST_DEATHS
from agent.wire import Resume, Stop
from orchestrator.errors import Broken, Busy, Gone, Refused
from orchestrator.nouns import Agent, Limits, RunId
from orchestrator.ports import Gateway, Restarts
from tests.contract.listener import AGENT, RUN, Listener, attached, command, ended, tell, tell_on
from tests.kubeapi import Fault, KubeApi
from tests.kubernetes.conftest import Open, attach, starve


async def is_told(runtime: KubernetesRuntime, word: str) -> None:
    """Wait until the watch has told this of the run's pod."""
    async with asyncio.timeout(60):
        while True:
            if word in (await runtime.pods())[RUN].words:
                return
            await asyncio.sleep(0.02)


async def said_all(api: KubeApi, runtime: KubernetesRuntime) -> None:
    """A run that has ended, was heard to its end, and has left."""
    listener = await tell(runtime, 3)
    async with attached(runtime) as session:
        await session.send(Resume(listener.epoch, listener.n))
        await session.send(command(Stop("enough")))
        assert await listener.hear(session, ended)
        await session.send(Resume(listener.epoch, listener.n))
        await api.until(lambda: (api.pod(RUN) or {})["status"]["phase"] == "Succeeded", within=60)


async def test_a_kubelet_that_is_just_back_and_knows_no_pods_ends_no_run(
    api: KubeApi, runtime: KubernetesRuntime
) -> None:
    listener = await tell(runtime, 2)
    api.node.dazed = True
    patience = []
    for _ in range(4):
        with pytest.raises(Busy, match="has just come back") as busy:
            await attach(runtime)
        patience.append(busy.value.seconds)
    assert patience[-1] > patience[0]
    api.node.dazed = False
    await tell_on(runtime, listener, 4)
    assert listener.lost == 0


async def test_a_pod_that_is_gone_indeed_is_gone_at_once(api: KubeApi, runtime: KubernetesRuntime) -> None:
    await tell(runtime, 1)
    api.fail("watch pods", Fault.hang(), times=99)
    api.watches.cut()
    api.drop("Pod", RUN)
    with pytest.raises(Gone, match="no pod"):
        await attach(runtime)
    assert await runtime.pods() == {}


async def test_a_server_that_has_not_read_its_rules_yet_ends_no_run(api: KubeApi, runtime: KubernetesRuntime) -> None:
    listener = await tell(runtime, 1)
    rules, api.rbac = api.rbac, []
    with pytest.raises(Busy, match="may not"):
        await runtime.start(RunId("r-2"), AGENT)
    with pytest.raises(Broken, match="just come back"):
        await attach(runtime)
    with pytest.raises(Busy, match="may not"):
        async with runtime.attach(RunId("r-3")):
            pass
    api.rbac = rules
    await runtime.start(RunId("r-2"), AGENT)
    await tell_on(runtime, listener, 2)
    assert listener.lost == 0


@pytest.mark.parametrize(
    ("code", "words"), [(401, "credential"), (403, "just come back"), (503, "API failed to attach")]
)
async def test_an_attach_that_the_server_refuses_says_so(
    api: KubeApi, runtime: KubernetesRuntime, code: int, words: str
) -> None:
    await tell(runtime, 1)
    api.fail("get pods/attach", Fault.status(code))
    with pytest.raises(Broken, match=words):
        await attach(runtime)


async def test_a_namespace_that_is_not_there_yet_is_waited_for(api: KubeApi, runtime: KubernetesRuntime) -> None:
    api.drop("Namespace", api.namespace)
    with pytest.raises(Busy, match=f"no namespace {api.namespace}"):
        await runtime.start(RUN, AGENT)
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": api.namespace}})
    await runtime.start(RUN, AGENT)


async def test_last_words_are_waited_for_where_the_node_is_just_back(api: KubeApi, new_life: Open) -> None:
    async with new_life() as runtime:
        await said_all(api, runtime)
    async with new_life() as runtime:
        await runtime.start(RUN, AGENT, again=True)
        api.node.dazed = True
        for _ in range(3):
            with pytest.raises(Busy, match="last words yet"):
                await attach(runtime)
        api.node.dazed = False
        listener = Listener()
        async with runtime.attach(RUN) as session:
            assert await listener.hear(session, ended)


async def test_last_words_that_no_node_has_are_given_up_in_the_end(
    api: KubeApi, new_life: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.kubernetes.reach.UNREAD_SECONDS", 0.0)
    async with new_life() as runtime:
        await said_all(api, runtime)
    api.node.dazed = True
    async with new_life() as runtime:
        with pytest.raises(Gone, match="nothing left of its last words"):
            await attach(runtime)
        with pytest.raises(Gone, match="nothing more to say"):
            await attach(runtime)
        await runtime.start(RUN, AGENT, again=True)
        with pytest.raises(Refused, match="Nobody heard anything"):  # what was done is not done once more
            await runtime.start(RUN, AGENT)


async def test_a_slow_start_is_no_reproach_to_a_run_that_came(
    api: KubeApi, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.kubernetes.starts.LATE_SECONDS", 0.0)
    agent = Agent(name="rehearsal", driver="rehearsal", script="welcome", limits=Limits(start=1))
    api.node.no_room = "1 Insufficient memory."
    await runtime.start(RUN, agent)
    with suppress(Busy):
        await attach(runtime)
    await runtime.start(RUN, agent)
    api.node.no_room = ""
    async with attached(runtime) as session:
        assert await Listener().hear(session, lambda it: it.epoch)
        await asyncio.sleep(1.2)  # the run works for longer than its start may take
        api.node.crash_seconds = 60.0
        await starve(api, RUN)
    await runtime.start(RUN, agent, again=True)


@pytest.mark.parametrize("again", [True, False])
async def test_one_that_died_and_was_not_started_again_for_too_long_is_given_up(
    api: KubeApi, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch, *, again: bool
) -> None:
    monkeypatch.setattr("adapters.kubernetes.starts.LATE_SECONDS", 0.0)
    agent = Agent(name="rehearsal", driver="rehearsal", script="welcome", limits=Limits(start=0))
    await runtime.start(RUN, agent)
    async with attached(runtime) as session:
        assert await Listener().hear(session, lambda it: it.epoch)
        api.node.crash_seconds = 60.0
        await starve(api, RUN)
    await is_told(runtime, "out of memory")
    await runtime.start(RUN, agent, again=again)
    with pytest.raises(Refused, match=r"does not come back.*out of memory"):
        await runtime.start(RUN, agent, again=again)


async def test_however_often_one_died_that_was_heard_it_goes_on(api: KubeApi, runtime: KubernetesRuntime) -> None:
    await tell(runtime, 1)
    api.node.crash_seconds = 60.0
    api.life(RUN).restarts = MOST_DEATHS
    await starve(api, RUN)
    await is_told(runtime, "out of memory")
    await runtime.start(RUN, AGENT, again=True)
    with pytest.raises(Refused, match=r"does not stay alive.*out of memory"):
        await runtime.start(RUN, AGENT)  # as far as this bot knows, it never lived


async def test_what_was_started_again_says_what_ended_it(api: KubeApi, runtime: KubernetesRuntime) -> None:
    await runtime.start(RUN, AGENT)
    async with attached(runtime):
        assert runtime.restarts(RUN) == Restarts()
        api.life(RUN).oom()
    await api.until(lambda: runtime.restarts(RUN).times == 1, within=60)
    assert "out of memory" in runtime.restarts(RUN).words


async def test_the_isolation_of_a_run_is_that_of_its_pod(api: KubeApi, door: Door) -> None:
    async with KubernetesRuntime(door, Guest(image="agent:1", runtime_class="gvisor")) as runtime:
        assert "gVisor" in runtime.isolation(AGENT, run=RUN)
        await runtime.start(RUN, AGENT)
        await api.until(lambda: api.life(RUN).container, within=60)
    async with KubernetesRuntime(door, Guest(image="agent:1", runtime_class="kata-clh")) as runtime:
        await runtime.start(RUN, AGENT, again=True)
        assert "Cloud Hypervisor" in runtime.isolation(AGENT)
        assert "gVisor" in runtime.isolation(AGENT, run=RUN)
        await runtime.stop(RUN)
        await runtime.start(RUN, AGENT)
        assert "Cloud Hypervisor" in runtime.isolation(AGENT, run=RUN)


async def test_a_run_that_lives_does_not_depend_on_todays_settings(api: KubeApi, door: Door) -> None:
    agent = Agent(name="g", driver="claude", credential="gateway")
    gateway = Gateway("http://gateway", lambda _run, _agent: "t" * 20)
    async with KubernetesRuntime(door, Guest(image="agent:1", gateway=gateway)) as runtime:
        await runtime.start(RUN, agent)
        await api.until(lambda: api.life(RUN).container, within=60)
    async with KubernetesRuntime(door, Guest(image="agent:1")) as runtime:
        await runtime.start(RUN, agent, again=True)
        await runtime.start(RUN, agent)
        await runtime.stop(RUN)
        with pytest.raises(Refused, match="GATEWAY_KEY"):
            await runtime.start(RUN, agent)
