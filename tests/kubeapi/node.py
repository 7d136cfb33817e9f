"""The node behind the server: scheduler and kubelet, and everything a test lets them suffer.

It gives each pod a life (`life.py`) and tells of it by events. What it is like may be changed at any time; pods that
wait look again every `retry_seconds`.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

from tests.kubeapi.command import AGENT_IMAGE, Image
from tests.kubeapi.container import Container
from tests.kubeapi.life import Doom, Life
from tests.kubeapi.log import Log
from tests.kubeapi.refusal import Json
from tests.kubeapi.sorts import CLAIMS, CONFIG_MAPS, EVENTS, NODES, PODS, SECRETS
from tests.kubeapi.stock import Change, Stock, now

BY_KIND = {sort.kind: sort for sort in (SECRETS, CONFIG_MAPS, CLAIMS)}
NAME = "worker-1"
LABELS = {"kubernetes.io/hostname": NAME, "katacontainers.io/kata-runtime": "true", "army/gvisor": "true"}


class Node:
    """One node that has room for everything."""

    def __init__(self, stock: Stock, root: Path) -> None:
        self.stock = stock
        stock.heard = self.heard
        self.root = root
        self.name = NAME
        self.no_room = ""
        """Why nothing can be scheduled, such as "1 Insufficient memory."; pods wait until it is empty again."""
        self.missing_images: set[str] = set()
        """Patterns of images that cannot be pulled."""
        self.images: dict[str, Image] = {}
        """What images run, by pattern; every other image is the agent's."""
        self.handlers: set[str] = {"runc", "kata-fc", "kata-clh", "kata-qemu", "runsc"}
        """The handlers of runtime classes that containerd has."""
        self.dead = False
        """The kubelet does not answer: no attach, no logs, no news of pods. Containers go on."""
        self.dial_seconds = 0.0
        """How long the server tries to reach a kubelet that is dead: half a minute, where its machine is off."""
        self.dazed = False
        """The kubelet is just up again and knows none of its pods yet: attach and logs get 404, and pods go on."""
        self.hollow = False
        """Containers are said to run and are not there: for measuring with thousands of pods."""
        self.container: Callable[[Log], Container] = Container
        """How a container comes to be; a bench plays hundreds of them in one process."""
        self.pull_seconds = 0.0
        """How long a pod is in ContainerCreating."""
        self.retry_seconds = 0.1
        self.look_seconds = 10.0
        """So often the kubelet looks what a pod's folders and logs take, and evicts the pod when that is too much."""
        self.crash_seconds = 0.2
        """The first pause between two restarts; it doubles. The first restart is at once."""
        self.linger_seconds = 0.02
        """How long a pod's object outlives its containers."""
        self.shed: Callable[[], None] = lambda: None
        self._events: dict[tuple[str, str, str], str] = {}
        self._errors: list[BaseException] = []
        self._lives: dict[str, Life] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._awake = asyncio.Event()
        stock.create(NODES, {"metadata": {"name": NAME, "labels": dict(LABELS)}, "status": {"conditions": [
            {"type": "Ready", "status": "True", "reason": "KubeletReady"}]}})  # fmt: skip

    # --- being told ---

    def heard(self, change: Change) -> None:
        """Something in the stock has changed."""
        if change.sort is not PODS:
            return
        pod = change.thing.object
        uid = pod["metadata"]["uid"]
        if change.what == "ADDED":
            self._lives[uid] = born = Life(self, pod)
            self._tasks[uid] = asyncio.create_task(born.run())
        elif change.what == "DELETED":
            self._bury(uid)
        elif (life := self._lives.get(uid)) is None:
            return
        elif "deletionTimestamp" not in pod["metadata"]:
            life.changed(pod["spec"])
        else:
            life.doom(Doom(grace=pod["metadata"]["deletionGracePeriodSeconds"], deleted=True))

    def _bury(self, uid: str) -> None:
        life, task = self._lives[uid], self._tasks[uid]
        life.status.forgotten.set()
        life.doom(Doom(grace=0, deleted=True))

        def done(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                self._errors.append(error)
            if self._lives.pop(uid, None) is not None:
                life.close()
            del self._tasks[uid]
            shutil.rmtree(life.places.root, ignore_errors=True)

        task.add_done_callback(done)

    async def close(self) -> None:
        """End every container at once."""
        for life in self._lives.values():
            life.crash()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        ended = [*self._errors, *(task.exception() for task in tasks if not task.cancelled())]
        for life in self._lives.values():
            life.close()
        for error in ended:
            if error is not None:
                raise error

    # --- looking ---

    def life(self, name: str, namespace: str) -> Life | None:
        """The life of the pod of this name."""
        found = self.stock.find(PODS, namespace, name)
        return self._lives.get(found.object["metadata"]["uid"]) if found else None

    def lives(self) -> list[Life]:
        """Every pod's life."""
        return list(self._lives.values())

    def image(self, name: str) -> Image | None:
        """What this image runs; None when it cannot be pulled."""
        if any(fnmatch(name, pattern) for pattern in self.missing_images):
            return None
        return next((image for pattern, image in self.images.items() if fnmatch(name, pattern)), AGENT_IMAGE)

    def find(self, namespace: str) -> Callable[[str, str], Json | None]:
        """What volumes and variables may ask for in this namespace."""

        def look(kind: str, name: str) -> Json | None:
            found = self.stock.find(BY_KIND[kind], namespace, name)
            return found.object if found else None

        return look

    def fits(self, spec: Json, namespace: str) -> str:
        """Why this pod cannot be scheduled; empty when it can."""
        if self.no_room:
            return self.no_room
        for name in (v["persistentVolumeClaim"]["claimName"] for v in spec.get("volumes") or []
                     if "persistentVolumeClaim" in v):  # fmt: skip
            if not self.stock.find(CLAIMS, namespace, name):
                return f'persistentvolumeclaim "{name}" not found. not found'
        labels = self.stock.get(NODES, "", self.name).object["metadata"].get("labels") or {}
        wanted = spec.get("nodeSelector") or {}
        if any(labels.get(key) != value for key, value in wanted.items()):
            return "1 node(s) didn't match Pod's node affinity/selector."
        return ""

    # --- telling ---

    def event(self, pod: Json, reason: str, message: str, *, kind: str = "Normal", source: str = "kubelet") -> None:
        """Tell of something that happened to a pod; the same once more is counted."""
        meta = pod["metadata"]
        key = (meta["uid"], reason, message)
        if (old := self.stock.find(EVENTS, meta["namespace"], self._events.get(key, ""))) is not None:
            again = {**old.object, "count": old.object["count"] + 1, "lastTimestamp": now()}
            self.stock.replace(EVENTS, again)
            return
        told = self.stock.create(EVENTS, {
            "metadata": {"name": f"{meta['name']}.{self.stock.version + 1:016x}", "namespace": meta["namespace"]},
            "involvedObject": {
                "kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"],
                "apiVersion": "v1", "resourceVersion": meta["resourceVersion"],
            },
            "reason": reason, "message": message, "source": {"component": source, "host": self.name},
            "firstTimestamp": now(), "lastTimestamp": now(), "count": 1, "type": kind, "eventTime": None,
            "reportingComponent": source, "reportingInstance": self.name,
        })  # fmt: skip
        self._events[key] = told.object["metadata"]["name"]

    def die(self) -> None:
        """The kubelet is gone: what is attached is cut, and nobody hears of the pods any more."""
        self.dead = True
        self.shed()

    def be_missed(self) -> None:
        """It has been away so long that the cluster calls its pods not ready. What else it says of them stays."""
        self.die()
        for life in self.lives():
            life.be_missed()

    def revive(self) -> None:
        """The kubelet is there again and tells what it found."""
        self.dead = False
        self._awake.set()

    async def awake(self) -> None:
        """Wait until the kubelet lives."""
        while self.dead:
            self._awake.clear()
            await self._awake.wait()
