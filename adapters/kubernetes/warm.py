"""A pod that is started ahead of its run, and what makes it that run's. Pure; it knows no API.

A warm pod has nothing of a run in it: what agentd needs comes by the pipe. Of two profiles whose pods have the same
form one warm pod serves either.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from adapters.kubernetes.guest import Guest
from adapters.kubernetes.pod import MARGIN_SECONDS, RUN, pod_of
from orchestrator.nouns import Agent, RunId

Body = dict[str, Any]

WARM = "army/warm"
"""The label of a pod that waits for a run: its form."""

ASKED = "army/asked"
"""The annotation that says when the bot asked for this pod, in milliseconds. Where a request that was cut off arrives
late, a run has two: whoever asked last had made sure that there was none, and works with what came of that."""

INSTANCE = "app.kubernetes.io/instance"
EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
DEADLINE = "activeDeadlineSeconds"
OF_A_RUN = (RUN, "army/agent")


def form_of(body: Body) -> str:
    """What a pod is apart from whose it is and how long it may live: the same text for pods that can stand in."""
    spec = {key: value for key, value in body["spec"].items() if key != DEADLINE}
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:12]


def warm_of(name: str, agent: Agent, guest: Guest, *, idle: float) -> Body:
    """A pod that can become a run of this agent within so many seconds. Raises `Refused`, as `pod_of` does.

    A deadline can only be brought nearer later: this one leaves a whole life to whoever comes last.
    """
    body = pod_of(RunId(name), agent, guest)
    meta = body["metadata"]
    labels = {key: text for key, text in meta["labels"].items() if key not in OF_A_RUN}
    notes = {key: text for key, text in meta["annotations"].items() if key not in OF_A_RUN}
    body["metadata"] = {
        "name": name,
        "labels": {**labels, INSTANCE: name, WARM: form_of(body)},
        "annotations": {**notes, EVICT: "true"},
    }
    body["spec"] |= {DEADLINE: body["spec"][DEADLINE] + int(idle) + MARGIN_SECONDS}
    return body


def claim_of(body: Body, *, uid: str, version: str, age: float) -> Body:
    """The changes that make this version of a warm pod the pod of a run, whose own would be `body`.

    A deadline counts from a pod's start, so its age is added to the life of the run.
    """
    meta = body["metadata"]
    return {
        "metadata": {
            "uid": uid,
            "resourceVersion": version,
            "labels": {**meta["labels"], WARM: None},
            "annotations": meta["annotations"],
        },
        "spec": {DEADLINE: body["spec"][DEADLINE] + int(age)},
    }
