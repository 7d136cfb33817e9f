"""agentd with a shell as its CLI: bugs, orphans, stubborn programs, programs that are not there."""

from __future__ import annotations

from pathlib import Path

import psutil

from agent.wire import CliDied, Finished, Noticed, TurnEnded, Wrote
from tests.agent.harness import Pod
from tests.agent.test_agentd_kill import gone

ODD = "tests.agent.odd_agentd"


async def test_a_bug_over_a_line_costs_the_line_and_is_said(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod", module=ODD) as pod:
        await pod.start("echo boom; echo after", driver="odd")
        await pod.until(Wrote, lambda wrote: wrote.text == "after")
        assert "bug" in pod.all(Noticed)[0].text
        assert "a bug in read" in pod.stderr
        await pod.stop()
    pod.check()


async def test_a_bug_elsewhere_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    for first, later in (("boom", ""), ("echo fine", "boom")):
        async with Pod(tmp_path / first[:4], module=ODD) as pod:
            await pod.start(first, driver="odd")
            if later:
                await pod.until(Wrote)
                await pod.say(later)
            assert await pod.over() == 0
        pod.check()
        assert pod.all(Finished)[0].reason == "failed"
        assert "a bug in say" in pod.all(Finished)[0].words


async def test_a_program_that_is_not_there_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod", module=ODD) as pod:
        await pod.start("x", driver="odd", script="missing")
        assert await pod.over() == 0
    assert "/no/such/program cannot be started: No such file" in pod.all(Finished)[0].words


async def test_a_death_that_cannot_be_helped_ends_the_run(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod", module=ODD) as pod:
        await pod.start("echo last words; echo why >&2; exit 9", driver="odd")
        assert await pod.over() == 0
    pod.check()
    assert pod.all(Wrote)[0].text == "last words"
    assert pod.all(CliDied) == [CliDied("sh ended with 9: why", 9)]
    assert pod.all(Finished) == [Finished("failed", "sh ended with 9: why")]


async def test_the_end_ends_orphans_too_and_programs_that_ignore_sigterm(tmp_path: Path) -> None:
    orphan = "setsid sh -c 'sleep 600 & echo $!; wait' & sleep 0.2"
    async with Pod(tmp_path / "pod", module=ODD, pace=0.05) as pod:
        await pod.start(f"trap '' TERM; {orphan}; echo done; while :; do sleep 0.05; done", driver="odd")
        await pod.until(TurnEnded)
        left = int(pod.all(Wrote)[0].text)
        cli = pod.cli
        assert psutil.pid_exists(left)
        await pod.stop()
        await gone(cli)
        await gone(left)
    pod.check()


async def test_a_line_of_two_mebibytes_is_one_report_that_is_cut(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod", module=ODD) as pod:
        await pod.start("head -c 2000000 /dev/zero | tr '\\0' x; echo; echo done", driver="odd")
        await pod.until(TurnEnded)
        await pod.stop()
    pod.check()
    assert "1800000 characters left out" in pod.all(Wrote)[0].text
