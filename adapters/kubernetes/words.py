"""Why a pod does not start, or how it ended, in words for people: of what its status says, and of events. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.nouns import line

Json = Mapping[str, Any]

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
NO_HANDLER = re.compile(
    r"no runtime for \\?\"(?P<handler>[^\"\\]+)\\?\" is configured|RuntimeHandler \"(?P<other>[^\"]+)\""
)

USUAL = ("Scheduled", "Pulled", "Created", "Started", "Killing", "FailedScheduling")
"""The reasons of events that say nothing that the pod's status does not, and are most of all. The last one is still
there when that is long over."""

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
        case "FailedMount" | "FailedAttachVolume":
            return f"a volume cannot be had: {message}"
        case "Failed" | "Evicted" | "NodeNotReady" | "TaintManagerEviction":
            return message
        case _:
            return ""


def hindrance(status: Json) -> str:
    """Why what runs before the agent does not come to an end; empty where it does."""
    for container in status.get("initContainerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") == "CrashLoopBackOff":
            return "its home cannot be prepared" + (f" ({message})" if (message := waiting.get("message", "")) else "")
        if waiting.get("reason") in WAITS_FOR:
            return lack(waiting)
    return ""


def lack(waiting: Json) -> str:
    """What a container waits for. One whose image fails is in turns said to fail and to back off: here it is one."""
    _, _, message = waiting.get("message", "").rpartition("ErrImagePull: ")
    return WAITS_FOR[waiting["reason"]] + (f" ({message})" if message else "")


def lost(status: Json, container: Json) -> str:
    """Why a pod that has failed did."""
    reason, message = status.get("reason", ""), status.get("message", "")
    if reason not in LOST_BY:
        reason = condition(status, "DisruptionTarget").get("reason", "") or reason
    if reason in LOST_BY:
        return f"The pod was ended: {LOST_BY[reason]}" + (f" ({message})" if message else ".")
    how = (container.get("state") or {}).get("terminated") or {}
    return f"The pod was ended: {died(how) if how else reason or 'nobody says why'}" + (
        f" ({message})" if message else "."
    )


def died(how: Json) -> str:
    """How a container ended."""
    reason, code = how.get("reason", ""), how.get("exitCode", "?")
    if reason in DIED_BY:
        return DIED_BY[reason]
    if how.get("signal") or code in {137, 139, 143}:
        return f"it was killed (signal {how.get('signal') or code - 128})"
    return f"it left with code {code}" + (f", {reason}" if reason not in {"", "Error", "Completed"} else "")


def condition(status: Json, kind: str) -> Json:
    """The condition of a pod that is called so; empty where it has none."""
    found: Json = next((c for c in status.get("conditions") or [] if c.get("type") == kind), {})
    return found
