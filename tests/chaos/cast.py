"""Who acts in the chaos: agents with scripts of their own, and a person who keeps talking to them whatever dies.

Everything is numbered, so that what stands in the chat in the end can be compared with what was said. A person waits
until a message was taken before the next one in the same place: that is the order that must be kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from adapters.sqlite import open_store
from orchestrator.nouns import Agent
from tests.product import LOBBY, Look, Person, Product

STREAM = {"say": "I am working on this and say a few words meanwhile", "pace": 0.01}
TOOL = {"tool": "Bash", "summary": "make", "output": "ok " * 50, "seconds": 0.05}
COST = {"cost": 0.01}

SCRIPTS: dict[str, dict[str, Any]] = {
    "single": {  # a turn for each message
        "alone": True,
        "turns": [[STREAM, {"file": "plan.txt", "content": "of {task}"}, TOOL, {"say": "echo: {task}"}, COST]],
        "then": [STREAM, TOOL, {"say": "echo: {said}"}, COST],
    },
    "mixed": {  # what is said while it works is taken into the turn
        "turns": [[TOOL, {"say": "heard {task}"}, COST]],
        "then": [STREAM, TOOL, {"say": "heard {said}"}, COST],
    },
    "asking": {
        "alone": True,
        "turns": [[TOOL, {"say": "ready for {task}"}, COST]],
        "then": [TOOL, {"ask": "May I do {said}?", "choices": ["yes", "no"]}, {"say": "{answer} to {said}"}, COST],
    },
}
COMMANDS = ("/help", "/logs 3", "/nosuch", "/logs many")
IN_LOBBY = ("/help", "/nosuch", "/logs", "/interrupt", "/runs")


async def prepare(data: Path, folder: Path) -> None:
    """Put the agents into the store of a bot that does not run."""
    async with open_store(data / "army.db") as database:
        for name, script in SCRIPTS.items():
            path = folder / f"{name}.json"
            path.write_text(json.dumps(script))
            agent = Agent(name, "rehearsal", script=str(path), opening=f"opening of {name}")
            await database.store.keep_agent(agent)


@asynccontextmanager
async def stage(folder: Path, seed: int, agents: Sequence[str]) -> AsyncIterator[tuple[Product, Talker]]:
    """A bot in whose chat somebody has launched these agents, in this order."""
    print("CHAOS_SEED", seed)
    await prepare(folder / "data", folder)
    async with Product(folder / "data") as bot:
        talker = Talker(bot, seed)
        dice = talker.dice("launches")
        for agent in agents:
            await talker.launch(agent, dice)
        yield bot, talker


@dataclass
class Thread:
    """A conversation and everything that was done in it, as the person remembers it."""

    place: str
    agent: str = ""
    said: list[str] = field(default_factory=list)  # what the agent must hear
    typed: list[str] = field(default_factory=list)  # everything that was typed, in order
    commands: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)  # by the words that they answer
    stopped: bool = False


class Talker:
    """A person. `quiet` is set when enough was said; the loops then end with a whole thought."""

    def __init__(self, product: Product, seed: int) -> None:
        self.me: Person = product.person()
        self.lobby = Thread(LOBBY)
        self.threads: list[Thread] = []
        self.titles: list[str] = []  # of everything launched, one thread each
        self.quiet = asyncio.Event()
        self._url = product.url
        self._seed = seed
        self._count = 0

    def dice(self, name: str) -> Random:
        """Chance of somebody's own, so that the others' timing does not change it."""
        return Random(f"{self._seed}/{name}")

    # --- doing things ---

    async def say(self, thread: Thread, text: str, dice: Random) -> None:
        """Say it until it was taken, and now and then once more, as networks do."""
        thread.typed.append(text)
        id_ = await self.me.say(thread.place, text, id_=f"chaos-{dice.getrandbits(60):015x}")
        while dice.random() < 0.2:
            await self.me.say(thread.place, text, id_=id_)

    async def press(self, place: str, look: Look, label: str, dice: Random) -> None:
        """Tap, until it was taken, and now and then the same tap once more."""
        body = {"id": secrets.token_hex(8), "conversation": place, "message": look.id, "token": look.token(label)}
        await self.me.again("/api/press", body)
        while dice.random() < 0.2:
            await self.me.again("/api/press", body)

    async def launch(self, agent: str, dice: Random) -> Thread:
        """Launch a run with a task of its own."""
        self._count += 1
        task = f"{agent}{self._count}-0"
        self.titles.append(task)
        await self.say(self.lobby, f"/launch {agent} {task}", dice)
        thread = Thread(await self.thread(task), agent, [task])
        self.threads.append(thread)
        return thread

    async def thread(self, title: str) -> str:
        """The place of the thread with this title, as soon as there is one."""
        look = await self.finds(LOBBY, lambda look: bool(look.raw["opens"]) and title in look.text.split())
        return str(look.raw["opens"])

    async def finds(self, place: str, fits: Any, *, seconds: float = 60.0) -> Look:
        """The newest message that fits, as soon as it stands among the newest hundred."""
        found: list[Look] = []
        async with asyncio.timeout(seconds):
            while not found:
                with contextlib.suppress(aiohttp.ClientError, ConnectionError):
                    found = [look for look in await self.newest(place) if fits(look)]
                if not found:
                    await asyncio.sleep(0.1)
        return found[-1]

    async def newest(self, place: str) -> list[Look]:
        """The newest hundred messages."""
        params = {"conversation": place, "before": ""}
        async with self.me.http.get(f"{self._url}/api/earlier", params=params) as answer:
            page = json.loads(await answer.text())
        return [Look(m["id"], m["author"], m["html"], bool(m["rings"]), m) for m in page["messages"]]

    # --- keeping on ---

    async def talk(self, thread: Thread, *, pause: float) -> None:
        """Say numbered things in a thread, with a command between them now and then."""
        dice = self.dice(thread.said[0])
        stem = thread.said[0].removesuffix("-0")
        for number in range(1, 10_000):
            await asyncio.sleep(dice.uniform(0, pause))
            if self.quiet.is_set():
                return
            if dice.random() < 0.25:
                await self._command(thread, COMMANDS, dice, number)
                continue
            text = f"{stem}-{number}"
            thread.said.append(text)
            await self.say(thread, text, dice)
            if thread.agent == "asking":
                await self._answer(thread, text, dice)

    async def talk_in_lobby(self, *, pause: float, launches: Sequence[str]) -> None:
        """Type commands in the lobby and launch further runs: by words, by a tap, and over an offer."""
        dice = self.dice(LOBBY)
        waiting = list(launches)
        for number in range(1, 10_000):
            await asyncio.sleep(dice.uniform(0, pause))
            if self.quiet.is_set() and not waiting:
                return
            if waiting and number % 4 == 0:
                await self._launch(waiting.pop(), dice)
            else:
                await self._command(self.lobby, IN_LOBBY, dice, number)

    async def stop(self, thread: Thread) -> None:
        """End a run by the button on its first page or by a command."""
        dice = self.dice(f"stop {thread.place}")
        thread.stopped = True
        thread.commands.append("/stop")
        await self.say(thread, "/stop", dice)

    async def stop_later(self, thread: Thread, *, seconds: float) -> None:
        """End a run in the middle of it all."""
        await asyncio.sleep(seconds)
        await self.stop(thread)

    async def _command(self, thread: Thread, commands: Sequence[str], dice: Random, number: int) -> None:
        command = dice.choice(commands)
        text = f"{command}{number}" if command == "/nosuch" else command
        thread.commands.append(text)
        await self.say(thread, text, dice)

    async def _answer(self, thread: Thread, text: str, dice: Random) -> None:
        question = await self.finds(
            thread.place, lambda look: f"May I do {text}?" in look.text and "<button" in look.html
        )
        if dice.random() < 0.5:
            thread.answers[text] = dice.choice(["yes", "no"])
            await self.press(thread.place, question, thread.answers[text], dice)
        else:
            thread.answers[text] = f"perhaps-{text}"
            await self.say(thread, thread.answers[text], dice)

    async def _launch(self, how: str, dice: Random) -> None:
        if how == "tap":
            self.titles.append("opening of single")
            self.lobby.commands.append("/help")
            await self.say(self.lobby, "/help", dice)
            offer = await self.finds(LOBBY, lambda look: "Launch single" in look.html)
            await self.press(LOBBY, offer, "Launch single", dice)
        elif how == "offer":
            self._count += 1
            task = f"offered{self._count}-0"
            self.titles.append(task)
            self.lobby.commands.append(task)
            await self.say(self.lobby, task, dice)
            offer = await self.finds(LOBBY, lambda look: task in look.text and "<button" in look.html)
            await self.press(LOBBY, offer, "single", dice)
        else:
            await self.launch(how, dice)
