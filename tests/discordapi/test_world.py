"""The real client in a guild: it sends, edits, reads and reacts, and people do the same to it."""

from __future__ import annotations

import asyncio
import io

import discord
import pytest

from tests.discordapi import Discord, Permission
from tests.discordapi.client import TOKEN, running

pytestmark = pytest.mark.looptime


async def test_a_message_is_sent_edited_reacted_to_pinned_and_read() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        async with running(api) as client:
            sent = await client.room(room.id).send("one", allowed_mentions=discord.AllowedMentions.none())
            await sent.edit(content="two")
            await sent.add_reaction("👀")
            await sent.pin()
            read = await client.room(room.id).fetch_message(sent.id)
            pinned = [m.id async for m in client.room(room.id).pins()]
        (stands,) = api.messages(room)
        assert (stands.text, stands.looks, stands.edits) == ("two", ["one", "two"], 1)
        assert stands.reactions == {"👀": [api.world.me.id]}
        assert read.content == "two"
        assert pinned == [sent.id]
        assert [m.kind for m in api.messages(room, notices=True)] == [0, 6]


async def test_people_talk_edit_delete_react_and_attach() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann", roles=["crew"])
        async with running(api) as client:
            said = await ann.says(room, "look", attachments=[("a.txt", b"inside")])
            await asyncio.sleep(0.01)
            (heard,) = client.heard
            assert isinstance(heard.author, discord.Member)
            assert [r.name for r in heard.author.roles] == ["@everyone", "crew"]
            assert await heard.attachments[0].read() == b"inside"
            answer = await heard.reply("seen", mention_author=False)
            await ann.edits(said, "look here")
            await ann.reacts(api.messages(room)[1], "👍")
            await ann.deletes(said)
            await asyncio.sleep(0.01)
        assert {"MESSAGE_UPDATE", "MESSAGE_REACTION_ADD", "MESSAGE_DELETE"} <= set(client.events)
        (stands,) = api.messages(room)
        assert (stands.id, stands.reference, stands.pings) == (answer.id, said.id, [])


async def test_history_is_read_from_either_end() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann")
        said = [await ann.says(room, str(n)) for n in range(7)]
        async with running(api) as client:
            history = client.room(room.id).history
            assert [m.content async for m in history(limit=3)] == ["6", "5", "4"]
            after = [m.content async for m in history(limit=2, after=discord.Object(said[2].id))]
            before = [m.content async for m in history(limit=2, before=discord.Object(said[2].id))]
        assert after == ["3", "4"]
        assert before == ["1", "0"]


async def test_a_private_chat_and_another_bot() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann, hal = api.person(7, "ann"), api.bot(8, "hal")
        async with running(api) as client:
            await ann.says(None, "psst")
            await hal.says(room, "beep")
            await asyncio.sleep(0.01)
            private, beep = client.heard
            assert isinstance(private.channel, discord.DMChannel)
            assert beep.author.bot
            await private.channel.send("yes?")
        assert [m.text for m in api.messages(private.channel.id)] == ["psst", "yes?"]


async def test_mentions_ping_when_they_are_allowed() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        ann = api.person(7, "ann")
        async with running(api) as client:
            text = f"@everyone <@{ann.id}> <@&{api.guild.id}>"
            await client.room(room.id).send(text)
            await client.room(room.id).send(text, allowed_mentions=discord.AllowedMentions.none())
            await client.room(room.id).send(text, allowed_mentions=_only(ann.id))
        assert [m.pings for m in api.messages(room)] == [text.split(), [], [f"<@{ann.id}>"]]


def _only(user_id: int) -> discord.AllowedMentions:
    return discord.AllowedMentions(everyone=False, roles=False, users=[discord.Object(user_id)])


async def test_layouts_are_read_as_a_person_reads_them() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        async with running(api) as client:
            view = discord.ui.LayoutView(timeout=None)
            row: discord.ui.ActionRow[discord.ui.LayoutView] = discord.ui.ActionRow()
            row.add_item(discord.ui.Button(label="Stop", custom_id="stop", style=discord.ButtonStyle.danger))
            options = [discord.SelectOption(label="A", value="a"), discord.SelectOption(label="B", value="b")]
            menu: discord.ui.Select[discord.ui.LayoutView] = discord.ui.Select(custom_id="which", options=options)
            box: discord.ui.Container[discord.ui.LayoutView] = discord.ui.Container(
                discord.ui.TextDisplay("# Run"), discord.ui.Separator(), row, accent_colour=0xFF0000
            )
            view.add_item(box).add_item(discord.ui.ActionRow(menu)).add_item(discord.ui.TextDisplay("end"))
            sent = await client.room(room.id).send(view=view)
            with pytest.raises(discord.HTTPException, match="cannot be removed"):
                await client.http.request(
                    discord.http.Route("PATCH", "/channels/{c}/messages/{m}", c=room.id, m=sent.id), json={"flags": 0}
                )
        (stands,) = api.messages(room)
        assert stands.text == "# Run\nend"
        assert [(b.label, b.custom_id, b.style) for b in stands.buttons] == [("Stop", "stop", 4)]
        assert stands.selects[0].options == (("A", "a"), ("B", "b"))
        assert stands.layout


async def test_threads_posts_tags_and_archiving() -> None:
    async with Discord(token=TOKEN) as api:
        room, forum = api.text_channel(), api.forum(tags=["running", "done"])
        ann = api.person(7, "ann")
        async with running(api) as client:
            place = client.get_channel(forum.id)
            assert isinstance(place, discord.ForumChannel)
            running_tag, done_tag = place.available_tags
            made = await place.create_thread(name="run", content="first", applied_tags=[running_tag])
            await made.thread.edit(applied_tags=[done_tag], archived=True)
            with pytest.raises(discord.HTTPException) as refused:
                await made.message.edit(content="late")
            assert refused.value.code == 50083
            assert api.tags(made.thread.id) == ["done"]
            await made.thread.send("awake")
            assert not api.place(made.thread.id).archived
            said = await ann.says(room, "begin here")
            thread = await client.room(room.id).create_thread(name="t", message=discord.Object(said.id))
            await ann.says(thread.id, "in it")
            await asyncio.sleep(0.01)
            assert client.heard[-1].channel == thread
            assert thread.id == said.id
            await asyncio.sleep(1440 * 60 + 120)
            assert api.place(thread.id).archived
            assert client.room(room.id).threads == []
            await thread.edit(archived=False)
            api.guild.thread_cap = 1
            with pytest.raises(discord.HTTPException) as full:
                await client.room(room.id).create_thread(name="t2", type=discord.ChannelType.public_thread)
            assert full.value.code == 160006
        assert "THREAD_UPDATE" in client.events


async def test_people_open_posts_and_threads_and_archive_them() -> None:
    async with Discord(token=TOKEN) as api:
        room, forum = api.text_channel(), api.forum(tags=["bug"])
        ann = api.person(7, "ann")
        async with running(api) as client:
            post = await ann.posts(forum, "It broke", "how", tags=["bug"])
            thread = await ann.opens(await ann.says(room, "look"), "details")
            hook = await ann.says(thread, "by a hook", webhook=99)
            await asyncio.sleep(0.01)
            seen = client.get_channel(post.id)
            assert isinstance(seen, discord.Thread)
            assert [tag.name for tag in seen.applied_tags] == ["bug"]
            assert client.heard[-1].webhook_id == 99
            own = await seen.send("noted")
            await ann.archives(post)
            with pytest.raises(discord.HTTPException) as refused:
                await own.edit(content="later")
            assert refused.value.code == 50083
            assert [t.id async for t in _parent(client, forum.id).archived_threads()] == [post.id]
            assert api.messages(thread) == [hook]


def _parent(client: discord.Client, forum_id: int) -> discord.ForumChannel:
    found = client.get_channel(forum_id)
    assert isinstance(found, discord.ForumChannel)
    return found


async def test_what_is_not_permitted_is_refused() -> None:
    async with Discord(token=TOKEN) as api:
        room, hidden = api.text_channel(), api.text_channel("hidden")
        ann = api.person(7, "ann")
        async with running(api) as client:
            said = await ann.says(room, "mine")
            api.forbid(room, Permission.SEND_MESSAGES, Permission.ADD_REACTIONS)
            api.forbid(hidden, Permission.VIEW_CHANNEL)
            target = client.room(room.id)
            for code, attempt in (
                (50013, lambda: target.send("no")),
                (50005, lambda: client.http.request(_edit_of(said.channel, said.id), json={"content": "x"})),
                (50001, lambda: client.room(hidden.id).send("no")),
                (50013, lambda: target.get_partial_message(said.id).add_reaction("👍")),
                (10008, lambda: target.get_partial_message(1).edit(content="x")),
                (10003, lambda: client.http.request(_edit_of(1, 1), json={"content": "x"})),
            ):
                with pytest.raises(discord.HTTPException) as refused:
                    await attempt()
                assert refused.value.code == code
            api.allow(room, Permission.SEND_MESSAGES)
            await target.send("yes")
        assert [m.text for m in api.messages(room)] == ["mine", "yes"]


def _edit_of(channel: int, message: int) -> discord.http.Route:
    return discord.http.Route(
        "PATCH", "/channels/{channel_id}/messages/{message_id}", channel_id=channel, message_id=message
    )


async def test_a_post_with_the_same_nonce_is_made_once() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        async with running(api) as client:
            first = await client.room(room.id).send("once", nonce="n1")
            second = await client.room(room.id).send("again", nonce="n1")
            assert (second.id, second.content) == (first.id, "once")
            await asyncio.sleep(301)
            third = await client.room(room.id).send("later", nonce="n1")
        assert [m.id for m in api.messages(room)] == [first.id, third.id]


async def test_files_go_up_and_come_down() -> None:
    async with Discord(token=TOKEN) as api:
        room = api.text_channel()
        async with running(api) as client:
            sent = await client.room(room.id).send("log", file=discord.File(io.BytesIO(b"0123"), "log.txt"))
            assert await sent.attachments[0].read() == b"0123"
            edited = await sent.edit(attachments=[*sent.attachments, discord.File(io.BytesIO(b"4"), "more.txt")])
            assert [a.filename for a in edited.attachments] == ["log.txt", "more.txt"]
            big = discord.File(io.BytesIO(bytes((10 << 20) + 1)), "big.bin")
            with pytest.raises(discord.HTTPException) as refused:
                await client.room(room.id).send(file=big)
        assert (refused.value.status, refused.value.code) == (413, 40005)
        (stands,) = api.messages(room)
        assert [(a.name, a.data) for a in stands.attachments] == [("log.txt", b"0123"), ("more.txt", b"4")]
