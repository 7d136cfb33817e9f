"""Replies: what people are answered where they asked, once for everything that they did."""

from __future__ import annotations

from orchestrator.nouns import Inbound, Letter, Message
from orchestrator.ports import Change, Store
from orchestrator.post import PostOffice
from orchestrator.run import short
from orchestrator.runs import Draft


def reply_key(inbound: Inbound) -> str:
    """The letter that answers what a person did."""
    return f"re/{short(inbound.key, 16)}"


def reply(inbound: Inbound, message: Message) -> Letter:
    """A letter that answers where it was asked."""
    return Letter(reply_key(inbound), inbound.where, message)


def deaf(inbound: Inbound) -> Draft:
    """The answer to who speaks to a run that is ending."""
    return Draft(letters=[reply(inbound, Message(text="This run is ending; it does not hear you any more."))])


class Replies:
    """Answers what changes no run; what changes one is answered by the same `Change`."""

    def __init__(self, *, store: Store, office: PostOffice) -> None:
        self._store = store
        self._office = office

    async def send(self, inbound: Inbound, message: Message, *, key: str = "") -> None:
        """Answer what a person did. `key` is another one than its own where something is said once for many doings."""
        letter = Letter(key or reply_key(inbound), inbound.where, message)
        if await self._store.write(Change(once=inbound.key, letters=[letter])):
            self._office.take([letter])
