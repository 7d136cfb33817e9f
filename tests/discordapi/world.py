"""What stands on the platform: guilds, people, channels, threads and messages, as plain objects.

It knows no HTTP, no gateway and no limits; it can say who may do what where.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.discordapi.clock import Clock
from tests.discordapi.errors import Json, Refusal
from tests.discordapi.layout import Button, Select, buttons_of, pings_of, selects_of, text_of
from tests.discordapi.permissions import ALL_PERMISSIONS, MEMBER_PERMISSIONS, Permission

TEXT, DM, ANNOUNCEMENT, PUBLIC_THREAD, PRIVATE_THREAD, FORUM = 0, 1, 5, 11, 12, 15
THREADS = (10, PUBLIC_THREAD, PRIVATE_THREAD)
PINNED_POST = 1 << 1
REQUIRE_TAG = 1 << 4


@dataclass
class User:
    id: int
    name: str
    bot: bool = False
    shown: str | None = None


@dataclass
class Role:
    id: int
    name: str
    permissions: int = 0
    position: int = 1
    bot: int | None = None  # whose own role it is


@dataclass
class Member:
    user: User
    roles: list[int] = field(default_factory=list)
    joined: float = 0.0


@dataclass
class Overwrite:
    """What one role or member may more, or less, in one channel."""

    id: int
    kind: int
    allow: int = 0
    deny: int = 0


@dataclass
class Attachment:
    id: int
    name: str
    data: bytes
    kind: str = "application/octet-stream"
    about: str | None = None


@dataclass
class Message:
    """A message as it stands; `text` is what a person reads, layout included."""

    id: int
    channel: int
    author: User
    created: float
    content: str = ""
    components: list[Json] = field(default_factory=list)
    embeds: list[Json] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    flags: int = 0
    kind: int = 0
    nonce: str | None = None
    reference: int | None = None
    reactions: dict[str, list[int]] = field(default_factory=dict)
    pinned: float = 0.0
    edited: float | None = None
    edits: int = 0
    looks: list[str] = field(default_factory=list)
    allowed_mentions: Json | None = None
    interaction: Json | None = None
    webhook: int | None = None
    application: int | None = None
    ephemeral_for: int | None = None
    thread: int | None = None

    @property
    def text(self) -> str:
        """Everything readable in it, in order."""
        return text_of(self.content, self.components, self.embeds)

    @property
    def buttons(self) -> list[Button]:
        """Its buttons, in order."""
        return buttons_of(self.components)

    @property
    def selects(self) -> list[Select]:
        """Its menus, in order."""
        return selects_of(self.components)

    @property
    def pings(self) -> list[str]:
        """The mentions that notify somebody, given what the sender allowed."""
        return pings_of(text_of(self.content, self.components, []), self.allowed_mentions)

    @property
    def layout(self) -> bool:
        """Whether it is made of components alone."""
        return bool(self.flags & (1 << 15))

    @property
    def ephemeral(self) -> bool:
        """Whether only one person sees it."""
        return bool(self.flags & (1 << 6))


@dataclass
class Channel:
    """A text channel, a forum, a thread or a private chat; `parent` is set in threads."""

    id: int
    kind: int
    name: str
    guild: int | None = None
    position: int = 0
    topic: str | None = None
    overwrites: list[Overwrite] = field(default_factory=list)
    tags: list[Json] = field(default_factory=list)
    flags: int = 0
    messages: dict[int, Message] = field(default_factory=dict)
    parent: int | None = None
    owner: int = 0
    archived: bool = False
    locked: bool = False
    auto_archive: int = 1440
    archive_at: float = 0.0
    active_at: float = 0.0
    applied: list[int] = field(default_factory=list)
    members: list[int] = field(default_factory=list)
    sent: int = 0
    created: float = 0.0

    @property
    def is_thread(self) -> bool:
        """Whether it is a thread, be it in a channel or a forum."""
        return self.kind in THREADS

    @property
    def is_forum(self) -> bool:
        """Whether it holds posts and no messages."""
        return self.kind == FORUM


@dataclass
class Guild:
    id: int
    name: str
    owner: int
    roles: dict[int, Role] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    thread_cap: int = 1000


class World:
    """All of it, by id."""

    def __init__(self, clock: Clock, *, bot_name: str) -> None:
        self.clock = clock
        self.me = User(clock.snowflake(), bot_name, bot=True)
        self.application = clock.snowflake()
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.users: dict[int, User] = {self.me.id: self.me}
        self.private: dict[int, int] = {}
        self.hidden: dict[int, Message] = {}
        """Ephemeral messages, which are in nobody's history."""

    def found(self, guild_name: str, *, owner_name: str = "owner") -> Guild:
        """A new guild with its owner, and the bot as a member."""
        owner = User(self.clock.snowflake(), owner_name)
        self.users[owner.id] = owner
        guild = Guild(self.clock.snowflake(), guild_name, owner.id)
        guild.roles[guild.id] = Role(guild.id, "@everyone", int(MEMBER_PERMISSIONS), 0)
        own = Role(
            self.clock.snowflake(),
            self.me.name,
            int(MEMBER_PERMISSIONS | Permission.MANAGE_MESSAGES | Permission.MANAGE_THREADS | Permission.PIN_MESSAGES),
        )
        own.bot = self.me.id
        guild.roles[own.id] = own
        guild.members[owner.id] = Member(owner, joined=self.clock.now())
        guild.members[self.me.id] = Member(self.me, [own.id], joined=self.clock.now())
        self.guilds[guild.id] = guild
        return guild

    def channel(self, channel_id: int) -> Channel:
        """The channel, or 10003."""
        try:
            return self.channels[channel_id]
        except KeyError:
            raise Refusal(10003) from None

    def message(self, channel: Channel, message_id: int) -> Message:
        """The message in that channel, or 10008."""
        try:
            return channel.messages[message_id]
        except KeyError:
            raise Refusal(10008) from None

    def guild(self, guild_id: int) -> Guild:
        """The guild, or 10004."""
        try:
            return self.guilds[guild_id]
        except KeyError:
            raise Refusal(10004) from None

    def threads(self, guild_id: int, *, archived: bool | None = False) -> list[Channel]:
        """The guild's threads, oldest first; None: archived or not."""
        found = [c for c in self.channels.values() if c.guild == guild_id and c.is_thread]
        return sorted((c for c in found if archived is None or c.archived is archived), key=lambda c: c.id)

    def private_with(self, user: User) -> Channel:
        """The private chat of the bot with this person."""
        if user.id not in self.private:
            chat = Channel(self.clock.snowflake(), DM, user.name, owner=user.id, created=self.clock.stamp())
            self.channels[chat.id] = chat
            self.private[user.id] = chat.id
        return self.channels[self.private[user.id]]

    def permissions(self, user_id: int, channel: Channel | None, guild_id: int | None = None) -> int:
        """What this person may do there, as the platform computes it."""
        guild_id = channel.guild if channel is not None else guild_id
        if guild_id is None:
            return int(MEMBER_PERMISSIONS | Permission.PIN_MESSAGES)
        guild = self.guilds[guild_id]
        member = guild.members.get(user_id)
        if member is None:
            return 0
        if user_id == guild.owner:
            return ALL_PERMISSIONS
        may = 0
        for role in (guild.id, *member.roles):
            may |= guild.roles[role].permissions
        if may & Permission.ADMINISTRATOR:
            return ALL_PERMISSIONS
        return self._overwritten(may, member, guild, channel)

    def _overwritten(self, may: int, member: Member, guild: Guild, channel: Channel | None) -> int:
        if channel is None:
            return may
        place = self.channels[channel.parent] if channel.parent is not None else channel
        by_id = {o.id: o for o in place.overwrites}
        if everyone := by_id.get(guild.id):
            may = may & ~everyone.deny | everyone.allow
        roles = [by_id[role] for role in member.roles if role in by_id]
        denied, allowed = 0, 0
        for overwrite in roles:
            denied |= overwrite.deny
            allowed |= overwrite.allow
        may = may & ~denied | allowed
        if own := by_id.get(member.user.id):
            may = may & ~own.deny | own.allow
        return may

    def demand(self, channel: Channel, *needed: Permission) -> None:
        """The bot sees the channel and may do this there, or 50001, 50013."""
        may = self.permissions(self.me.id, channel)
        if not may & Permission.VIEW_CHANNEL:
            raise Refusal(50001)
        if any(not may & one for one in needed):
            raise Refusal(50013)

    def tag_names(self, thread: Channel) -> list[str]:
        """The names of a post's tags."""
        parent = self.channels[thread.parent] if thread.parent is not None else None
        names: dict[int, Any] = {int(t["id"]): t["name"] for t in (parent.tags if parent else [])}
        return [str(names[tag]) for tag in thread.applied if tag in names]
