"""The doctor in a chat: `/doctor` is answered at once that it looks, and then, in the same message, with what it found.

It knows nothing of what is looked at. One look at a time: whoever asks meanwhile waits for a turn, as long as few do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from orchestrator.checkup import Finding
from orchestrator.errors import Refused
from orchestrator.letters import plain
from orchestrator.nouns import Inbound, Letter, Message
from orchestrator.ports import Change, Store
from orchestrator.post import PostOffice
from orchestrator.replies import reply, reply_key
from orchestrator.tasks import patiently

log = structlog.get_logger()

LOOKING = "the doctor looks …"
MOST_ASKED = 5
"""Looks that are asked for and have not come to an end."""

LOOK_SECONDS = 90.0
"""Whoever looks has deadlines of its own, for each thing; this is the last resort."""

Examine = Callable[[], Awaitable[Sequence[Finding]]]
"""A look at everything that can be wrong, from within a bot that runs."""


async def nothing() -> Sequence[Finding]:
    """A look where there is nothing to look at."""
    return ()


class Doctor:
    """Answers `/doctor`. A look is no part of what is kept: one that a kill cuts off is asked for again."""

    def __init__(self, *, examine: Examine, store: Store, office: PostOffice, group: asyncio.TaskGroup) -> None:
        self._examine = examine
        self._store = store
        self._office = office
        self._group = group
        self._one = asyncio.Lock()
        self._asked = 0

    async def answer(self, inbound: Inbound) -> None:
        """Say that it looks, and go and look. Raises `Refused` where too many wait for that."""
        if self._asked >= MOST_ASKED:
            raise Refused("The doctor is looking already, for several who asked. Wait for what is found.")
        letter = reply(inbound, Message(status=LOOKING))
        if await self._store.write(Change(once=inbound.key, letters=[letter])):
            self._office.take([letter])
            self._asked += 1
            self._group.create_task(self._look(inbound), name="doctor")

    async def _look(self, inbound: Inbound) -> None:
        try:
            async with self._one:
                message = await self._found()
        finally:
            self._asked -= 1
        letter = Letter(f"{reply_key(inbound)}/found", inbound.where, message, edits=reply_key(inbound))
        await patiently(lambda: self._store.write(Change(letters=[letter])), what="what the doctor found")
        self._office.take([letter])

    async def _found(self) -> Message:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                findings = await self._examine()
        except TimeoutError:
            return Message(status=f"⚠ the doctor did not come to an end within {LOOK_SECONDS:.0f} s")
        except Exception as error:
            log.exception("a defect kept the doctor from looking")
            return Message(status=f"⚠ a defect kept the doctor from looking: {type(error).__name__}; the log has it")
        lines = [f"- {finding.mark} **{plain(finding.what)}** {plain(finding.words)}" for finding in findings]
        bad = sum(not finding.good for finding in findings)
        return Message(text="\n".join(lines), status="all is well" if not bad else f"{bad} to look at")
