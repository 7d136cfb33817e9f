"""What is told of one pod: its conditions, the states of its containers, its events; in the kubelet's words.

It knows neither node nor process, and decides nothing: whoever has something to tell says when.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Protocol

from tests.kubeapi.refusal import Json
from tests.kubeapi.sorts import PODS
from tests.kubeapi.stock import Stock, now


class Tell(Protocol):
    """Lets an event of a pod be known."""

    def __call__(self, pod: Json, reason: str, message: str, *, kind: str, source: str) -> None: ...


class Status:
    """The pod's object as its kubelet keeps it. Nothing is told of a pod that is gone."""

    def __init__(self, pod: Json, *, stock: Stock, tell: Tell) -> None:
        meta = pod["metadata"]
        self.name: str = meta["name"]
        self.namespace: str = meta["namespace"]
        self.uid: str = meta["uid"]
        self.called: str = pod["spec"]["containers"][0]["name"]
        self.restarts = 0
        self.lost = False
        """Its machine is gone: nobody is left who could tell anything."""
        self.forgotten = asyncio.Event()
        """Its object is gone."""
        self._image: str = pod["spec"]["containers"][0]["image"]
        self._stock = stock
        self._tell = tell
        self._since = ""
        self._last: Json = {}

    @property
    def pod(self) -> Json | None:
        """The object as it is now; None when it is gone, or another one has its name."""
        found = self._stock.find(PODS, self.namespace, self.name)
        return found.object if found and found.object["metadata"]["uid"] == self.uid else None

    def event(self, reason: str, message: str, *, kind: str = "Normal", source: str = "kubelet") -> None:
        """Something happened to it."""
        pod = self.pod
        if pod is not None:
            self._tell(pod, reason, message, kind=kind, source=source)

    def remove(self) -> None:
        """Nothing of it is left, so its object goes."""
        if self.pod is not None:
            self._stock.remove(PODS, self.namespace, self.name)

    # --- before its container ---

    def unschedulable(self, words: str) -> None:
        """No node takes it."""
        self._change(lambda status: _condition(status, "PodScheduled", "False", reason="Unschedulable", message=words))
        self.event("FailedScheduling", words, kind="Warning", source="default-scheduler")

    def scheduled(self, node: str) -> Json | None:
        """This node takes it; the spec as it is from then on, unless it is gone."""
        pod = copy.deepcopy(self.pod)
        if pod is None:
            return None
        spec: Json = pod["spec"]
        spec["nodeName"] = node
        _condition(pod["status"], "PodScheduled", "True")
        self._stock.replace(PODS, pod)
        words = f"Successfully assigned {self.namespace}/{self.name} to {node}"
        self.event("Scheduled", words, source="default-scheduler")
        return spec

    def creating(self) -> None:
        """The kubelet has begun with it."""

        def told(status: Json) -> None:
            status |= {"hostIP": "10.0.0.11", "startTime": now()}
            _condition(status, "PodReadyToStartContainers", "False")
            _condition(status, "Initialized", "True")
            self._unready(status)
            self._container(status, {"waiting": {"reason": "ContainerCreating"}})

        self._change(told)

    def startable(self) -> None:
        """It has its volumes and its sandbox."""
        self._change(lambda status: _condition(status, "PodReadyToStartContainers", "True"))

    def first(self, number: int, about: Json, state: Json) -> None:
        """The state of an init container."""

        def told(status: Json) -> None:
            known = status.setdefault("initContainerStatuses", [])
            known[number:] = [{
                "name": about["name"], "state": state, "lastState": {}, "ready": "terminated" in state,
                "restartCount": 0, "image": about["image"], "imageID": about["image"],
            }]  # fmt: skip

        self._change(told)

    # --- its container ---

    def waiting(self, reason: str, message: str) -> None:
        """The container does not run, for this reason."""
        self._change(lambda status: self._container(status, {"waiting": {"reason": reason, "message": message}}))

    def starting(self) -> None:
        """It is about to run. Nothing of this is told yet."""
        self._since = now()

    def running(self, container: str = "") -> None:
        """The container of this id runs."""

        def told(status: Json) -> None:
            status |= {"phase": "Running", "podIP": "10.42.0.17", "podIPs": [{"ip": "10.42.0.17"}]}
            self._container(status, {"running": {"startedAt": now()}}, container=container)
            for name in ("Ready", "ContainersReady"):
                _condition(status, name, "True")

        self._change(told)

    def ended(self, code: int, *, container: str, oom: bool) -> None:
        """The container of this id has ended. Nothing of this is told yet."""
        self._ended(code, "OOMKilled" if oom else "Completed" if code == 0 else "Error",
                    containerID=f"containerd://{container}")  # fmt: skip

    def not_started(self, code: int, why: str) -> None:
        """There is nothing that could run. Nothing of this is told yet."""
        self._ended(code, "StartError", message=why)

    @property
    def has_ended(self) -> bool:
        """Whether the container has run, or tried to, at least once."""
        return bool(self._last)

    def terminated(self) -> None:
        """Tell how the container ended."""
        self._change(self._terminated)

    # --- its end ---

    def finished(self, code: int, *, reason: str = "", message: str = "", condition: str = "") -> None:
        """The pod's last word: how it ended and, where it was made to end, why."""

        def told(status: Json) -> None:
            self._terminated(status)
            status["phase"] = "Succeeded" if code == 0 and not reason else "Failed"
            _condition(status, "Initialized", "True")
            for name in ("Ready", "ContainersReady"):
                ended = "PodCompleted" if status["phase"] == "Succeeded" else "PodFailed"
                _condition(status, name, "False", reason=ended)
            if reason:
                status |= {"reason": reason, "message": message}
            if condition:
                _condition(status, "DisruptionTarget", "True", reason=condition, message=message)

        self._change(told)

    def missed(self) -> None:
        """Its node does not answer: it is called not ready, and the rest of what was told of it stands."""
        self._change(lambda status: _condition(status, "Ready", "False", reason="NodeNotReady"))

    def lose(self, *, reason: str, message: str) -> None:
        """Its machine is gone, and its object is on its way out."""
        self.lost = True
        pod = copy.deepcopy(self.pod)
        if pod is not None:
            status = pod["status"]
            status |= {"reason": "NodeLost", "message": message}
            _condition(status, "Ready", "False", reason="NodeLost")
            _condition(status, "DisruptionTarget", "True", reason=reason, message=message)
            pod["metadata"] |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": 30}
            self._stock.replace(PODS, pod)

    # --- how ---

    def _change(self, how: Callable[[Json], object]) -> None:
        pod = self.pod
        if pod is not None:
            status = copy.deepcopy(pod["status"])
            how(status)
            self._stock.replace(PODS, {**pod, "status": status})

    def _ended(self, code: int, reason: str, **more: str) -> None:
        self._last = {"terminated": {
            "exitCode": code, "reason": reason, "startedAt": self._since, "finishedAt": now(), **more}}  # fmt: skip

    def _terminated(self, status: Json) -> None:
        if self._last:
            self._container(status, self._last)
            self._unready(status)

    def _unready(self, status: Json) -> None:
        unready = f"containers with unready status: [{self.called}]"
        for name in ("Ready", "ContainersReady"):
            _condition(status, name, "False", reason="ContainersNotReady", message=unready)

    def _container(self, status: Json, state: Json, *, container: str = "") -> None:
        running = "running" in state
        known: Json = {
            "name": self.called, "state": state, "lastState": {} if state is self._last else self._last,
            "ready": running, "started": running, "restartCount": self.restarts,
            "image": self._image, "imageID": self._image,
        }  # fmt: skip
        if container:
            known["containerID"] = f"containerd://{container}"
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
