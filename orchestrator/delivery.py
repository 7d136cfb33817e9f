"""Deliveries: how one letter comes to its end, once, whatever fails and whenever the bot is killed.

A letter leaves the outbox when it stands in the chat, when its platform refuses it, or when it was told elsewhere
because its conversation is no more. Whose turn it is, and what it may cost, is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import structlog

from orchestrator.attempt import Attempts, Later
from orchestrator.errors import Busy, Gone, Refused
from orchestrator.keys import is_excuse, refused
from orchestrator.nouns import Letter, Message, MessageId
from orchestrator.place import Dispatch, Place, Row
from orchestrator.ports import Change, Chat, Sent, Store
from orchestrator.tasks import patiently

log = structlog.get_logger()

LONGEST_TRYING = 6 * 3600.0
"""Seconds for which a letter is tried again while its platform is heard and fails over it; then the next one goes."""

Bereft = Callable[[Letter, str], Coroutine[Any, Any, None]]
"""Sees to it that a letter whose conversation is no more is told elsewhere; gets the platform's words."""


class Deliveries:
    """The letters of one place. `taken` are the keys of those that wait."""

    def __init__(
        self, place: Place, chat: Chat, *, attempts: Attempts, store: Store, taken: set[str], bereft: Bereft | None
    ) -> None:
        self._place = place
        self._chat = chat
        self._attempts = attempts
        self._store = store
        self._taken = taken
        self._bereft = bereft

    async def settle(self, row: Row, dispatch: Dispatch) -> bool:
        """Bring one letter to its end. False when it must be tried again later."""
        letter = dispatch.letter
        try:
            landed = await self._deliver(row, dispatch)
        except Later as later:
            if not self._too_long(dispatch, later.why):
                return False
            why = f"it failed for {LONGEST_TRYING / 3600:.0f} hours: {later.why}"
            await self._give_up(dispatch, Refused(why))
        except (Gone, Refused) as trouble:
            await self._give_up(dispatch, trouble)
        else:
            for other in dispatch.merged or ():
                other.landed = landed
            await patiently(lambda: self._store.delivered(letter.key, landed), what="a letter as delivered")
            page = self._place.pages.get(letter.key)
            if page:
                page.id, page.dirty, page.at = landed, True, asyncio.get_running_loop().time()
        self._taken.discard(letter.key)
        return True

    def _too_long(self, dispatch: Dispatch, why: Exception) -> bool:
        """Whether a letter failed for so long, while its platform was heard, that it must be the letter's own fault."""
        if isinstance(why, Busy) or self._chat.pulse().trouble:
            dispatch.failing = None
            return False
        now = asyncio.get_running_loop().time()
        if dispatch.failing is None:
            dispatch.failing = now
        return now - dispatch.failing > LONGEST_TRYING

    async def _give_up(self, dispatch: Dispatch, trouble: Gone | Refused) -> None:
        """It will never stand here. First see to what is told instead: killed in between, it would be told nowhere."""
        letter, why = dispatch.letter, str(trouble)
        log.error("letter given up", key=letter.key, where=str(letter.where), why=why)
        if isinstance(trouble, Refused):
            await self._excuse(dispatch, why)
        elif self._bereft and not letter.edits:
            try:
                await self._bereft(letter, why)
            except Exception:
                log.exception("a defect kept a letter from being told elsewhere", key=letter.key)
        await patiently(lambda: self._store.given_up(letter.key, why), what="a letter as given up")

    async def _excuse(self, dispatch: Dispatch, why: str) -> None:
        """Say, where a letter that the platform does not take would have stood, or changed something, what it is."""
        letter = dispatch.letter
        if is_excuse(letter.key):
            return
        words = Message(status=f"⚠ a message could not be shown here: {why}", rings=letter.message.rings)
        excuse = replace(letter, key=refused(letter.key), message=words)
        await patiently(lambda: self._store.write(Change(letters=[excuse])), what="an excuse")
        if excuse.key not in self._taken:
            self._taken.add(excuse.key)
            self._place.put_behind(Dispatch(excuse), dispatch)

    async def _deliver(self, row: Row, dispatch: Dispatch) -> MessageId:
        """The message that the letter has become. Raises `Later`, `Gone` and `Refused`."""
        letter, chat = dispatch.letter, self._chat
        if dispatch.landed is not None:
            return dispatch.landed
        known = await self._sent(letter.key)
        if known is not None and known.message_id is not None:  # taken once more while it was on its way
            return known.message_id
        if letter.edits:
            target = await self._sent(letter.edits)
            if target is None or target.message_id is None:
                raise Gone("the message that it changes was never posted")
            id_ = target.message_id
            await self._attempts.make(lambda: chat.edit(letter.where, id_, letter.message), hold=row.hold, row=row)
            return id_
        if dispatch.merged is None:
            dispatch.doubt = known is not None and known.tries > 0
            dispatch.merged = await self._merge(dispatch)
        look, doubt = (dispatch.merged[-1].letter if dispatch.merged else letter).message, dispatch.doubt
        await patiently(lambda: self._store.trying(letter.key), what="an attempt")
        post = lambda: chat.post(letter.where, look, key=letter.key, again=doubt)  # noqa: E731 - read where it is used
        try:
            return await self._attempts.make(post, hold=row.hold, row=row)
        except Later as later:
            dispatch.doubt = doubt or later.unsure  # that this one did nothing says nothing of those before
            raise

    async def _merge(self, dispatch: Dispatch) -> list[Dispatch]:
        """The letters with whose look this one leaves: what would be edited at once is posted as it would look then.

        At every attempt, in this life and the next, they must be the same ones: of a message that stands already, a
        platform tells which one it is, and not how it looks. So each is marked as tried before the letter itself is.
        """
        edits = self._place.edits_of(dispatch)
        if dispatch.doubt:
            known = [await self._sent(edit.letter.key) for edit in edits]
            return [edit for edit, sent in zip(edits, known, strict=True) if sent and sent.tries]
        for edit in edits:
            await patiently(lambda key=edit.letter.key: self._store.trying(key), what="an attempt")  # type: ignore[misc]
        return edits

    async def _sent(self, key: str) -> Sent | None:
        """What became of a letter, as soon as the store says it."""
        return await patiently(lambda: self._store.sent(key), what="the outbox")
