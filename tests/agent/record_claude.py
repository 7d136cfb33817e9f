"""Record short sessions of the real CLI against the stub: `python -m tests.agent.record_claude`.

Run it again when the CLI's version is raised, and read what changed in `recordings/`. Paths become neutral, and what
the CLI lists at greeting is left out.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from agent.driver import Input, Mark, Step, Tell, Workplace
from agent.drivers.claude import Claude
from agent.wire import Answer, Asked, Start, TextSoFar, ToolCalled, TurnEnded
from tests.agent.claude_cli import MODEL, environment
from tests.stub_api import StubApi

FOLDER = Path(__file__).parent / "recordings"
BULKY = (
    "commands", "models", "agents", "account", "slash_commands", "skills", "plugins", "available_output_styles",
    "messaging_socket_path", "pid",
)  # fmt: skip
QUESTION = {
    "questions": [
        {
            "question": "Which database?",
            "header": "DB",
            "multiSelect": False,
            "options": [{"label": "Postgres", "description": "a server"}, {"label": "SQLite", "description": "a file"}],
        }
    ]
}
SLOW_TOOL = "[[bash: for i in 1 2 3 4; do sleep 0.2; done; echo ready]]"


class Session:
    """The driver around a process, without agentd: steps are carried out at once, lines are kept."""

    def __init__(self, driver: Claude, process: asyncio.subprocess.Process) -> None:
        self.lines: list[dict[str, Any]] = []
        self.seen: list[object] = []
        self.driver = driver
        self._process = process
        self._news = asyncio.Event()

    async def run(self) -> None:
        assert self._process.stdout is not None
        self.carry(self.driver.begin(frozenset(), {}))
        async for line in self._process.stdout:
            self.lines.append({"out": json.loads(line)})
            self.carry(self.driver.read(line))

    def say(self, id_: str, text: str) -> None:
        self.lines.append({"say": id_, "text": text})
        self.carry(self.driver.say(Input(id_, text)))

    def answer(self, answer: Answer) -> None:
        self.lines.append({"answer": answer.ask, "picks": list(answer.picks), "text": answer.text})
        self.carry(self.driver.answer(answer))

    def carry(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if isinstance(step, Tell):
                assert self._process.stdin is not None
                self._process.stdin.write(step.lines)
            else:
                self.seen.append(step.report if isinstance(step, Mark) else step)
        self._news.set()

    async def wait(self, kind: type, times: int = 1) -> Any:
        async with asyncio.timeout(30):
            while True:
                self._news.clear()
                found = [thing for thing in self.seen if isinstance(thing, kind)]
                if len(found) >= times:
                    return found[times - 1]
                await self._news.wait()


Story = Callable[[Session], Awaitable[None]]


async def writes(session: Session) -> None:
    session.say(
        "00000000-0000-4000-8000-000000000001", "[[think: easy]] [[say: I write it.]] [[write: note.txt hello]]"
    )
    await session.wait(TurnEnded)


async def asks(session: Session) -> None:
    session.say("00000000-0000-4000-8000-000000000001", f"[[tool: AskUserQuestion {json.dumps(QUESTION)}]]")
    asked = await session.wait(Asked)
    session.answer(Answer(asked.ask, picks=(1,)))
    await session.wait(TurnEnded)


async def permits(session: Session) -> None:
    session.say("00000000-0000-4000-8000-000000000001", "[[bash: touch one]] [[bash: touch two]]")
    first = await session.wait(Asked)
    session.answer(Answer(first.ask, picks=(0,)))
    second = await session.wait(Asked, 2)
    session.answer(Answer(second.ask, text="not that one"))
    await session.wait(TurnEnded)


async def merges(session: Session) -> None:
    session.say("00000000-0000-4000-8000-000000000001", SLOW_TOOL)
    await session.wait(ToolCalled)
    session.say("00000000-0000-4000-8000-000000000002", "and this too")
    await session.wait(TurnEnded)


async def interrupted(session: Session) -> None:
    session.say("00000000-0000-4000-8000-000000000001", "[[slow: 40 0.1]]")
    await session.wait(TextSoFar, 4)
    session.carry(session.driver.interrupt())
    await session.wait(TurnEnded)
    session.say("00000000-0000-4000-8000-000000000002", "still there?")
    await session.wait(TurnEnded, 2)


async def overloaded(session: Session) -> None:
    session.say("00000000-0000-4000-8000-000000000001", "[[error: 529]]")
    await session.wait(TurnEnded)


STORIES: dict[str, tuple[str, Story]] = {
    "writes": ("autonomous", writes),
    "asks": ("autonomous", asks),
    "permits": ("supervised", permits),
    "merges": ("autonomous", merges),
    "interrupted": ("autonomous", interrupted),
    "overloaded": ("autonomous", overloaded),
}


async def record(name: str, permission: str, story: Story, *, api: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        place = Workplace(root / "workspace", root / "agent", root / "uploads", root / "outbox")
        place.workspace.mkdir()
        session = "00000000-0000-4000-8000-00000000abcd"
        driver = Claude(Start("claude", session, "", model=MODEL, permission=permission), place)
        launch = driver.launch(attempt=1, spent_usd=0)
        env = {**environment(root / "agent", api=api), **launch.env, "CLAUDE_CODE_MAX_RETRIES": "2"}
        argv = (env["CLAUDE_BIN"], *launch.argv[1:])
        process = await asyncio.create_subprocess_exec(
            *argv, env=env, cwd=place.workspace, stdin=-1, stdout=-1, limit=1 << 24
        )
        speaking = Session(driver, process)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(speaking.run())
            await story(speaking)
            speaking.carry(driver.end())
            await asyncio.wait_for(reading, 15)
        await process.wait()
    text = "\n".join(json.dumps(_lean(line)) for line in speaking.lines) + "\n"
    (FOLDER / f"{name}.jsonl").write_text(text.replace(str(root), "").replace(api, "http://127.0.0.1"))


def _lean(line: dict[str, Any]) -> dict[str, Any]:
    out = line.get("out")
    if isinstance(out, dict) and (out.get("subtype") == "init" or out.get("type") == "control_response"):
        inner = out if out.get("subtype") == "init" else out["response"].get("response") or {}
        for name in BULKY:
            inner.pop(name, None)
    return line


async def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    async with StubApi() as api:
        for name, (permission, story) in STORIES.items():
            await record(name, permission, story, api=api.url)
            print(name)


if __name__ == "__main__":
    asyncio.run(main())
