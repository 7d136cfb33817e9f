"""People, other bots and webhooks: what they say and press, and what their client would not let them do.

A person is held to what the real client shows: a command that is synced, its required options, a button that is there
and not disabled, a modal's lengths. Trying more is an AssertionError in the test, not an answer of the platform.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tests.discordapi import interactions, payloads
from tests.discordapi.errors import Json
from tests.discordapi.filling import Value, command_data, filled, kind_of, modal_piece, picked
from tests.discordapi.interactions import Interaction
from tests.discordapi.layout import BUTTON, SELECTS, every
from tests.discordapi.permissions import MEMBER_PERMISSIONS, Permission
from tests.discordapi.world import DM, PUBLIC_THREAD, Attachment, Channel, Member, Message, Role, User

if TYPE_CHECKING:
    from tests.discordapi.server import Discord


class Person:
    """Somebody in the guild, or, as `bot`, another bot."""

    def __init__(self, api: Discord, user: User) -> None:
        self.user = user
        self._api = api

    @property
    def id(self) -> int:
        """Their id."""
        return self.user.id

    # --- messages -------------------------------------------------------------------------------------------------

    async def says(
        self,
        channel: Channel | int | None,
        text: str = "",
        *,
        attachments: Sequence[tuple[str, bytes]] = (),
        reply_to: Message | int | None = None,
        embeds: Sequence[Json] = (),
        webhook: int | None = None,
    ) -> Message:
        """Say something in a channel, or, with None, to the bot in private."""
        api = self._api
        place = api.world.private_with(self.user) if channel is None else api.place(channel)
        self._may_write(place)
        reference = reply_to.id if isinstance(reply_to, Message) else reply_to
        message = Message(
            api.clock.snowflake(),
            place.id,
            self.user,
            api.clock.stamp(),
            content=text,
            embeds=list(embeds),
            attachments=[Attachment(api.clock.snowflake(), name, data, kind_of(name)) for name, data in attachments],
            reference=reference,
            webhook=webhook,
            kind=19 if reference is not None else 0,
        )
        api.town.put(place, message)
        return message

    async def edits(self, message: Message, text: str) -> None:
        """Change what they said."""
        assert message.author is self.user, "nobody edits what another said"
        message.content, message.edited = text, self._api.clock.now()
        message.edits += 1
        self._api.town.tell_message("MESSAGE_UPDATE", message)

    async def deletes(self, message: Message) -> None:
        """Take a message away."""
        self._api.town.remove(message)

    async def reacts(self, message: Message, emoji: str) -> None:
        """React to a message."""
        self._api.town.react(message, emoji, self.user)

    async def unreacts(self, message: Message, emoji: str) -> None:
        """Take a reaction back."""
        self._api.town.unreact(message, emoji, self.user)

    def _may_write(self, place: Channel) -> None:
        may = self._api.world.permissions(self.user.id, place)
        needed = Permission.SEND_MESSAGES_IN_THREADS if place.is_thread else Permission.SEND_MESSAGES
        assert place.kind == DM or may & needed, f"{self.user.name} may not write in {place.name}"
        assert not place.is_forum, "a forum takes posts, no messages"
        assert not (place.is_thread and place.locked), f"{place.name} is locked"

    # --- threads and posts ----------------------------------------------------------------------------------------

    async def posts(self, forum: Channel | int, title: str, text: str, *, tags: Sequence[str] = ()) -> Channel:
        """Open a post in a forum."""
        place = self._api.place(forum)
        assert place.is_forum, f"{place.name} is no forum"
        known = {tag["name"]: int(tag["id"]) for tag in place.tags}
        post = self._thread(place, title, thread_id=self._api.clock.snowflake())
        post.applied = [known[tag] for tag in tags]
        self._api.town.opened(post)
        self._api.town.put(post, Message(post.id, post.id, self.user, self._api.clock.stamp(), content=text))
        return post

    async def opens(self, on: Message, title: str) -> Channel:
        """Open a thread on a message."""
        assert on.thread is None, "there is a thread already"
        thread = self._thread(self._api.place(on.channel), title, thread_id=on.id)
        on.thread = thread.id
        self._api.town.opened(thread)
        return thread

    async def archives(self, thread: Channel | int, *, locked: bool = False) -> None:
        """Archive a thread, or lock it too."""
        place = self._api.place(thread)
        place.archived, place.locked, place.archive_at = True, locked, self._api.clock.now()
        self._api.town.thread_changed(place)

    def _thread(self, parent: Channel, title: str, *, thread_id: int) -> Channel:
        now = self._api.clock.now()
        return Channel(
            thread_id,
            PUBLIC_THREAD,
            title,
            guild=parent.guild,
            parent=parent.id,
            owner=self.user.id,
            archive_at=now,
            active_at=now,
            members=[self.user.id],
            created=self._api.clock.stamp(),
        )

    # --- commands -------------------------------------------------------------------------------------------------

    async def slash(self, channel: Channel | int, name: str, **options: Value) -> Interaction:
        """Use a command ("runs list" for a subcommand); comes back with the first answer or after three seconds."""
        command, path, known = self._command(name)
        place = self._api.place(channel)
        given = []
        for option in known:
            if option["name"] in options:
                given.append(filled(option, options[option["name"]]))
            else:
                assert not option.get("required"), f"/{name} needs {option['name']}"
        assert set(options) <= {option["name"] for option in known}, f"/{name} has no {set(options)}"
        self._may_use(command, place)
        data = command_data(command, path, given) | {"resolved": self._resolved(known, options)}
        return await self._begin(interactions.COMMAND, place, data).first()

    async def types(
        self, channel: Channel | int, name: str, option: str, partial: str, **others: Value
    ) -> list[tuple[str, str | int | float]]:
        """The choices that come up while an option is typed; nothing when the bot is too slow."""
        command, path, known = self._command(name)
        place = self._api.place(channel)
        definition = next((o for o in known if o["name"] == option), None)
        assert definition is not None, f"/{name} has no {option}"
        assert definition.get("autocomplete"), f"{option} of /{name} has no autocomplete"
        given = [filled(o, others[o["name"]]) for o in known if o["name"] in others]
        given.append({"name": option, "type": definition["type"], "value": partial, "focused": True})
        answer = await self._begin(interactions.AUTOCOMPLETE, place, command_data(command, path, given)).first()
        return answer.choices

    def _command(self, name: str) -> tuple[Json, list[Json], list[Json]]:
        first, *rest = name.split()
        command = self._api.command(first)
        assert command is not None, f"no command /{first} is synced: {sorted(self._api.command_names)}"
        path, options = [], list(command.get("options") or [])
        for part in rest:
            step = next((o for o in options if o["name"] == part and o["type"] in {1, 2}), None)
            assert step is not None, f"/{first} has no {part}"
            path.append(step)
            options = list(step.get("options") or [])
        return command, path, [o for o in options if o["type"] not in {1, 2}]

    def _may_use(self, command: Json, place: Channel) -> None:
        needed = command.get("default_member_permissions")
        if place.guild is None or needed is None:
            return
        may = self._api.world.permissions(self.user.id, place)
        assert may & int(needed) == int(needed), f"/{command['name']} is not shown to {self.user.name}"

    def _resolved(self, known: Iterable[Json], options: dict[str, Value]) -> Json:
        world, found = self._api.world, Json()
        for option in known:
            if option["name"] not in options:
                continue
            one = options[option["name"]]
            if option["type"] in {6, 9} and int(one) in world.users:
                found.setdefault("users", {})[str(one)] = payloads.user(world.users[int(one)])
            if option["type"] == 7:
                channel = payloads.channel(world.channel(int(one)), world)
                found.setdefault("channels", {})[str(one)] = channel | {"permissions": "0"}
        return found

    # --- components -----------------------------------------------------------------------------------------------

    async def presses(self, message: Message, label: str) -> Interaction:
        """Press the button with this label or custom id."""
        found = [
            c
            for c in every(message.components)
            if c["type"] == BUTTON and label in {c.get("label"), c.get("custom_id"), (c.get("emoji") or {}).get("name")}
        ]
        assert found, f"no button {label!r} among {[b.label for b in message.buttons]}"
        assert not found[0].get("disabled"), f"{label!r} is disabled"
        assert found[0].get("custom_id"), f"{label!r} is a link"
        return await self._touch(message, {"component_type": BUTTON, "custom_id": found[0]["custom_id"]})

    async def clicks_stale(self, message: Message, custom_id: str) -> Interaction:
        """Press a button that their client still shows although it has since gone from the message."""
        return await self._touch(message, {"component_type": BUTTON, "custom_id": custom_id})

    async def picks(self, message: Message, which: str, *values: str) -> Interaction:
        """Choose in the menu with this custom id or placeholder, by value or by label."""
        menus = [c for c in every(message.components) if c["type"] in SELECTS]
        found = next((c for c in menus if which in {c.get("custom_id"), c.get("placeholder")}), None)
        assert found is not None, f"no menu {which!r}"
        assert not found.get("disabled"), f"{which!r} is disabled"
        data: Json = {
            "component_type": found["type"],
            "custom_id": found["custom_id"],
            "values": picked(found, values),
        }
        if found["type"] != 3:
            world = self._api.world
            users = {v: payloads.user(world.users[int(v)]) for v in values if int(v) in world.users}
            data["resolved"] = {"users": users} if users else {}
        return await self._touch(message, data)

    async def submits(self, opened: Interaction, **values: str | Sequence[str]) -> Interaction:
        """Fill in the modal that an interaction opened, fields by custom id, and send it."""
        modal = opened.modal
        assert modal is not None, "no modal was opened"
        left = dict(values)
        fields = [modal_piece(piece, left) for piece in modal["components"]]
        assert not left, f"the modal has no {sorted(left)}"
        data = {"custom_id": modal["custom_id"], "components": [p for p in fields if p is not None]}
        return await self._begin(interactions.MODAL, opened.channel, data, source=opened.source).first()

    async def _touch(self, message: Message, data: Json) -> Interaction:
        place = self._api.place(message.channel)
        assert message.ephemeral_for in {None, self.user.id}, "nobody sees what is shown to another"
        return await self._begin(interactions.COMPONENT, place, data, source=message).first()

    def _begin(self, kind: int, place: Channel, data: Json, *, source: Message | None = None) -> Interaction:
        interaction = interactions.new_interaction(self._api.clock, kind, self.user, place, source)
        self._api.town.begin(interaction, data)
        return interaction


def join(
    api: Discord, person_id: int | None, name: str, *, roles: Iterable[str], permissions: int | None, bot: bool
) -> Person:
    """Make somebody a member of the guild; missing roles are made, `permissions` is a role of their own."""
    guild, clock = api.guild, api.clock
    user = User(person_id if person_id is not None else clock.snowflake(), name, bot=bot)
    api.world.users[user.id] = user
    member = Member(user, joined=clock.now())
    for wanted in roles:
        role = next((r for r in guild.roles.values() if r.name == wanted), None)
        if role is None:
            role = Role(clock.snowflake(), wanted, int(MEMBER_PERMISSIONS))
            guild.roles[role.id] = role
        member.roles.append(role.id)
    if permissions is not None:
        own = Role(clock.snowflake(), f"{name}'s", int(permissions))
        guild.roles[own.id] = own
        member.roles.append(own.id)
    guild.members[user.id] = member
    return Person(api, user)
