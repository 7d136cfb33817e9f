"""The gate: deny by default, by numeric ids of people and places."""

from __future__ import annotations

import pytest

from orchestrator.errors import Refused
from orchestrator.gate import Gate, Rule
from orchestrator.nouns import Conversation, Person

GATE = Gate(
    {
        "telegram": Rule(people=frozenset({"7"}), chats=frozenset({"-100"})),
        "discord": Rule(roles=frozenset({"ops"}), people=frozenset({"8"}), chats=frozenset({"guild"})),
        "web": Rule(people=frozenset({"owner"}), chats=frozenset({"lobby"})),
    }
)


@pytest.mark.parametrize(
    ("person", "where"),
    [
        (Person("telegram", "7"), Conversation("telegram", "-100", "12")),
        (Person("telegram", "7"), Conversation("telegram", "7")),
        (Person("discord", "9", roles=("ops",)), Conversation("discord", "guild")),
        (Person("discord", "8"), Conversation("discord", "guild")),
    ],
)
def test_lets_in(person: Person, where: Conversation) -> None:
    GATE.check(person, where)


@pytest.mark.parametrize(
    ("person", "where"),
    [
        (Person("telegram", "8"), Conversation("telegram", "-100")),  # not listed
        (Person("telegram", "8"), Conversation("telegram", "8")),  # not even in private
        (Person("telegram", "7"), Conversation("telegram", "-200")),  # listed, but the group is not
        (Person("telegram", "", name="7"), Conversation("telegram", "-100")),  # no usable person
        (Person("discord", "7"), Conversation("discord", "guild")),  # another platform's id
        (Person("discord", "9", roles=("guests",)), Conversation("discord", "guild")),
        (Person("discord", "9", roles=("ops",)), Conversation("discord", "9")),  # a role opens no private chat
        (Person("web", "owner"), Conversation("telegram", "-100")),  # a person of another platform
        (Person("matrix", "1"), Conversation("matrix", "1")),  # no rule at all
    ],
)
def test_keeps_out(person: Person, where: Conversation) -> None:
    with pytest.raises(Refused):
        GATE.check(person, where)
