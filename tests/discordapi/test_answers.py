"""What this server itself says is judged by the platform's description too."""

from __future__ import annotations

import pytest

from tests.discordapi import Discord, payloads
from tests.discordapi.client import TOKEN
from tests.discordapi.schema import violations
from tests.discordapi.world import Channel

ROW = {
    "type": 1,
    "components": [{"type": 2, "style": 1, "label": "Go", "custom_id": "go", "id": 3, "disabled": False}],
    "id": 2,
}


async def _scene(api: Discord) -> tuple[Channel, Channel, Channel]:
    room, forum = api.text_channel(), api.forum(tags=["a"])
    ann = api.person(7, "ann", roles=["crew"])
    said = await ann.says(room, "hi @everyone <@7>", attachments=[("a.txt", b"1")])
    embed = {"type": "rich", "title": "t", "fields": [{"name": "n", "value": "v", "inline": False}]}
    answer = await ann.says(room, "re", reply_to=said, embeds=[embed])
    answer.components = [ROW]
    await ann.reacts(said, "👍")
    await ann.opens(answer, "thread")
    return room, forum, await ann.posts(forum, "post", "x", tags=["a"])


async def test_messages_are_as_described() -> None:
    async with Discord(token=TOKEN) as api:
        await _scene(api)
        for message in api.every_message():
            assert violations("MessageResponse", api.town.shown(message)) == []


async def test_channels_people_and_the_application_are_as_described() -> None:
    async with Discord(token=TOKEN) as api:
        room, forum, post = await _scene(api)
        world, member = api.world, api.guild.members[7]
        for name, body in (
            ("GuildChannelResponse", payloads.channel(room, world)),
            ("GuildChannelResponse", payloads.channel(forum, world)),
            ("ThreadResponse", payloads.channel(post, world)),
            ("ThreadMemberResponse", payloads.thread_member(post, 7)),
            ("UserResponse", payloads.user(member.user)),
            ("UserPIIResponse", payloads.me(world.me)),
            ("GuildMemberResponse", payloads.member(member)),
            ("GuildRoleResponse", payloads.role(api.guild.roles[member.roles[0]])),
            ("PrivateChannelResponse", payloads.channel(world.private_with(member.user), world)),
            ("PrivateApplicationResponse", payloads.application(world)),
        ):
            assert violations(name, body) == [], name


@pytest.mark.parametrize(("field", "value"), [("content", 1), ("colour", "red"), ("author", {"id": "1"})])
async def test_a_wrong_answer_would_be_seen(field: str, value: object) -> None:
    async with Discord(token=TOKEN) as api:
        await _scene(api)
        assert violations("MessageResponse", api.town.shown(api.every_message()[0]) | {field: value}) != []
