"""The web page on a real listener, with a scripted core behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from adapters.web.chat import WebChat
from adapters.web.talk import Talk
from orchestrator.nouns import Button, Conversation, File, Inbound, Message, MessageId, Phase, Row, RunId, Style
from tests.fakes.artifacts import MemoryArtifacts
from tests.fakes.notes import MemoryNotes

LOBBY = Conversation("web", "lobby")
RUNS = Conversation("web", "runs")


@dataclass
class Site:
    """A running page; `heard` is what the core was told."""

    notes: MemoryNotes = field(default_factory=MemoryNotes)
    artifacts: MemoryArtifacts = field(default_factory=MemoryArtifacts)
    heard: list[Inbound] = field(default_factory=list)
    trouble: Exception | None = None
    address: str = ""
    answer: Callable[[Inbound], object] | None = None
    chat: WebChat = field(init=False)
    talk: Talk = field(init=False)
    app: web.Application = field(init=False)
    runner: web.AppRunner = field(init=False)

    async def receive(self, inbound: Inbound) -> None:
        if self.trouble:
            raise self.trouble
        if inbound.key not in {known.key for known in self.heard}:
            self.heard.append(inbound)

    def cut(self) -> None:
        """Every connection is dropped, as a network does it."""
        assert self.runner.server is not None
        for protocol in list(self.runner.server.connections):
            if protocol.transport is not None:
                protocol.transport.abort()


@asynccontextmanager
async def opened(
    site: Site | None = None,
    *,
    token: str = "",
    port: int = 0,
    serving: bool = True,
    hosts: tuple[str, ...] = (),
    bind: str = "127.0.0.1",
) -> AsyncIterator[Site]:
    """A page that is served on loopback while inside. The same site again is a restart on what was kept."""
    site = site or Site()
    site.chat = WebChat(site.notes, site.artifacts, token=token, hosts=hosts)
    site.talk = site.chat._routes._talk
    site.app = web.Application()
    site.chat.add_routes(site.app)
    site.runner = web.AppRunner(site.app, shutdown_timeout=0.5)
    await site.runner.setup()
    listener = web.TCPSite(site.runner, bind, port)
    await listener.start()
    site.address = f"http://127.0.0.1:{site.runner.addresses[0][1]}"
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(site.chat.serve(site.receive) if serving else asyncio.Event().wait())
        try:
            yield site
        finally:
            task.cancel()
            await site.runner.cleanup()


async def until(condition: Callable[[], object], *, seconds: float = 5.0) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  there is no doorbell where a browser acts
            await asyncio.sleep(0.01)


def board(*rows: Row) -> Message:
    """The dashboard with these runs."""
    return Message(board=True, rows=rows)


def row(title: str, phase: Phase, where: Conversation | None, *, words: str = "", cost: float = 0.0) -> Row:
    """A run on the dashboard."""
    buttons = (Button("Stop", f"stop:{title[:8]}", Style.DANGER),)
    return Row(RunId(title[:8].lower()), title, "claude", phase, time.time() - 754, cost, where, words, buttons)


def question() -> Message:
    """The agent asks."""
    buttons = (
        Button("Rewrite it", "ask:1:0", Style.GOOD),
        Button("Keep it", "ask:1:1"),
        Button("Stop the run", "ask:1:2", Style.DANGER),
    )
    text = "The test depends on the clock. **Shall I rewrite it** or keep it and freeze the time?"
    return Message(text=text, buttons=buttons, rings=True)


async def keep_file(site: Site, name: str, content: bytes) -> File:
    """A file that an agent handed over."""
    await site.artifacts.piece(name, 0, content)
    return File(await site.artifacts.complete(name), name, len(content))


__all__ = ["LOBBY", "RUNS", "MessageId", "Site", "board", "keep_file", "opened", "question", "row", "until"]
