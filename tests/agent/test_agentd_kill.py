"""agentd and its CLI are killed at many moments: no gap, no double, every input acted on once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path

import psutil
import pytest

from agent.agentd.group import read_note, started_at
from agent.wire import (
    Answer,
    Asked,
    CliDied,
    CliStarted,
    Finished,
    Heard,
    Noticed,
    Stop,
    Taken,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnStarted,
    Wrote,
)  # fmt: skip
from tests.agent.harness import Pod, write_script
from tests.agent.test_agentd_story import acted

STEPS = (
    {"say": "one two three", "pace": 0.05},
    {"tool": "Bash", "summary": "make", "output": "ok " * 2000, "seconds": 0.2},
    {"ask": "go on?", "choices": ["yes", "no"]},
    {"file": "a.txt", "content": "{answer}"},
    {"say": "you said {answer}", "pace": 0.1},
    {"cost": 0.1},
)
THEN = ({"say": "echo: {said}", "pace": 0.05}, {"tool": "Read", "output": "x", "seconds": 0.1}, {"cost": 0.01})


def kill_cli(pod: Pod) -> None:
    note = read_note(pod.state / "cli")
    if note.pid and started_at(note.pid) == note.started:
        os.kill(note.pid, signal.SIGKILL)


async def gone(pid: int) -> None:
    """The CLI dies with its agentd, before there is another one."""
    async with asyncio.timeout(5):
        while pid and runs(pid):  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.01)


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def tell_the_story(pod: Pod, script: str) -> None:
    """Say everything, an answer included, as it becomes possible; survives that agentd goes away between."""
    await pod.start(script=script, command_id="task")
    asked = await pod.until(Asked)
    await pod.order(Answer(asked.ask, picks=(0,)), command_id="answer")
    for number in range(3):
        await pod.say(f"words {number}", command_id=f"s{number}")
    await pod.until(TurnEnded, lambda _: {"s0", "s1", "s2"} <= {taken.id for taken in pod.all(Taken)} and rested(pod))


def rested(pod: Pod) -> bool:
    return len(pod.all(TurnEnded)) == len(pod.all(TurnStarted))


def check_the_story(pod: Pod) -> None:
    pod.check()
    assert [id_ for id_, _ in acted(pod)] == ["task", "s0", "s1", "s2"]
    assert [taken.id for taken in pod.all(Taken)] == ["task", "s0", "s1", "s2"]
    assert sorted(heard.id for heard in pod.all(Heard)) == ["answer", "s0", "s1", "s2", "stop", "task"]
    assert len(pod.all(TurnStarted)) == len(pod.all(TurnEnded))
    assert [wrote.text for wrote in pod.all(Wrote)][:2] == ["one two three", "you said yes"]
    assert sum(ended.cost_usd for ended in pod.all(TurnEnded)) == pytest.approx(
        0.1 + 0.01 * (len(pod.all(TurnEnded)) - 1)
    )
    calls = [called.call for called in pod.all(ToolCalled)]
    assert len(calls) == len(set(calls))
    assert [returned.call for returned in pod.all(ToolReturned)] == calls
    assert [asked.ask for asked in pod.all(Asked)] == ["ask-0.2"]
    final = " ".join(ended.text for ended in pod.all(TurnEnded))
    assert all(final.count(f"words {number}") == 1 for number in range(3))


@pytest.mark.parametrize("seed", range(3))
async def test_the_cli_is_killed_at_any_moment(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    script = write_script(tmp_path, *STEPS, then=THEN)
    async with Pod(tmp_path / "pod", env={"REHEARSAL_PACE": "1"}, pace=0.2) as pod:

        async def hurt() -> None:
            for _ in range(4):
                await asyncio.sleep(chance.uniform(0.05, 0.35))
                kill_cli(pod)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hurt())
            await tell_the_story(pod, script)
        await pod.stop(command_id="stop")
    check_the_story(pod)


@pytest.mark.parametrize("seed", range(3))
async def test_agentd_is_killed_at_any_moment(tmp_path: Path, seed: int) -> None:
    chance = random.Random(100 + seed)
    script = write_script(tmp_path, *STEPS, then=THEN)
    pod = Pod(tmp_path / "pod", env={"REHEARSAL_PACE": "1"})
    await pod.boot()

    async def once(seconds: float) -> None:
        """As much of the story as comes to pass in this time; what was not heard is sent again, as a bot does."""
        async with asyncio.timeout(seconds):
            if not pod.all(Heard):
                await pod.start(script=script, command_id="task")
            asked = await pod.until(Asked)
            heard = {one.id for one in pod.all(Heard)}
            if "answer" not in heard:
                await pod.order(Answer(asked.ask, picks=(0,)), command_id="answer")
            for number in range(3):
                if f"s{number}" not in heard:
                    await pod.say(f"words {number}", command_id=f"s{number}")
            await pod.wait(lambda: {"s0", "s1", "s2"} <= {taken.id for taken in pod.all(Taken)} and rested(pod))

    for _ in range(5):
        with contextlib.suppress(TimeoutError):
            await once(chance.uniform(0.3, 0.9))
        old = pod.cli
        await pod.kill()
        await gone(old)
        await pod.boot()
    await once(20)
    await pod.stop(command_id="stop")
    check_the_story(pod)
    assert len({frame.epoch for frame in pod.frames}) == 1


async def test_a_torn_journal_and_inbox_go_on_without_a_gap(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod") as pod:
        await pod.start()
        await pod.until(TurnEnded)
        await pod.kill()
        with (pod.state / "journal").open("ab") as journal, (pod.state / "inbox").open("ab") as inbox:
            journal.write(b'{"n":999,"epoch":"tor')
            inbox.write(b'{"id":"torn","do":"sa')
        (pod.state / "printed").unlink(missing_ok=True)
        await pod.boot()
        await pod.say("again")
        await pod.until(TurnEnded, count=2)
        await pod.stop()
    pod.check()


async def test_a_command_that_was_accepted_and_not_answered_is_answered_later(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod") as pod:
        await pod.start()
        await pod.until(TurnEnded)
        await pod.kill()
        with (pod.state / "inbox").open("ab") as inbox:  # killed between the inbox and the journal
            inbox.write(b'{"id":"late","do":"say","body":{"text":"late"}}\n')
        await pod.boot()
        await pod.until(TurnEnded, lambda ended: ended.text == "echo: late")
        await pod.say("late", command_id="late")
        await pod.stop()
    pod.check()
    assert [heard.id for heard in pod.all(Heard)].count("late") == 1


async def test_a_run_that_is_over_is_told_again_after_a_kill(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod") as pod:
        await pod.start()
        await pod.until(TurnEnded)
        await pod.order(Stop("enough"))
        await pod.until(Finished)
        await pod.kill()
        pod.frames = []
        await pod.boot()
        assert await pod.over() == 0
    pod.check()
    assert pod.reports[-1] == Finished("stopped", "enough")


async def test_a_cli_that_always_dies_ends_the_run(tmp_path: Path) -> None:
    script = write_script(tmp_path, {"crash": 7, "always": True})
    async with Pod(tmp_path / "pod", pace=0.01) as pod:
        await pod.start(script=script)
        assert await pod.over() == 0
    pod.check()
    assert len(pod.all(CliDied)) == 7
    assert pod.all(Finished)[0].reason == "failed"
    assert "died 7 times" in pod.all(Finished)[0].words


async def test_sigterm_leaves_in_order_and_the_turn_goes_on_later(tmp_path: Path) -> None:
    script = write_script(tmp_path, {"say": "before"}, {"tool": "Bash", "seconds": 1}, {"say": "after"})
    async with Pod(tmp_path / "pod", env={"REHEARSAL_PACE": "1"}) as pod:
        await pod.start(script=script)
        await pod.until(ToolCalled)
        assert await pod.kill(signal.SIGTERM) == 143
        assert not pod.all(Finished)
        await gone(pod.cli)
        await pod.boot()
        ended = await pod.until(TurnEnded)
        await pod.stop()
    pod.check()
    assert ended.text == "after"
    assert [started.attempt for started in pod.all(CliStarted)] == [1, 2]
    assert pod.all(CliDied) == []


async def test_a_silent_turn_is_interrupted_and_a_deaf_cli_killed(tmp_path: Path) -> None:
    script = write_script(tmp_path, {"say": "before"}, {"hang": 60}, {"say": "after"})
    async with Pod(tmp_path / "pod", env={"REHEARSAL_PACE": "1"}, pace=0.05) as pod:
        await pod.start(script=script, silence_seconds=0.4)
        ended = await pod.until(TurnEnded)
        await pod.stop()
    pod.check()
    assert ended.text == "after"
    assert "silent" in pod.all(Noticed)[0].text
    assert "hung" in pod.all(CliDied)[0].words


async def test_stop_kills_what_the_cli_started(tmp_path: Path) -> None:
    script = write_script(tmp_path, {"hang": 60}, {"say": "never"})
    async with Pod(tmp_path / "pod", pace=0.05) as pod:
        await pod.start(script=script)
        await pod.until(TurnStarted)
        cli = pod.cli
        assert await pod.stop() == 0
        await gone(cli)
    pod.check()
    assert pod.all(Finished)[0].reason == "stopped"


async def test_a_second_agentd_on_a_folder_is_refused(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod") as pod:
        await pod.start()
        await pod.until(TurnEnded)
        second = Pod(tmp_path / "pod")
        await second.boot()
        assert await second.exited() == 1
        assert "another agentd" in second.stderr
        await pod.stop()
