"""What happens in the world and is told to whoever listens: messages, reactions, threads, pins, interactions.

Routes and people both act through it, so that a bot's deed and a person's are told alike. It asks for no permission.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.discordapi import payloads
from tests.discordapi.clock import Clock, iso
from tests.discordapi.errors import Json, Refusal
from tests.discordapi.gateway import Gateway
from tests.discordapi.interactions import Interaction
from tests.discordapi.world import DM, PINNED_POST, Channel, Guild, Message, User, World


class Town:
    """The world, and the gateway that is told about it."""

    def __init__(self, world: World, sockets: Gateway, *, files: Callable[[], str]) -> None:
        self.world = world
        self.sockets = sockets
        self.clock: Clock = world.clock
        self.interactions: dict[str, Interaction] = {}
        self.news = asyncio.Event()
        self._files = files

    def came(self) -> None:
        """Something happened."""
        self.news.set()

    # --- messages -------------------------------------------------------------------------------------------------

    def shown(self, message: Message) -> Json:
        """A message as REST gives it."""
        return payloads.message(message, self.world, files=self._files())

    def put(self, place: Channel, message: Message) -> None:
        """A new message stands; an ephemeral one is in nobody's history."""
        if not message.looks:
            message.looks.append(message.text)
        if message.ephemeral_for is not None:
            self.world.hidden[message.id] = message
            self.came()
            return
        if place.is_thread and place.archived:
            self.wake(place)
        place.messages[message.id] = message
        place.sent += 1
        place.active_at = self.clock.now()
        self.tell_message("MESSAGE_CREATE", message)

    def changed(self, message: Message) -> None:
        """A message has a new look."""
        message.edited = self.clock.now()
        message.edits += 1
        self.tell_message("MESSAGE_UPDATE", message)

    def remove(self, message: Message) -> None:
        """A message is gone."""
        self.world.hidden.pop(message.id, None)
        place = self.world.channels[message.channel]
        if place.messages.pop(message.id, None) is not None:
            data: Json = {"id": str(message.id), "channel_id": str(place.id)}
            data |= {"guild_id": str(place.guild)} if place.guild is not None else {}
            self.sockets.dispatch("MESSAGE_DELETE", data, private=place.guild is None)
        self.came()

    def tell_message(self, event: str, message: Message) -> None:
        """Tell a message to every session, bare where the intent for content is missing."""
        if message.ephemeral_for is None:
            place = self.world.channels[message.channel]
            full = self.shown(message) | payloads.event_extras(message, self.world)
            bare = full | {"content": "", "embeds": [], "attachments": [], "components": []}
            mine = message.author is self.world.me
            mentioned = any(u["id"] == str(self.world.me.id) for u in full["mentions"])
            self.sockets.dispatch_message(
                event, full, lambda: bare, private=place.kind == DM, spoken_to=mine or mentioned
            )
        self.came()

    def react(self, message: Message, emoji: str, user: User) -> None:
        """Add a reaction once."""
        who = message.reactions.setdefault(emoji, [])
        if user.id not in who:
            who.append(user.id)
            self._tell_reaction("MESSAGE_REACTION_ADD", message, emoji, user)

    def unreact(self, message: Message, emoji: str, user: User) -> None:
        """Take a reaction away."""
        who = message.reactions.get(emoji, [])
        if user.id in who:
            who.remove(user.id)
            if not who:
                del message.reactions[emoji]
            self._tell_reaction("MESSAGE_REACTION_REMOVE", message, emoji, user)

    def _tell_reaction(self, event: str, message: Message, emoji: str, user: User) -> None:
        place = self.world.channels[message.channel]
        data: Json = {
            "user_id": str(user.id),
            "channel_id": str(place.id),
            "message_id": str(message.id),
            "message_author_id": str(message.author.id),
            "emoji": {"id": None, "name": emoji, "animated": False},
            "burst": False,
            "type": 0,
        }
        if place.guild is not None:
            data["guild_id"] = str(place.guild)
            known = self.world.guilds[place.guild].members.get(user.id)
            if known is not None and event.endswith("ADD"):
                data["member"] = payloads.member(known)
        self.sockets.dispatch(event, data, private=place.guild is None)
        self.came()

    def pins_changed(self, place: Channel) -> None:
        """Somebody pinned or unpinned."""
        last = max((m.pinned for m in place.messages.values()), default=0.0)
        data: Json = {"channel_id": str(place.id), "last_pin_timestamp": iso(last) if last else None}
        data |= {"guild_id": str(place.guild)} if place.guild is not None else {}
        self.sockets.dispatch("CHANNEL_PINS_UPDATE", data)
        self.came()

    # --- channels and threads -------------------------------------------------------------------------------------

    def new_channel(self, guild: Guild, name: str, *, kind: int, topic: str | None = None) -> Channel:
        """A new channel of any kind, told to everybody."""
        made = Channel(
            self.clock.snowflake(), kind, name, guild=guild.id, position=len(self.world.channels), topic=topic
        )
        self.world.channels[made.id] = made
        self.sockets.dispatch("CHANNEL_CREATE", payloads.channel(made, self.world))
        return made

    def new_tag(self, name: str, *, tag_id: str | None = None) -> Json:
        """A tag as forums carry it."""
        found = tag_id or str(self.clock.snowflake())
        return {"id": found, "name": name, "moderated": False, "emoji_id": None, "emoji_name": None}

    def opened(self, thread: Channel) -> None:
        """A thread is there."""
        self.world.channels[thread.id] = thread
        self.sockets.dispatch("THREAD_CREATE", payloads.channel(thread, self.world) | {"newly_created": True})
        self.came()

    def thread_changed(self, thread: Channel) -> None:
        """Tell what a thread is now."""
        self.sockets.dispatch("THREAD_UPDATE", payloads.channel(thread, self.world))
        self.came()

    def wake(self, thread: Channel) -> None:
        """An archived thread is active again, when the guild has room for one more."""
        thread.active_at = self.clock.now()
        if not thread.archived:
            return
        assert thread.guild is not None
        if len(self.world.threads(thread.guild)) >= self.world.guild(thread.guild).thread_cap:
            raise Refusal(160006)
        thread.archived, thread.archive_at = False, self.clock.now()
        self.thread_changed(thread)

    def settle(self) -> None:
        """Archive what was idle for as long as it may be; a pinned post never is."""
        now = self.clock.now()
        for thread in self.world.channels.values():
            idle = thread.is_thread and not thread.archived and not thread.flags & PINNED_POST
            if idle and now - thread.active_at >= thread.auto_archive * 60:
                thread.archived, thread.archive_at = True, now
                self.thread_changed(thread)

    def joins(self, thread: Channel, user_id: int) -> None:
        """Somebody is a member of a thread."""
        if user_id not in thread.members:
            thread.members.append(user_id)
            member = payloads.thread_member(thread, user_id)
            data = {"id": str(thread.id), "guild_id": str(thread.guild), "member_count": len(thread.members)}
            self.sockets.dispatch("THREAD_MEMBERS_UPDATE", data | {"added_members": [member], "removed_member_ids": []})

    def close_channel(self, place: Channel) -> None:
        """A channel or thread is no more, threads in it included."""
        for thread in [c for c in self.world.channels.values() if c.parent == place.id]:
            self.close_channel(thread)
        del self.world.channels[place.id]
        data: Json = {
            "id": str(place.id),
            "guild_id": str(place.guild),
            "parent_id": str(place.parent),
            "type": place.kind,
        }
        full = data if place.is_thread else payloads.channel(place, self.world)
        self.sockets.dispatch("THREAD_DELETE" if place.is_thread else "CHANNEL_DELETE", full)
        self.came()

    # --- interactions ---------------------------------------------------------------------------------------------

    def begin(self, interaction: Interaction, data: Json) -> None:
        """Tell the bot what somebody did."""
        self.interactions[interaction.token] = interaction
        place = interaction.channel
        may = self.world.permissions
        packet: Json = {
            "id": str(interaction.id),
            "application_id": str(self.world.application),
            "type": interaction.kind,
            "token": interaction.token,
            "version": 1,
            "data": data,
            "channel_id": str(place.id),
            "channel": payloads.channel(place, self.world) | {"permissions": str(may(interaction.user.id, place))},
            "app_permissions": str(may(self.world.me.id, place)),
            "locale": "en-GB",
            "entitlements": [],
            "attachment_size_limit": 10 << 20,
            "context": 0 if place.guild is not None else 1,
            "authorizing_integration_owners": {"0": str(place.guild or 0)},
        }
        if place.guild is None:
            packet["user"] = payloads.user(interaction.user)
        else:
            guild = self.world.guild(place.guild)
            member = payloads.member(guild.members[interaction.user.id])
            packet |= {
                "guild_id": str(guild.id),
                "guild": {"id": str(guild.id), "locale": "en-US", "features": []},
                "guild_locale": "en-US",
                "member": member | {"permissions": str(may(interaction.user.id, place))},
            }
        if interaction.source is not None:
            packet["message"] = self.shown(interaction.source)
        self.sockets.dispatch("INTERACTION_CREATE", packet)
        self.came()
