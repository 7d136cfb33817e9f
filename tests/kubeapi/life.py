"""One pod's life: scheduled, its sandbox made, its image pulled, run, restarted, ended; told in status and events.

It knows the node, and no request.
"""

from __future__ import annotations

import asyncio
import copy
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.kubeapi import command
from tests.kubeapi.container import Container
from tests.kubeapi.log import Log
from tests.kubeapi.places import Missing, Places, too_much
from tests.kubeapi.refusal import Json
from tests.kubeapi.sorts import PODS, RUNTIME_CLASSES
from tests.kubeapi.stock import now

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
        meta = pod["metadata"]
        self.name: str = meta["name"]
        self.namespace: str = meta["namespace"]
        self.uid: str = meta["uid"]
        self.spec: Json = pod["spec"]
        self.container: Container | None = None
        self.logs: list[Log] = []
        self.restarts = 0
        self.lost = False
        self.forgotten = asyncio.Event()
        self.places = Places(node.root / "pods" / self.uid)
        self._node = node
        self._doom: Doom | None = None
        self._doomed = asyncio.Event()
        self._last: Json = {}
        self._began = 0.0
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def pod(self) -> Json | None:
        """The object as it is now; None when it is gone, or another one has its name."""
        found = self._node.stock.find(PODS, self.namespace, self.name)
        return found.object if found and found.object["metadata"]["uid"] == self.uid else None

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
        self._tell("Evicted", message, kind="Warning")
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
        self._change(lambda status: _condition(status, "Ready", "False", reason="NodeNotReady"))

    def vanish(self, *, reason: str, message: str) -> None:
        """Its machine is gone: the processes die, nobody tells of it, and the object stays until it is forced away."""
        self.lost = True
        self.crash()
        pod = copy.deepcopy(self.pod)
        if pod is not None:
            status = pod["status"]
            status |= {"reason": "NodeLost", "message": message}
            _condition(status, "Ready", "False", reason="NodeLost")
            _condition(status, "DisruptionTarget", "True", reason=reason, message=message)
            pod["metadata"] |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": 30}
            self._node.stock.replace(PODS, pod)

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

    async def _live(self) -> None:
        await self._schedule()
        start = self._began = time.monotonic()
        self._set_deadline()
        await self._heard()
        await self._sandbox()
        await self._pull()
        for number, about in enumerate(self.spec.get("initContainers") or []):
            await self._first(number, about)
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
                words = (
                    f"back-off {pause:g}s restarting failed container={self._called} pod={self.name}_{self.namespace}"
                )
                self._wait("CrashLoopBackOff", f"{words}({self.uid})")
                self._tell("BackOff", f"Back-off restarting failed container {self._called} in pod", kind="Warning")
                await asyncio.sleep(pause)
            pause = min(300.0, pause * 2 or self._node.crash_seconds)
            self.restarts += 1

    async def _look(self) -> None:
        """What the kubelet's housekeeping does: nothing is ever full, but who has taken too much is evicted."""
        while True:
            await asyncio.sleep(self._node.look_seconds)
            if self.container is not None and not self._node.dead and (why := too_much(self.spec, self.places)):
                self._tell("Evicted", why, kind="Warning")
                self.doom(Doom(1, reason="Evicted", message=why))
                return

    async def _first(self, number: int, about: Json) -> None:
        """Run an init container until it has ended well; as often as that takes."""
        while code := await self._one_first(number, about):
            self._tell("BackOff", f"Back-off restarting failed container {about['name']} in pod", kind="Warning")
            self._say_first(
                number, about, {"waiting": {"reason": "CrashLoopBackOff", "message": f"it left with {code}"}}
            )
            await asyncio.sleep(self._node.crash_seconds)

    async def _one_first(self, number: int, about: Json) -> int:
        await self._heard()
        image = self._node.image(about["image"]) or command.AGENT_IMAGE
        alone = {**self.spec, "containers": [about]}
        places = self.places.of(about)
        try:
            env = command.environment({"metadata": self._pod_meta(), "spec": alone}, image, places,
                                      find=self._node.find(self.namespace), own=os.environ)  # fmt: skip
        except Missing as missing:
            self._say_first(number, about, {"waiting": {
                "reason": "CreateContainerConfigError", "message": str(missing)}})  # fmt: skip
            return 128
        log = Log(self.places.root / f"first-{number}.log")
        container = Container(log)
        try:
            await container.start(command.argv(about, image, places), env=env, cwd="/", stdin=False)
            self._say_first(number, about, {"running": {"startedAt": now()}})
            code = await container.run()
        except asyncio.CancelledError:
            container.kill(signal.SIGKILL)
            await container.run()
            raise
        finally:
            log.close()
        self._say_first(number, about, {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}})
        return code

    def _pod_meta(self) -> Json:
        pod = self.pod
        return pod["metadata"] if pod is not None else {"name": self.name, "namespace": self.namespace}

    def _say_first(self, number: int, about: Json, state: Json) -> None:
        def told(status: Json) -> None:
            known = status.setdefault("initContainerStatuses", [])
            known[number:] = [{
                "name": about["name"], "state": state, "lastState": {}, "ready": "terminated" in state,
                "restartCount": 0, "image": about["image"], "imageID": about["image"],
            }]  # fmt: skip

        self._change(told)

    @property
    def _called(self) -> str:
        return str(self.spec["containers"][0]["name"])

    async def _schedule(self) -> None:
        told = ""
        while why := self._node.fits(self.spec, self.namespace):
            if why != told:
                told = why
                self._unschedulable(
                    f"0/1 nodes are available: {why} preemption: 0/1 nodes are available: "
                    "1 No preemption victims found for incoming pod."
                )
            await asyncio.sleep(self._node.retry_seconds)
        await asyncio.sleep(0)
        pod = copy.deepcopy(self.pod)
        if pod is None:
            return
        pod["spec"]["nodeName"] = self._node.name
        self.spec = pod["spec"]
        _condition(pod["status"], "PodScheduled", "True")
        self._node.stock.replace(PODS, pod)
        words = f"Successfully assigned {self.namespace}/{self.name} to {self._node.name}"
        self._tell("Scheduled", words, source="default-scheduler")

    def _unschedulable(self, words: str) -> None:
        def told(status: Json) -> None:
            _condition(status, "PodScheduled", "False", reason="Unschedulable", message=words)

        self._change(told)
        self._tell("FailedScheduling", words, kind="Warning", source="default-scheduler")

    async def _sandbox(self) -> None:
        self._change(self._creating)
        while True:
            why = ("FailedMount", self._mounted()) if self._mounted() else ("FailedCreatePodSandBox", self._handler())
            if not why[1]:
                break
            self._tell(*why, kind="Warning")
            await asyncio.sleep(self._node.retry_seconds)
        self._change(lambda status: _condition(status, "PodReadyToStartContainers", "True"))

    def _mounted(self) -> str:
        try:
            self.places.prepare(self.spec, find=self._node.find(self.namespace), claims=self._node.root / "claims")
        except Missing as missing:
            return str(missing)
        return ""

    def _handler(self) -> str:
        name = self.spec.get("runtimeClassName")
        found = self._node.stock.find(RUNTIME_CLASSES, "", name) if name else None
        handler = found.object["handler"] if found else "runc"
        if handler in self._node.handlers:
            return ""
        return (
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: "
            f'no runtime for "{handler}" is configured'
        )

    async def _pull(self) -> None:
        image = self.spec["containers"][0]["image"]
        backing = False
        while self._node.image(image) is None:
            words = (
                f'Failed to pull image "{image}": rpc error: code = NotFound desc = failed to pull and unpack image '
                f'"{image}": failed to resolve reference "{image}": {image}: not found'
            )
            if backing:
                self._tell("BackOff", f'Back-off pulling image "{image}"', kind="Normal")
                self._wait("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {words}')
            else:
                self._tell("Pulling", f'Pulling image "{image}"')
                self._tell("Failed", words, kind="Warning")
                self._tell("Failed", "Error: ErrImagePull", kind="Warning")
                self._wait("ErrImagePull", words)
            backing = not backing
            await asyncio.sleep(self._node.retry_seconds)
        await asyncio.sleep(self._node.pull_seconds)
        self._tell("Pulled", f'Container image "{image}" already present on machine')

    async def _one_container(self) -> int:
        await self._heard()
        if self._node.hollow:
            self._change(self._running)
            await asyncio.Event().wait()
        container = await self._started()
        if container is None:
            return 128
        self.container = container
        self._change(self._running)
        self._tell("Started", f"Started container {self._called}")
        code = await container.run()
        self.container = None
        await self._heard()
        reason = "OOMKilled" if container.oom else "Completed" if code == 0 else "Error"
        self._last = {"terminated": {
            "exitCode": code, "reason": reason, "startedAt": self._since, "finishedAt": now(),
            "containerID": f"containerd://{container.id}",
        }}  # fmt: skip
        self._change(self._terminated)
        return code

    async def _started(self) -> Container | None:
        find = self._node.find(self.namespace)
        image = self._node.image(self.spec["containers"][0]["image"]) or command.AGENT_IMAGE
        while True:
            pod = self.pod
            if pod is None:
                await asyncio.Event().wait()  # it is being buried just now
                return None
            try:
                env = command.environment(pod, image, self.places, find=find, own=os.environ)
                break
            except Missing as missing:
                self._wait("CreateContainerConfigError", str(missing))
                self._tell("Failed", f"Error: {missing}", kind="Warning")
                await asyncio.sleep(self._node.retry_seconds)
        about = self.spec["containers"][0]
        self._tell("Created", f"Created container: {self._called}")
        self.places.root.mkdir(parents=True, exist_ok=True)
        log = Log(self.places.root / f"{self.restarts}.log")
        self.logs.append(log)
        container = self._node.container(log)
        self._since = now()
        try:
            cwd = self.places.here(about.get("workingDir") or "/")
            words = command.argv(about, image, self.places)
            await container.start(words, env=env, cwd=cwd, stdin=bool(about.get("stdin")))
        except OSError as error:
            log.finish()
            words_of = f'failed to create containerd task: exec: "{words[0]}": {error.strerror}'
            self._last = {"terminated": {
                "exitCode": 128, "reason": "StartError", "message": words_of, "startedAt": self._since,
                "finishedAt": now(),
            }}  # fmt: skip
            self._change(self._terminated)
            self._tell("Failed", f"Error: {words_of}", kind="Warning")
            return None
        return container

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
            self._tell("DeadlineExceeded", words)
            self.doom(Doom(self.spec["terminationGracePeriodSeconds"], reason="DeadlineExceeded", message=words))

    async def _end(self, living: asyncio.Task[None]) -> None:
        """SIGTERM, the grace, SIGKILL; the last word is the status."""
        container = self.container
        if container is None:
            living.cancel()
            await asyncio.wait({living})
            container = self.container  # it may have come to be just now
        code = 0
        if container is not None:
            living.cancel()
            await asyncio.wait({living})
            code = await self._kill(container)
            self.container = None
            reason = "OOMKilled" if container.oom else "Completed" if code == 0 else "Error"
            self._last = {"terminated": {
                "exitCode": code, "reason": reason, "startedAt": self._since, "finishedAt": now(),
                "containerID": f"containerd://{container.id}",
            }}  # fmt: skip
        await self._heard()
        if self._last or (self._doom and self._doom.reason):
            await self._finish(code)

    async def _kill(self, container: Container) -> int:
        self._tell("Killing", f"Stopping container {self._called}")
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
        if self.pod is not None:
            self._node.stock.remove(PODS, self.namespace, self.name)

    async def _finish(self, code: int) -> None:
        await self._heard()
        doom = self._doom

        def told(status: Json) -> None:
            self._terminated(status)
            status["phase"] = "Succeeded" if code == 0 and not (doom and doom.reason) else "Failed"
            _condition(status, "Initialized", "True")
            for name in ("Ready", "ContainersReady"):
                ended = "PodCompleted" if status["phase"] == "Succeeded" else "PodFailed"
                _condition(status, name, "False", reason=ended)
            if doom and doom.reason:
                status |= {"reason": doom.reason, "message": doom.message}
            if doom and doom.condition:
                _condition(status, "DisruptionTarget", "True", reason=doom.condition, message=doom.message)

        self._change(told)

    # --- telling ---

    async def _heard(self) -> None:
        """Wait until somebody hears of this pod; never, when its machine is gone."""
        if self.lost:
            await self.forgotten.wait()
        await self._node.awake()

    def _tell(self, reason: str, message: str, *, kind: str = "Normal", source: str = "kubelet") -> None:
        pod = self.pod
        if pod is not None:
            self._node.event(pod, reason, message, kind=kind, source=source)

    def _change(self, how: Callable[[Json], object]) -> None:
        pod = self.pod
        if pod is not None:
            status = copy.deepcopy(pod["status"])
            how(status)
            self._node.stock.replace(PODS, {**pod, "status": status})

    def _creating(self, status: Json) -> None:
        status |= {"hostIP": "10.0.0.11", "startTime": now()}
        _condition(status, "PodReadyToStartContainers", "False")
        _condition(status, "Initialized", "True")
        unready = f"containers with unready status: [{self._called}]"
        for name in ("Ready", "ContainersReady"):
            _condition(status, name, "False", reason="ContainersNotReady", message=unready)
        self._container(status, {"waiting": {"reason": "ContainerCreating"}})

    def _wait(self, reason: str, message: str) -> None:
        self._change(lambda status: self._container(status, {"waiting": {"reason": reason, "message": message}}))

    def _running(self, status: Json) -> None:
        status |= {"phase": "Running", "podIP": "10.42.0.17", "podIPs": [{"ip": "10.42.0.17"}]}
        self._container(status, {"running": {"startedAt": now()}})
        for name in ("Ready", "ContainersReady"):
            _condition(status, name, "True")

    def _terminated(self, status: Json) -> None:
        if self._last:
            self._container(status, self._last)
            for name in ("Ready", "ContainersReady"):
                unready = f"containers with unready status: [{self._called}]"
                _condition(status, name, "False", reason="ContainersNotReady", message=unready)

    def _container(self, status: Json, state: Json) -> None:
        running = "running" in state
        image = self.spec["containers"][0]["image"]
        known: Json = {
            "name": self._called, "state": state, "lastState": {} if state is self._last else self._last,
            "ready": running, "started": running, "restartCount": self.restarts, "image": image, "imageID": image,
        }  # fmt: skip
        if self.container is not None:
            known["containerID"] = f"containerd://{self.container.id}"
        status["containerStatuses"] = [known]


def _condition(status: Json, name: str, value: str, *, reason: str = "", message: str = "") -> None:
    conditions: list[Json] = status.setdefault("conditions", [])
    said = {"type": name, "status": value}
    said |= {key: text for key, text in (("reason", reason), ("message", message)) if text}
    for at, old in enumerate(conditions):
        if old["type"] == name:
            if {key: old[key] for key in old if key != "lastTransitionTime"} != said:
                conditions[at] = {**said, "lastTransitionTime": now()}
            return
    conditions.append({**said, "lastTransitionTime": now()})
