"""The platform's limits, met through the real client and in virtual time: sizes, marks, budgets, penalties."""

from __future__ import annotations

import asyncio
import io
from datetime import timedelta

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, MessageEntity
from telegram.error import BadRequest, RetryAfter

from tests.botapi import ROOMY, BotApi, Family, Limits, units
from tests.botapi.client import client
from tests.botapi.limits import Budget
from tests.botapi.refusal import Careless, Refusal
from tests.botapi.texts import taken

FORUM = -1001000000001


async def test_text_is_measured_in_utf16_after_trimming() -> None:
    async with BotApi() as api, client(api) as bot:
        api.private(api.person(7, "Ann"))
        await bot.send_message(7, "  " + "😀" * 2048 + " \n")
        assert units(api.messages(7)[0].text) == 4096
        for text in ("x" * 4097, "😀" * 2048 + "x"):
            with pytest.raises(BadRequest, match=r"^Message is too long$"):
                await bot.send_message(7, text)
        with pytest.raises(BadRequest, match=r"^Message_too_long$"):
            await bot.edit_message_text("x" * 4097, 7, 1)
        with pytest.raises(BadRequest, match=r"^Message text is empty$"):
            await bot.send_message(7, " \n ")
        await bot.send_document(7, b"x", caption="c" * 1024)
        with pytest.raises(BadRequest, match=r"^Message caption is too long$"):
            await bot.send_document(7, b"x", caption="c" * 1025)


async def test_a_file_has_50_megabytes() -> None:
    async with BotApi() as api, aiohttp.ClientSession() as net:
        api.private(api.person(7, "Ann"))
        for size, status in ((50 * 1024 * 1024, 200), (50 * 1024 * 1024 + 1, 413)):
            form = aiohttp.FormData({"chat_id": "7"})
            form.add_field("document", io.BytesIO(bytes(size)), filename="large.bin")
            async with net.post(f"{api.url}/bot{api.token}/sendDocument", data=form) as answer:
                assert answer.status == status
        assert len(api.messages(7)) == 1


async def test_data_of_a_button_has_64_bytes() -> None:
    async with BotApi() as api, client(api) as bot:
        api.private(api.person(7, "Ann"))
        await bot.send_message(7, "x", reply_markup=keys("é" * 32))
        for data in ("x" * 65, "é" * 33):
            with pytest.raises(BadRequest, match=r"(?i)^button_data_invalid"):
                await bot.send_message(7, "x", reply_markup=keys(data))


async def test_a_topics_name_has_128_characters() -> None:
    async with BotApi() as api, client(api) as bot:
        api.group(FORUM, forum=True)
        await bot.create_forum_topic(FORUM, "n" * 128)
        for name in ("n" * 129, "  "):
            with pytest.raises(BadRequest, match=r"^Topic name"):
                await bot.create_forum_topic(FORUM, name)


@pytest.mark.parametrize(
    ("entities", "words"),
    [
        ([("bold", 0, 3)] * 101, "101 entities"),
        ([("bold", 0, 13)], "outside of a text of 12"),
        ([("bold", 0, 1)], "cuts a character in two"),
        ([("bold", 0, 5), ("italic", 3, 6)], "overlap"),
        ([("pre", 0, 6), ("bold", 2, 3)], "code bears no other mark"),
        ([("blockquote", 0, 6), ("expandable_blockquote", 2, 3)], "a quotation inside a quotation"),
    ],
)
async def test_marks_that_the_platform_would_spoil_fail_the_test(
    entities: list[tuple[str, int, int]], words: str
) -> None:
    async def story() -> None:
        async with BotApi() as api, client(api) as bot:
            api.private(api.person(7, "Ann"))
            with pytest.raises(BadRequest, match=words):
                await bot.send_message(7, "😀 one two x", entities=[MessageEntity(*entity) for entity in entities])
            assert api.messages(7) == []

    with pytest.raises(AssertionError, match=words):
        await story()


@given(
    st.text(alphabet=" \n😀aé", max_size=12), st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12)), max_size=4)
)
def test_what_is_taken_is_trimmed_and_its_marks_lie_in_it(text: str, ranges: list[tuple[int, int]]) -> None:
    marks = [{"type": "bold", "offset": offset, "length": length} for offset, length in ranges]
    try:
        kept, left = taken(text, marks, None, most=4096)
    except Careless:
        return
    assert kept == kept.rstrip()
    for mark in left:
        piece = kept.encode("utf-16-le")[2 * mark["offset"] : 2 * (mark["offset"] + mark["length"])].decode("utf-16-le")
        assert units(piece) == mark["length"] > 0
    whole = text.encode("utf-16-le")
    words = ["".join(whole[2 * o : 2 * (o + n)].decode("utf-16-le").split()) for o, n in ranges]
    found = kept.encode("utf-16-le")
    seen = ["".join(found[2 * m["offset"] : 2 * (m["offset"] + m["length"])].decode("utf-16-le").split()) for m in left]
    assert [word for word in words if word] == [word for word in seen if word]


@pytest.mark.looptime
async def test_a_group_bears_20_things_a_minute_whatever_they_are() -> None:
    async with BotApi() as api, client(api) as bot:
        group = api.group(FORUM, forum=True)
        ann = api.person(7, "Ann")
        said = await ann.says(group, "go")
        topic = (await bot.create_forum_topic(FORUM, "T")).message_thread_id  # 1
        sent = await bot.send_message(FORUM, "0", message_thread_id=topic)  # 2
        for n in range(8):
            await bot.edit_message_text(f"e{n}", FORUM, sent.message_id)  # 10
        for n in range(6):
            await bot.send_message(FORUM, f"g{n}")  # 16, outside of the topic
        await bot.send_chat_action(FORUM, "typing")  # 17
        await bot.set_message_reaction(FORUM, said.id, "👀")  # 18
        await bot.pin_chat_message(FORUM, sent.message_id)  # 19
        with pytest.raises(BadRequest):
            await bot.edit_message_text("e7", FORUM, sent.message_id)  # 20: what is refused costs as well
        assert api.told_to_wait == 0
        with pytest.raises(RetryAfter) as wait:
            await bot.send_message(FORUM, "one too many", message_thread_id=topic)
        assert 58 <= seconds_of(wait.value) <= 60
        assert (api.told_to_wait, api.into_penalty) == (1, 0)
        await asyncio.sleep(seconds_of(wait.value))
        await bot.send_message(FORUM, "after the wait", message_thread_id=topic)
        assert (api.told_to_wait, api.into_penalty) == (1, 0)


@pytest.mark.looptime
async def test_calls_into_a_penalty_make_it_longer() -> None:
    async with BotApi() as api, client(api) as bot:
        api.group(FORUM)
        for n in range(20):
            await bot.send_message(FORUM, str(n))
        waits = [await told(bot) for _ in range(3)]
        assert waits[0] < waits[1] < waits[2]
        assert (api.told_to_wait, api.into_penalty) == (3, 2)
        await asyncio.sleep(waits[0])
        assert await told(bot) > 0


@pytest.mark.looptime
async def test_a_private_chat_bears_a_burst_and_one_a_second() -> None:
    async with BotApi() as api, client(api) as bot:
        api.private(api.person(7, "Ann"))
        api.private(api.person(8, "Bob"))
        for n in range(8):
            await bot.send_message(7, str(n))
        with pytest.raises(RetryAfter) as wait:
            await bot.send_message(7, "too soon")
        assert seconds_of(wait.value) <= 2
        await bot.send_message(8, "somebody else does not wait")
        await asyncio.sleep(20)
        for n in range(40):
            await bot.send_message(7, str(n))
            await asyncio.sleep(1.0)
        assert api.told_to_wait == 1


@pytest.mark.looptime
async def test_all_chats_together_bear_30_a_second() -> None:
    async with BotApi() as api, client(api) as bot:
        chats = [api.private(api.person(id_, "P")).id for id_ in range(10, 17)]
        for chat in chats[:6]:
            for n in range(5):
                await bot.send_message(chat, str(n))
        with pytest.raises(RetryAfter):
            await bot.send_message(chats[6], "one too many")
        assert api.budget.left(chats[6]) == 0


@pytest.mark.looptime
async def test_an_answer_to_a_press_is_free_and_what_is_counted_can_be_said() -> None:
    async with BotApi(limits=Limits(counted=frozenset({Family.SEND}))) as api, client(api) as bot:
        group = api.group(FORUM)
        ann = api.person(7, "Ann")
        sent = await bot.send_message(FORUM, "x", reply_markup=keys("t"))
        for _ in range(19):
            await bot.send_message(FORUM, "x")
        for _ in range(50):
            await bot.send_chat_action(FORUM, "typing")
        pressed = asyncio.create_task(ann.presses(group.standing[sent.message_id], "t"))
        (update,) = await bot.get_updates(timeout=5)
        assert update.callback_query is not None
        await bot.answer_callback_query(update.callback_query.id, "done")
        assert await pressed == {"text": "done"}
        assert api.told_to_wait == 0


async def test_without_limits_nobody_waits() -> None:
    async with BotApi(limits=ROOMY) as api, client(api) as bot:
        api.group(FORUM)
        await asyncio.gather(*(bot.send_message(FORUM, str(n)) for n in range(60)))
        assert len(api.messages(FORUM)) == 60


@given(st.lists(st.integers(0, 40).map(lambda eighths: eighths / 8), min_size=1, max_size=60))
def test_no_window_ever_holds_more_than_it_may(pauses: list[float]) -> None:
    now, done = 0.0, []
    budget = Budget(Limits(group=((5, 10.0),)), lambda: now)
    for pause in pauses:
        now += pause
        try:
            budget.take(1, private=False, family=Family.SEND)
        except Refusal as refusal:
            now += (refusal.parameters or {})["retry_after"]
            budget.take(1, private=False, family=Family.SEND)  # who waits as told is let through
        done.append(now)
        assert sum(at > now - 10.0 for at in done) <= 5
    assert budget.into_penalty == 0


def keys(data: str) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup([[InlineKeyboardButton("B", callback_data=data)]])


def seconds_of(wait: RetryAfter) -> float:
    found = wait._retry_after
    assert isinstance(found, timedelta)
    return found.total_seconds()


async def told(bot: Bot) -> float:
    with pytest.raises(RetryAfter) as wait:
        await bot.send_message(FORUM, "again")
    return seconds_of(wait.value)
