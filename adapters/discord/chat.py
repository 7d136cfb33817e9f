"""Discord as the house sees it: `orchestrator.ports.Chat`, put together from hearing, speaking, threads and buttons.

It wires and routes; what each of them does stands in a file of its own.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Self

import aiohttp
import discord
import structlog

from adapters.discord.commands import Command, synced
from adapters.discord.gateway import Gateway
from adapters.discord.hearing import Hearing
from adapters.discord.interactions import Interaction, Interactions, Suggest, key_of
from adapters.discord.people import PLATFORM, May
from adapters.discord.quiet import Quiet
from adapters.discord.speaking import KEPT, NOBODY, Speaking
from adapters.discord.threads import FINISH_EVERY, Threads
from adapters.discord.wire import Wire
from orchestrator.errors import Trouble
from orchestrator.nouns import Conversation, Message, MessageId, Pace, Pulse, Sign
from orchestrator.ports import Artifacts, Notes, Receive
from orchestrator.tasks import until_first

log = structlog.get_logger()

INTENTS = discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=True)
MOST_INTERACTIONS = 200
SYNC_PAUSES = (5.0, 30.0, 120.0, 600.0)
KEEP_EVERY = 6 * 3600.0


class DiscordChat:
    """A bot on Discord. `async with` it: requests work from then on, people are heard while it serves."""

    platform = PLATFORM
    overall = Pace(burst=45, per=1.0)

    def __init__(
        self,
        notes: Notes,
        artifacts: Artifacts,
        *,
        token: str,
        guilds: Collection[str],
        may: May,
        api_base: str,
        gateway_url: str = "",
        commands: Sequence[Command],
        suggest: Suggest,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._notes = notes
        self._guilds = tuple(guilds)
        self._commands = tuple(commands)
        self._wire = Wire(token=token, api_base=api_base, gateway_url=gateway_url, make=self._client)
        self._gateway = Gateway(self._wire, clock=clock)
        self._quiet = Quiet(self._wire)
        self._hearing = Hearing(self._wire, notes, artifacts, guilds=guilds, may=may, quiet=self._quiet, clock=clock)
        self._speaking = Speaking(self._wire, notes, artifacts, clock=clock)
        self._interactions = Interactions(
            self._wire, artifacts, guilds=guilds, may=may, suggest=suggest, whole=self._speaking.whole
        )
        self._threads = Threads(
            self._wire, notes, opened=self._hearing.opened, closed=self._hearing.closed, clock=clock
        )
        self._group: asyncio.TaskGroup | None = None
        self._receive: Receive | None = None
        self._session = asyncio.Event()  # somebody who types a command is heard
        self._taking: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._wire.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._wire.close()

    def _client(self, connector: aiohttp.TCPConnector, trace: aiohttp.TraceConfig) -> discord.Client:
        return _Client(self, connector=connector, http_trace=trace)

    # --- hearing ----------------------------------------------------------------------------------------------------

    async def serve(self, receive: Receive) -> None:
        """See `orchestrator.ports.Chat.serve`."""
        ended: Trouble | None = None
        async with asyncio.TaskGroup() as group:
            self._group, self._receive = group, receive
            self._quiet.begin(group)
            chores = (group.create_task(self._keep()), group.create_task(self._finish()))
            try:
                await self._hearing.begin(group, receive)
                await until_first(self._gateway.hold(), self._wire.refused())
            except Trouble as why:
                ended = why  # raised in here, it would come out in a group
            finally:
                self._group, self._receive = None, None
                self._hearing.end()
                self._quiet.end()
                for task in (*chores, *self._taking):
                    task.cancel()
        if ended is not None:
            raise ended

    async def _keep(self) -> None:
        """Tell the commands, and drop notes that nobody needs any more, now and then.

        Commands are told once there is a session: one that is offered and not heard looks broken.
        """
        await self._session.wait()
        pauses = iter(SYNC_PAUSES)
        while True:
            try:
                await synced(self._wire, self._notes, self._guilds, self._commands)
                await self._speaking.forget()
                await self._threads.forget(older=KEPT)
            except Exception as why:  # noqa: BLE001 - whatever it is, people are heard all the same
                pause = next(pauses, SYNC_PAUSES[-1])
                log.warning("commands not told", platform=PLATFORM, again_in=pause, why=str(why) or repr(why))
                await asyncio.sleep(pause)
            else:
                pauses = iter(SYNC_PAUSES)
                await asyncio.sleep(KEEP_EVERY)

    async def _finish(self) -> None:
        """Show again how runs ended, where that could not be shown."""
        await self._session.wait()
        while True:
            try:
                await self._threads.finish()
            except Exception as why:  # noqa: BLE001 - whatever it is, people are heard all the same
                log.warning("ends not looked for", platform=PLATFORM, why=str(why) or repr(why))
            await asyncio.sleep(FINISH_EVERY)

    def on_message(self, message: discord.Message) -> None:
        """Somebody wrote something."""
        self._hearing.message(message)

    def on_session(self) -> None:
        """A new session has begun."""
        self._session.set()
        self._hearing.anew()

    def on_interaction(self, interaction: Interaction) -> None:
        """Somebody pressed, typed or filled in something: it waits for nothing else."""
        if self._group is None or self._receive is None:
            return
        if len(self._taking) >= MOST_INTERACTIONS:
            self.on_defect()
            log.warning("too many interactions at once", key=key_of(interaction))
            return
        task = self._group.create_task(self._take(interaction, self._receive))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def _take(self, interaction: Interaction, receive: Receive) -> None:
        try:
            await self._interactions.take(interaction, receive)
        except Exception:
            self.on_defect()
            log.exception("an interaction was set aside", key=key_of(interaction))

    def on_defect(self) -> None:
        """Something that came could not be taken."""
        self._hearing.aside += 1

    def pulse(self) -> Pulse:
        """See `orchestrator.ports.Chat.pulse`."""
        gateway = self._gateway
        trouble = self._wire.trouble or gateway.trouble
        return Pulse(heard=gateway.heard, trouble=trouble, aside=gateway.aside + self._hearing.aside)

    # --- speaking ---------------------------------------------------------------------------------------------------

    def scope(self, where: Conversation) -> str:
        """A channel has a budget of its own, and a thread is a channel."""
        return where.thread or where.chat

    def pace(self, where: Conversation) -> Pace:
        """See `orchestrator.ports.Chat.pace`."""
        return self._wire.paces.of(where.thread or where.chat.rpartition("/")[2])

    async def open(self, origin: Conversation, title: str, *, key: str) -> Conversation:
        """See `orchestrator.ports.Chat.open`."""
        return await self._threads.open(origin, title, key=key)

    async def post(self, where: Conversation, message: Message, *, key: str, again: bool = False) -> MessageId:
        """See `orchestrator.ports.Chat.post`."""
        return await self._speaking.post(where, message, key=key, again=again)

    async def edit(self, where: Conversation, message_id: MessageId, message: Message) -> float:
        """See `orchestrator.ports.Chat.edit`."""
        await self._speaking.edit(where, message_id, message)
        return 0.0

    async def remove(self, where: Conversation, message_id: MessageId) -> None:
        """See `orchestrator.ports.Chat.remove`."""
        await self._speaking.remove(where, message_id)

    def stale(self, message_id: MessageId) -> bool:
        """See `orchestrator.ports.Chat.stale`."""
        return self._speaking.stale(message_id)

    async def sign(self, where: Conversation, sign: Sign) -> None:
        """See `orchestrator.ports.Chat.sign`."""
        await self._threads.sign(where, sign)


class _Client(discord.Client):
    """The library's client; what it hears goes on at once, in the order in which it came."""

    def __init__(self, chat: DiscordChat, *, connector: aiohttp.TCPConnector, http_trace: aiohttp.TraceConfig) -> None:
        super().__init__(
            intents=INTENTS,
            allowed_mentions=NOBODY,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            guild_ready_timeout=0.0,
            max_messages=None,
            connector=connector,
            http_trace=http_trace,
        )
        self._chat = chat

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Nothing: when to identify is the gateway's to say, before it opens a socket that would stand idle."""

    async def on_connect(self) -> None:
        self._chat.on_session()

    async def on_message(self, message: discord.Message) -> None:
        self._chat.on_message(message)

    async def on_interaction(self, interaction: Interaction) -> None:
        self._chat.on_interaction(interaction)

    async def on_error(self, event_method: str, /, *_args: object, **_kwargs: object) -> None:
        self._chat.on_defect()
        log.error("an event was set aside", event_name=event_method, exc_info=sys.exc_info())
