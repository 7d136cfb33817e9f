"""The whole product as a process, and a person who talks to it over HTTP as the page does.

    async with Product(tmp_path) as bot:
        me = bot.person()
        run = await me.launch("echo", "hello")
        await me.sees(run, lambda looks: looks[-1].text == "hello")
        await bot.kill()                     # -9
        await bot.start()

Everything is on loopback; agents outlive the bot, so leaving the block also ends those of this data directory.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0
LOBBY = "lobby"


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Look:
    """A message as the page has it now. `text` is its HTML without tags."""

    id: str
    author: str
    html: str
    rings: bool
    raw: dict[str, Any] = field(repr=False, default_factory=dict)

    @property
    def text(self) -> str:
        words = re.sub(r"<[^>]+>", " ", self.html)
        for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#x27;", "'"), ("&amp;", "&")):
            words = words.replace(entity, character)
        return " ".join(words.split())

    def token(self, label: str) -> str:
        """The token of the button with this label."""
        for tag, words in re.findall(r"<button([^>]*)>(.*?)</button>", self.html, re.DOTALL):
            if re.sub(r"<[^>]+>", "", words).strip() == label and (found := re.search(r'data-press="([^"]+)"', tag)):
                return found[1]
        raise AssertionError(f"no button {label!r} in {self.html}")


class Product:
    """A bot process over a data directory. `env` adds settings."""

    def __init__(self, data: Path, *, env: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.port = free_port()
        self.process: asyncio.subprocess.Process | None = None
        self.log = data.parent / f"{data.name}.log"
        self._env = dict(env or {})
        self._people: list[Person] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """From scratch: nothing of this machine's settings reaches the bot."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.data.parent),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "DATA_DIR": str(self.data),
            "HTTP_BIND": f"127.0.0.1:{self.port}",
            "MAX_RUNS": "100",
            **self._env,
        }

    async def start(self) -> None:
        """Start it and wait until it hears people."""
        await self.spawn()
        await self.hears()

    async def spawn(self) -> None:
        """Start it, and do not wait for anything."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bot", "run",
                cwd=self.data.parent, env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    async def hears(self) -> None:
        """Wait until it hears people."""
        assert self.process
        async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as http:
            while True:
                assert self.process.returncode is None, f"the bot ended: {self.words()[-2000:]}"
                try:
                    async with http.get(f"{self.url}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """End it with -9."""
        assert self.process
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def close(self) -> int:
        """Ask it to end, as Ctrl-C does."""
        assert self.process
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            return await self.process.wait()

    def words(self) -> str:
        """Everything it printed in all its lives."""
        return self.log.read_text(errors="replace")

    def person(self) -> Person:
        """Somebody at the page."""
        person = Person(self)
        self._people.append(person)
        return person

    def runs(self) -> list[Path]:
        """The folders of the agents that there are."""
        return sorted((self.data / "runs").glob("r*")) if (self.data / "runs").exists() else []

    async def __aenter__(self) -> Self:
        self.data.mkdir(parents=True, exist_ok=True)
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for person in self._people:
            await person.http.close()
        await self.kill()
        await end_agents(self.data)


async def end_agents(data: Path) -> None:
    """End the agents of this data directory, through the runtime that knows how."""
    from adapters.local import LocalRuntime  # noqa: PLC0415 - only tests that started agents need it

    if (data / "runs").exists():
        async with LocalRuntime(data / "runs", python=sys.executable, env={}) as runtime:
            for run in list(await runtime.pods()):
                await runtime.stop(run)


class Person:
    """Talks to the bot as the page does: with ids of its own, and again until it was told that it was taken."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self.http = aiohttp.ClientSession()

    async def once(self, path: str, body: Mapping[str, object]) -> tuple[int, str]:
        """One request; its status and words."""
        headers = {"X-Army": "1", "Origin": self._product.url}
        async with self.http.post(f"{self._product.url}{path}", json=body, headers=headers) as answer:
            return answer.status, await answer.text()

    async def again(self, path: str, body: Mapping[str, object], *, seconds: float = 60.0) -> None:
        """The request until it is taken, however often the bot dies meanwhile."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    status, words = await self.once(path, body)
                except (aiohttp.ClientError, ConnectionError):
                    await asyncio.sleep(0.05)
                    continue
                if status == 200:
                    return
                assert status == 503, f"{status}: {words}"
                await asyncio.sleep(0.05)

    async def say(
        self, place: str, text: str, *, id_: str = "", files: list[Mapping[str, object]] | None = None
    ) -> str:
        """Say something; returns its id."""
        id_ = id_ or secrets.token_hex(8)
        await self.again("/api/send", {"id": id_, "conversation": place, "text": text, "files": files or []})
        return id_

    async def press(self, place: str, look: Look, label: str) -> None:
        """Tap the button with this label."""
        body = {"id": secrets.token_hex(8), "conversation": place, "message": look.id, "token": look.token(label)}
        await self.again("/api/press", body)

    async def upload(self, name: str, data: bytes) -> Mapping[str, object]:
        """A file, ready to go with a message."""
        headers = {"X-Army": "1", "Origin": self._product.url}
        url = f"{self._product.url}/api/upload"
        async with self.http.post(url, data=data, params={"name": name}, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            found: Mapping[str, object] = await answer.json()
            return found

    async def launch(self, agent: str, task: str) -> str:
        """Launch a run; returns its thread's place."""
        before = set(await self.threads())
        await self.say(LOBBY, f"/launch {agent} {task}")
        async with asyncio.timeout(30):
            while not (new := set(await self.threads()) - before):  # noqa: ASYNC110 - seen over HTTP only
                await asyncio.sleep(0.05)
        return new.pop()

    async def threads(self) -> list[str]:
        """The threads that the lobby leads to."""
        return [str(look.raw["opens"]) for look in await self.looks(LOBBY) if look.raw.get("opens")]

    async def looks(self, place: str) -> list[Look]:
        """Everything that stands in a conversation now, in order."""
        found: list[Look] = []
        before = ""
        while True:
            url = f"{self._product.url}/api/earlier"
            async with self.http.get(url, params={"conversation": place, "before": before}) as answer:
                assert answer.status == 200, await answer.text()
                page = json.loads(await answer.text())
            looks = [Look(m["id"], m["author"], m["html"], bool(m["rings"]), m) for m in page["messages"]]
            found = looks + found
            if not page["more"] or not looks:
                return found
            before = looks[0].id

    async def sees(self, place: str, condition: Callable[[list[Look]], object], *, seconds: float = 30.0) -> list[Look]:
        """Wait until what stands there fulfils the condition; returns it. An IndexError in it means: not yet."""
        looks: list[Look] = []
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        looks = await self.looks(place)
                        if condition(looks):
                            return looks
                    except (aiohttp.ClientError, ConnectionError, IndexError):
                        pass
                    await asyncio.sleep(0.05)
        except TimeoutError:
            seen = "\n".join(f"{look.author}: {look.text}" for look in looks)
            raise AssertionError(f"not seen within {seconds:.0f} s; what stands there:\n{seen}") from None

    async def text(self, place: str, look: Look) -> str:
        """A message's text as it was given, before it became HTML."""
        async with self.http.get(f"{self._product.url}/text/{place}/{look.id}") as answer:
            return await answer.text()

    async def events(self, place: str, *, last: str = "") -> AsyncIterator[tuple[str, Any, str]]:
        """The stream of server-sent events: name, data, id. Ends when the connection does."""
        headers = {"Last-Event-ID": last} if last else {}
        timeout = aiohttp.ClientTimeout(total=None)
        url = f"{self._product.url}/events"
        async with self.http.get(url, params={"conversation": place}, headers=headers, timeout=timeout) as answer:
            name, id_ = "", ""
            async for line in answer.content:
                field_, _, value = line.decode().rstrip("\n").partition(": ")
                if field_ == "event":
                    name, id_ = value, ""
                elif field_ == "id":
                    id_ = value
                elif field_ == "data":
                    yield name, json.loads(value), id_
