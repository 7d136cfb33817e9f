"""What the cluster says of a pod, read into the few things that matter, with words for people. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from adapters.kubernetes.pod import MANAGED, RUN, START_SECONDS
from adapters.kubernetes.warm import DEADLINE, WARM
from orchestrator.nouns import RunId, line

Json = Mapping[str, Any]

PROVEN_SECONDS = 60.0
MOST_DEATHS = 8
DEATHS_SECONDS = 1800.0
"""A container that died so often in its pod's first half hour, the last time within a minute, will not live.

Its node waits longer and longer in between, a quarter of an hour in all: so it never lived for long."""


class Stage(StrEnum):
    """How far a pod is."""

    COMING = "coming"
    RUNNING = "running"
    RESTARTING = "restarting"
    DONE = "done"  # agentd has said that the run is over, and left
    LOST = "lost"  # it ended otherwise, and its state with it
    LEAVING = "leaving"  # somebody wants it gone


@dataclass(frozen=True, slots=True)
class Spare:
    """Of a pod that waits for a run: its form, which version of it this is, when it began and how long it may live."""

    form: str
    version: str
    born: float
    deadline: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A pod as it was seen last. `words`: what it waits for, or why it ended. `hopeless`: waiting will not help.

    Its run stands in a label; the name is another one where it was started ahead. With a `spare` it has no run yet.
    """

    run: RunId
    uid: str
    stage: Stage
    name: str = ""
    words: str = ""
    vague: bool = False  # an event may know more than the status does
    hopeless: bool = False
    unplaced: bool = False  # no node takes it
    cramped: bool = False  # some node would take it, if there were more room on it
    running: bool = False  # its container is said to run, whatever is to become of the pod
    spoke: bool = False  # its container has run, at least once
    ready: bool = True  # False while it is said to run: its node does not answer
    ours: bool = True
    start_seconds: float = 600.0
    runtime_class: str = ""
    restarts: int = 0  # how often its node started the container again
    died: str = ""  # how the one before ended
    spare: Spare | None = None
    version: int = field(default=0, compare=False)  # of two of one pod, the higher is the newer

    @property
    def alive(self) -> bool:
        """Whether there is a process, or one is coming."""
        return self.stage in {Stage.COMING, Stage.RUNNING, Stage.RESTARTING}


LOST_BY = {
    "Evicted": "its node evicted it",
    "DeadlineExceeded": "it lived longer than it may",
    "NodeLost": "its node is lost",
    "NodeShutdown": "its node was shut down",
    "Terminated": "its node was shut down",
    "Preempting": "something more important needed its place",
    "PreemptionByScheduler": "something more important needed its place",
    "DeletionByTaintManager": "its node does not answer any more, or is not for it any more",
    "DeletionByPodGC": "its node is no more",
    "EvictionByEvictionAPI": "its node is being emptied",
    "TerminationByKubelet": "its node ran short of something, or was shut down",
    "OutOfcpu": "its node had no room for it",
    "OutOfmemory": "its node had no room for it",
    "UnexpectedAdmissionError": "its node did not take it",
}
DIED_BY = {
    "OOMKilled": "it needed more memory than it may have (out of memory)",
    "ContainerStatusUnknown": "its node lost track of it",
    "StartError": "its program could not be started",
    "ContainerCannotRun": "its program could not be started",
}
WAITS_FOR = {
    "ErrImagePull": "its image cannot be had",
    "ImagePullBackOff": "its image cannot be had",
    "RegistryUnavailable": "the registry of its image does not answer",
    "InvalidImageName": "the name of its image makes no sense (AGENT_IMAGE)",
    "ErrImageNeverPull": "its image is not on the node, and may not be fetched",
    "CreateContainerConfigError": "something that it needs is missing",
    "CreateContainerError": "its container cannot be made",
    "RunContainerError": "its container cannot be started",
}
CRAMPED = re.compile(r"\bInsufficient |\bToo many pods\b")
HOPELESS = {"InvalidImageName", "ErrImageNeverPull"}
NO_HANDLER = re.compile(
    r"no runtime for \\?\"(?P<handler>[^\"\\]+)\\?\" is configured|RuntimeHandler \"(?P<other>[^\"]+)\""
)


def see(pod: Json) -> Seen:
    """The pod as it is."""
    meta, spec, status = pod["metadata"], pod.get("spec", {}), pod.get("status", {})
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    managed = all(labels.get(key) == value for key, value in MANAGED.items())
    run, form = labels.get(RUN, "") if managed else "", labels.get(WARM, "") if managed else ""
    spare = (
        Spare(form, meta["resourceVersion"], _born(meta, status), spec.get(DEADLINE, 0)) if form and not run else None
    )
    container = (status.get("containerStatuses") or [{}])[0]
    state, before = container.get("state") or {}, (container.get("lastState") or {}).get("terminated")
    running = "running" in state
    stage, words, vague, hopeless = _stage(meta, status, container)
    unplaced = stage is Stage.COMING and _condition(status, "PodScheduled").get("status") == "False"
    return Seen(
        run=RunId("" if spare else run or meta["name"]),
        uid=meta["uid"],
        stage=stage,
        name=meta["name"],
        words=line(words),
        vague=vague,
        hopeless=hopeless,
        unplaced=unplaced,
        cramped=unplaced and bool(CRAMPED.search(_condition(status, "PodScheduled").get("message", ""))),
        running=running,
        spoke=running or bool(before or state.get("terminated")),
        ready=not running or _condition(status, "Ready").get("status") != "False",
        ours=bool(run),
        start_seconds=float(notes[START_SECONDS]) if notes.get(START_SECONDS, "").isdigit() else 600.0,
        runtime_class=spec.get("runtimeClassName", ""),
        restarts=int(container.get("restartCount", 0)),
        died=_died(before) if before else "",
        spare=spare,
        version=int(version) if (version := meta.get("resourceVersion", "")).isdigit() else 0,
    )


def _born(meta: Json, status: Json) -> float:
    return datetime.fromisoformat(status.get("startTime") or meta["creationTimestamp"]).timestamp()


USUAL = ("Scheduled", "Pulled", "Created", "Started", "Killing")
"""The reasons of events that every healthy pod has: they say nothing that its status does not, and are most of all."""

EVENTS = ",".join(["involvedObject.kind=Pod", *(f"reason!={reason}" for reason in USUAL)])
"""The field selector of those that may say something."""


def tell(event: Json) -> str:
    """What an event says about a pod's start, in words; empty when it says nothing new to a person."""
    reason, message = event.get("reason", ""), line(str(event.get("message", "")))
    match reason:
        case "Pulling":
            return "its image is being fetched"
        case "FailedCreatePodSandBox":
            if found := NO_HANDLER.search(event.get("message", "")):
                handler = found["handler"] or found["other"]
                return (
                    f"its node has no handler {handler!r} for the runtime class. Install it there, or set "
                    "RUNTIME_CLASS (or the profile's isolation) to another one"
                )
            return f"its node cannot make a sandbox: {message}"
        case "FailedScheduling":
            return f"no node can take it: {message}"
        case "FailedMount" | "FailedAttachVolume":
            return f"a volume cannot be had: {message}"
        case "Failed" | "Evicted" | "NodeNotReady" | "TaintManagerEviction":
            return message
        case _:
            return ""


_Told = tuple[Stage, str, bool, bool]


def _stage(meta: Json, status: Json, container: Json) -> _Told:
    phase = status.get("phase", "Pending")
    if phase == "Succeeded":
        return Stage.DONE, "The run has ended.", False, False
    if phase == "Failed":
        return Stage.LOST, _lost(status, container), False, False
    if meta.get("deletionTimestamp"):
        why = _condition(status, "DisruptionTarget")
        words = LOST_BY.get(why.get("reason", ""), "")
        return (
            Stage.LEAVING,
            f"The pod is being removed: {words}." if words else "The pod is being removed.",
            False,
            False,
        )
    if phase == "Unknown":
        return Stage.RESTARTING, "Its node does not answer.", False, False
    return _present(status, container)


def _present(status: Json, container: Json) -> _Told:
    state = container.get("state") or {}
    if "running" in state:
        return Stage.RUNNING, "", False, False
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in WAITS_FOR:
        words = f"It cannot start: {_lack(waiting)}"
        return Stage.COMING, words, False, reason in HOPELESS
    died = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
    if died:
        deaths = int(container.get("restartCount", 0)) + ("terminated" in state)
        words = f"The agent's process ended and is being started again: {_died(died)}."
        early = _between(status.get("startTime"), died.get("finishedAt")) < DEATHS_SECONDS
        short = _between(died.get("startedAt"), died.get("finishedAt")) < PROVEN_SECONDS
        return Stage.RESTARTING, words, False, deaths >= MOST_DEATHS and short and early
    if why := _before(status):
        return Stage.COMING, f"It cannot start: {why}", False, False
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return Stage.COMING, f"No node can take it yet: {scheduled.get('message') or 'it waits'}", False, False
    if scheduled.get("status") != "True":
        return Stage.COMING, "It waits for a node.", True, False
    return Stage.COMING, "Its container is being made.", True, False


def _before(status: Json) -> str:
    """Why what runs before the agent does not come to an end, if it does not."""
    for container in status.get("initContainerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") == "CrashLoopBackOff":
            return "its home cannot be prepared" + (f" ({message})" if (message := waiting.get("message", "")) else "")
        if waiting.get("reason") in WAITS_FOR:
            return _lack(waiting)
    return ""


def _lack(waiting: Json) -> str:
    """What a container waits for. One whose image fails is in turns said to fail and to back off: here it is one."""
    _, _, message = waiting.get("message", "").rpartition("ErrImagePull: ")
    return WAITS_FOR[waiting["reason"]] + (f" ({message})" if message else "")


def _lost(status: Json, container: Json) -> str:
    reason, message = status.get("reason", ""), status.get("message", "")
    if reason not in LOST_BY:
        reason = _condition(status, "DisruptionTarget").get("reason", "") or reason
    if reason in LOST_BY:
        return f"The pod was ended: {LOST_BY[reason]}" + (f" ({message})" if message else ".")
    died = (container.get("state") or {}).get("terminated") or {}
    return f"The pod was ended: {_died(died) if died else reason or 'nobody says why'}" + (
        f" ({message})" if message else "."
    )


def _died(died: Json) -> str:
    reason, code = died.get("reason", ""), died.get("exitCode", "?")
    if reason in DIED_BY:
        return DIED_BY[reason]
    if died.get("signal") or code in {137, 139, 143}:
        return f"it was killed (signal {died.get('signal') or code - 128})"
    return f"it left with code {code}" + (f", {reason}" if reason not in {"", "Error", "Completed"} else "")


def _between(begun: str | None, ended: str | None) -> float:
    try:
        return (datetime.fromisoformat(ended or "") - datetime.fromisoformat(begun or "")).total_seconds()
    except (TypeError, ValueError):
        return 0.0


def _condition(status: Json, kind: str) -> Json:
    found: Json = next((c for c in status.get("conditions") or [] if c.get("type") == kind), {})
    return found
