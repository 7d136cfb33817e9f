"""What the cluster says of a pod, read into the few things that matter. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from adapters.kubernetes.pod import CONTAINER, MANAGED, RUN, START_SECONDS
from adapters.kubernetes.warm import DEADLINE, WARM
from adapters.kubernetes.words import LOST_BY, WAITS_FOR, condition, died, hindrance, lack, lost
from orchestrator.nouns import RunId, line

Json = Mapping[str, Any]

PROVEN_SECONDS = 60.0
MOST_DEATHS = 8
DEATHS_SECONDS = 1800.0
"""A container that died so often in its pod's first half hour, the last time within a minute, will not live.

Its node waits longer and longer in between, a quarter of an hour in all: so it never lived for long."""


class Stage(StrEnum):
    """How far a pod is."""

    COMING = "coming"
    RUNNING = "running"
    RESTARTING = "restarting"
    DONE = "done"  # agentd has said that the run is over, and left
    LOST = "lost"  # it ended otherwise, and its state with it
    LEAVING = "leaving"  # somebody wants it gone


@dataclass(frozen=True, slots=True)
class Spare:
    """Of a pod that waits for a run: its form, which version of it this is, when it began and how long it may live."""

    form: str
    version: str
    born: float
    deadline: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A pod as it was seen last. `words`: what it waits for, or why it ended. `hopeless`: waiting will not help.

    Its run stands in a label; the name is another one where it was started ahead. With a `spare` it has no run yet.
    """

    run: RunId
    uid: str
    stage: Stage
    name: str = ""
    words: str = ""
    vague: bool = False  # an event may know more than the status does
    hopeless: bool = False
    unplaced: bool = False  # no node takes it
    cramped: bool = False  # some node would take it, if there were more room on it
    running: bool = False  # its container is said to run, whatever is to become of the pod
    spoke: bool = False  # its container has run, at least once
    ready: bool = True  # False while it is said to run: its node does not answer
    ours: bool = True
    start_seconds: float = 600.0
    runtime_class: str = ""
    restarts: int = 0  # how often its node started the container again
    died: str = ""  # how the one before ended
    spare: Spare | None = None
    version: int = field(default=0, compare=False)  # of two of one pod, the higher is the newer

    @property
    def alive(self) -> bool:
        """Whether there is a process, or one is coming."""
        return self.stage in {Stage.COMING, Stage.RUNNING, Stage.RESTARTING}

    @property
    def sound(self) -> bool:
        """Whether nothing has happened to its process or its node: a pod that waits for a run is good only so."""
        return self.ready and not self.restarts


CRAMPED = re.compile(r"\bInsufficient |\bToo many pods\b")
HOPELESS = {"InvalidImageName", "ErrImageNeverPull"}


def see(pod: Json) -> Seen:
    """The pod as it is."""
    meta, spec, status = pod["metadata"], pod.get("spec", {}), pod.get("status", {})
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    managed = all(labels.get(key) == value for key, value in MANAGED.items())
    run, form = labels.get(RUN, "") if managed else "", labels.get(WARM, "") if managed else ""
    spare = (
        Spare(form, meta["resourceVersion"], _born(meta, status), spec.get(DEADLINE, 0)) if form and not run else None
    )
    container: Json = next((c for c in status.get("containerStatuses") or [] if c.get("name") == CONTAINER), {})
    state, before = container.get("state") or {}, (container.get("lastState") or {}).get("terminated")
    running = "running" in state
    told = _stage(meta, status, container)
    unplaced = told.stage is Stage.COMING and condition(status, "PodScheduled").get("status") == "False"
    return Seen(
        run=RunId("" if spare else run or meta["name"]),
        uid=meta["uid"],
        stage=told.stage,
        name=meta["name"],
        words=line(told.words),
        vague=told.vague,
        hopeless=told.hopeless,
        unplaced=unplaced,
        cramped=unplaced and bool(CRAMPED.search(condition(status, "PodScheduled").get("message", ""))),
        running=running,
        spoke=running or bool(before or state.get("terminated")),
        ready=not running or condition(status, "Ready").get("status") != "False",
        ours=bool(run),
        start_seconds=float(notes[START_SECONDS]) if notes.get(START_SECONDS, "").isdigit() else 600.0,
        runtime_class=spec.get("runtimeClassName", ""),
        restarts=int(container.get("restartCount", 0)),
        died=died(before) if before else "",
        spare=spare,
        version=int(version) if (version := meta.get("resourceVersion", "")).isdigit() else 0,
    )


def _born(meta: Json, status: Json) -> float:
    return datetime.fromisoformat(status.get("startTime") or meta["creationTimestamp"]).timestamp()


class _Told(NamedTuple):
    """What the status tells; see `Seen`."""

    stage: Stage
    words: str = ""
    vague: bool = False
    hopeless: bool = False


def _stage(meta: Json, status: Json, container: Json) -> _Told:
    phase = status.get("phase", "Pending")
    if phase == "Succeeded":
        return _Told(Stage.DONE, "The run has ended.")
    if phase == "Failed":
        return _Told(Stage.LOST, lost(status, container))
    if meta.get("deletionTimestamp"):
        why = LOST_BY.get(condition(status, "DisruptionTarget").get("reason", ""), "")
        return _Told(Stage.LEAVING, f"The pod is being removed: {why}." if why else "The pod is being removed.")
    if phase == "Unknown":
        return _Told(Stage.RESTARTING, "Its node does not answer.")
    return _present(status, container)


def _present(status: Json, container: Json) -> _Told:
    state = container.get("state") or {}
    if "running" in state:
        return _Told(Stage.RUNNING)
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in WAITS_FOR:
        return _Told(Stage.COMING, f"It cannot start: {lack(waiting)}", hopeless=reason in HOPELESS)
    if (ended := state.get("terminated")) and ended.get("exitCode") == 0:
        return _Told(Stage.DONE, "The run has ended.")  # its node will say so of the pod, too
    how = ended or (container.get("lastState") or {}).get("terminated")
    if how:
        words = f"The agent's process ended and is being started again: {died(how)}."
        return _Told(Stage.RESTARTING, words, hopeless=_never_lives(status, container, how))
    if why := hindrance(status):
        return _Told(Stage.COMING, f"It cannot start: {why}")
    scheduled = condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return _Told(Stage.COMING, f"No node can take it yet: {scheduled.get('message') or 'it waits'}")
    if scheduled.get("status") != "True":
        return _Told(Stage.COMING, "It waits for a node.", vague=True)
    return _Told(Stage.COMING, "Its container is being made.", vague=True)


def _never_lives(status: Json, container: Json, how: Json) -> bool:
    """Whether it died too often, too soon; `how` it did last."""
    deaths = int(container.get("restartCount", 0)) + ("terminated" in (container.get("state") or {}))
    early = _between(status.get("startTime"), how.get("finishedAt")) < DEATHS_SECONDS
    short = _between(how.get("startedAt"), how.get("finishedAt")) < PROVEN_SECONDS
    return deaths >= MOST_DEATHS and short and early


def _between(begun: str | None, ended: str | None) -> float:
    try:
        return (datetime.fromisoformat(ended or "") - datetime.fromisoformat(begun or "")).total_seconds()
    except (TypeError, ValueError):
        return 0.0
