"""What comes before a pod's container runs: a node, volumes, a sandbox, an image, what runs first, and its start.

Each step waits until it can be done, and tells meanwhile why it cannot. It does not know how the pod lives or ends:
when it has to end, whoever asked for the beginning cancels it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tests.kubeapi import command
from tests.kubeapi.container import Container
from tests.kubeapi.log import Log
from tests.kubeapi.places import Missing, Places
from tests.kubeapi.refusal import Json
from tests.kubeapi.sorts import RUNTIME_CLASSES
from tests.kubeapi.status import Status
from tests.kubeapi.stock import now

if TYPE_CHECKING:
    from tests.kubeapi.node import Node


class Beginning:
    """From the pod's creation until its container runs. `heard` waits for a kubelet that can tell of it."""

    def __init__(self, node: Node, status: Status, places: Places, *, heard: Callable[[], Awaitable[None]]) -> None:
        self._node = node
        self._status = status
        self._places = places
        self._heard = heard

    async def scheduled(self, spec: Json) -> Json:
        """Wait for a node; the spec as it is from then on."""
        told = ""
        while why := self._node.fits(spec, self._status.namespace):
            if why != told:
                told = why
                self._status.unschedulable(
                    f"0/1 nodes are available: {why} preemption: 0/1 nodes are available: "
                    "1 No preemption victims found for incoming pod."
                )
            await asyncio.sleep(self._node.retry_seconds)
        await asyncio.sleep(0)
        return self._status.scheduled(self._node.name) or spec

    async def prepared(self, spec: Json) -> None:
        """Make everything ready that its container needs."""
        await self._heard()
        await self._sandbox(spec)
        await self._pull(spec["containers"][0]["image"])
        for number, about in enumerate(spec.get("initContainers") or []):
            await self._first(number, about, spec)

    async def _sandbox(self, spec: Json) -> None:
        self._status.creating()
        while why := self._unmounted(spec) or self._unhandled(spec):
            self._status.event(*why, kind="Warning")
            await asyncio.sleep(self._node.retry_seconds)
        self._status.startable()

    def _unmounted(self, spec: Json) -> tuple[str, str] | None:
        find = self._node.find(self._status.namespace)
        try:
            self._places.prepare(spec, find=find, claims=self._node.root / "claims")
        except Missing as missing:
            return "FailedMount", str(missing)
        return None

    def _unhandled(self, spec: Json) -> tuple[str, str] | None:
        name = spec.get("runtimeClassName")
        found = self._node.stock.find(RUNTIME_CLASSES, "", name) if name else None
        handler = found.object["handler"] if found else "runc"
        if handler in self._node.handlers:
            return None
        return "FailedCreatePodSandBox", (
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: "
            f'no runtime for "{handler}" is configured'
        )

    async def _pull(self, image: str) -> None:
        backing = False
        while self._node.image(image) is None:
            words = (
                f'Failed to pull image "{image}": rpc error: code = NotFound desc = failed to pull and unpack image '
                f'"{image}": failed to resolve reference "{image}": {image}: not found'
            )
            if backing:
                self._status.event("BackOff", f'Back-off pulling image "{image}"')
                self._status.waiting("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {words}')
            else:
                self._status.event("Pulling", f'Pulling image "{image}"')
                self._status.event("Failed", words, kind="Warning")
                self._status.event("Failed", "Error: ErrImagePull", kind="Warning")
                self._status.waiting("ErrImagePull", words)
            backing = not backing
            await asyncio.sleep(self._node.retry_seconds)
        await asyncio.sleep(self._node.pull_seconds)
        self._status.event("Pulled", f'Container image "{image}" already present on machine')

    # --- what runs first ---

    async def _first(self, number: int, about: Json, spec: Json) -> None:
        """Run an init container until it has ended well; as often as that takes."""
        while code := await self._one_first(number, about, spec):
            words = f"Back-off restarting failed container {about['name']} in pod"
            self._status.event("BackOff", words, kind="Warning")
            waiting = {"reason": "CrashLoopBackOff", "message": f"it left with {code}"}
            self._status.first(number, about, {"waiting": waiting})
            await asyncio.sleep(self._node.crash_seconds)

    async def _one_first(self, number: int, about: Json, spec: Json) -> int:
        await self._heard()
        status = self._status
        image = self._node.image(about["image"]) or command.AGENT_IMAGE
        places = self._places.of(about)
        pod = status.pod
        meta = pod["metadata"] if pod is not None else {"name": status.name, "namespace": status.namespace}
        alone = {"metadata": meta, "spec": {**spec, "containers": [about]}}
        try:
            env = command.environment(alone, image, places, find=self._node.find(status.namespace), own=os.environ)
        except Missing as missing:
            waiting = {"reason": "CreateContainerConfigError", "message": str(missing)}
            status.first(number, about, {"waiting": waiting})
            return 128
        log = Log(self._places.root / f"first-{number}.log")
        container = Container(log)
        try:
            await container.start(command.argv(about, image, places), env=env, cwd="/", stdin=False)
            status.first(number, about, {"running": {"startedAt": now()}})
            try:
                code = await container.run()
            except asyncio.CancelledError:
                container.kill(signal.SIGKILL)
                await container.run()
                raise
        finally:
            log.close()
        ended = {"exitCode": code, "reason": "Error" if code else "Completed"}
        status.first(number, about, {"terminated": ended})
        return code

    # --- its start ---

    async def started(self, spec: Json, logs: list[Log]) -> Container | None:
        """The container with its log among these, or None when there is nothing that could run."""
        about = spec["containers"][0]
        image = self._node.image(about["image"]) or command.AGENT_IMAGE
        env = await self._environment(image)
        self._status.event("Created", f"Created container: {self._status.called}")
        self._places.root.mkdir(parents=True, exist_ok=True)
        log = Log(self._places.root / f"{self._status.restarts}.log")
        logs.append(log)
        container = self._node.container(log)
        self._status.starting()
        words = command.argv(about, image, self._places)
        try:
            cwd = self._places.here(about.get("workingDir") or "/")
            await container.start(words, env=env, cwd=cwd, stdin=bool(about.get("stdin")))
        except OSError as error:
            log.finish()
            why = f'failed to create containerd task: exec: "{words[0]}": {error.strerror}'
            self._status.not_started(128, why)
            self._status.terminated()
            self._status.event("Failed", f"Error: {why}", kind="Warning")
            return None
        return container

    async def _environment(self, image: command.Image) -> dict[str, str]:
        """The container's variables, when everything is there that they need."""
        find = self._node.find(self._status.namespace)
        while (pod := self._status.pod) is not None:
            try:
                return command.environment(pod, image, self._places, find=find, own=os.environ)
            except Missing as missing:
                self._status.waiting("CreateContainerConfigError", str(missing))
                self._status.event("Failed", f"Error: {missing}", kind="Warning")
                await asyncio.sleep(self._node.retry_seconds)
        await asyncio.Event().wait()  # it is being buried just now
        return {}
