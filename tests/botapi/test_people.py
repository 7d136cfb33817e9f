"""What people do, as the real client reads it: every kind of update, and who is not heard in a group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiogram.types import Update as Described
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, Message, Update
from telegram.error import BadRequest, ChatMigrated

from tests.botapi import BotApi, Person
from tests.botapi.client import client
from tests.botapi.schema import strangers

FORUM = -1001000000001
PLAIN = -1001000000002
KEYS = InlineKeyboardMarkup([[InlineKeyboardButton("Stop", callback_data="t1")]])


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with BotApi() as api:
        api.group(FORUM, forum=True)
        api.group(PLAIN, bot="member")
        yield api
        for update in api.world.updates.waiting:  # what is told has the form that the platform describes
            told = Described.model_validate(update.body)
            assert not list(strangers(told, "")), update.body


@pytest.fixture
async def bot(api: BotApi) -> AsyncIterator[Bot]:
    async with client(api) as bot:
        yield bot


@pytest.fixture
def ann(api: BotApi) -> Person:
    ann = api.person(7, "Ann")
    api.private(ann)
    return ann


async def heard(bot: Bot) -> list[Message]:
    updates = await bot.get_updates(allowed_updates=Update.ALL_TYPES)
    return [message for update in updates if isinstance(message := update.effective_message, Message)]


async def test_a_command_is_marked(bot: Bot, ann: Person) -> None:
    await ann.says(7, "/launch@army_bot fix 😀 /runs")
    (message,) = await heard(bot)
    assert list(message.parse_entities(["bot_command"]).values()) == ["/launch@army_bot", "/runs"]


async def test_words_in_a_topic_answer_its_first_line(api: BotApi, bot: Bot, ann: Person) -> None:
    topic = api.street.topic(api.world.chats[FORUM], "Run", by=ann)
    await ann.says(FORUM, "go on", thread=topic.id)
    opening, message = await heard(bot)
    assert opening.forum_topic_created is not None
    assert (message.message_thread_id, message.is_topic_message) == (topic.id, True)
    assert message.reply_to_message is not None
    assert message.reply_to_message.forum_topic_created is not None


async def test_a_reply_outside_of_a_forum_names_a_thread_that_is_no_topic(api: BotApi, bot: Bot, ann: Person) -> None:
    sent = await bot.send_message(PLAIN, "hello")
    await ann.says(PLAIN, "yes", reply_to=api.world.chats[PLAIN].standing[sent.message_id])
    (message,) = await heard(bot)
    assert (message.message_thread_id, message.is_topic_message) == (sent.message_id, None)


async def test_a_member_hears_only_what_is_meant_for_it(bot: Bot, api: BotApi, ann: Person) -> None:
    for text in ("chatter", "/runs", "/runs@other_bot", "/runs@army_bot", "look: /runs"):
        await ann.says(PLAIN, text)
    assert [message.text for message in await heard(bot)] == ["/runs", "/runs@army_bot"]
    api.street.bot_becomes(api.world.chats[PLAIN], "left", by=ann)
    await ann.says(PLAIN, "/runs")
    assert len(api.world.updates.waiting) == 3


async def test_edits_and_forwards_are_what_they_are(bot: Bot, ann: Person) -> None:
    said = await ann.says(7, "/launch a")
    await ann.edits(said, "/launch b")
    for origin in ("user", "hidden_user", "chat", "channel"):
        await ann.forwards(7, "/launch evil", origin=origin)
    updates = await bot.get_updates()
    assert updates[1].edited_message is not None
    assert updates[1].edited_message.text == "/launch b"
    origins = [update.message.forward_origin for update in updates if update.message and update.message.forward_origin]
    assert [origin.type for origin in origins] == ["user", "hidden_user", "chat", "channel"]


async def test_a_channel_posts_and_its_post_comes_into_the_group(api: BotApi, bot: Bot, ann: Person) -> None:
    news = api.channel(-1001000000009, title="News")
    api.street.posts(news, "/launch evil", into=api.world.chats[FORUM])
    await ann.says_as(news, FORUM, "as the channel")
    await ann.says(FORUM, "/runs", anonymously=True)
    post, copy, named, anonymous = await heard(bot)
    assert post.from_user is None
    assert copy.is_automatic_forward
    assert named.sender_chat is not None
    assert named.sender_chat.id == news.id
    assert anonymous.from_user is not None
    assert anonymous.from_user.id == 1087968824
    assert anonymous.sender_chat == anonymous.chat


async def test_a_press_is_answered_once_and_in_time(api: BotApi, bot: Bot, ann: Person) -> None:
    sent = await bot.send_message(7, "Stop it?", reply_markup=KEYS)
    pressed = asyncio.create_task(ann.presses(api.world.chats[7].standing[sent.message_id], "Stop"))
    (update,) = await bot.get_updates(timeout=5)
    query = update.callback_query
    assert query is not None
    assert query.data == "t1"
    assert await bot.answer_callback_query(query.id, "stopped", show_alert=True)
    assert await pressed == {"text": "stopped", "show_alert": True}
    with pytest.raises(BadRequest, match=r"^Query is too old"):
        await bot.answer_callback_query(query.id, "again")


@pytest.mark.looptime
async def test_a_press_that_nobody_answers_ends(api: BotApi, bot: Bot, ann: Person) -> None:
    sent = await bot.send_message(7, "Stop it?", reply_markup=KEYS)
    standing = api.world.chats[7].standing[sent.message_id]
    assert await ann.presses(standing, "t1") is None
    await asyncio.sleep(1)
    (update,) = await bot.get_updates()
    assert update.callback_query is not None
    with pytest.raises(BadRequest, match=r"^Query is too old"):
        await bot.answer_callback_query(update.callback_query.id)
    api.street.remove(standing)
    await ann.press_data(standing, "forged")
    update = (await bot.get_updates())[-1]
    assert update.callback_query is not None
    assert update.callback_query.message is not None
    assert not update.callback_query.message.is_accessible
    with pytest.raises(AssertionError, match="no button"):
        await ann.press(standing, "Go")


async def test_an_album_a_photo_and_a_voice_note_arrive(bot: Bot, ann: Person) -> None:
    await ann.sends_album(7, ["a.txt", "b.txt"], caption="/launch both")
    await ann.sends_photo(7, caption="look")
    await ann.sends_voice(7)
    first, second, photo, voice = await heard(bot)
    assert first.media_group_id == second.media_group_id is not None
    assert (first.caption, second.caption) == ("/launch both", None)
    assert len(photo.photo) == 2
    assert voice.voice is not None


async def test_a_group_moves(api: BotApi, bot: Bot) -> None:
    old = api.group(-5, title="Small")
    new = api.street.migrate(old, -1001000000005)
    leaving, arriving = await heard(bot)
    assert (leaving.migrate_to_chat_id, arriving.migrate_from_chat_id) == (new.id, old.id)
    with pytest.raises(ChatMigrated) as moved:
        await bot.send_message(old.id, "x")
    assert moved.value.new_chat_id == new.id
    await bot.send_message(new.id, "x")


async def test_reactions_say_what_they_were(bot: Bot, ann: Person) -> None:
    await bot.get_updates(allowed_updates=Update.ALL_TYPES)
    said = await ann.says(7, "hm")
    await ann.reacts(said, "👍")
    await ann.reacts(said, "👎")
    changed = (await bot.get_updates())[-1].message_reaction
    assert changed is not None
    assert [[one.to_dict()["emoji"] for one in all_] for all_ in (changed.old_reaction, changed.new_reaction)] == [
        ["👍"],
        ["👎"],
    ]


async def test_a_block_is_told(api: BotApi, bot: Bot, ann: Person) -> None:
    api.street.blocks(ann)
    (update,) = await bot.get_updates()
    assert update.my_chat_member is not None
    assert update.my_chat_member.new_chat_member.status == "kicked"


@pytest.mark.looptime
@pytest.mark.usefixtures("ann")
async def test_a_draft_is_gone_after_half_a_minute_or_with_a_real_message(api: BotApi, bot: Bot) -> None:
    await bot.send_message_draft(7, 1, "thinking")
    draft = api.world.draft(7)
    assert draft is not None
    assert draft.text == "thinking"
    await asyncio.sleep(30)
    assert api.world.draft(7) is None
    await bot.send_message_draft(7, 1, "again")
    await bot.send_message(7, "done")
    assert api.world.draft(7) is None
    with pytest.raises(BadRequest, match="private chats only"):
        await bot.send_message_draft(FORUM, 1, "no")
