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

    A person must be in `people` or have one of `roles`; with neither named, `anyone` decides. A chat must be in
    `chats`, except the private one of a listed person, whose id is the person's.
    """

    people: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    chats: frozenset[str] = frozenset()
    anyone: bool = False


class Gate:
    """Asked for every message, button and page request. A platform without a rule is closed."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = dict(rules)

    def check(self, person: Person, where: Conversation) -> None:
        """Raises `Refused` with a sentence that tells nothing about who else may."""
        rule = self._rules.get(where.platform)
        if rule is None or person.platform != where.platform or not person.id:
            raise Refused("This bot does not listen here.")
        listed = person.id in rule.people or not rule.roles.isdisjoint(person.roles)
        if not listed and not (rule.anyone and not rule.people and not rule.roles):
            raise Refused(f"You are not on this bot's list. Your id here is {person.id}; its owner can add it.")
        private = where.chat == person.id and person.id in rule.people
        if where.chat not in rule.chats and not private:
            raise Refused(f"This bot may not be used in this chat. Its id is {where.chat}; the owner can add it.")
