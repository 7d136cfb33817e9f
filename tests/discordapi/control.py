"""The same server by hand: `POST /control/VERB` with JSON lets a person or another process set up, talk and look.

    curl -d '{"name": "general"}' URL/control/channel
    curl -d '{"person": "ann", "channel": 123, "command": "launch", "options": {"task": "hi"}}' URL/control/slash
    curl -d '{"channel": 123}' URL/control/messages

Ids are numbers or their text; people are named and join when they are first named. It knows no more than a test does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from tests.discordapi.errors import Json, Refusal
from tests.discordapi.faults import Fault
from tests.discordapi.interactions import Interaction
from tests.discordapi.people import Person
from tests.discordapi.permissions import Permission
from tests.discordapi.server import Discord
from tests.discordapi.world import Channel, Message
from tests.verbs import by_hand

Id = int | str


def control(api: Discord) -> Iterable[web.AbstractRouteDef]:
    """The routes of the control interface."""
    return by_hand(Control(api), Refusal)


class Control:
    """Each public method is a verb; what it takes by keyword is the JSON of the request."""

    def __init__(self, api: Discord) -> None:
        self._api = api
        self._people: dict[str, Person] = {"owner": api.owner}

    # --- setting up ---------------------------------------------------------------------------------------------

    def person(self, *, name: str, number: Id | None = None, roles: Iterable[str] = ()) -> Json:
        """Somebody in the guild, with an id of one's choice and these roles."""
        self._people[name] = self._api.person(None if number is None else int(number), name, roles=roles)
        found = self._people[name]
        names = self._api.guild.roles
        roles_of = {names[r].name: str(r) for r in self._api.guild.members[found.id].roles}
        return {"id": str(found.id), "name": name, "roles": roles_of}

    def channel(self, *, name: str = "general") -> Json:
        """A new text channel."""
        return self._seen(self._api.text_channel(name))

    def forum(self, *, name: str = "runs", tags: Iterable[str] = ()) -> Json:
        """A new forum with these tags."""
        return self._seen(self._api.forum(name, tags=tags))

    def permit(self, *, channel: Id, permission: str, allowed: bool) -> None:
        """What the bot may do there from now on: `{"permission": "SEND_MESSAGES", "allowed": false}`."""
        change = self._api.allow if allowed else self._api.forbid
        change(int(channel), Permission[permission])

    # --- people -------------------------------------------------------------------------------------------------

    async def say(self, *, person: str, text: str, channel: Id | None = None, reply_to: Id | None = None) -> Json:
        """Somebody says something; without a channel to the bot in private."""
        place = None if channel is None else int(channel)
        answered = None if reply_to is None else int(reply_to)
        return look(await self._who(person).says(place, text, reply_to=answered))

    async def edit(self, *, person: str, channel: Id, message: Id, text: str) -> Json:
        """Somebody changes their words."""
        found = self._message(channel, message)
        await self._who(person).edits(found, text)
        return look(found)

    async def react(self, *, person: str, channel: Id, message: Id, emoji: str) -> None:
        """Somebody reacts."""
        await self._who(person).reacts(self._message(channel, message), emoji)

    async def post(self, *, person: str, forum: Id, title: str, text: str, tags: Iterable[str] = ()) -> Json:
        """Somebody opens a post."""
        return self._seen(await self._who(person).posts(int(forum), title, text, tags=list(tags)))

    async def slash(self, *, person: str, channel: Id, command: str, options: Json | None = None) -> Json:
        """Somebody uses a command; how it was answered so far."""
        return told(await self._who(person).slash(int(channel), command, **(options or {})))

    async def complete(self, *, person: str, channel: Id, command: str, option: str, partial: str) -> list[Any]:
        """The choices while somebody types an option."""
        return list(await self._who(person).types(int(channel), command, option, partial))

    async def press(self, *, person: str, channel: Id, message: Id, button: str) -> Json:
        """Somebody presses a button, by its label or custom id."""
        return told(await self._who(person).presses(self._message(channel, message), button))

    async def pick(self, *, person: str, channel: Id, message: Id, menu: str, values: list[str]) -> Json:
        """Somebody chooses in a menu."""
        return told(await self._who(person).picks(self._message(channel, message), menu, *values))

    async def submit(self, *, person: str, interaction: Id, values: dict[str, str]) -> Json:
        """Somebody fills in the modal that an interaction opened."""
        return told(await self._who(person).submits(self._interaction(interaction), **values))

    # --- trouble ------------------------------------------------------------------------------------------------

    def fail(
        self, *, fault: str, route: str = "any", channel: Id | None = None, times: int = 1, **options: Any
    ) -> None:
        """The next requests go wrong: `{"fault": "busy", "retry_after": 3, "route": "POST /channels/{}/messages"}`."""
        where = None if channel is None else int(channel)
        self._api.fail(route, Fault.named(fault, options), channel=where, times=times)

    def lose(self, *, way: str = "cut") -> None:
        """The gateway's sockets go: cut, close, reconnect, invalidate or go_silent."""
        match way:
            case "close":
                self._api.sockets.close(4000, "unknown error")
            case "cut" | "reconnect" | "invalidate" | "go_silent":
                getattr(self._api.sockets, way)()
            case _:
                raise ValueError(f"no such way: {way}")

    def age(self, *, channel: Id, message: Id, seconds: float) -> None:
        """A message is older for the server from now on."""
        self._api.age(self._message(channel, message), seconds)

    # --- looking ------------------------------------------------------------------------------------------------

    def state(self) -> Json:
        """What there is: channels, people, commands, and how the bot behaved."""
        api = self._api
        return {
            "guild": str(api.guild.id),
            "bot": str(api.world.me.id),
            "channels": [self._seen(c) for c in api.world.channels.values()],
            "people": {name: str(person.id) for name, person in self._people.items()},
            "commands": sorted(api.command_names),
            "violations": api.violations + api.sockets.wrong,
            "told_to_wait": api.told_to_wait,
            "into_penalty": api.into_penalty,
            "identifies": api.sockets.identifies,
            "resumes": api.sockets.resumes,
            "connected": any(s.line is not None for s in api.sockets.sessions.values()),
        }

    def messages(self, *, channel: Id) -> list[Json]:
        """What stands in a channel."""
        return [look(m) for m in self._api.messages(int(channel))]

    async def wait(self, *, channel: Id, text: str, within: float = 20.0) -> Json:
        """Wait until a message with this text stands in a channel; the newest one."""
        await self._api.until(lambda: self._with(channel, text), within=within)
        return look(self._with(channel, text)[-1])

    def interaction(self, *, interaction: Id) -> Json:
        """How an interaction stands now."""
        return told(self._interaction(interaction))

    def calls(self, *, last: int = 50) -> list[Json]:
        """The last requests."""
        return [
            {"at": c.at, "route": c.route, "channel": c.channel and str(c.channel), "status": c.status, "code": c.code}
            for c in self._api.calls[-last:]
        ]

    # --- finding ------------------------------------------------------------------------------------------------

    def _who(self, name: str) -> Person:
        if name not in self._people:
            self._people[name] = self._api.person(None, name)
        return self._people[name]

    def _with(self, channel: Id, text: str) -> list[Message]:
        return [m for m in self._api.messages(int(channel)) if text in m.text]

    def _message(self, channel: Id, message: Id) -> Message:
        hidden = self._api.world.hidden.get(int(message))
        return hidden or self._api.world.message(self._api.place(int(channel)), int(message))

    def _interaction(self, wanted: Id) -> Interaction:
        found = [i for i in self._api.town.interactions.values() if i.id == int(wanted)]
        assert found, f"no interaction {wanted}"
        return found[0]

    def _seen(self, place: Channel) -> Json:
        seen: Json = {"id": str(place.id), "name": place.name, "kind": place.kind}
        if place.is_thread:
            tags = self._api.tags(place)
            seen |= {"parent": str(place.parent), "archived": place.archived, "locked": place.locked, "tags": tags}
        return seen


def look(message: Message) -> Json:
    """A message as a person sees it."""
    return {
        "id": str(message.id),
        "channel": str(message.channel),
        "author": message.author.name,
        "text": message.text,
        "buttons": [{"label": b.label, "custom_id": b.custom_id, "disabled": b.disabled} for b in message.buttons],
        "menus": [{"custom_id": s.custom_id, "options": [list(o) for o in s.options]} for s in message.selects],
        "files": [a.name for a in message.attachments],
        "reactions": {emoji: len(who) for emoji, who in message.reactions.items()},
        "pings": message.pings,
        "flags": message.flags,
        "edits": message.edits,
        "pinned": bool(message.pinned),
    }


def told(interaction: Interaction) -> Json:
    """How an interaction was answered so far."""
    return {
        "interaction": str(interaction.id),
        "answered": interaction.answered,
        "took": interaction.took,
        "deferred": interaction.deferred,
        "loading": interaction.loading,
        "ephemeral": interaction.ephemeral,
        "deleted": interaction.deleted,
        "content": interaction.content,
        "message": look(interaction.message) if interaction.message is not None else None,
        "followups": [look(m) for m in interaction.followups],
        "modal": interaction.modal,
    }
