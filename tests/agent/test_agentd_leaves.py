"""When the run is over agentd leaves, however its stdout is drained: in a cluster the node takes everything, always."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.wire import Beat, Finished, Stop, TurnEnded
from tests.agent.harness import Pod

PACE = 0.05
"""Of agentd's deadlines: it waits a second for a reader to come back for the end."""


async def finished(pod: Pod) -> None:
    """It has had its turn, was stopped, and has told so."""
    await pod.start()
    await pod.until(TurnEnded)
    await pod.order(Stop())
    await pod.until(Finished)


async def test_who_only_hears_beats_does_not_keep_it(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod", module="tests.agent.beating_agentd", pace=PACE) as pod:
        await finished(pod)
        beats = sum(isinstance(live, Beat) for live in pod.live)
        assert await pod.exited() == 0
        assert sum(isinstance(live, Beat) for live in pod.live) > beats + 3
    pod.check()


async def test_who_takes_the_story_slowly_keeps_it_until_the_end(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod", module="tests.agent.beating_agentd", pace=PACE) as pod:
        await finished(pod)
        for _ in range(6):  # longer than its grace, in steps that are shorter
            await asyncio.sleep(0.4)
            await pod.resume(after=0)
        assert pod.process is not None
        assert pod.process.returncode is None
        await pod.resume()
        assert await pod.exited() == 0
    pod.check()
