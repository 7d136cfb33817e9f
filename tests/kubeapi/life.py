"""One pod's life: its container is run and restarted until it has to end, and then ended with its grace.

It knows the node, and no request. What is there before a container runs is `beginning.py`; how all of it is told is
`status.py`.
"""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.kubeapi.beginning import Beginning
from tests.kubeapi.container import Container
from tests.kubeapi.log import Log
from tests.kubeapi.places import Places, too_much
from tests.kubeapi.refusal import Json
from tests.kubeapi.status import Status

if TYPE_CHECKING:
    from tests.kubeapi.node import Node

PROVEN_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Doom:
    """Why a pod has to end. Without a reason it was deleted."""

    grace: float
    deleted: bool = False
    reason: str = ""
    message: str = ""
    condition: str = ""


class Life:
    """From the pod's creation until nothing of it is left."""

    def __init__(self, node: Node, pod: Json) -> None:
        self.status = Status(pod, stock=node.stock, tell=node.event)
        self.name = self.status.name
        self.namespace = self.status.namespace
        self.uid = self.status.uid
        self.spec: Json = pod["spec"]
        self.container: Container | None = None
        self.logs: list[Log] = []
        self.places = Places(node.root / "pods" / self.uid)
        self._node = node
        self._beginning = Beginning(node, self.status, self.places, heard=self._heard)
        self._doom: Doom | None = None
        self._doomed = asyncio.Event()
        self._began = 0.0
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def pod(self) -> Json | None:
        """The object as it is now; None when it is gone, or another one has its name."""
        return self.status.pod

    @property
    def restarts(self) -> int:
        """How often its container was started again."""
        return self.status.restarts

    @restarts.setter
    def restarts(self, times: int) -> None:
        self.status.restarts = times

    # --- what a test does to it ---

    def doom(self, doom: Doom) -> None:
        """Let it end; a second call can only make it quicker."""
        if self._doom is None:
            self._doom = doom
        else:
            old = self._doom
            self._doom = Doom(
                min(old.grace, doom.grace), old.deleted or doom.deleted, old.reason, old.message, old.condition
            )
        self._doomed.set()

    def evict(self, message: str = "The node was low on resource: memory.") -> None:
        """The kubelet needs the room."""
        self.status.event("Evicted", message, kind="Warning")
        self.doom(Doom(0, reason="Evicted", message=message, condition="TerminationByKubelet"))

    def oom(self) -> None:
        """The kernel kills process 1 for its memory."""
        if self.container is not None:
            self.container.oom = True
            self.container.kill(signal.SIGKILL)

    def crash(self) -> None:
        """Process 1 gets kill -9."""
        if self.container is not None:
            self.container.kill(signal.SIGKILL)

    def be_missed(self) -> None:
        """Its node does not answer: the cluster takes back that it is ready, and believes the rest."""
        self.status.missed()

    def vanish(self, *, reason: str, message: str) -> None:
        """Its machine is gone: the processes die, nobody tells of it, and the object stays until it is forced away."""
        self.status.lose(reason=reason, message=message)
        self.crash()

    # --- living ---

    async def run(self) -> None:
        """Until it has ended and, if it was deleted, its object is gone."""
        living = asyncio.create_task(self._live())
        looking = asyncio.create_task(self._look())
        doomed = asyncio.create_task(self._doomed.wait())
        try:
            await asyncio.wait({living, doomed}, return_when=asyncio.FIRST_COMPLETED)
            if self._doom is not None and not living.done():
                await self._end(living)
            elif not living.done() or living.exception() is not None:
                await living
            if self._doom is not None and self._doom.deleted:
                await self._leave()
        finally:
            for task in (doomed, living, looking):
                task.cancel()
            await asyncio.wait({doomed, living, looking})
            if self.container is not None:
                self.container.kill(signal.SIGKILL)
                await self.container.run()

    def close(self) -> None:
        """Let go of the logs."""
        for log in self.logs:
            log.close()
        self.logs.clear()

    async def _heard(self) -> None:
        """Wait until somebody hears of this pod; never, when its machine is gone."""
        if self.status.lost:
            await self.status.forgotten.wait()
        await self._node.awake()

    async def _live(self) -> None:
        self.spec = await self._beginning.scheduled(self.spec)
        start = self._began = time.monotonic()
        self._set_deadline()
        await self._beginning.prepared(self.spec)
        pause = 0.0
        while True:
            code = await self._one_container()
            policy = self.spec["restartPolicy"]
            if policy == "Never" or (policy == "OnFailure" and code == 0):
                await self._finish(code)
                return
            if time.monotonic() - start > PROVEN_SECONDS:
                pause = 0.0
            if pause:
                await self._back_off(pause)
            pause = min(300.0, pause * 2 or self._node.crash_seconds)
            self.restarts += 1

    async def _back_off(self, seconds: float) -> None:
        called = self.status.called
        words = f"back-off {seconds:g}s restarting failed container={called} pod={self.name}_{self.namespace}"
        self.status.waiting("CrashLoopBackOff", f"{words}({self.uid})")
        self.status.event("BackOff", f"Back-off restarting failed container {called} in pod", kind="Warning")
        await asyncio.sleep(seconds)

    async def _look(self) -> None:
        """What the kubelet's housekeeping does: nothing is ever full, but who has taken too much is evicted."""
        while True:
            await asyncio.sleep(self._node.look_seconds)
            if self.container is not None and not self._node.dead and (why := too_much(self.spec, self.places)):
                self.status.event("Evicted", why, kind="Warning")
                self.doom(Doom(1, reason="Evicted", message=why))
                return

    async def _one_container(self) -> int:
        await self._heard()
        if self._node.hollow:
            self.status.running()
            await asyncio.Event().wait()
        container = await self._beginning.started(self.spec, self.logs)
        if container is None:
            return 128
        self.container = container
        self.status.running(container.id)
        self.status.event("Started", f"Started container {self.status.called}")
        code = await container.run()
        self.container = None
        await self._heard()
        self.status.ended(code, container=container.id, oom=container.oom)
        self.status.terminated()
        return code

    # --- ending ---

    def changed(self, spec: Json) -> None:
        """Somebody changed what may be changed of a pod that lives."""
        if self.spec.get("activeDeadlineSeconds") != spec.get("activeDeadlineSeconds"):
            self.spec = spec
            self._set_deadline()

    def _set_deadline(self) -> None:
        """It counts from when the kubelet took the pod, whenever it was set."""
        seconds = self.spec.get("activeDeadlineSeconds")
        if self._deadline is not None:
            self._deadline.cancel()
        if self._began and seconds is not None:
            left = max(0.0, self._began + seconds - time.monotonic())
            self._deadline = asyncio.get_running_loop().call_later(left, self._expire)

    def _expire(self) -> None:
        pod = self.pod
        if pod is not None and pod["status"]["phase"] not in {"Succeeded", "Failed"}:
            words = "Pod was active on the node longer than the specified deadline"
            self.status.event("DeadlineExceeded", words)
            self.doom(Doom(self.spec["terminationGracePeriodSeconds"], reason="DeadlineExceeded", message=words))

    async def _end(self, living: asyncio.Task[None]) -> None:
        """SIGTERM, the grace, SIGKILL; the last word is the status."""
        living.cancel()
        await asyncio.wait({living})
        container = self.container  # it may have come to be just now
        code = 0
        if container is not None:
            code = await self._kill(container)
            self.container = None
            self.status.ended(code, container=container.id, oom=container.oom)
        await self._heard()
        if self.status.has_ended or (self._doom and self._doom.reason):
            await self._finish(code)

    async def _kill(self, container: Container) -> int:
        self.status.event("Killing", f"Stopping container {self.status.called}")
        over = asyncio.create_task(container.run())
        began = time.monotonic()
        container.kill(signal.SIGTERM)
        try:
            while not over.done():
                assert self._doom is not None
                left = self._doom.grace - (time.monotonic() - began)
                if left <= 0:
                    container.kill(signal.SIGKILL)
                    await over
                    break
                self._doomed.clear()
                hurry = asyncio.create_task(self._doomed.wait())  # a shorter grace may come
                await asyncio.wait({over, hurry}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                hurry.cancel()
                await asyncio.wait({hurry})
            return await over
        finally:
            if not over.done():
                container.kill(signal.SIGKILL)
                await over

    async def _leave(self) -> None:
        await self._heard()
        await asyncio.sleep(self._node.linger_seconds)
        self.status.remove()

    async def _finish(self, code: int) -> None:
        await self._heard()
        why = self._doom or Doom(0)
        self.status.finished(code, reason=why.reason, message=why.message, condition=why.condition)
