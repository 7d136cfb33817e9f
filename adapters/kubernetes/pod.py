"""From a run and its agent to a pod, by a pure function. It knows no API and nothing of what will be said to the agent.

The pod needs no shared volume: credentials come by Secret, everything else by the pipe, so that it works where the
guest shares no filesystem with its host. Its folders are emptyDirs, which outlive the container and not the pod. None
of them has a size of its own: a kubelet does not make a folder full, it evicts the pod whose folder is larger.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adapters.kubernetes.grant import Grant, granted
from adapters.kubernetes.guest import Guest, class_of, isolation_of
from orchestrator.errors import Refused
from orchestrator.nouns import Agent, RunId

Body = dict[str, Any]

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
CPU = re.compile(r"(?P<cores>\d+(\.\d{1,3})?)|(?P<milli>\d+)m")
MEMORY = re.compile(r"[1-9]\d*(Ki|Mi|Gi|Ti|k|M|G|T)?")

CONTAINER = "agent"
MANAGED = {"app.kubernetes.io/managed-by": "army-bot", "app.kubernetes.io/part-of": "army"}
"""By these labels the bot knows its own pods."""

RUN = "army/run"
START_SECONDS = "army/start-seconds"

CREDENTIAL = "army/credential"
GRACE_SECONDS = 45
"""agentd gives the CLI up to 15 seconds to close; the rest is for what it prints last."""

MARGIN_SECONDS = 900
"""The bot ends a run that is over its limits; the cluster does so only when there is no bot for longer than this."""

AWAY_SECONDS = 1800
"""A node that is away for less than this keeps its pods: its disk may come back with all that they have. Where nobody
says anything a cluster gives it five minutes, which a reboot or a longer repair of a network takes."""

FOLDERS: Mapping[str, str] = {
    "state": "/state",
    "work": "/work",
    "cache": "/cache",
    "home": "/home/agent",
    "tmp": "/tmp",  # noqa: S108 - a folder of the pod
}
CACHES: Mapping[str, str] = {
    "XDG_CACHE_HOME": "/cache",
    "npm_config_cache": "/cache/npm",
    "PIP_CACHE_DIR": "/cache/pip",
    "CARGO_HOME": "/cache/cargo",
    "GOPATH": "/cache/go",
}
"""What tools fetch goes there and not beside the journal: all of it may be deleted at any time."""

DISK_BYTES = "AGENT_DISK_BYTES"
DISK_FOLDERS = "AGENT_DISK_FOLDERS"
"""By these variables agentd knows how much all folders may take, and tells of it before the kubelet evicts."""

SURE = "1Gi"
"""Of the disk a node must have this for a pod; the rest is had by those who come first."""


def check_name(run: RunId) -> RunId:
    """The run, if it can be a pod's name. Raises `Refused`."""
    if not NAME.fullmatch(run):
        raise Refused(f"{run[:60]!r} cannot be the name of a run.")
    return run


def pod_of(run: RunId, agent: Agent, guest: Guest) -> Body:
    """The pod of a run. Raises `Refused` with a sentence where the profile makes no sense to a cluster."""
    runtime_class, grant = class_of(agent, guest), granted(run, agent, guest)
    spec: Body = {
        "restartPolicy": "OnFailure",
        "activeDeadlineSeconds": int(agent.limits.life + agent.limits.start) + MARGIN_SECONDS,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "priorityClassName": guest.priority_class,
        "securityContext": _user(),
        "tolerations": _patience(),
        "topologySpreadConstraints": [_spread()],
        "containers": [_container(agent, guest, grant)],
        "volumes": [*({"name": name, "emptyDir": {}} for name in FOLDERS), *grant.volumes],
    }
    if grant.before:
        spec["initContainers"] = [_first(before, agent, guest) for before in grant.before]
    if runtime_class:
        spec["runtimeClassName"] = runtime_class
    meta = _metadata(run, agent, runtime_class)
    if grant.kind:
        meta["labels"][CREDENTIAL] = grant.kind
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def _user() -> Body:
    """Who everything in the pod runs as: nobody special."""
    return {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "fsGroup": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _patience() -> list[Body]:
    """How long the pod stays with a node that is away."""
    return [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": AWAY_SECONDS}
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    ]


def _spread() -> Body:
    """Agents on as many nodes as there are, where that can be had."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "agent"}},
    }


def _container(agent: Agent, guest: Guest, grant: Grant) -> Body:
    """The one in which agentd is process 1."""
    return {
        "name": CONTAINER,
        "image": guest.image,
        "stdin": True,
        "stdinOnce": False,  # stdin stays open when the bot goes; it comes back
        "tty": False,
        "env": [*_surroundings(guest), *grant.env],
        "resources": _resources(agent, guest),
        "securityContext": _hull(),
        "volumeMounts": [*({"name": name, "mountPath": path} for name, path in FOLDERS.items()), *grant.mounts],
    }


def _first(before: Body, agent: Agent, guest: Guest) -> Body:
    """What runs before that one, in its image and within its bounds."""
    return {**before, "image": guest.image, "resources": _resources(agent, guest), "securityContext": _hull()}


def _surroundings(guest: Guest) -> list[Body]:
    """The variables that all pods have."""
    told = {"HOME": FOLDERS["home"], **CACHES}
    told |= {DISK_BYTES: str(bytes_of(guest.disk)), DISK_FOLDERS: ":".join(FOLDERS.values())}
    return [{"name": name, "value": text} for name, text in told.items()]


def _hull() -> Body:
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def _metadata(run: RunId, agent: Agent, runtime_class: str) -> Body:
    return {
        "name": check_name(run),
        "labels": {
            "app.kubernetes.io/name": "agent",
            "app.kubernetes.io/instance": run,
            "app.kubernetes.io/component": "agent",
            **MANAGED,
            RUN: run,
            "army/agent": _label(agent.name),
        },
        "annotations": {
            "kubectl.kubernetes.io/default-container": CONTAINER,
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",  # its state would not move along
            "army/agent": agent.name,
            "army/isolation": isolation_of(runtime_class),
            START_SECONDS: str(int(agent.limits.start)),
        },
    }


def _label(text: str) -> str:
    """The text as a label may be: the whole of it stands in an annotation."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:63].strip("._-")


def bytes_of(amount: str) -> int:
    """An amount as clusters write it, like 16Gi. Raises `Refused`."""
    if not MEMORY.fullmatch(amount):
        raise Refused(f"{amount[:40]!r} is no amount of bytes, like 16Gi or 512Mi (AGENT_DISK).")
    digits = amount.rstrip("KMGTik")
    unit = amount[len(digits) :]
    power = " KMGT".index(unit[:1].upper()) if unit else 0
    size: int = int(digits) * (1024 if unit.endswith("i") else 1000) ** power
    return size


def _resources(agent: Agent, guest: Guest) -> Body:
    """Memory is had for sure, so that agents do not kill each other; of its CPU an agent needs a quarter, mostly."""
    cpu = CPU.fullmatch(agent.cpu)
    milli = 0 if cpu is None else int(cpu["milli"]) if cpu["milli"] else round(float(cpu["cores"]) * 1000)
    if not 10 <= milli <= 256_000:
        raise Refused(f"The profile's cpu is {agent.cpu[:40]!r}; it is a number of cores, like 1, 0.5 or 500m.")
    if not MEMORY.fullmatch(agent.memory):
        raise Refused(f"The profile's memory is {agent.memory[:40]!r}; it is an amount of bytes, like 1Gi or 512Mi.")
    sure = min(SURE, guest.disk, key=bytes_of)
    return {
        "requests": {"cpu": f"{max(10, milli // 4)}m", "memory": agent.memory, "ephemeral-storage": sure},
        "limits": {"cpu": f"{milli}m", "memory": agent.memory, "ephemeral-storage": guest.disk},
    }
