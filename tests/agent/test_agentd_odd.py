"""agentd with a shell as its CLI: bugs, orphans, stubborn programs, programs that are not there."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import psutil
import pytest

from agent.wire import Beat, CliDied, Finished, Noticed, TurnEnded, Wrote
from tests.agent.harness import Pod
from tests.agent.test_agentd_kill import gone, runs

ODD = "tests.agent.odd_agentd"


async def test_a_bug_over_a_line_costs_the_line_and_is_said(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod", module=ODD) as pod:
        await pod.start("echo boom; echo after", driver="odd", script="")
        await pod.until(Wrote, lambda wrote: wrote.text == "after")
        assert "bug" in pod.all(Noticed)[0].text
        assert "a bug in read" in pod.stderr
        await pod.stop()
    pod.check()


async def test_a_bug_elsewhere_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    for first, later in (("boom", ""), ("echo fine", "boom")):
        async with Pod(tmp_path / first[:4], module=ODD) as pod:
            await pod.start(first, driver="odd", script="")
            if later:
                await pod.until(Wrote)
                await pod.say(later)
            assert await pod.over() == 0
        pod.check()
        assert pod.all(Finished)[0].reason == "failed"
        assert "a bug in say" in pod.all(Finished)[0].words


async def test_a_program_that_is_not_there_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod", module=ODD) as pod:
        await pod.start("x", driver="odd", script="/no/such/program")
        assert await pod.over() == 0
    assert "/no/such/program cannot be started: No such file" in pod.all(Finished)[0].words


async def test_a_death_that_cannot_be_helped_ends_the_run(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod", module=ODD) as pod:
        await pod.start("echo last words; echo why >&2; exit 9", driver="odd", script="")
        assert await pod.over() == 0
    pod.check()
    assert pod.all(Wrote)[0].text == "last words"
    assert pod.all(CliDied) == [CliDied("sh ended with 9: why", 9)]
    assert pod.all(Finished) == [Finished("failed", "sh ended with 9: why")]


async def test_the_end_ends_orphans_too_and_programs_that_ignore_sigterm(tmp_path: Path) -> None:
    orphan = "setsid sh -c 'sleep 600 & echo $!; wait' & sleep 0.2"
    async with Pod(tmp_path / "pod", module=ODD, pace=0.05) as pod:
        await pod.start(f"trap '' TERM; {orphan}; echo done; while :; do sleep 0.05; done", driver="odd", script="")
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
        await pod.start("head -c 2000000 /dev/zero | tr '\\0' x; echo; echo done", driver="odd", script="")
        await pod.until(TurnEnded)
        await pod.stop()
    pod.check()
    assert "1800000 characters left out" in pod.all(Wrote)[0].text


async def test_what_a_dead_cli_left_running_is_ended_before_the_next_one_starts(tmp_path: Path) -> None:
    orphan = "setsid sh -c 'sleep 600 & echo $!; wait' & sleep 0.2"
    async with Pod(tmp_path / "pod", module=ODD, pace=0.05) as pod:
        await pod.start(f"{orphan}; exit 3", driver="odd", script="")
        left = int((await pod.until(Wrote)).text)
        await pod.until(CliDied)
        await pod.say("echo alive")
        await pod.until(Wrote, lambda wrote: wrote.text == "alive")
        assert not runs(left)
        await pod.stop()
    pod.check()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process")
async def test_the_last_words_of_a_cli_wait_for_a_full_disk(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod", module=ODD, pace=0.02) as pod:
        await pod.start(
            "echo ready; read go; for i in 1 2 3 4 5; do echo $i; sleep 0.05; done; exit 9", driver="odd", script=""
        )
        await pod.until(Wrote)
        await pod.say("go")
        await pod.until(Wrote, lambda wrote: wrote.text == "1")
        assert pod.process is not None
        agentd = psutil.Process(pod.process.pid)
        before = agentd.rlimit(psutil.RLIMIT_FSIZE)
        agentd.rlimit(psutil.RLIMIT_FSIZE, ((pod.state / "journal").stat().st_size, before[1]))
        cli = pod.cli
        await pod.until_live(Beat, lambda beat: beat.trouble)
        await gone(cli)
        agentd.rlimit(psutil.RLIMIT_FSIZE, before)
        assert await pod.over() == 0
    pod.check()
    assert [wrote.text for wrote in pod.all(Wrote)] == ["ready", "1", "2", "3", "4", "5"]


async def test_a_workspace_that_the_agent_removed_is_made_again(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod", module=ODD, pace=0.05) as pod:
        await pod.start(f"rm -rf {tmp_path}/pod/workspace; exit 3", driver="odd", script="")
        await pod.until(CliDied)
        await pod.say("pwd")
        assert (await pod.until(Wrote)).text == f"{tmp_path}/pod/workspace"
        await pod.stop()
    pod.check()


async def test_a_program_that_is_busy_for_a_moment_ends_no_run(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexec sh\n")
    program.chmod(0o755)
    async with Pod(tmp_path / "pod", module=ODD) as pod:
        with program.open("ab"):  # as it is while it is updated
            await pod.start("echo started", driver="odd", script=str(program))
            await pod.until(CliDied, lambda died: "busy" in died.words)
        assert (await pod.until(Wrote)).text == "started"
        await pod.stop()
    pod.check()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_programs_start_with_no_signal_ignored(tmp_path: Path) -> None:
    """agentd itself outlives the hang-up of its terminal; what the agent runs behaves as it does anywhere else."""
    async with Pod(tmp_path / "pod", module=ODD) as pod:
        await pod.start("grep SigIgn /proc/self/status", driver="odd", script="")
        ignored = int((await pod.until(Wrote)).text.split()[1], 16)
        assert ignored & ((1 << 31) - 1) == 0, "the numbers above 31 are the C library's own, and inherited"
        assert pod.process is not None
        pod.process.send_signal(signal.SIGHUP)
        await pod.say("echo still here")
        await pod.until(Wrote, lambda wrote: wrote.text == "still here")
        await pod.stop()


async def test_a_bug_while_a_driver_is_made_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod") as pod:
        await pod.start(script="/" + "a" * 5000)  # its name is too long for any system
        assert await pod.over() == 0
    pod.check()
    assert pod.all(Finished)[0].reason == "failed"


async def test_the_password_of_a_repository_is_shown_to_nobody(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod", module=ODD) as pod:
        url = "https://me:ghp-0123456789@127.0.0.1:1/a.git"
        await pod.start(f"echo origin {url}", driver="odd", script="", repositories=(url,))
        assert (await pod.until(Wrote)).text == "origin https://me:•••@127.0.0.1:1/a.git"
        await pod.stop()
    pod.check()
    assert "ghp-0123456789" not in (pod.state / "journal").read_text()
