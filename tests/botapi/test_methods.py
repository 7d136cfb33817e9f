"""The usual methods through the real client: what stands afterwards, and the platform's words where it refuses."""

from __future__ import annotations

import pytest
from telegram import (
    Bot,
    BotCommand,
    BotCommandScopeChat,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaDocument,
    Message,
    MessageEntity,
    ReplyParameters,
)
from telegram.error import BadRequest, Forbidden, InvalidToken

from tests.botapi import BotApi
from tests.botapi.client import client

FORUM = -1001000000001
KEYS = InlineKeyboardMarkup([[InlineKeyboardButton("Stop", callback_data="t1")]])


async def test_a_message_stands_is_edited_and_refuses_the_same_look() -> None:
    async with BotApi() as api, client(api) as bot:
        home = api.private(api.person(7, "Ann"))
        sent = await bot.send_message(home.id, "one", reply_markup=KEYS)
        await bot.edit_message_text("two", home.id, sent.message_id, reply_markup=KEYS)
        with pytest.raises(BadRequest, match=r"^Message is not modified: specified new"):
            await bot.edit_message_text("two", home.id, sent.message_id, reply_markup=KEYS)
        with pytest.raises(BadRequest, match=r"^Message to edit not found$"):
            await bot.edit_message_text("two", home.id, 999)
        (standing,) = api.messages(home.id)
        assert (standing.text, standing.edits, standing.buttons[0]["text"]) == ("two", 1, "Stop")
        assert [look["text"] for look in standing.looks] == ["one", "two"]


async def test_an_edit_without_a_keyboard_takes_it_away() -> None:
    async with BotApi() as api, client(api) as bot:
        home = api.private(api.person(7, "Ann"))
        sent = await bot.send_message(home.id, "one", reply_markup=KEYS)
        await bot.edit_message_text("one", home.id, sent.message_id)
        assert api.messages(home.id)[0].buttons == []
        await bot.edit_message_reply_markup(home.id, sent.message_id, reply_markup=KEYS)
        assert [button["callback_data"] for button in api.messages(home.id)[0].buttons] == ["t1"]


async def test_nobody_edits_what_somebody_else_wrote() -> None:
    async with BotApi() as api, client(api) as bot:
        ann = api.person(7, "Ann")
        said = await ann.says(api.private(ann), "hello")
        with pytest.raises(BadRequest, match=r"^Message can't be edited$"):
            await bot.edit_message_text("mine now", 7, said.id)


async def test_ids_count_per_supergroup_and_once_for_all_private_chats() -> None:
    async with BotApi() as api, client(api) as bot:
        one, two = api.private(api.person(7, "Ann")), api.private(api.person(8, "Bob"))
        group, other = api.group(FORUM), api.group(FORUM - 1)
        sent = [(await bot.send_message(chat.id, "x")).message_id for chat in (one, two, group, other, one, group)]
        assert sent == [1, 2, 1, 1, 3, 2]


async def test_a_topic_is_opened_talked_in_closed_and_removed() -> None:
    async with BotApi() as api, client(api) as bot:
        group = api.group(FORUM, forum=True)
        topic = await bot.create_forum_topic(group.id, "Fix the test")
        thread = topic.message_thread_id
        sent = await bot.send_message(group.id, "inside", message_thread_id=thread)
        assert sent.is_topic_message
        assert [m.text for m in api.messages(group.id, thread)] == ["", "inside"]
        with pytest.raises(BadRequest, match=r"^Message thread not found$"):
            await bot.send_message(group.id, "nowhere", message_thread_id=4711)
        await bot.edit_forum_topic(group.id, thread, name="Fixed")
        await bot.close_forum_topic(group.id, thread)
        assert (group.topics[thread].name, group.topics[thread].closed) == ("Fixed", True)
        group.rights -= {"can_manage_topics"}
        with pytest.raises(BadRequest, match=r"(?i)topic_closed"):
            await bot.send_message(group.id, "too late", message_thread_id=thread)
        with pytest.raises(BadRequest, match=r"^Not enough rights"):
            await bot.reopen_forum_topic(group.id, thread)
        api.street.remove_topic(group, thread)
        with pytest.raises(BadRequest, match=r"^Message thread not found$"):
            await bot.send_message(group.id, "gone", message_thread_id=thread)


async def test_a_private_chat_has_topics_when_that_is_switched_on() -> None:
    async with BotApi() as api, client(api) as bot:
        api.private(api.person(7, "Ann"))
        with pytest.raises(BadRequest, match="not a forum"):
            await bot.create_forum_topic(7, "No")
    async with BotApi(private_topics=True) as api, client(api) as bot:
        api.private(api.person(7, "Ann"))
        assert (await bot.get_me()).has_topics_enabled
        topic = await bot.create_forum_topic(7, "Yes")
        sent = await bot.send_message(7, "inside", message_thread_id=topic.message_thread_id)
        assert sent.message_thread_id == topic.message_thread_id
        assert sent.is_topic_message


@pytest.mark.parametrize(
    ("bot_is", "words"),
    [("left", "bot is not a member of the supergroup chat"), ("kicked", "bot was kicked from the supergroup chat")],
)
async def test_a_group_without_the_bot_is_forbidden(bot_is: str, words: str) -> None:
    async with BotApi() as api, client(api) as bot:
        group = api.group(FORUM, bot=bot_is)
        with pytest.raises(Forbidden, match=words):
            await bot.send_message(group.id, "x")


async def test_a_block_an_unknown_chat_and_a_missing_reply_are_told_apart() -> None:
    async with BotApi() as api, client(api) as bot:
        ann = api.person(7, "Ann")
        api.private(ann)
        with pytest.raises(BadRequest, match=r"^Message to be replied not found$"):
            await bot.send_message(7, "x", reply_parameters=ReplyParameters(99))
        await bot.send_message(7, "x", reply_parameters=ReplyParameters(99, allow_sending_without_reply=True))
        with pytest.raises(BadRequest, match=r"^Chat not found$"):
            await bot.send_message(99, "x")
        api.street.blocks(ann)
        with pytest.raises(Forbidden, match="bot was blocked by the user"):
            await bot.send_message(7, "x")


async def test_the_token_is_the_key_and_is_not_told() -> None:
    async with BotApi() as api:
        with pytest.raises(InvalidToken) as wrong:
            async with client(api, token="4242:wrong"):
                pass
        assert "4242:wrong" not in str(api.calls)
        assert wrong.value is not None
        assert api.token not in repr(api.calls)


async def test_files_travel_both_ways() -> None:
    async with BotApi() as api, client(api) as bot:
        ann = api.person(7, "Ann")
        home = api.private(ann)
        await bot.send_document(7, b"log lines", filename="run.log", caption="the log")
        (standing,) = api.messages(7)
        assert standing.file is not None
        assert (standing.file.name, standing.file.content, standing.text) == ("run.log", b"log lines", "the log")
        said = await ann.sends_document(home, "spec.md", b"# spec")
        assert said.file is not None
        file = await bot.get_file(said.file.id)
        assert bytes(await file.download_as_bytearray()) == b"# spec"
        large = await ann.sends_document(home, "large.bin", size=20 * 1024 * 1024 + 1)
        assert large.file is not None
        with pytest.raises(BadRequest, match=r"^File is too big$"):
            await bot.get_file(large.file.id)
        assert not api.violations


async def test_an_album_is_several_messages_and_one_request() -> None:
    async with BotApi() as api, client(api) as bot:
        api.private(api.person(7, "Ann"))
        media = [InputMediaDocument(name.encode(), filename=name) for name in ("a.txt", "b.txt")]
        sent = await bot.send_media_group(7, media)
        assert len({message.media_group_id for message in sent}) == 1
        assert [message.file.name for message in api.messages(7) if message.file] == ["a.txt", "b.txt"]
        assert len(api.called("sendMediaGroup")) == 1


async def test_the_menu_is_kept_by_scope_and_language() -> None:
    async with BotApi() as api, client(api) as bot:
        api.private(api.person(7, "Ann"))
        everywhere, here = [BotCommand("launch", "Start an agent")], [BotCommand("runs", "What runs")]
        await bot.set_my_commands(everywhere)
        await bot.set_my_commands(here, scope=BotCommandScopeChat(7), language_code="de")
        assert list(await bot.get_my_commands()) == everywhere
        assert list(await bot.get_my_commands(scope=BotCommandScopeChat(7))) == []
        assert list(await bot.get_my_commands(scope=BotCommandScopeChat(7), language_code="de")) == here
        await bot.delete_my_commands()
        assert list(await bot.get_my_commands()) == []
        with pytest.raises(BadRequest, match=r"(?i)command_invalid"):
            await bot.set_my_commands([BotCommand("Launch", "capitals")])


async def test_only_the_platforms_own_reactions_work() -> None:
    async with BotApi() as api, client(api) as bot:
        ann = api.person(7, "Ann")
        said = await ann.says(api.private(ann), "go")
        await bot.set_message_reaction(7, said.id, "👀")
        assert list(said.reactions) == ["👀"]
        with pytest.raises(BadRequest, match=r"(?i)reaction_invalid"):
            await bot.set_message_reaction(7, said.id, "✅")
        await bot.set_message_reaction(7, said.id)
        assert list(said.reactions) == []


async def test_a_pin_writes_a_line_that_comes_back() -> None:
    async with BotApi() as api, client(api) as bot:
        group = api.group(FORUM)
        sent = await bot.send_message(FORUM, "board")
        await bot.pin_chat_message(FORUM, sent.message_id, disable_notification=True)
        assert api.messages(FORUM)[0].pinned
        (update,) = await bot.get_updates()
        assert isinstance(update.message, Message)
        assert update.message.pinned_message is not None
        found = (await bot.get_chat(FORUM)).pinned_message
        assert found is not None
        assert found.message_id == sent.message_id
        await bot.unpin_chat_message(FORUM, sent.message_id)
        assert not api.messages(FORUM)[0].pinned
        group.rights -= {"can_pin_messages"}
        with pytest.raises(BadRequest, match=r"^Not enough rights"):
            await bot.pin_chat_message(FORUM, sent.message_id)


async def test_deleting_is_for_ones_own_or_for_those_who_may() -> None:
    async with BotApi() as api, client(api) as bot:
        ann = api.person(7, "Ann")
        group = api.group(FORUM, rights=frozenset())
        own, said = await bot.send_message(FORUM, "own"), await ann.says(group, "hers")
        await bot.delete_message(FORUM, own.message_id)
        with pytest.raises(BadRequest, match=r"^Message to delete not found$"):
            await bot.delete_message(FORUM, own.message_id)
        with pytest.raises(BadRequest, match=r"^Message can't be deleted$"):
            await bot.delete_message(FORUM, said.id)
        group.rights = frozenset({"can_delete_messages"})
        await bot.delete_messages(FORUM, [said.id, 999])
        assert api.messages(FORUM) == []


async def test_members_and_rights_can_be_asked_for() -> None:
    async with BotApi() as api, client(api) as bot:
        ann = api.person(7, "Ann")
        group = api.group(FORUM, rights=frozenset({"can_pin_messages"}))
        api.street.member(group, ann, "creator")
        assert (await bot.get_chat_member(FORUM, 7)).status == "creator"
        me = await bot.get_chat_member(FORUM, bot.id)
        assert me.to_dict()["can_pin_messages"] is True
        assert me.to_dict()["can_manage_topics"] is False
        assert {member.user.id for member in await bot.get_chat_administrators(FORUM)} == {7, bot.id}
        with pytest.raises(BadRequest, match=r"(?i)invalid user_id"):
            await bot.get_chat_member(FORUM, 99)


async def test_a_rich_message_is_sent_edited_and_read() -> None:
    async with BotApi() as api, client(api) as bot:
        api.private(api.person(7, "Ann"))
        sent = await rich(bot, "<h1>Report</h1><table><tr><td>a</td><td>b</td></tr></table>")
        assert api.messages(7)[0].text.split() == ["Report", "a", "b"]
        again = {"rich_message": {"html": "<p>Shorter</p>"}}
        await bot.edit_message_text(None, 7, sent, api_kwargs=again)  # type: ignore[arg-type]  # the way of 22.8
        assert api.messages(7)[0].text == "Shorter"
        with pytest.raises(BadRequest, match=r"^Message is not modified"):
            await bot.edit_message_text(None, 7, sent, api_kwargs=again)  # type: ignore[arg-type]  # the same


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<p>" + "x" * 32_769 + "</p>", "32769 characters"),
        ("<p>x</p>" * 501, "501 blocks"),
        ("<blockquote>" * 17 + "x" + "</blockquote>" * 17, "17 levels"),
        ("<table><tr>" + "<td>x</td>" * 21 + "</tr></table>", "21 table columns"),
        ("<p>" + '<img src="tg://photo?id=1">' * 51 + "</p>", "51 media"),
        ("<p><b>x</p>", "unexpected end tag"),
        ("<p>x", "can't find end tag"),
        ("<script>x</script>", "unsupported tag"),
    ],
)
async def test_a_rich_message_has_limits(html: str, words: str) -> None:
    async with BotApi() as api, client(api) as bot:
        api.private(api.person(7, "Ann"))
        with pytest.raises(BadRequest, match=words):
            await rich(bot, html)
        assert api.messages(7) == []


async def test_a_button_that_hides_in_a_rich_message_can_be_pressed() -> None:
    async with BotApi() as api, client(api) as bot:
        api.private(api.person(7, "Ann"))
        await rich(bot, '<p><tg-button type="callback_data" data="approve:all">OK</tg-button></p>')
        assert [(b["text"], b["callback_data"]) for b in api.messages(7)[0].buttons] == [("OK", "approve:all")]


async def test_small_html_becomes_marks() -> None:
    async with BotApi() as api, client(api) as bot:
        api.private(api.person(7, "Ann"))
        sent = await bot.send_message(
            7, "😀 <b>bold</b> &lt;x&gt; <pre><code class='language-py'>1</code></pre>", "HTML"
        )
        assert sent.text == "😀 bold <x> 1"
        assert sent.entities == (
            MessageEntity("bold", 3, 4),
            MessageEntity("pre", 12, 1, language="py"),
        )
        with pytest.raises(BadRequest, match=r"^Can't parse entities"):
            await bot.send_message(7, "<b>open", "HTML")


async def rich(bot: Bot, html: str) -> int:
    sent = await bot.do_api_request("sendRichMessage", api_kwargs={"chat_id": 7, "rich_message": {"html": html}})
    assert isinstance(sent, dict)
    message_id: int = sent["message_id"]
    return message_id
