"""What LocalRuntime does beyond the contract of its port: processes, their environment, and their ends."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from adapters.local import LocalRuntime, process, runtime
from adapters.local.folder import Folder
from agent.wire import Command, Finished, Frame, Heard, Resume, Say, Start, Stop, TurnEnded, Wrote
from orchestrator.errors import Broken, Busy, Gone, Trouble
from orchestrator.nouns import Agent, RunId

AGENT = Agent(name="rehearsal", driver="rehearsal")
RUN = RunId("r-1")
DEADLINE = 20.0
PROJECT = Path(__file__).parents[2]

BOT = """
import asyncio, pathlib, sys
sys.path.insert(0, ".")
from adapters.local import LocalRuntime
from orchestrator.nouns import Agent

async def main():
    async with LocalRuntime(pathlib.Path(sys.argv[1]), python=sys.executable, env={}) as local:
        await local.start("r-1", Agent(name="a", driver="rehearsal"))
        await asyncio.sleep(30)

asyncio.run(main())
"""


def popen(*argv: str, **more: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, start_new_session=True, **more)


async def eventually(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not look():
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def living(
    root: Path, *, python: str = sys.executable, env: dict[str, str] | None = None
) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(root, python=python, env=env or {}, look_seconds=0.02) as local:
        yield local


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalRuntime]:
    async with living(tmp_path / "runs") as local:
        yield local
        for run in await local.pods():
            await local.stop(run)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "runs" / RUN)


async def started(local: LocalRuntime, folder: Folder) -> psutil.Process:
    await local.start(RUN, AGENT)
    await eventually(folder.holder)
    return psutil.Process(folder.holder())


def running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_agents_get_an_environment_made_from_scratch(
    tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WEB_TOKEN", "TELEGRAM_TOKEN", "PYTHONPATH", "CLAUDE_CONFIG_DIR", "IS_SANDBOX"):
        monkeypatch.setenv(name, "not for agents")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    async with living(tmp_path / "runs", env={"ANTHROPIC_API_KEY": "key", "HOME": "/elsewhere"}) as local:
        env = (await started(local, folder)).environ()
        assert "not for agents" not in env.values()
        assert env["ANTHROPIC_API_KEY"] == "key"
        assert env["HOME"] == str(folder.home)
        assert (env["PATH"], env["TZ"]) == (os.environ["PATH"], "Europe/Berlin")
        assert set(env) <= {"ANTHROPIC_API_KEY", "HOME", process.MARK, "LC_CTYPE", *process.KEPT}
        await local.stop(RUN)


async def test_what_was_stopped_while_others_were_looked_after_does_not_come_back(
    local: LocalRuntime, folder: Folder
) -> None:
    await started(local, folder)
    kept = local._kept[RUN]  # as the watch has it, on its way through all of them
    await local.stop(RUN)
    kept.born = 0.0  # it had died, and its next start was due
    await local._look_after(RUN, kept)
    assert not folder.path.exists()
    assert not await local.pods()


async def test_a_module_in_its_way_is_not_imported(local: LocalRuntime, folder: Folder) -> None:
    folder.prepare()
    for place in (folder.path, folder.state, folder.state / "workspace"):
        place.mkdir(exist_ok=True)
        (place / "json.py").write_text("raise RuntimeError('shadowed')")
        (place / "agent.py").write_text("raise RuntimeError('shadowed')")
    await started(local, folder)


async def test_it_outlives_a_bot_that_is_killed_with_its_terminal(tmp_path: Path, folder: Folder) -> None:
    with popen(sys.executable, "-c", BOT, str(tmp_path / "runs"), cwd=PROJECT) as bot:
        try:
            await eventually(folder.holder)
            agentd = psutil.Process(folder.holder())
        finally:
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGKILL):
                os.killpg(bot.pid, number)
            bot.wait(DEADLINE)
    async with living(tmp_path / "runs") as local:
        assert agentd.is_running()
        assert (await local.pods())[RUN].alive
        await local.start(RUN, AGENT)
        assert folder.holder() == agentd.pid, "the one that lives is taken over, not doubled"
        async with local.attach(RUN) as session:
            await session.send(Resume())
            async with asyncio.timeout(DEADLINE):
                assert await anext(aiter(session.frames()))
        agentd.kill()
        await eventually(lambda: folder.holder() not in {None, 0, agentd.pid})
        await local.stop(RUN)
        assert not folder.path.exists()


async def test_leaving_ends_no_agent_and_leaves_no_zombie(tmp_path: Path, folder: Folder) -> None:
    async with living(tmp_path / "runs") as local:
        agentd = await started(local, folder)
        agentd.kill()
        await eventually(lambda: folder.holder() not in {None, 0, agentd.pid})
        assert not psutil.pid_exists(agentd.pid), "what died was collected"
        successor = folder.holder()
    assert folder.holder() == successor
    async with living(tmp_path / "runs") as local:
        await local.stop(RUN)


async def test_everything_a_run_started_is_gone_when_it_is_stopped(local: LocalRuntime, folder: Folder) -> None:
    agentd = await started(local, folder)
    mark = {process.MARK: str(folder.path)}
    other = {process.MARK: str(folder.path) + "-other"}
    with (
        popen("/bin/sleep", "60", env=mark) as stray,
        popen("/bin/sleep", "60", env=other) as stranger,
    ):
        await local.stop(RUN)
        assert stray.wait(DEADLINE) == -signal.SIGKILL
        assert stranger.poll() is None
        stranger.kill()
    assert not psutil.pid_exists(agentd.pid)
    assert not folder.path.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is found without /proc")
async def test_what_a_killed_agentd_left_running_is_ended_before_the_next_one_starts(
    tmp_path: Path, folder: Folder
) -> None:
    python = tmp_path / "python"
    async with living(tmp_path / "runs", python=str(python)) as local:
        with popen("/bin/sleep", "60", env={process.MARK: str(folder.path)}) as stray:
            look = f"[ -e /proc/{stray.pid}/exe ] && echo left >> {tmp_path}/seen || echo gone >> {tmp_path}/seen"
            python.write_text(f'#!/bin/sh\n{look}\nexec {sys.executable} "$@"\n')
            python.chmod(0o755)
            agentd = await started(local, folder)
            agentd.kill()
            await eventually(lambda: folder.holder() not in {None, 0, agentd.pid})
            await local.stop(RUN)
            assert (tmp_path / "seen").read_text().split() == ["left", "gone"]


async def test_one_that_does_not_listen_is_killed(
    local: LocalRuntime, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "TERM_SECONDS", 0.1)
    agentd = await started(local, folder)
    agentd.suspend()
    await local.stop(RUN)
    assert not psutil.pid_exists(agentd.pid)


async def test_one_of_a_former_life_that_does_not_listen_is_killed(
    tmp_path: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "TERM_SECONDS", 0.1)
    async with living(tmp_path / "runs") as local:
        agentd = await started(local, folder)
    agentd.suspend()
    async with living(tmp_path / "runs") as local:
        await local.stop(RUN)
    assert not running(agentd.pid)


async def test_a_number_that_somebody_else_has_now_is_left_alone(local: LocalRuntime, folder: Folder) -> None:
    with popen("/bin/sleep", "60") as stranger:
        folder.prepare()
        (folder.state / "lock").write_text(f"{stranger.pid}\n")
        assert not (await local.pods())[RUN].alive
        await local.stop(RUN)
        assert stranger.poll() is None
        stranger.kill()


async def test_one_that_keeps_dying_is_told_with_its_last_words_and_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(runtime, "MOST_DEATHS", 4)
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho born >> born\necho no such module >&2\nexit 3\n")
    broken.chmod(0o755)
    born = tmp_path / "runs" / RUN / "born"
    said: set[tuple[type[Trouble], str]] = set()

    async def given_up(local: LocalRuntime) -> bool:
        try:
            async with local.attach(RUN):
                return False
        except (Busy, Gone, Broken) as trouble:
            said.add((type(trouble), str(trouble)))
            return isinstance(trouble, Gone)

    async with living(tmp_path / "runs", python=str(broken)) as local:
        await local.start(RUN, AGENT)
        deadline = time.monotonic() + DEADLINE
        while not await given_up(local):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.002)
        pod = (await local.pods())[RUN]
        assert not pod.alive
        assert "no such module" in pod.words
        assert "4 times" in pod.words
        assert any(kind is Busy and "no such module" in words for kind, words in said)
        assert born.read_text().count("born") == 4
        await local.start(RUN, AGENT)
        await eventually(lambda: born.read_text().count("born") == 8)
        await local.stop(RUN)


async def test_a_python_that_is_not_there_is_trouble_and_no_crash(tmp_path: Path) -> None:
    async with living(tmp_path / "runs", python=str(tmp_path / "nowhere")) as local:
        with pytest.raises(Broken, match="nowhere"):
            await local.start(RUN, AGENT)
        assert await local.pods()
        await local.stop(RUN)


async def test_the_end_is_told_to_a_bot_that_was_not_there(tmp_path: Path, folder: Folder) -> None:
    async with living(tmp_path / "runs") as local:
        await local.start(RUN, AGENT)
        async with local.attach(RUN) as session:
            await session.send(Command("c-1", Stop("enough")))
        await eventually(lambda: folder.finished() is not None)
        agentd = psutil.Process(folder.holder())
    agentd.kill()
    await eventually(lambda: folder.holder() is None)
    async with living(tmp_path / "runs") as local:
        pod = (await local.pods())[RUN]
        assert (pod.alive, pod.words) == (False, "enough")
        await local.start(RUN, AGENT)
        assert folder.holder() is None, "a run that has ended is not started again"
        reports = []
        async with asyncio.timeout(DEADLINE), local.attach(RUN) as session:
            await session.send(Resume())
            async for batch in session.frames():
                reports += [item.report for item in batch if isinstance(item, Frame)]
                if Finished("stopped", "enough") in reports:
                    break
        async with local.attach(RUN) as session:
            await session.send(Resume(epoch="", after=0))
        await local.stop(RUN)


async def test_a_rehearsal_goes_on_through_a_kill_of_agentd(local: LocalRuntime, folder: Folder) -> None:
    frames: list[Frame] = []

    async def until_turns(count: int, command: Command) -> None:
        async with asyncio.timeout(DEADLINE):
            while sum(isinstance(frame.report, TurnEnded) for frame in frames) < count:
                try:
                    async with local.attach(RUN) as session:
                        await session.send(Resume(frames[-1].epoch if frames else "", len(frames)))
                        await session.send(command)
                        async for batch in session.frames():
                            for item in batch:
                                if isinstance(item, Frame) and item.n == len(frames) + 1:
                                    frames.append(item)
                            if sum(isinstance(frame.report, TurnEnded) for frame in frames) >= count:
                                break
                except (Busy, Broken):
                    await asyncio.sleep(0.02)

    agentd = await started(local, folder)
    start = Start(driver="rehearsal", session=str(uuid.uuid4()), task="hello", script="echo")
    await until_turns(1, Command("c-1", start))
    async with local.attach(RUN) as session:
        await session.send(Command("c-2", Say("again")))
        await eventually(lambda: b'"c-2"' in (folder.state / "inbox").read_bytes())
        agentd.kill()
    await until_turns(2, Command("c-2", Say("again")))
    assert len({frame.epoch for frame in frames}) == 1
    assert [frame.report.text for frame in frames if isinstance(frame.report, Wrote)] == ["echo: hello", "echo: again"]
    assert [frame.report.id for frame in frames if isinstance(frame.report, Heard)] == ["c-1", "c-2"]
    await local.stop(RUN)
    assert not [p for p in psutil.process_iter() if _mark(p) == str(folder.path)]


async def test_a_second_agentd_on_one_state_gives_way(local: LocalRuntime, folder: Folder) -> None:
    agentd = await started(local, folder)
    loser = process.spawn(folder, python=sys.executable, env=process.environment(folder, given={}, own=os.environ))
    await eventually(lambda: not loser.runs())
    assert folder.holder() == agentd.pid
    assert "another agentd" in folder.last_words()


async def test_two_starts_wait_for_each_other(local: LocalRuntime, folder: Folder) -> None:
    await asyncio.gather(*(local.start(RUN, AGENT) for _ in range(5)))
    await eventually(folder.holder)
    marked = [p for p in psutil.process_iter() if _mark(p) == str(folder.path)]
    assert [p.pid for p in marked] == [folder.holder()]


async def test_looking_at_a_lock_does_not_hold_it(folder: Folder) -> None:
    folder.prepare()
    assert folder.holder() is None
    lock = os.open(folder.state / "lock", os.O_RDWR | os.O_CREAT)
    assert folder.holder() is None
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert folder.holder() == 0
    os.close(lock)


def _mark(one: psutil.Process) -> str | None:
    try:
        return one.environ().get(process.MARK)
    except psutil.Error:
        return None


async def test_a_session_ends_with_its_agentd_also_when_the_next_one_comes_first(
    local: LocalRuntime, folder: Folder
) -> None:
    """Whoever was slow to hear of the death must not take the new one for the old: that has read some of his words."""
    agentd = await started(local, folder)
    async with local.attach(RUN) as session:
        agentd.kill()
        await eventually(lambda: folder.holder() not in {agentd.pid, None})
        async with asyncio.timeout(DEADLINE):
            assert [batch async for batch in session.frames()] in ([], [[]])
        with pytest.raises(Broken):
            await session.send(Resume())
