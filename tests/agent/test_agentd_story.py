"""agentd as a real process over pipes, with the rehearsal as its CLI: whole stories."""

from __future__ import annotations

from pathlib import Path

from agent.wire import CliStarted, Finished, Heard, Taken, TurnEnded
from tests.agent.harness import Pod


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
    assert (pod.state / "finished").read_text() == "stopped\nenough\n"
