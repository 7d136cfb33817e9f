"""What is known of a pod comes by several ways at once, and the newest counts, not what came last."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest

from adapters.kubernetes.known import Known
from adapters.kubernetes.pod import Guest, pod_of
from adapters.kubernetes.seen import Stage
from orchestrator.nouns import Agent, RunId

RUN = RunId("r-1")
Json = dict[str, Any]


def pod(version: int, *, running: bool) -> Json:
    """The pod at this version of it."""
    body = copy.deepcopy(pod_of(RUN, Agent("rehearsal", "rehearsal"), Guest(image="agent:1")))
    meta = {"uid": "u-1", "resourceVersion": str(version), "creationTimestamp": "2026-01-01T00:00:00Z"}
    state = {"running": {"startedAt": "2026-01-01T00:00:01Z"}} if running else {"waiting": {"reason": "Creating"}}
    status = {"phase": "Running" if running else "Pending", "containerStatuses": [{"name": "agent", "state": state}]}
    return {**body, "metadata": {**body["metadata"], **meta}, "status": status}


def stage(known: Known) -> Stage:
    seen = known.get(RUN)
    assert seen is not None
    return seen.stage


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(Known.learn, id="answer"),
        pytest.param(lambda known, old: known.put([old], version=50), id="list"),
        pytest.param(lambda known, old: known.change("MODIFIED", old), id="watch"),
    ],
)
def test_what_comes_late_does_not_undo_what_is_newer(late: Callable[[Known, Json], object]) -> None:
    """The answer to a create may be read after the watch has told that the pod runs; nothing more would follow."""
    known = Known()
    known.change("ADDED", pod(9, running=False))
    known.change("MODIFIED", pod(100, running=True))
    late(known, pod(9, running=False))
    assert stage(known) is Stage.RUNNING
    known.change("MODIFIED", pod(101, running=False))
    assert stage(known) is Stage.COMING


def test_a_change_that_says_nothing_new_is_still_the_newest() -> None:
    known = Known()
    known.change("ADDED", pod(9, running=False))
    known.change("MODIFIED", pod(11, running=False))
    known.learn(pod(10, running=True))
    assert stage(known) is Stage.COMING


async def test_who_waits_is_woken_by_what_is_newer_alone() -> None:
    known = Known()
    known.learn(pod(5, running=False))
    waiting = asyncio.create_task(
        known.until(RUN, lambda seen: seen is not None and seen.stage is Stage.RUNNING, seconds=60)
    )
    await asyncio.sleep(0)
    known.learn(pod(4, running=True))
    await asyncio.sleep(0)
    assert not waiting.done()
    known.learn(pod(6, running=True))
    assert (await waiting) is not None
