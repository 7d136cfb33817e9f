"""What goes wrong in clusters, and what the runtime makes of it; what it promises stands in tests/contract."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from adapters.kubernetes import Cluster, Door, Guest, KubernetesRuntime
from adapters.kubernetes.checkup import checkup
from adapters.kubernetes.session import AttachSession
from agent.wire import Frame, Noticed, Resume, Stop
from orchestrator.errors import Broken, Busy, Gone, Refused, Trouble
from orchestrator.nouns import Agent, Limits, RunId
from tests.contract.listener import (
    AGENT,
    RUN,
    Listener,
    attached,
    command,
    counted,
    ended,
    has,
    is_there,
    reached,
    send_all,
    tell,
    tell_on,
)
from tests.kubeapi import Break, Fault, Image, KubeApi
from tests.kubeapi.command import AGENT_IMAGE
from tests.kubernetes.conftest import Open, is_gone, starve

ROLE = Path(__file__).parents[2] / "k8s" / "base" / "rbac.yaml"


async def waits(runtime: KubernetesRuntime, word: str, *, seconds: float = 8.0) -> str:
    """What an attach says while the pod does not start, as soon as it has this word in it."""
    said = ""
    async with asyncio.timeout(seconds):
        while word not in said:
            try:
                async with runtime.attach(RUN):
                    raise AssertionError("it runs")
            except Busy as busy:
                said = str(busy)
                await asyncio.sleep(0.02)
    assert word in (await runtime.pods())[RUN].words
    assert (await runtime.pods())[RUN].alive
    return said


# --- a pod that does not start ---------------------------------------------------------------------------------------


async def test_an_image_that_cannot_be_had_is_told_and_waited_for(api: KubeApi, runtime: KubernetesRuntime) -> None:
    api.node.missing_images.add("agent:*")
    await runtime.start(RUN, AGENT)
    assert "not found" in await waits(runtime, "image cannot be had")
    api.node.missing_images.clear()
    await is_there(runtime)


async def test_no_room_on_any_node_is_told(api: KubeApi, runtime: KubernetesRuntime) -> None:
    api.node.no_room = "1 Insufficient memory."
    await runtime.start(RUN, AGENT)
    await waits(runtime, "Insufficient memory")
    api.node.no_room = ""
    await is_there(runtime)


async def test_a_handler_that_the_node_lacks_is_told_although_the_status_never_says_so(
    api: KubeApi, runtime: KubernetesRuntime
) -> None:
    api.node.handlers.discard("kata-fc")
    await runtime.start(RUN, AGENT)
    assert "RUNTIME_CLASS" in await waits(runtime, "no handler 'kata-fc'")


async def test_a_missing_runtime_class_is_refused_with_what_to_do(api: KubeApi, runtime: KubernetesRuntime) -> None:
    api.drop("RuntimeClass", "kata-fc")
    with pytest.raises(Refused, match=r"no runtime class kata-fc.*RUNTIME_CLASS"):
        await runtime.start(RUN, AGENT)
    await runtime.start(RUN, Agent(name="plain", driver="rehearsal", isolation="none"))
    await is_there(runtime)


async def test_a_full_quota_is_waited_for(api: KubeApi, runtime: KubernetesRuntime) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "agents"}}
    api.apply({**quota, "spec": {"hard": {"pods": "0"}}})
    with pytest.raises(Busy, match="quota"):
        await runtime.start(RUN, AGENT)
    assert await runtime.pods() == {}
    api.apply({**quota, "spec": {"hard": {"pods": "1"}}})
    await runtime.start(RUN, AGENT)


async def test_a_start_that_takes_too_long_is_given_up(
    api: KubeApi, runtime: KubernetesRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.kubernetes.starts.LATE_SECONDS", 0.0)
    api.node.no_room = "1 Insufficient cpu."
    patient = Agent(name="rehearsal", driver="rehearsal", limits=Limits(start=0))
    await runtime.start(RUN, patient)
    await waits(runtime, "Insufficient cpu")
    with suppress(Busy):
        await runtime.start(RUN, patient)
    with pytest.raises(Refused, match=r"does not start.*Insufficient cpu"):
        await runtime.start(RUN, patient)


async def test_a_pod_of_somebody_else_is_left_alone(api: KubeApi, door: Door, runtime: KubernetesRuntime) -> None:
    async with KubernetesRuntime(door, Guest(image="agent:1")) as other:
        await other.start(RUN, AGENT)
        await runtime.start(RUN, AGENT)
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "r-2"},
        "spec": _spec(api),
        "status": {"phase": "Pending"},
    }
    api.apply(body)
    with pytest.raises(Refused, match="not the bot's"):
        await runtime.start(RunId("r-2"), AGENT)
    assert RunId("r-2") not in await runtime.pods()
    await runtime.stop(RunId("r-2"))  # as is done when a run has ended because of it
    assert api.pod("r-2") is not None


def _spec(api: KubeApi) -> dict[str, object]:
    pod = api.pod(RUN)
    assert pod is not None
    return {key: value for key, value in pod["spec"].items() if key in {"containers", "volumes", "securityContext"}}


# --- a pod that ends -------------------------------------------------------------------------------------------------


async def test_out_of_memory_is_named_and_the_run_goes_on(api: KubeApi, runtime: KubernetesRuntime) -> None:
    listener = await tell(runtime, 2)
    api.node.crash_seconds = 1.0
    await starve(api, RUN)
    await waits(runtime, "out of memory")
    await runtime.start(RUN, AGENT, again=True)
    await tell_on(runtime, listener, 4)
    assert listener.lost == 0


async def test_an_eviction_is_named_and_ends_what_was_begun(api: KubeApi, runtime: KubernetesRuntime) -> None:
    await tell(runtime, 1)
    api.life(RUN).evict()
    assert "evicted" in await is_gone(runtime)
    assert not (await runtime.pods())[RUN].alive
    with pytest.raises(Gone, match="evicted"):
        await runtime.start(RUN, AGENT, again=True)


def warned(it: Listener) -> bool:
    return any(isinstance(one.report, Noticed) and one.report.code == "disk" for one in it.frames)


async def test_whoever_fills_the_disk_is_told_before_the_node_ends_it(api: KubeApi, door: Door) -> None:
    api.node.look_seconds = 0.02
    api.node.images["agent:*"] = Image((*AGENT_IMAGE.entrypoint, "--pace", "0.02"), AGENT_IMAGE.env)
    async with KubernetesRuntime(door, Guest(image="agent:1", disk="12Mi"), grace_seconds=1.5) as runtime:
        await runtime.start(RUN, AGENT)
        listener = Listener()
        async with attached(runtime) as session:
            await send_all(session, range(1))
            assert await listener.hear(session, counted(1))
            much = Path(api.life(RUN).places.here("/work")) / "much"
            much.write_bytes(os.urandom(10 << 20))
            assert await listener.hear(session, warned)
        assert (await runtime.pods())[RUN].alive, "there is still room"
        with much.open("ab") as file:
            file.write(os.urandom(4 << 20))
        assert "evicted" in await is_gone(runtime)


async def test_one_that_was_evicted_before_anybody_heard_of_it_is_made_anew(
    api: KubeApi, runtime: KubernetesRuntime
) -> None:
    await runtime.start(RUN, AGENT)
    epoch = (await is_there(runtime)).epoch
    api.life(RUN).evict()
    await is_gone(runtime)
    await runtime.start(RUN, AGENT)
    assert (await is_there(runtime)).epoch != epoch


async def test_a_lost_node_is_named_and_its_pod_goes_by_force(api: KubeApi, runtime: KubernetesRuntime) -> None:
    await tell(runtime, 1)
    api.lose_node(RUN)
    assert "does not answer" in await is_gone(runtime)
    with pytest.raises(Gone):
        await runtime.start(RUN, AGENT, again=True)
    await runtime.stop(RUN)
    assert api.pod(RUN) is None
    assert await runtime.pods() == {}


async def test_a_node_that_does_not_answer_says_nothing_of_the_run(api: KubeApi, runtime: KubernetesRuntime) -> None:
    listener = await tell(runtime, 2)
    api.node.die()
    patience = []
    for _ in range(4):
        with pytest.raises(Busy, match="does not answer") as busy:
            async with runtime.attach(RUN):
                pass
        patience.append(busy.value.seconds)
    assert patience == sorted(patience)
    assert patience[-1] > patience[0]
    api.node.revive()
    await tell_on(runtime, listener, 3)
    assert listener.lost == 0


async def test_what_a_run_said_last_while_nobody_was_there_is_read_from_its_log(api: KubeApi, new_life: Open) -> None:
    async with new_life() as runtime:
        listener = await tell(runtime, 3)
        async with attached(runtime) as session:
            await session.send(Resume(listener.epoch, listener.n))
            await session.send(command(Stop("enough")))
            whole = Listener()
            assert await whole.hear(session, ended)
            await session.send(Resume(whole.epoch, whole.n))  # it has been heard to the end, and leaves
            await api.until(lambda: (api.pod(RUN) or {})["status"]["phase"] == "Succeeded")
    async with new_life() as runtime:
        assert not (await runtime.pods())[RUN].alive
        await runtime.start(RUN, AGENT, again=True)
        async with runtime.attach(RUN) as session:
            assert await listener.hear(session, ended)
            assert [batch async for batch in session.frames()] == []
        assert listener.finished is not None
        assert listener.finished == whole.finished
        assert [frame.n for frame in listener.frames] == list(range(1, listener.n + 1))
        assert "nothing more to say" in await is_gone(runtime)
        await runtime.stop(RUN)


async def test_a_delete_that_the_server_had_no_time_for_is_not_taken_for_done(
    api: KubeApi, runtime: KubernetesRuntime
) -> None:
    await tell(runtime, 1)
    api.fail("delete pods", Fault.busy(0.1))
    with pytest.raises(Busy, match="patience"):
        await runtime.stop(RUN)
    assert RUN in await runtime.pods()
    await runtime.stop(RUN)
    assert api.pod(RUN) is None


async def test_a_pod_that_ignores_the_end_is_made_to_go(api: KubeApi, runtime: KubernetesRuntime) -> None:
    from tests.kubeapi import Image  # noqa: PLC0415

    api.node.images["agent:*"] = Image(("python3", "-c", "import signal,time; signal.signal(15,1); time.sleep(99)"))
    await runtime.start(RUN, AGENT)
    await api.until(lambda: api.life(RUN).container)
    await asyncio.sleep(0.3)
    began = time.monotonic()
    await runtime.stop(RUN)
    assert time.monotonic() - began > 1.4
    assert api.pod(RUN) is None


async def test_a_name_is_used_again_when_its_pod_is_really_gone(api: KubeApi, runtime: KubernetesRuntime) -> None:
    await tell(runtime, 1)
    api.node.linger_seconds = 0.5
    first = (api.pod(RUN) or {})["metadata"]["uid"]
    stopping = asyncio.create_task(runtime.stop(RUN))
    await api.until(lambda: "deletionTimestamp" in (api.pod(RUN) or {"metadata": {}})["metadata"])
    await runtime.start(RUN, AGENT)
    await stopping
    assert (api.pod(RUN) or {})["metadata"]["uid"] != first


# --- the server and the streams --------------------------------------------------------------------------------------


async def test_the_server_is_killed_and_back_and_nothing_is_lost_or_doubled(
    api: KubeApi, runtime: KubernetesRuntime
) -> None:
    listener = await tell(runtime, 2)
    async with attached(runtime) as session:
        await api.down()
        assert [batch async for batch in session.frames()] == []
    with pytest.raises(Broken, match="cannot be reached"):
        async with runtime.attach(RUN):
            pass
    assert (await runtime.pods())[RUN].alive, "what is known stays known for a while"
    api.life(RUN).crash()
    api.compact()
    await api.up()
    for _ in range(5):  # one that attaches to the dying container is cut once more
        async with attached(runtime) as session:
            with suppress(Broken):
                await send_all(session, range(5))
            if await listener.hear(session, counted(5)):
                break
    assert listener.lost == 0
    assert listener.heard == [f"put-{n}" for n in range(5)]
    await api.until(lambda: [call.right for call in api.calls].count(("list", "pods")) == 2)  # after the 410


async def test_a_watch_that_expired_lists_again_and_sees_what_it_missed(
    api: KubeApi, runtime: KubernetesRuntime
) -> None:
    await tell(runtime, 1)
    api.fail("watch", Fault.expired(), times=2)
    await api.down()
    await api.up()
    await runtime.start(RunId("r-2"), AGENT)
    await is_there(runtime, RunId("r-2"))
    assert set(await runtime.pods()) == {RUN, "r-2"}


@pytest.mark.parametrize("fault", [Fault.status(500), Fault.busy(0.1), Fault.cut(), Fault.cut_after(), Fault.garbled()])
async def test_a_create_that_fails_somehow_is_done_once_when_tried_again(
    api: KubeApi, runtime: KubernetesRuntime, fault: Fault
) -> None:
    assert await runtime.pods() == {}
    api.fail("create pods", fault)
    with suppress(Broken, Busy):
        await runtime.start(RUN, AGENT)
    await runtime.start(RUN, AGENT)
    await is_there(runtime)
    assert list(await runtime.pods()) == [RUN]


async def test_attach_cut_at_random_bytes_loses_and_doubles_nothing(api: KubeApi, runtime: KubernetesRuntime) -> None:
    listener = await tell(runtime, 1)
    dice = random.Random(11)
    api.streams.frame_size = lambda: dice.randint(1, 400)
    sent = 1
    for _ in range(25):
        cut = Break(out=dice.randint(0, 3000), torn=dice.random() < 0.3)
        api.break_next(cut if dice.random() < 0.6 else Break(into=dice.randint(0, 900)))
        with suppress(Trouble):
            async with attached(runtime) as session:
                await send_all(session, range(sent + 4))
                await listener.hear(session, counted(sent + 4))
        sent += 4
    api.streams.planned.clear()
    await tell_on(runtime, listener, sent)
    assert sorted(listener.heard) == sorted(f"put-{n}" for n in range(sent))
    assert [frame.n for frame in listener.frames] == list(range(1, listener.n + 1))


async def test_half_open_connections_are_noticed(api: KubeApi, new_life: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.kubernetes.door.HEARTBEAT_SECONDS", 0.3)
    async with new_life() as runtime:
        listener = await tell(runtime, 1)
        async with attached(runtime) as session:
            await session.send(Resume(listener.epoch, listener.n))
            api.streams.silence()
            async with asyncio.timeout(3):
                async for _ in session.frames():
                    pass


async def test_one_who_does_not_take_what_is_said_loses_the_connection_and_no_frame(
    api: KubeApi, door: Door, runtime: KubernetesRuntime
) -> None:
    told = await tell(runtime, 40)
    api.streams.frame_size = lambda: 300
    async with Cluster(door) as cluster:
        session = AttachSession(await cluster.attach(RUN, container="agent"), name=RUN, most_bytes=2000)
        reading = asyncio.create_task(session.read())
        await session.send(Resume())
        await asyncio.wait_for(reading, 5)
        frames = [item async for batch in session.frames() for item in batch if isinstance(item, Frame)]
        assert 0 < len(frames) < told.n
        with pytest.raises(Broken):
            await session.send(Resume())
        await session.leave()
    again = Listener(epoch=told.epoch)
    async with attached(runtime) as whole:
        assert await again.hear(whole, reached(told.n))
    assert again.frames == told.frames


async def test_a_big_command_goes_through_in_pieces(runtime: KubernetesRuntime) -> None:
    await runtime.start(RUN, AGENT)
    listener = Listener()
    async with attached(runtime) as session:
        big = command(Stop("x" * 900_000))
        await session.send(big)
        assert await listener.hear(session, has(big.id))


# --- what it costs, and what it may ----------------------------------------------------------------------------------


async def test_many_pods_are_followed_by_one_list_and_one_watch(api: KubeApi, runtime: KubernetesRuntime) -> None:
    api.node.hollow = True
    runs = [RunId(f"r-{number}") for number in range(60)]
    await asyncio.gather(*(runtime.start(run, AGENT) for run in runs))
    await api.until(lambda: len(api.node.lives()) == 60)
    for _ in range(5):
        assert len(await runtime.pods()) == 60
    await api.until(lambda: ("watch", "pods") in api.rights_used)
    rights = [call.right for call in api.calls]
    assert rights.count(("list", "pods")) == 1
    assert rights.count(("watch", "pods")) == 1
    assert rights.count(("get", "pods")) == 0
    assert rights.count(("create", "pods")) == 60


async def _attached_at_last(runtime: KubernetesRuntime) -> None:
    async with attached(runtime):
        pass


async def test_without_create_on_attach_the_words_say_so(api: KubeApi, runtime: KubernetesRuntime) -> None:
    await runtime.start(RUN, AGENT)
    await api.until(lambda: api.life(RUN).container)
    api.rbac = [{"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["*"]}]
    with pytest.raises(Broken, match="get and create on pods/attach"):
        await _attached_at_last(runtime)


async def test_a_token_that_does_not_count_is_told(api: KubeApi, door: Door) -> None:
    api.token = "another"
    async with KubernetesRuntime(door, Guest(image="agent:1"), longest_pause=0.2) as runtime:
        with pytest.raises(Broken, match="credential"):
            await runtime.start(RUN, AGENT)


async def test_without_a_kubeconfig_the_words_say_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(Broken, match=r"no kubeconfig at .*nowhere"):
        async with KubernetesRuntime(Door(kubeconfig=str(tmp_path / "nowhere")), Guest(image="agent:1")):
            pass


# --- the doctor ------------------------------------------------------------------------------------------------------


async def test_the_doctor_is_content_with_a_good_cluster(api: KubeApi, door: Door) -> None:
    findings = await checkup(door, Guest(image="agent:1"))
    assert [finding.what for finding in findings] == ["cluster", "rights", "pod", "isolation", "image"]
    assert all(finding.good for finding in findings), findings
    assert api.pod("r-doctor") is None


async def test_the_doctor_says_which_right_is_missing(api: KubeApi, door: Door) -> None:
    role, *_ = yaml.safe_load_all(ROLE.read_text("utf-8"))
    rules = json.loads(json.dumps(role["rules"]).replace('"create"', '"update"'))
    api.rbac = rules
    (rights,) = (f for f in await checkup(door, Guest(image="agent:1")) if f.what == "rights")
    assert rights.grave
    assert "create pods, create pods/attach" in rights.words


async def test_the_doctor_knows_what_the_cluster_would_not_take(api: KubeApi, door: Door) -> None:
    api.drop("RuntimeClass", "kata-fc")
    found = {finding.what: finding for finding in await checkup(door, Guest(image="agent:latest"))}
    assert found["pod"].grave
    assert "no runtime class kata-fc" in found["pod"].words
    assert not found["image"].good
    plain = {finding.what: finding for finding in await checkup(door, Guest(image="a:1", runtime_class="none"))}
    assert plain["pod"].good
    assert not plain["isolation"].good


@pytest.mark.parametrize(
    ("guest", "what", "words"),
    [(Guest(image="agent:1", runtime_class="Kata FC"), "isolation", "'Kata FC' cannot be a runtime class"),
     (Guest(image="agent:1", credential="gateway"), "pod", "set ANTHROPIC_BASE_URL and GATEWAY_KEY")],
)  # fmt: skip
async def test_the_doctor_blames_a_setting_and_not_the_cluster(door: Door, guest: Guest, what: str, words: str) -> None:
    findings = {finding.what: finding for finding in await checkup(door, guest)}
    assert words in findings[what].words
    assert findings[what].grave
    assert findings["cluster"].good
    assert "image" in findings, "the rest is looked at all the same"


async def test_the_doctor_says_that_nobody_answers(api: KubeApi, door: Door) -> None:
    await api.down()
    (finding,) = await checkup(door, Guest(image="agent:1"))
    assert finding.grave
    assert "cannot be reached" in finding.words
