"""agentd as a real process over pipes, with the rehearsal as its CLI: whole stories."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest

from agent.wire import (
    Answer,
    Asked,
    AskWithdrawn,
    Beat,
    CliDied,
    CliStarted,
    Command,
    FilePiece,
    Finished,
    Heard,
    Interrupt,
    Noticed,
    Put,
    Say,
    Taken,
    TextSoFar,
    ToolCalled,
    ToolReturned,
    TurnEnded,
    TurnStarted,
    Wrote,
    line_of,
)  # fmt: skip
from tests.agent.harness import Pod, write_script

SECRET = "sk-ant-" + "x1y2z3" * 6


def acted(pod: Pod) -> list[tuple[str, str]]:
    """What the CLI acted on, by its own account."""
    lines = (pod.state / "home" / "rehearsal" / "acted.jsonl").read_text().splitlines()
    return [(one["id"], one["text"]) for one in map(json.loads, lines)]


async def test_an_echo_is_started_talked_to_and_stopped(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod") as pod:
        first = await pod.start("hello")
        assert (await pod.until(TurnEnded)).text == "echo: hello"
        second = await pod.say("again")
        assert (await pod.until(TurnEnded, count=2)).text == "echo: again"
        assert await pod.stop("enough") == 0
    pod.check()
    assert pod.all(Finished) == [Finished("stopped", "enough")]
    assert [heard.id for heard in pod.all(Heard)] == [first, second, "c3"]
    assert pod.all(Taken) == [Taken(first), Taken(second)]
    assert pod.all(CliStarted)[0].attempt == 1
    assert acted(pod) == [(first, "hello"), (second, "again")]
    assert (pod.state / "finished").read_text() == "stopped\nenough\n"


async def test_the_tour_shows_everything_and_stays(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod", env={"REHEARSAL_PACE": "0.02"}) as pod:
        task = await pod.start("fix the flaky test", script="welcome")
        asked = await pod.until(Asked)
        assert [choice.label for choice in asked.choices] == ["Fix the test", "Explain it first", "You choose"]
        await pod.until_live(TextSoFar, lambda live: live.text)
        await pod.order(Answer(asked.ask, picks=(1,)))
        said = await pod.say("hurry up")
        ended = await pod.until(TurnEnded)
        assert "hurry up" in ended.text
        assert ended.cost_usd == pytest.approx(0.05)
        assert "rehearsal" in pod.all(Wrote)[0].text
        assert "Explain it first" in pod.all(Wrote)[2].text
        assert [report.id for report in pod.all(Taken)] == [task, said]
        assert len(pod.all(ToolCalled)) == len(pod.all(ToolReturned)) == 5
        piece = pod.all(FilePiece)[0]
        assert pod.reports.index(piece) < pod.reports.index(ended)
        assert b"Explain it first" in base64.b64decode(piece.data)
        later = await pod.say("and now?")
        assert "and now?" in (await pod.until(TurnEnded, count=2)).text
        await pod.stop()
    pod.check()
    assert acted(pod) == [(task, "fix the flaky test"), (said, "hurry up"), (later, "and now?")]


async def test_resume_from_any_number_prints_the_rest_and_no_more(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod") as pod:
        await pod.start()
        await pod.until(TurnEnded)
        whole = list(pod.frames)
        for after in range(len(whole) + 1):
            pod.frames, pod.live = list(whole[:after]), []
            await pod.resume()
            await pod.until_live(Beat, lambda beat: beat.n == len(whole))
            await pod.wait(lambda: len(pod.frames) == len(whole))
            assert pod.frames == whole
        pod.frames, pod.epoch = [], "another"
        await pod.resume(5)
        await pod.wait(lambda: pod.frames == whole, what="everything, because the epoch differs")


async def test_bad_lines_are_dropped_and_counted(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod") as pod:
        whole = line_of(Command("whole", Say("never torn")))
        await pod.send(whole[:20])  # a writer that died
        await pod.send(b"\nnot json\n[1]\nnull\n" + b"x" * (5 << 20) + b"\n")
        await pod.send(b'{"id":"odd","do":"dance","body":{}}\n{"id":"bad","do":"say","body":{"text":7}}\n')
        await pod.start()
        assert (await pod.until(TurnEnded)).text == "echo: hello"
        refused = {heard.id: heard.error for heard in pod.all(Heard)}
        assert "dance" in refused["odd"]
        assert "text" in refused["bad"]
        await pod.resume()
        await pod.until_live(Beat, lambda beat: beat.dropped == 5)
        await pod.stop()
    pod.check()


async def test_a_command_heard_twice_is_done_once(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod") as pod:
        await pod.start()
        for _ in range(3):
            await pod.say("once", command_id="one")
        await pod.until(TurnEnded, count=2)
        await pod.kill()
        await pod.boot()
        await pod.say("once", command_id="one")
        again = await pod.start("another task")
        refused = await pod.until(Heard, lambda heard: heard.id == again)
        assert "started before" in refused.error
        await pod.say("last")
        await pod.until(TurnEnded, lambda ended: ended.text == "echo: last")
        await pod.stop()
    pod.check()
    assert [heard.id for heard in pod.all(Heard)].count("one") == 1
    assert [text for _, text in acted(pod)] == ["hello", "once", "last"]


async def test_an_unknown_driver_and_an_unknown_script_end_the_run_with_a_sentence(tmp_path: Path) -> None:
    async with Pod(tmp_path / "one") as pod:
        await pod.start(driver="cobol")
        assert await pod.over() == 0
    assert "unknown driver 'cobol'" in pod.all(Finished)[0].words
    async with Pod(tmp_path / "two") as pod:
        await pod.start(script="nowhere")
        assert await pod.over() == 0
    assert "no rehearsal called 'nowhere'" in pod.all(Finished)[0].words


async def test_an_interrupt_ends_the_turn_and_withdraws_its_question(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod") as pod:
        await pod.start(script="ask")
        asked = await pod.until(Asked)
        await pod.order(Interrupt())
        assert (await pod.until(TurnEnded)).outcome == "interrupted"
        assert (await pod.until(AskWithdrawn)).ask == asked.ask
        await pod.say("go on")
        second = await pod.until(Asked, count=2)
        await pod.order(Answer(asked.ask, picks=(1,)))  # too late: not open any more
        await pod.order(Answer(second.ask, text="my own words"))
        assert (await pod.until(TurnEnded, count=2)).text == "answered: my own words"
        await pod.stop()
    pod.check()


async def test_a_script_that_ends_completes_the_run(tmp_path: Path) -> None:
    script = write_script(tmp_path, {"say": "that is all"}, {"end": "the script is over"})
    async with Pod(tmp_path / "pod") as pod:
        await pod.start(script=script)
        assert await pod.over() == 0
    pod.check()
    assert pod.reports[-1] == Finished("completed", "the script is over")


async def test_files_go_both_ways(tmp_path: Path) -> None:
    script = write_script(tmp_path, {"say": "{task}"}, {"file": "out/result.txt", "content": "done: {task}"})
    async with Pod(tmp_path / "pod") as pod:
        data = bytes(range(256)) * 2000
        for offset in range(0, len(data), 200_000):
            part = base64.b64encode(data[offset : offset + 200_000]).decode()
            await pod.order(Put("../../my photo.png", offset, part, last=offset + 200_000 >= len(data)))
        await pod.start("look at this", script=script, files=("../../my photo.png", "never sent.txt"))
        ended = await pod.until(TurnEnded)
        assert ended.text == "look at this\n[file my photo.png]"
        assert "never sent.txt" in (await pod.until(Noticed, lambda noticed: noticed.code == "file-missing")).text
        assert (pod.state / "uploads" / "my photo.png").read_bytes() == data
        (piece,) = pod.all(FilePiece)
        assert piece.name == "result.txt"
        assert pod.reports.index(piece) < pod.reports.index(ended)
        (pod.state / "outbox" / "between.bin").write_bytes(data)
        await pod.until(FilePiece, lambda piece: piece.name == "between.bin" and piece.last)
        got = [piece for piece in pod.all(FilePiece) if piece.name == "between.bin"]
        assert b"".join(base64.b64decode(piece.data) for piece in got) == data
        (pod.state / "outbox" / "passwd").symlink_to("/etc/passwd")
        assert "link" in (await pod.until(Noticed, lambda noticed: noticed.code == "file-refused")).text
        await pod.kill()
        await pod.boot()
        await pod.say("more")
        await pod.until(TurnEnded, count=2)
        await pod.stop()
    pod.check()
    assert len(pod.all(FilePiece)) == 1 + len(got)


async def test_a_piece_out_of_place_is_refused(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod") as pod:
        await pod.order(Put("a.txt", 10, base64.b64encode(b"x").decode()), command_id="gap")
        await pod.order(Put("a.txt", 0, "not base64!"), command_id="bad")
        await pod.until(Heard, count=2)
    errors = {heard.id: heard.error for heard in pod.all(Heard)}
    assert "missing before byte 10" in errors["gap"]
    assert "base64" in errors["bad"]


async def test_secrets_are_masked_in_everything(tmp_path: Path) -> None:
    script = write_script(
        tmp_path,
        {"say": f"the key is {SECRET}, again {SECRET}", "pace": 0.001},
        {"tool": "Bash", "summary": f"echo {SECRET}", "output": SECRET},
        {"file": "key.txt", "content": f"key={SECRET}"},
        {"ask": f"Is {SECRET} right?", "choices": [f"yes, {SECRET}"]},
    )
    env = {"ANTHROPIC_API_KEY": SECRET, "REHEARSAL_PACE": "1"}
    async with Pod(tmp_path / "pod", env=env) as pod:
        await pod.start(script=script)
        await pod.until(Asked)
        await pod.stop()
    pod.check()
    assert pod.all(Wrote)[0].text == "the key is •••, again •••"
    assert pod.all(FilePiece) == []
    assert "credential" in pod.all(Noticed)[0].text
    assert SECRET not in repr(pod.frames) + repr(pod.live)
    assert SECRET not in (pod.state / "journal").read_text()
    assert not [live for live in pod.live if isinstance(live, TextSoFar) and SECRET[:12] in live.text]


async def test_a_login_is_masked_as_well_as_a_key(tmp_path: Path) -> None:
    login = tmp_path / "login"
    login.mkdir()
    (login / "claude.json").write_text(json.dumps({"claudeAiOauth": {"accessToken": SECRET}}))
    script = write_script(tmp_path, {"say": f"it is {SECRET}"}, {"file": "login.txt", "content": f"={SECRET}"})
    async with Pod(tmp_path / "pod", env={"AGENT_SECRETS": str(login)}) as pod:
        await pod.start(script=script)
        await pod.until(TurnEnded)
        await pod.stop()
    assert pod.all(Wrote)[0].text == "it is •••"
    assert pod.all(FilePiece) == []
    assert SECRET not in (pod.state / "journal").read_text()


def make_repository(folder: Path, *, file: str = "README.md") -> Path:
    """A repository with one commit."""
    folder.mkdir(parents=True)
    (folder / file).write_text("hello")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder))
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "one")):
        subprocess.run((*git, *words), check=True)
    return folder


async def test_a_repository_is_cloned_once_and_a_bad_one_is_said(tmp_path: Path) -> None:
    origin = make_repository(tmp_path / "origin" / "project")
    async with Pod(tmp_path / "pod") as pod:
        await pod.start(repositories=(f"file://{origin}", "file:///nowhere/at/all.git"))
        await pod.until(TurnEnded)
        assert (pod.state / "workspace" / "project" / "README.md").read_text() == "hello"
        errors = [noticed for noticed in pod.all(Noticed) if noticed.level == "error"]
        assert len(errors) == 1
        assert "nowhere/at/all" in errors[0].text
        cloned = [noticed for noticed in pod.all(Noticed) if "project" in noticed.text]
        await pod.kill()
        await pod.boot()
        await pod.say("go on")
        await pod.until(TurnEnded, count=2)
        assert [noticed for noticed in pod.all(Noticed) if "project" in noticed.text] == cloned


async def test_a_crash_is_said_and_the_same_turn_goes_on(tmp_path: Path) -> None:
    async with Pod(tmp_path / "pod") as pod:
        await pod.start("carry on", script="crash")
        ended = await pod.until(TurnEnded)
        await pod.stop()
    pod.check()
    assert ended.text == "after the crash: carry on"
    assert pod.all(CliDied) == [CliDied("The rehearsal ended with code 3: a crash that was asked for.", 3)]
    assert [wrote.text for wrote in pod.all(Wrote)] == ["before the crash", "after the crash: carry on"]
    assert len(pod.all(TurnStarted)) == 1
    assert [started.attempt for started in pod.all(CliStarted)] == [1, 2]


async def test_a_repository_does_not_stand_in_the_way_of_the_rehearsal(tmp_path: Path) -> None:
    make_repository(tmp_path / "origin" / "json", file="__init__.py")
    async with Pod(tmp_path / "pod") as pod:
        await pod.start(repositories=(f"file://{tmp_path}/origin/json",))
        assert (await pod.until(TurnEnded)).text == "echo: hello"
        await pod.stop()
