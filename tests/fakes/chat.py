"""A chat in memory: what was posted and how it looked, trouble on demand, and people who say and press things."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from orchestrator.errors import Broken, Busy, Gone, Trouble
from orchestrator.nouns import Conversation, File, Inbound, Message, MessageId, Pace, Person, Pulse, Sign
from orchestrator.ports import Receive
from orchestrator.toll import toll

ROOMY = Pace(burst=1000, per=1.0)


@dataclass
class Posted:
    """A message as it stands now; `looks` is every look it had, the first one included."""

    id: MessageId
    where: Conversation
    key: str
    message: Message
    looks: list[Message] = field(default_factory=list)


@dataclass(frozen=True)
class Call:
    """A request that reached the platform, refused ones included. `at` is the loop's time."""

    at: float
    method: str
    where: Conversation
    key: str


class FakeChat:
    """`remembers` is false for platforms that cannot tell a repeated post from a new one. `strict` answers `Busy`
    when more comes than the pace allows, as a platform would. `lasts`: seconds after which an edit fades; `old`: the
    messages that want no further edits."""

    def __init__(
        self, platform: str = "fake", *, pace: Pace = ROOMY, remembers: bool = True, strict: bool = False
    ) -> None:
        self.platform = platform
        self.overall = ROOMY
        self.signs: list[tuple[Conversation, Sign]] = []
        self.lasts = 0.0
        self.old: set[MessageId] = set()
        self.posts: list[Posted] = []
        self.threads: dict[str, Conversation] = {}
        self.titles: dict[Conversation, str] = {}
        self.calls: list[Call] = []
        self.delay = 0.001
        self.deleted: set[Conversation] = set()
        self._pace = pace
        self._remembers = remembers
        self._strict = strict
        self._failing: dict[str, deque[Trouble]] = {}
        self._open = asyncio.Event()
        self._open.set()
        self._receive: Receive | None = None
        self._serving = asyncio.Event()

    # --- the port -----------------------------------------------------------------------------------------------

    async def serve(self, receive: Receive) -> None:
        self._receive = receive
        self._serving.set()
        try:
            await asyncio.Event().wait()
        finally:
            self._receive = None
            self._serving.clear()

    def scope(self, where: Conversation) -> str:
        return f"{where.platform}/{where.chat}"

    def pace(self, where: Conversation) -> Pace:
        return self._pace

    async def open(self, origin: Conversation, title: str, *, key: str) -> Conversation:
        async with _Request(self, "open", origin, key):
            if key not in self.threads or not self._remembers:
                self.threads[key] = Conversation(
                    origin.platform, origin.chat, f"{key}{'' if self._remembers else id(key)}"
                )
            self.titles[self.threads[key]] = title
        return self.threads[key]

    async def post(self, where: Conversation, message: Message, *, key: str, again: bool = False) -> MessageId:
        async with _Request(self, "post", where, key):
            old = next((post for post in self.posts if post.key == key and post.where == where), None)
            if old and self._remembers:
                return old.id
            post = Posted(MessageId(f"m{len(self.posts)}"), where, key, message, [message])
            self.posts.append(post)
        return post.id

    async def edit(self, where: Conversation, message_id: MessageId, message: Message) -> float:
        async with _Request(self, "edit", where, message_id):
            post = next((post for post in self.posts if post.id == message_id and post.where == where), None)
            if post is None:
                raise Gone("There is no such message.")
            if post.message != message:
                post.message = message
                post.looks.append(message)
        return self.lasts

    async def remove(self, where: Conversation, message_id: MessageId) -> None:
        async with _Request(self, "remove", where, message_id):
            self.remove_by_hand(message_id)

    def stale(self, message_id: MessageId) -> bool:
        return message_id in self.old

    async def sign(self, where: Conversation, sign: Sign) -> None:
        async with _Request(self, "sign", where, repr(sign)):
            self.signs.append((where, sign))

    def pulse(self) -> Pulse:
        return Pulse(heard=1.0 if self._receive else 0.0)

    # --- what a test does ---------------------------------------------------------------------------------------

    def set_pace(self, pace: Pace) -> None:
        """Another pace from now on."""
        self._pace = pace

    def fail(self, method: str, *troubles: Trouble) -> None:
        """The next calls of `open`, `post` or `edit` raise these. A `Broken` that is unsure does its work first."""
        self._failing.setdefault(method, deque()).extend(troubles)

    def recover(self) -> None:
        """No call raises any more, but in conversations that were deleted."""
        self._failing.clear()

    def delete(self, where: Conversation) -> None:
        """Somebody deleted the thread, with all that stands in it."""
        self.deleted.add(where)
        self.posts = [post for post in self.posts if post.where != where]

    def hold(self) -> None:
        """Every request waits until `release`."""
        self._open.clear()

    def release(self) -> None:
        """Let the waiting requests through."""
        self._open.set()

    def remove_by_hand(self, message_id: MessageId) -> None:
        """Somebody deleted the message."""
        self.posts = [post for post in self.posts if post.id != message_id]

    def seen(self, where: Conversation) -> list[Message]:
        """What stands in a conversation now, in order."""
        return [post.message for post in self.posts if post.where == where]

    async def says(
        self,
        where: Conversation,
        text: str,
        *,
        key: str,
        person: Person | None = None,
        files: tuple[File, ...] = (),
        quoted: bool = False,
    ) -> None:
        """A person says something; returns or raises as the core answers."""
        who = person or Person(self.platform, "7", name="Ann")
        inbound = Inbound(key, where, who, text=text, files=files, quoted=quoted, message=MessageId(f"said {key}"))
        await self._hear(inbound)

    async def presses(
        self, where: Conversation, token: str, *, key: str, on: MessageId | None = None, person: Person | None = None
    ) -> None:
        """A person taps a button."""
        who = person or Person(self.platform, "7", name="Ann")
        await self._hear(Inbound(key=key, where=where, person=who, press=token, on=on or MessageId("")))

    async def _hear(self, inbound: Inbound) -> None:
        await self._serving.wait()
        assert self._receive is not None
        await self._receive(inbound)

    # --- requests -----------------------------------------------------------------------------------------------

    async def arrive(self, method: str, where: Conversation, key: str) -> Trouble | None:
        """A request comes in; returns the trouble it is to end in after its work was done."""
        await self._open.wait()
        await asyncio.sleep(self.delay)
        now = asyncio.get_running_loop().time()
        self.calls.append(Call(now, method, where, key))
        trouble = queue.popleft() if (queue := self._failing.get(method)) else None
        if isinstance(trouble, Broken) and trouble.unsure:
            return trouble
        if trouble:
            raise trouble
        if where in self.deleted:
            raise Gone("thread not found")
        if self._strict and (wait := self._too_many(where, now)):
            raise Busy("Too many requests.", seconds=wait)
        return None

    def _too_many(self, where: Conversation, now: float) -> float:
        scope = self.scope(where)
        recent = [call.at for call in self.calls if self.scope(call.where) == scope and call.at > now - self._pace.per]
        return recent[0] + self._pace.per - now if len(recent) > self._pace.burst else 0.0


class _Request:
    """The way in and out of one request: trouble before it, trouble after it, and the time that the answer takes."""

    def __init__(self, chat: FakeChat, method: str, where: Conversation, key: str) -> None:
        self._chat = chat
        self._what = (method, where, key)
        self._trouble: Trouble | None = None

    async def __aenter__(self) -> None:
        await toll()
        self._trouble = await self._chat.arrive(*self._what)

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await asyncio.sleep(self._chat.delay)
        if self._trouble and error is None:
            raise self._trouble
