"""The usual methods through the real client: what stands afterwards, and the platform's words where it refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup
from telegram.error import BadRequest

from tests.botapi import BotApi

FORUM = -1001000000001


@asynccontextmanager
async def client(api: BotApi) -> AsyncIterator[Bot]:
    async with Bot(api.token, base_url=api.url + "/bot", base_file_url=api.url + "/file/bot") as bot:
        yield bot


async def test_a_message_stands_is_edited_and_refuses_the_same_look() -> None:
    async with BotApi() as api, client(api) as bot:
        home = api.private(api.person(7, "Ann"))
        keys = InlineKeyboardMarkup([[InlineKeyboardButton("Stop", callback_data="t1")]])
        sent = await bot.send_message(home.id, "one", reply_markup=keys)
        await bot.edit_message_text("two", home.id, sent.message_id, reply_markup=keys)
        with pytest.raises(BadRequest, match="(?i)message is not modified"):
            await bot.edit_message_text("two", home.id, sent.message_id, reply_markup=keys)
        with pytest.raises(BadRequest, match="(?i)message to edit not found"):
            await bot.edit_message_text("two", home.id, 999)
        (standing,) = api.messages(home.id)
        assert (standing.text, standing.edits, standing.buttons[0]["text"]) == ("two", 1, "Stop")


async def test_a_topic_is_opened_and_talked_in() -> None:
    async with BotApi() as api, client(api) as bot:
        group = api.group(FORUM, forum=True)
        topic = await bot.create_forum_topic(group.id, "Fix the test")
        sent = await bot.send_message(group.id, "inside", message_thread_id=topic.message_thread_id)
        assert sent.is_topic_message
        assert [m.text for m in api.messages(group.id, topic.message_thread_id)] == ["", "inside"]
        with pytest.raises(BadRequest, match="(?i)thread not found"):
            await bot.send_message(group.id, "nowhere", message_thread_id=4711)
