"""Launches: everything that starts a run, be it typed, tapped, linked to or done again.

It decides which agent starts on what, with which budget. It knows neither what is said to a run later nor where one
runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from orchestrator import commands
from orchestrator import events as ev
from orchestrator.errors import Refused
from orchestrator.nouns import Agent, Button, Conversation, File, Inbound, Message, RunId, Style
from orchestrator.ports import Store
from orchestrator.replies import Replies
from orchestrator.roster import Roster
from orchestrator.run import run_id

log = structlog.get_logger()

TAP_SECONDS = 3.0
"""A button that is tapped again within this is taken to be tapped once."""


class Launches:
    """Starts runs. `unavailable` are the drivers that cannot, and why; `budget_usd` is a cap on every run's budget."""

    def __init__(
        self, *, store: Store, roster: Roster, replies: Replies, unavailable: Mapping[str, str], budget_usd: float
    ) -> None:
        self._store = store
        self._roster = roster
        self._replies = replies
        self._unavailable = unavailable
        self._budget_usd = budget_usd
        self._tapped: dict[tuple[Conversation, str, str], tuple[float, str]] = {}

    async def ready(self) -> list[Agent]:
        """Those that can start here: only they are offered by a tap."""
        return self._ready(await self._store.agents())

    async def tapped(self, inbound: Inbound, agent: str) -> None:
        """Start this agent, without a task. Raises `Refused`."""
        if not self._tapped_twice(inbound):
            await self.launch(inbound, agent, "")

    async def again(self, inbound: Inbound, run: RunId) -> None:
        """Start what an earlier run was started on. Raises `Refused`."""
        if self._tapped_twice(inbound):
            return
        async for entries in self._store.journal(run):
            first = entries[0].event
            if isinstance(first, ev.Launched):
                await self.launch(inbound, first.agent.name, first.task, files=first.files)
                return
        raise Refused("This run is not known any more.")

    async def confirm(self, inbound: Inbound, name: str) -> None:
        """A link led here; it starts nothing by itself."""
        agent = next((agent for agent in await self.ready() if agent.name == name), None)
        if agent is None:
            raise Refused(f"The agent `{name[:40]}` of this link cannot start here. `/launch` shows those that can.")
        button = Button(f"Launch {agent.name}", f"launch:{agent.name}", Style.GOOD)
        await self._replies.send(inbound, Message(text=f"Start **{agent.name}**? {agent.about}", buttons=(button,)))

    async def typed(self, inbound: Inbound, rest: str) -> None:
        """Start what `/launch` names, or show what there is to start. Raises `Refused`."""
        agents = await self._store.agents()
        wish = commands.wish(rest, [agent.name for agent in agents])
        if not wish.agent and not wish.task:
            buttons = tuple(Button(agent.name, f"launch:{agent.name}") for agent in self._ready(agents)[:20])
            about = "\n".join(f"- **{agent.name}**: {agent.about}{self._not_ready(agent)}" for agent in agents)
            await self._replies.send(inbound, Message(text=f"Which agent?\n\n{about}", buttons=buttons))
            return
        ready = [agent.name for agent in self._ready(agents)]
        real = [name for name in ready if name != "rehearsal"]
        await self.launch(inbound, wish.agent or next(iter(real or ready), "rehearsal"), wish.task)

    def _ready(self, agents: Sequence[Agent]) -> list[Agent]:
        return [agent for agent in agents if agent.driver not in self._unavailable]

    def _not_ready(self, agent: Agent) -> str:
        why = self._unavailable.get(agent.driver, "")
        return f" *It cannot start yet: {why}*" if why else ""

    async def launch(
        self,
        inbound: Inbound,
        name: str,
        task: str,
        *,
        run: RunId | None = None,
        files: tuple[File, ...] = (),
        named: str = "",
    ) -> None:
        """Start this agent on this task. `run` and `named` where another thing than these words decides them.

        Raises `Refused`.
        """
        agent = next((agent for agent in await self._store.agents() if agent.name == name), None)
        if agent is None:
            raise Refused(f"There is no agent `{name[:40]}` any more. `/launch` shows those that there are.")
        if agent.driver in self._unavailable:
            raise Refused(f"The agent `{name}` cannot start: {self._unavailable[agent.driver]}")
        launched = ev.Launched(
            agent=agent,
            task=task or agent.opening,
            by=inbound.person,
            origin=inbound.where.outside,
            title=named or title(task or agent.opening or agent.name),
            files=inbound.files or files,
            budget_usd=_cap(agent, self._budget_usd),
            source=inbound.source,
        )
        await self._roster.launch(run or run_id(inbound.key), launched, once=inbound.key)

    def _tapped_twice(self, inbound: Inbound) -> bool:
        """Whether this button was tapped a moment ago: a thumb that trembles starts, and pays, one run.

        The same tap brought once more, because it could not be stored, is not another one.
        """
        now = asyncio.get_running_loop().time()
        self._tapped = {tap: (at, key) for tap, (at, key) in self._tapped.items() if now - at < TAP_SECONDS}
        tap = (inbound.where, inbound.on, inbound.press)
        _, first = self._tapped.setdefault(tap, (now, inbound.key))
        if first != inbound.key:
            log.info("a second tap on the same button", key=inbound.key, press=inbound.press)
        return first != inbound.key


def _cap(agent: Agent, cap: float) -> float:
    wanted = [budget for budget in (agent.budget_usd, cap) if budget > 0]
    return min(wanted, default=0.0)


def title(task: str) -> str:
    """A thread's name: the task's first line, short enough for every platform."""
    line = " ".join(task.strip().partition("\n")[0].split())
    return line if len(line) <= 60 else line[:59].rstrip() + "…"
