"""What is said on the page, both ways: the `Chat` port over the page's own messages. It knows no HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from adapters.web.drawer import Drawer
from adapters.web.posts import Kept, Post, Posts
from adapters.web.render import PLATFORM
from adapters.web.threads import LOBBY, RUNS, Threads
from adapters.web.viewer import About, Streams, Viewer
from orchestrator.errors import Broken, Gone, Refused
from orchestrator.nouns import Conversation, File, Inbound, Message, MessageId, Pace, Person, Pulse, Sign
from orchestrator.ports import Notes, Receive
from orchestrator.toll import toll

OWNER = Person(PLATFORM, "owner", name="you")
PACE = Pace(burst=200, per=1.0, reserve=20, edit_every=0.03)
OVERALL = Pace(burst=100_000, per=1.0)


class Talk:
    """The page as a place to talk: a lobby, a dashboard, and a thread for whoever opens one."""

    def __init__(self, notes: Notes, *, commands: Sequence[tuple[str, str]], login: bool) -> None:
        drawer = Drawer(notes)
        self.posts = Posts(drawer)
        self.threads = Threads(drawer, self.posts)
        self.streams = Streams(self.posts, self.threads, self._about)
        self._commands = tuple(commands)
        self._login = login
        self._receive: Receive | None = None
        self._viewers: set[Viewer] = set()
        self.posts.watch(self._see)

    # --- the port -----------------------------------------------------------------------------------------------

    async def serve(self, receive: Receive) -> None:
        """Hear people until cancelled."""
        self._receive = receive
        self._nudge(about=True)
        try:
            await self.posts.keep_saving()
        finally:
            self._receive = None
            self._nudge(about=True)

    def scope(self, where: Conversation) -> str:
        """Each conversation has a budget of its own: nothing is shared but this machine."""
        return str(where)

    def pace(self, where: Conversation) -> Pace:
        """More than any reader follows; the viewers slow down by themselves."""
        return PACE

    async def open(self, origin: Conversation, title: str, *, key: str) -> Conversation:
        """A thread, and a line in `origin` that leads to it. The same key is the same thread."""
        await toll()
        place = await self._place(origin)
        thread, _ = await self.threads.open(title, key=key)
        notice = Kept(author="system", at=time.time(), message=Message(text=title), opens=thread)
        await self.posts.add(place, notice, key=f"opened/{thread}")
        self._nudge(listing=True)
        return Conversation(PLATFORM, LOBBY, thread)

    async def post(self, where: Conversation, message: Message, *, key: str, again: bool = False) -> MessageId:
        """A new message, durable; the same key is the same message."""
        await toll()
        kept = Kept(author="agent", at=time.time(), message=message)
        return MessageId((await self.posts.add(await self._place(where), kept, key=f"post/{key}")).id)

    async def edit(self, where: Conversation, message_id: MessageId, message: Message) -> float:
        """The message looks like this now, for everybody at once."""
        await toll()
        await self.posts.change(where.thread or where.chat, message_id, message)
        return 0.0

    async def remove(self, where: Conversation, message_id: MessageId) -> None:
        """It stands there without its words: what a page has shown is not taken off it."""
        with suppress(Gone):
            await self.posts.change(where.thread or where.chat, message_id, Message(status="removed"))

    def stale(self, message_id: MessageId) -> bool:
        """Any message may be edited for ever."""
        return False

    async def sign(self, where: Conversation, sign: Sign) -> None:
        """The page shows what was taken and which phase a thread is in by other means."""

    def pulse(self) -> Pulse:
        """The page is this process: it lives while people are heard."""
        return Pulse(heard=time.time() if self._receive else 0.0)

    # --- people -------------------------------------------------------------------------------------------------

    async def say(
        self, place: str, id_: str, text: str, files: tuple[File, ...], *, quoted: bool = False, again: bool = False
    ) -> None:
        """A person's words. They stand on the page before the core is told; the same id is said once.

        `again` repeats words that are kept here under this id, for a page that does not have them any more.
        """
        receive = self._serving()
        if again:
            post = await self.posts.find(place, key=f"said/{id_}")
            if post is None:
                raise Gone("This message is not kept here; write it again.")
        else:
            kept = Kept("you", time.time(), Message(text=text, files=files), key=id_, taken=False, quoted=quoted)
            post = await self.posts.add(place, kept, key=f"said/{id_}")
        said = post.kept.message
        inbound = Inbound(
            key=f"{PLATFORM}/{place}/{id_}",
            where=where_of(place),
            person=OWNER,
            text=said.text,
            files=said.files,
            quoted=post.kept.quoted,
            message=MessageId(post.id),
        )
        try:
            await receive(inbound)
        except Refused as refused:
            await self.posts.settle(post, fault=str(refused) or "Refused.")
            raise
        await self.posts.settle(post)

    async def press(self, place: str, id_: str, token: str, *, on: str) -> None:
        """A person's tap."""
        inbound = Inbound(
            key=f"{PLATFORM}/{place}/{id_}", where=where_of(place), person=OWNER, press=token, on=MessageId(on)
        )
        await self._serving()(inbound)

    # --- viewers ------------------------------------------------------------------------------------------------

    @contextmanager
    def viewing(self, viewer: Viewer) -> Iterator[None]:
        """Somebody looks at the page while inside."""
        self._viewers.add(viewer)
        self.posts.watch(viewer.see)
        try:
            yield
        finally:
            self.posts.unwatch(viewer.see)
            self._viewers.discard(viewer)

    def close(self) -> None:
        """Send every viewer away; they come back when the page is there again."""
        self._nudge(close=True)

    def _see(self, post: Post) -> None:
        if self.threads.notice(post):
            self._nudge(listing=True)

    def _nudge(self, *, about: bool = False, listing: bool = False, close: bool = False) -> None:
        for viewer in self._viewers:
            viewer.nudge(about=about, listing=listing, close=close)

    def _about(self) -> About:
        return About(serving=self._receive is not None, login=self._login, commands=self._commands)

    def _serving(self) -> Receive:
        if self._receive is None:
            raise Broken("The bot is still starting. Your message is kept here and sent again in a moment.")
        return self._receive

    async def _place(self, where: Conversation) -> str:
        place = where.thread or where.chat
        if where.platform != PLATFORM or where.chat not in {LOBBY, RUNS} or await self.threads.title(place) is None:
            raise Gone(f"There is no conversation {where} on this page.")
        return place


def where_of(place: str) -> Conversation:
    """The conversation that the page calls by this word."""
    return Conversation(PLATFORM, place) if place in {LOBBY, RUNS} else Conversation(PLATFORM, LOBBY, place)
