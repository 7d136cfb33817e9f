"""What all pods of a cluster have in common, and what stands between an agent and its node. It knows no pod."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.errors import Refused
from orchestrator.nouns import Agent
from orchestrator.ports import Gateway

CLASS = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")

PLAIN = "none"
"""The runtime class that means: none, whatever containers are on that node."""


@dataclass(frozen=True, slots=True)
class Guest:
    """What all pods of this cluster have in common. `credential`: that of agents that choose none."""

    image: str
    runtime_class: str = "kata-fc"
    secret: str = "agent-credentials"  # noqa: S105 - the name of one
    priority_class: str = "agents"
    disk: str = "16Gi"  # what a pod's folders may take together
    credential: str = ""
    gateway: Gateway | None = None


def class_of(agent: Agent, guest: Guest) -> str:
    """The runtime class of this agent's pods; empty for none. Raises `Refused` for what cannot be one."""
    name = agent.isolation or guest.runtime_class
    if name == PLAIN:
        return ""
    if not CLASS.fullmatch(name):
        raise Refused(
            f"{name[:60]!r} cannot be a runtime class; kata-fc, kata-clh, kata-qemu, gvisor and none are known."
        )
    return name


def isolation_of(runtime_class: str) -> str:
    """What stands between an agent and its node, for people."""
    match runtime_class:
        case "":
            return "container: no runtime class, the node's kernel is shared"
        case "kata-fc":
            return "microVM (Firecracker, runtime class kata-fc)"
        case "kata-clh":
            return "microVM (Cloud Hypervisor, runtime class kata-clh)"
        case "kata-qemu":
            return "microVM (QEMU, runtime class kata-qemu)"
        case "gvisor":
            return "a kernel in user space (gVisor, runtime class gvisor)"
        case other:
            return f"whatever the runtime class {other} gives"
