"""What an operator must know of the cluster before agents run there: does it answer, what may the bot do, and so on.

Nothing is made: a pod is tried without being kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from adapters.kubernetes.cluster import Cluster, Door
from adapters.kubernetes.pod import Guest, class_of, isolation_of, pod_of
from orchestrator.checkup import Finding, looked
from orchestrator.errors import Busy, Refused, Trouble
from orchestrator.nouns import Agent, RunId

SECONDS = 20.0

RIGHTS = (
    ("get", "pods", ""),
    ("list", "pods", ""),
    ("watch", "pods", ""),
    ("create", "pods", ""),
    ("patch", "pods", ""),
    ("delete", "pods", ""),
    ("get", "pods", "attach"),
    ("create", "pods", "attach"),
    ("get", "pods", "log"),
    ("list", "events", ""),
    ("watch", "events", ""),
)
"""All that the runtime does: a verb, a resource, a subresource. The Role in k8s/base grants these and no others."""


async def checkup(door: Door, guest: Guest) -> list[Finding]:
    """Everything, in the order in which it is needed; it ends with what makes the rest pointless."""
    return await looked(_look(door, guest), seconds=SECONDS, late=_late)


def _late() -> Finding:
    return Finding("cluster", f"it did not answer everything within {SECONDS:.0f} seconds", good=False, grave=True)


async def _look(door: Door, guest: Guest) -> AsyncGenerator[Finding, None]:
    try:
        async with Cluster(door) as cluster:
            yield Finding("cluster", f"Kubernetes {await cluster.version()} answers ({door})", good=True)
            missing = await _missing(cluster)
            yield _rights(missing, door.namespace)
            if not missing:
                yield await _pod(cluster, guest)
            yield _isolation(guest)
            yield _image(guest)
    except Trouble as trouble:
        yield Finding("cluster", f"{trouble} The door is: {door}", good=False, grave=True)


async def _missing(cluster: Cluster) -> list[str]:
    answers = await asyncio.gather(*(cluster.may(verb, what, subresource=sub) for verb, what, sub in RIGHTS))
    return [
        f"{verb} {what}{'/' if sub else ''}{sub}"
        for (verb, what, sub), may in zip(RIGHTS, answers, strict=True)
        if not may
    ]


def _rights(missing: list[str], namespace: str) -> Finding:
    if missing:
        words = (
            f"in the namespace {namespace} the bot may not: {', '.join(missing)}. Apply k8s/base, whose Role army-bot "
            "grants exactly what is needed; KUBE_NAMESPACE says where"
        )
        return Finding("rights", words, good=False, grave=True)
    return Finding("rights", f"the bot may do what it needs in the namespace {namespace}", good=True)


async def _pod(cluster: Cluster, guest: Guest) -> Finding:
    """Whether the cluster would take an agent: its admission knows runtime classes, priorities, security and quota."""
    body = pod_of(RunId("r-doctor"), Agent(name="doctor", driver="claude"), guest)
    try:
        await cluster.try_create(body)
    except Busy as busy:
        return Finding("pod", str(busy), good=False)
    except Refused as refused:
        return Finding("pod", str(refused), good=False, grave=True)
    return Finding("pod", "the cluster would take an agent's pod", good=True)


def _isolation(guest: Guest) -> Finding:
    name = class_of(Agent(name="doctor", driver="claude"), guest)
    words = f"agents run in: {isolation_of(name)}"
    if not name:
        return Finding("isolation", f"{words}. Fit for trying out; set RUNTIME_CLASS for anything else", good=False)
    if name == "kata-fc":
        words += (
            ". It needs KVM and a devmapper snapshotter on the nodes, and Kata's newer runtime has no Firecracker: "
            "kata-clh is what lasts, gvisor where there is no KVM"
        )
    return Finding("isolation", words, good=True)


def _image(guest: Guest) -> Finding:
    last = guest.image.rpartition("/")[2]
    if "@" not in last and (":" not in last or last.endswith(":latest")):
        words = f"{guest.image} is another one every day; name a version or a digest in AGENT_IMAGE"
        return Finding("image", words, good=False)
    return Finding(
        "image", f"agents run {guest.image}; whether the nodes can fetch it shows at the first run", good=True
    )
