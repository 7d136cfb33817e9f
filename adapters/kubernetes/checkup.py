"""What an operator must know of the cluster before agents run there: does it answer, what may the bot do, and so on.

Nothing is made: a pod is tried without being kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from adapters.kubernetes.cluster import Cluster
from adapters.kubernetes.credentials import KubernetesCredentials
from adapters.kubernetes.door import Door
from adapters.kubernetes.grant import LOGIN
from adapters.kubernetes.guest import Guest, class_of, isolation_of
from adapters.kubernetes.pod import pod_of
from adapters.kubernetes.seen import Stage, see
from adapters.kubernetes.warm import WARM
from orchestrator.checkup import Finding, counted, looked
from orchestrator.errors import Busy, Refused, Trouble
from orchestrator.nouns import Agent, RunId

SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Right:
    """Something that a Role can grant. An empty name: of every object."""

    verb: str
    resource: str
    sub: str = ""
    group: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{'/' if self.sub else ''}{self.sub}"


RIGHTS = (
    Right("get", "pods"),
    Right("list", "pods"),
    Right("watch", "pods"),
    Right("create", "pods"),
    Right("patch", "pods"),
    Right("delete", "pods"),
    Right("get", "pods", "attach"),
    Right("create", "pods", "attach"),
    Right("get", "pods", "log"),
    Right("list", "events"),
    Right("watch", "events"),
    Right("create", "secrets"),
    Right("get", "leases", group="coordination.k8s.io", name=LOGIN),
)
"""All that the bot does there. The Role in k8s/base grants these and no others."""


USUAL = Agent(name="claude", driver="claude")
"""An agent whose profile chooses nothing: it gets what the settings say."""


async def checkup(door: Door, guest: Guest, *, warm: int = 0) -> list[Finding]:
    """Everything, in the order in which it is needed; it ends with what makes the rest pointless."""
    return await looked(_look(door, guest, warm), seconds=SECONDS, late=_late)


def _late() -> Finding:
    return Finding("cluster", f"it did not answer everything within {SECONDS:.0f} seconds", good=False, grave=True)


async def _look(door: Door, guest: Guest, warm: int) -> AsyncGenerator[Finding, None]:
    try:
        async with Cluster(door) as cluster:
            yield Finding("cluster", f"Kubernetes {await cluster.version()} answers ({door})", good=True)
            missing = await _missing(cluster)
            yield _rights(missing, door.namespace)
            if not missing:
                yield await _pod(cluster, guest)
                if warm:
                    yield await _warm(cluster, warm)
                for finding in await _login(cluster, guest):
                    yield finding
            yield _isolation(guest)
            yield _image(guest)
    except Trouble as trouble:
        yield Finding("cluster", f"{trouble} The door is: {door}", good=False, grave=True)


async def _missing(cluster: Cluster) -> list[str]:
    answers = await asyncio.gather(
        *(
            cluster.may(right.verb, right.resource, group=right.group, subresource=right.sub, name=right.name)
            for right in RIGHTS
        )
    )
    return [str(right) for right, may in zip(RIGHTS, answers, strict=True) if not may]


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
    try:
        await cluster.try_create(pod_of(RunId("r-doctor"), USUAL, guest))
    except Busy as busy:
        return Finding("pod", str(busy), good=False)
    except Refused as refused:
        return Finding("pod", str(refused), good=False, grave=True)
    return Finding("pod", "the cluster would take an agent's pod", good=True)


async def _warm(cluster: Cluster, wanted: int) -> Finding:
    """Whether as many pods wait as are to, and what one of them that does not run waits for."""
    pods = (await cluster.page("pods", label_selector=WARM))["items"]
    waiting = [seen for seen in map(see, pods) if seen.spare is not None]
    ready = sum(seen.stage is Stage.RUNNING and seen.sound for seen in waiting)
    if ready >= wanted:
        return Finding("warm pods", f"{ready} of {wanted} are started ahead", good=True)
    unknown = "A bot that has just begun needs a while for it; else its log says why."
    why = next((seen.words for seen in waiting if seen.words), unknown)
    return Finding("warm pods", f"{ready} of {wanted} pods are started ahead. {why}", good=False)


async def _login(cluster: Cluster, guest: Guest) -> list[Finding]:
    """The login that agents share: whether one is there, and how long it is good."""
    credentials = KubernetesCredentials(cluster, guest)
    found = [counted(expiry, now=time.time()) for expiry in await credentials.expiries()]
    if guest.credential == "login":
        try:
            await credentials.give(RunId("r-doctor"), USUAL)
        except Refused as refused:
            found.append(Finding("login", str(refused), good=False, grave=True))
    return found


def _isolation(guest: Guest) -> Finding:
    try:
        name = class_of(USUAL, guest)
    except Refused as refused:
        return Finding("isolation", f"{refused} (RUNTIME_CLASS)", good=False, grave=True)
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
