"""Interactions: what a person did, the token it gave, and how and when the bot answered.

The three seconds and the fifteen minutes are kept here, by the loop's time. Routes call the methods that a bot may
use; people read the fields.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.discordapi.clock import Clock
from tests.discordapi.errors import Json, Refusal
from tests.discordapi.world import Channel, Message, User

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 2, 3, 4, 5
PONG, SAY, DEFER, DEFER_UPDATE, UPDATE, CHOICES, OPEN_MODAL = 1, 4, 5, 6, 7, 8, 9
FIRST_ANSWER = 3.0
TOKEN_LIFE = 900.0


@dataclass
class Interaction:
    """One thing that a person did, and everything that came of it."""

    id: int
    token: str
    kind: int
    user: User
    channel: Channel
    began: float
    clock: Clock
    source: Message | None = None
    answer: int | None = None
    answered_at: float | None = None
    message: Message | None = None
    loading: bool = False
    ephemeral: bool = False
    deleted: bool = False
    modal: Json | None = None
    choices: list[tuple[str, str | int | float]] = field(default_factory=list)
    followups: list[Message] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    # --- what a person sees -----------------------------------------------------------------------------------------

    @property
    def answered(self) -> bool:
        """Whether the bot answered at all; after three seconds of nothing a person reads "did not respond"."""
        return self.answer is not None

    @property
    def took(self) -> float | None:
        """Seconds to the first answer."""
        return None if self.answered_at is None else self.answered_at - self.began

    @property
    def deferred(self) -> bool:
        """Whether the first answer only said "thinking", or, on a button, nothing at all."""
        return self.answer in {DEFER, DEFER_UPDATE}

    @property
    def content(self) -> str:
        """What the answer says now, edits included; empty while it is thinking or when it was deleted."""
        return "" if self.message is None or self.loading or self.deleted else self.message.text

    @property
    def failed(self) -> bool:
        """Whether the three seconds went by without an answer."""
        return not self.answered and self.clock.loop_time() >= self.began + FIRST_ANSWER

    async def until(self, wanted: Callable[[Interaction], object], *, within: float = 30.0) -> Interaction:
        """Wait until this is so, by the loop's time."""
        async with asyncio.timeout(within):
            while not wanted(self):
                self.changed.clear()
                await self.changed.wait()
        return self

    async def finished(self, *, within: float = 30.0) -> Interaction:
        """Wait until there is an answer that is not "thinking"."""
        return await self.until(lambda one: one.answered and not one.loading, within=within)

    async def first(self) -> Interaction:
        """Wait for the first answer as long as the platform does."""
        left = self.began + FIRST_ANSWER - self.clock.loop_time()
        try:
            return await self.until(lambda one: one.answered, within=max(0.0, left))
        except TimeoutError:
            return self

    # --- what a bot may do ------------------------------------------------------------------------------------------

    def acknowledge(self, answer: int) -> None:
        """The first answer, in time and only once."""
        if self.answer is not None:
            raise Refusal(40060)
        if self.clock.loop_time() > self.began + FIRST_ANSWER:
            raise Refusal(10062)
        self.answer, self.answered_at = answer, self.clock.loop_time()

    def use(self) -> None:
        """The token as a webhook: after the first answer, for fifteen minutes."""
        if self.clock.loop_time() > self.began + TOKEN_LIFE:
            raise Refusal(50027)
        if self.answer is None:
            raise Refusal(10015)

    def original(self) -> Message:
        """The message of the first answer, or 10008."""
        if self.message is None or self.deleted:
            raise Refusal(10008)
        return self.message

    def find(self, message_id: str) -> Message:
        """The original or a follow-up."""
        if message_id == "@original":
            return self.original()
        found = [m for m in ([self.message] if self.message else []) + self.followups if str(m.id) == message_id]
        if not found:
            raise Refusal(10008)
        return found[0]


def new_interaction(clock: Clock, kind: int, user: User, channel: Channel, source: Message | None) -> Interaction:
    """An interaction that begins now."""
    return Interaction(
        clock.snowflake(), secrets.token_urlsafe(48), kind, user, channel, clock.loop_time(), clock, source
    )
