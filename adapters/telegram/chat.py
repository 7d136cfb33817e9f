"""Telegram as a `Chat`, over the real library's `Bot`: its parts put together, and nothing else.

`hearing` asks, `inbox` keeps, `reading` reads, `doings` brings it to the core; `speaking` and `editing` send what
`parts` has rendered, `places` opens topics and chains.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, Self

import structlog
from aiohttp import web
from telegram import Update

from adapters.telegram.attachments import Attachments
from adapters.telegram.doings import Doings
from adapters.telegram.editing import Editing
from adapters.telegram.hearing import AGAIN_SECONDS, Hearing
from adapters.telegram.inbox import Inbox
from adapters.telegram.line import Line
from adapters.telegram.menu import Menu
from adapters.telegram.places import Chains, Places
from adapters.telegram.reading import PLATFORM, Me, Reading, read, stood
from adapters.telegram.sent import Records
from adapters.telegram.signs import Signs
from adapters.telegram.speaking import Speaking
from adapters.telegram.webhook import Door, Webhook
from orchestrator.errors import Broken, Refused
from orchestrator.nouns import Conversation, Message, MessageId, Pace, Pulse
from orchestrator.ports import Artifacts, Notes, Receive
from orchestrator.tasks import woken

log = structlog.get_logger()

PRIVATE = Pace(burst=6, per=6.7, reserve=2, edit_every=1.5)  # never more than 20 in 20 seconds
GROUP = Pace(burst=20, per=60.5, reserve=4, edit_every=3.0)  # what live pages always leave is for a refusal, too
OVERALL = Pace(burst=6, per=0.25)  # 24 of the 30 in a second: requests may come a quarter of one late, and together

MENU_AGAIN = 6 * 3600.0
"""Seconds after which a chat that had no menu yet is tried again, unless it is heard before."""

FORGET_EVERY = 6 * 3600.0


class TelegramChat:
    """One bot. `async with` opens its connections; `serve` hears people.

    `allowed_chats` and `allowed_users` say where the menu is shown and whose files are fetched; who may, the core says.
    `drafts`: live text in private chats is shown as a draft where only it has changed.
    """

    def __init__(
        self,
        notes: Notes,
        artifacts: Artifacts,
        *,
        token: str,
        api_base: str = "https://api.telegram.org",
        rich_chats: Collection[str] = (),
        commands: Sequence[tuple[str, str, str]] = (),
        allowed_chats: Collection[int] = (),
        allowed_users: Collection[int] = (),
        webhook: Webhook | None = None,
        drafts: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.platform = PLATFORM
        self.overall = OVERALL
        self._notes = notes
        self._users, self._chats = frozenset(allowed_users), frozenset(allowed_chats)
        self._line = Line(token, api_base=api_base)
        self._records = Records(notes, now=clock)
        self._chains = Chains(notes, now=clock)
        self._speaking = Speaking(
            self._line, artifacts, records=self._records, chains=self._chains, rich_chats=rich_chats, now=clock
        )
        self._editing = Editing(self._line, notes, self._speaking, drafts=drafts)
        self._places = Places(
            self._line, notes, self._chains, private_topics=self._private_topics, post=self._speaking.post, now=clock
        )
        self._signs = Signs(self._line)
        self._attachments = Attachments(self._line, artifacts)
        self._menu = Menu(self._line, notes, commands=commands, scopes=self._chats | self._users)
        self._hearing = Hearing(self._line, now=clock)
        self._door = Door(self._line, self._hearing, webhook) if webhook else None
        self._inbox: Inbox | None = None
        self._me: Me | None = None
        self.sign, self.remove = self._signs.show, self._editing.remove

    async def __aenter__(self) -> Self:
        await self._line.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._line.__aexit__()

    def add_routes(self, app: web.Application) -> None:
        """Answer where Telegram brings updates, if it is to bring them."""
        if self._door:
            self._door.add_routes(app)

    # --- hearing ----------------------------------------------------------------------------------------------------

    async def serve(self, receive: Receive) -> None:
        """Hear people until cancelled. Raises `Refused` when the token is not accepted."""
        self._me = me = await self._hearing.me()
        log.info("telegram knows the bot", username=me.username, topics=me.topics)
        await self._hearing.patiently(self._tidy)
        doings = Doings(
            self._line,
            self._notes,
            speaking=self._speaking,
            chains=self._chains,
            places=self._places,
            attachments=self._attachments,
            users=self._users,
            chats=self._chats,
            receive=receive,
        )
        try:
            async with asyncio.TaskGroup() as group:
                self._inbox = inbox = Inbox(self._notes, group, read=self._read, act=doings.act)
                await self._hearing.patiently(inbox.resume)
                group.create_task(self._show_menu())
                group.create_task(self._forget())
                if self._door:
                    self._door.inbox = inbox
                    await self._door.watch()
                await self._hearing.poll(inbox)
        except BaseExceptionGroup as several:
            refused, rest = several.split(Refused)
            if refused is None or rest is not None:
                raise
            raise Refused(self._line.locked or str(refused.exceptions[0])) from None
        finally:
            if self._door:
                self._door.inbox = None

    def _read(self, raw: Mapping[str, Any]) -> Reading:
        assert self._me
        update = Update.de_json(dict(raw), self._line.bot)
        if place := stood(update):
            self._records.saw(*place)
            self._menu.heard(place[0])
        if update.message and (new := update.message.migrate_to_chat_id) and update.message.chat.id in self._chats:
            self._line.moves(update.message.chat.id, new)
        return read(update, self._me)

    async def _tidy(self) -> None:
        await self._records.load()
        await self._chains.prune()
        await self._places.prune()

    async def _forget(self) -> None:
        """Now and then, what nobody will ask for any more."""
        while True:
            await asyncio.sleep(FORGET_EVERY)
            try:
                await self._records.prune()
                await self._chains.prune()
                await self._places.prune()
            except Broken as why:
                log.warning("old notes not dropped", why=str(why), again_in=FORGET_EVERY)

    async def _show_menu(self) -> None:
        for pause in chain(AGAIN_SECONDS, repeat(AGAIN_SECONDS[-1])):
            try:
                while not await self._menu.show():
                    await woken(self._menu.wanted, MENU_AGAIN)
            except Broken as why:
                log.warning("menu not shown", why=str(why), again_in=pause)
                await asyncio.sleep(pause)
            except Exception:  # a menu is not worth that nobody is heard
                log.exception("menu not shown")
                return
            else:
                return

    def pulse(self) -> Pulse:
        """When Telegram last answered, why it does not, and what could not be read."""
        aside = self._inbox.aside if self._inbox else 0
        return Pulse(self._hearing.heard, self._hearing.trouble or self._line.locked or self._lost(), aside)

    def _lost(self) -> str:
        """Which group cannot be used any more because nobody has allowed its new id."""
        for old in sorted(self._chats):
            new = self._line.moved.get(old)
            if new is not None and new not in self._chats:
                return f"The group {old} became a supergroup; allow its new id {new} instead."
        return ""

    # --- speaking ---------------------------------------------------------------------------------------------------

    def scope(self, where: Conversation) -> str:
        """All topics and chains of a chat share its budget."""
        return where.chat

    def pace(self, where: Conversation) -> Pace:
        """What Telegram's own texts say of private chats and of all others."""
        return GROUP if where.chat.startswith("-") else PRIVATE

    async def open(self, origin: Conversation, title: str, *, key: str) -> Conversation:
        """A topic where the chat has topics, else a chain of replies."""
        return await self._places.open(origin, title, key=key)

    async def post(self, where: Conversation, message: Message, *, key: str, again: bool = False) -> MessageId:
        """All of it stands, once. A dashboard is pinned."""
        message_id = await self._speaking.post(where, message, key=key, again=again)
        self._editing.posted(where, message_id, message)
        if message.board:
            await self._editing.pin(where, message_id)
        return message_id

    async def edit(self, where: Conversation, message_id: MessageId, message: Message) -> float:
        """The message looks like this now."""
        return await self._editing.edit(where, message_id, message)

    def stale(self, message_id: MessageId) -> bool:
        """A bot may edit its own messages however old they are."""
        return False

    async def _private_topics(self) -> bool:
        if self._me is None:
            async with self._line.told() as bot:
                user = await bot.get_me()
            return bool(user.has_topics_enabled)
        return self._me.topics
