"""The one gate: who may do what, decided before anything is read or parsed. Deny by default.

It knows people and places by the ids that platforms give them and nothing else: no user names, no message content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.errors import Refused
from orchestrator.nouns import Conversation, Person


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may on one platform.

    A person must be in `people` or have one of `roles`. A chat must be in `chats`, except the private one of a listed
    person, whose id is the person's. A chat that stands in a server (`<server>/<channel>`) needs its server in
    `servers`, and its channel in `channels` where any are named.
    """

    people: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    chats: frozenset[str] = frozenset()
    servers: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()

    def admits(self, person: Person) -> bool:
        """Whether this person is one of those who may."""
        return person.id in self.people or not self.roles.isdisjoint(person.roles)

    def covers(self, person: Person, chat: str) -> bool:
        """Whether this is a chat in which they may."""
        server, inside, channel = chat.partition("/")
        if inside:
            return server in self.servers and (not self.channels or channel in self.channels)
        return chat in self.chats or (chat == person.id and person.id in self.people)


class Gate:
    """Asked for every message, button and page request. A platform without a rule is closed."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = dict(rules)

    def check(self, person: Person, where: Conversation) -> None:
        """Raises `Refused` with a sentence that tells nothing about who else may."""
        rule = self._rules.get(where.platform)
        if rule is None or person.platform != where.platform or not person.id:
            raise Refused("This bot does not listen here.")
        if not rule.admits(person):
            raise Refused(f"You are not on this bot's list. Your id here is {person.id}; its owner can add it.")
        if not rule.covers(person, where.chat):
            raise Refused(f"This bot may not be used in this chat. Its id is {where.chat}; the owner can add it.")
