"""What the cluster says of pods and their starts, in words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.kubernetes.errors import trouble
from adapters.kubernetes.known import Known
from adapters.kubernetes.seen import Stage, see
from adapters.kubernetes.words import EVENTS, USUAL, tell
from orchestrator.errors import Broken, Busy, Gone, Refused, Trouble
from orchestrator.nouns import RunId

Json = dict[str, Any]


def pod(status: Json, *, uid: str = "u-1", **meta: Any) -> Json:
    """A pod with this status, whose containers are agents where nothing else is said."""
    told = [{"name": "agent", **container} for container in status.get("containerStatuses", [])]
    full = {"phase": "Pending", **status, **({"containerStatuses": told} if told else {})}
    return {"metadata": {"name": "r-1", "uid": uid, **meta}, "spec": {}, "status": full}


def waiting(reason: str, message: str = "", **more: Any) -> Json:
    return {"containerStatuses": [{"state": {"waiting": {"reason": reason, "message": message}}, **more}]}


def ended(reason: str, code: int, *, finished: str = "2026-01-01T00:00:09Z") -> Json:
    return {
        "terminated": {"reason": reason, "exitCode": code, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": finished}
    }


def condition(kind: str, status: str, **more: str) -> Json:
    return {"conditions": [{"type": kind, "status": status, **more}]}


RUNNING = {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}


@pytest.mark.parametrize(
    ("message", "cramped"),
    [
        ("0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: 1 No victims.", True),
        ("0/3 nodes are available: 1 Too many pods, 2 node(s) didn't match Pod's node affinity/selector.", True),
        ("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.", False),
        ("0/1 nodes are available: 1 node(s) had untolerated taint(s).", False),
        ("", False),
    ],
)
def test_only_some_of_those_that_no_node_takes_would_be_helped_by_room(message: str, *, cramped: bool) -> None:
    seen = see(pod(condition("PodScheduled", "False", reason="Unschedulable", message=message)))
    assert (seen.unplaced, seen.cramped) == (True, cramped)


def test_one_that_runs_is_ready_until_its_node_is_missed() -> None:
    assert see(pod(RUNNING)).ready
    assert not see(pod({**RUNNING, **condition("Ready", "False", reason="NodeNotReady")})).ready
    assert see(pod({**RUNNING, **condition("Ready", "True")})).ready
    assert see(pod(condition("Ready", "False"))).ready, "one that does not run yet is not ready for other reasons"


@pytest.mark.parametrize(
    ("status", "stage", "word"),
    [
        ({}, Stage.COMING, "waits for a node"),
        (
            condition("PodScheduled", "False", message="0/2 nodes: Insufficient memory"),
            Stage.COMING,
            "Insufficient memory",
        ),
        (condition("PodScheduled", "True"), Stage.COMING, "being made"),
        (waiting("ErrImagePull", "not found"), Stage.COMING, "image cannot be had (not found)"),
        (waiting("ImagePullBackOff"), Stage.COMING, "image cannot be had"),
        (waiting("CreateContainerConfigError", 'secret "x" not found'), Stage.COMING, 'secret "x" not found'),
        (RUNNING, Stage.RUNNING, ""),
        (
            {"phase": "Running", **waiting("CrashLoopBackOff", lastState=ended("OOMKilled", 137))},
            Stage.RESTARTING,
            "memory",
        ),
        ({"phase": "Running", "containerStatuses": [{"state": ended("Error", 137)}]}, Stage.RESTARTING, "killed"),
        ({"phase": "Running", "containerStatuses": [{"state": ended("Error", 3)}]}, Stage.RESTARTING, "code 3"),
        ({"phase": "Succeeded"}, Stage.DONE, "ended"),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "low on memory"},
            Stage.LOST,
            "evicted it (low on memory)",
        ),
        ({"phase": "Failed", "reason": "DeadlineExceeded"}, Stage.LOST, "longer than it may"),
        ({"phase": "Failed", "reason": "NodeLost"}, Stage.LOST, "node is lost"),
        ({"phase": "Failed", **condition("DisruptionTarget", "True", reason="DeletionByPodGC")}, Stage.LOST, "no more"),
        ({"phase": "Failed", "containerStatuses": [{"state": ended("OOMKilled", 137)}]}, Stage.LOST, "out of memory"),
        ({"phase": "Failed"}, Stage.LOST, "nobody says why"),
        ({"phase": "Unknown"}, Stage.RESTARTING, "node does not answer"),
    ],
)
def test_a_pod_is_told_in_words(status: Json, stage: Stage, word: str) -> None:
    seen = see(pod(status))
    assert seen.stage is stage
    assert word in seen.words


def test_an_image_that_cannot_be_had_is_told_in_the_same_words_while_the_node_tries_and_waits_in_turns() -> None:
    why = 'Failed to pull image "agnet:1": rpc error: code = NotFound desc = not found'
    told = {
        see(pod(waiting(reason, message))).words
        for reason, message in [
            ("ErrImagePull", why),
            ("ImagePullBackOff", f'Back-off pulling image "agnet:1": ErrImagePull: {why}'),
        ]
    }
    assert told == {f"It cannot start: its image cannot be had ({why})"}


def test_a_pod_says_what_ended_its_process_before_this_one() -> None:
    running = {"phase": "Running", "containerStatuses": [{"state": {"running": {}}, "restartCount": 2}]}
    assert (see(pod(running)).restarts, see(pod(running)).died) == (2, "")
    running["containerStatuses"][0]["lastState"] = ended("OOMKilled", 137)  # type: ignore[index]
    assert "out of memory" in see(pod(running)).died


def test_a_pod_that_is_being_removed_says_why() -> None:
    gone = "2026-01-01T00:00:00Z"
    assert see(pod(RUNNING, deletionTimestamp=gone)).stage is Stage.LEAVING
    lost = {**RUNNING, **condition("DisruptionTarget", "True", reason="DeletionByTaintManager")}
    assert "does not answer" in see(pod(lost, deletionTimestamp=gone)).words
    assert see(pod({"phase": "Failed", "reason": "Evicted"}, deletionTimestamp=gone)).stage is Stage.LOST


def test_waiting_is_given_up_where_it_cannot_help() -> None:
    assert see(pod(waiting("InvalidImageName"))).hopeless
    assert not see(pod(waiting("ErrImagePull"))).hopeless
    often = waiting("CrashLoopBackOff", restartCount=8, lastState=ended("Error", 1))
    assert see(pod(often)).hopeless
    proven = ended("Error", 1, finished="2026-01-01T05:00:00Z")
    assert not see(pod(waiting("CrashLoopBackOff", restartCount=8, lastState=proven))).hopeless
    assert see(pod({**often, "startTime": "2025-12-31T23:40:00Z"})).hopeless
    assert not see(pod({**often, "startTime": "2025-12-31T23:00:00Z"})).hopeless, "it lived for long in between"


def test_it_is_known_whether_a_pod_may_have_said_something() -> None:
    quiet = [{}, waiting("ErrImagePull"), {"phase": "Failed", "reason": "OutOfcpu"}]
    assert not any(see(pod(status)).spoke for status in quiet)
    over: Json = {"phase": "Failed", "containerStatuses": [{"state": ended("Error", 137)}]}
    assert (see(pod(over)).spoke, see(pod(over)).running) == (True, False)
    again = waiting("CrashLoopBackOff", lastState=ended("Error", 1))
    assert (see(pod(again)).spoke, see(pod(again)).running) == (True, False)
    leaving = see(pod(RUNNING, deletionTimestamp="2026-01-01T00:00:00Z"))
    assert (leaving.spoke, leaving.running, leaving.ready) == (True, True, True)


def event(reason: str, message: str, *, uid: str = "u-1", at: str = "") -> Json:
    return {
        "metadata": {"name": "e", "creationTimestamp": at}, "reason": reason, "message": message,
        "involvedObject": {"kind": "Pod", "name": "r-1", "uid": uid},
    }  # fmt: skip


def test_an_event_says_which_handler_the_node_lacks() -> None:
    message = 'Failed to create pod sandbox: rpc error: no runtime for "kata-fc" is configured'
    assert "no handler 'kata-fc'" in tell(event("FailedCreatePodSandBox", message))
    assert "no space" in tell(event("FailedCreatePodSandBox", "no space"))
    assert not tell(event("Scheduled", "x"))


def test_events_explain_what_the_status_leaves_open_and_nothing_else() -> None:
    known = Known()
    known.change("ADDED", pod(condition("PodScheduled", "True")))
    known.put_events([event("FailedMount", "late", at="2"), event("Pulling", "early", at="1")])
    now = known.get(RunId("r-1"))
    assert now is not None
    assert "late" in now.words
    known.change("MODIFIED", pod(RUNNING))
    assert [seen.words for seen in known.all().values()] == [""]


@pytest.mark.parametrize("reason", USUAL)
def test_events_that_are_not_asked_for_would_have_said_nothing(reason: str) -> None:
    assert not tell(event(reason, "words"))
    assert f"reason!={reason}" in EVENTS


def test_a_watch_that_is_behind_brings_nobody_back() -> None:
    known = Known()
    seen = known.learn(pod(RUNNING))
    known.bury(seen)
    known.change("MODIFIED", pod(RUNNING))
    assert not known.all()
    known.change("ADDED", pod(RUNNING, uid="u-2"))
    known.change("DELETED", pod(RUNNING))
    assert [seen.uid for seen in known.all().values()] == ["u-2"]
    known.put([])
    assert not known.all()


FORBIDDEN = [
    ("exceeded quota: agents, requested: pods=1, used: pods=12", Busy, "quota"),
    ('pod rejected: RuntimeClass "kata-fc" not found', Refused, "no runtime class kata-fc"),
    ("no PriorityClass with name agents was found", Refused, "k8s/base"),
    ('violates PodSecurity "restricted:latest": x', Refused, "pod security"),
    ("not yet ready to handle request", Busy, "not yet ready"),
    ("error looking up service account a/default: not found", Busy, "service account"),
    ("maximum memory usage per Container is 6Gi", Refused, "does not allow"),
    ("failed quota: agents: must specify cpu", Refused, "does not allow"),
    ("status unknown for quota: agents, resources: limits.cpu,limits.memory,pods", Busy, "not counted yet"),
]


@pytest.mark.parametrize(
    ("code", "message", "kind", "word"),
    [
        *[(403, f'pods "r-1" is forbidden: {why}', kind, word) for why, kind, word in FORBIDDEN],
        (401, "Unauthorized", Broken, "credential"),
        (403, 'pods is forbidden: User "x" cannot create resource "pods" in API group ""', Busy, "may not"),
        (403, "", Busy, "may not"),
        (403, 'admission webhook "policy.example" denied the request: no', Refused, "does not allow"),
        (404, 'namespaces "claude-agents" not found', Busy, "no namespace claude-agents; k8s/base"),
        (404, "not found", Gone, "does not know"),
        (409, "conflict", Busy, "in the way"),
        (422, "spec.x: invalid", Refused, "spec.x"),
        (429, "", Busy, "patience"),
        (503, "", Broken, "503"),
    ],
)
def test_a_refusal_is_one_of_the_four_troubles(code: int, message: str, kind: type[Trouble], word: str) -> None:
    status = {
        "kind": "Status",
        "message": message,
        "reason": "NotFound" if code == 404 else "",
        "details": {"name": "x"},
    }
    raised = trouble(code, json.dumps(status), doing="to start r-1")
    assert [one for one in (Broken, Busy, Gone, Refused) if isinstance(raised, one)] == [kind]
    assert word in str(raised)


def test_patience_is_what_was_asked_for() -> None:
    busy = trouble(429, "", doing="to x", retry_after="7")
    assert isinstance(busy, Busy)
    assert busy.seconds == 7


def test_what_something_put_beside_the_agent_is_not_the_agent() -> None:
    proxy = {"name": "a-proxy", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    agent = {"name": "agent", "state": {"running": {}}}
    assert see(pod({"phase": "Running", "containerStatuses": [proxy, agent]})).stage is Stage.RUNNING


def test_an_agent_that_has_ended_well_is_not_said_to_be_started_again() -> None:
    seen = see(pod({"phase": "Running", "containerStatuses": [{"state": ended("Completed", 0)}]}))
    assert (seen.stage, seen.words) == (Stage.DONE, "The run has ended.")
