"""Speaking: everything stands once, whatever happens to the answer or to the bot; and looks as it should."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from adapters.telegram.chat import TelegramChat
from orchestrator.errors import Broken, Busy, Gone, Refused
from orchestrator.nouns import Button, Conversation, File, Got, Message, MessageId, Phase, Receipt, Standing, Typing
from tests.botapi import Fault, Kind
from tests.telegram_chat.scene import Scene, scene

HELLO = Message(text="hello")
LONG = Message(text="\n\n".join(f"Paragraph {number}: " + "words " * 150 for number in range(9)), rings=True)
HUGE = Message(text="\n\n".join(f"Paragraph {number}: " + "words " * 150 for number in range(40)), rings=True)


async def broken(request: Awaitable[object], *, unsure: bool = True) -> None:
    with pytest.raises(Broken) as caught:
        await request
    assert caught.value.unsure is unsure


# --- fates that nobody knows ------------------------------------------------------------------------------------------

LOST = [Kind.CUT_AFTER, Kind.MALFORMED, Kind.CUT_BEFORE, Kind.PROXY]


@pytest.mark.parametrize("kind", LOST)
@pytest.mark.parametrize("restart", [False, True])
async def test_a_lost_answer_never_makes_two(kind: Kind, restart: bool) -> None:  # noqa: FBT001 - a parameter
    async with scene() as s:
        async with s.chat() as chat:
            await chat.post(s.here, Message(text="before"), key="b")
            s.api.fail("sendMessage", Fault(kind))
            await broken(chat.post(s.here, HELLO, key="k"))
            await s.ann.says(s.home, "meanwhile")
            if not restart:
                id_ = await chat.post(s.here, HELLO, key="k", again=True)
        if restart:
            async with s.chat() as chat:
                id_ = await chat.post(s.here, HELLO, key="k", again=True)
        assert s.words(s.home) == ["before", "hello"]
        assert s.home.standing[int(id_)].text == "hello"


async def test_others_messages_are_left_alone_while_it_looks() -> None:
    async with scene() as s:
        async with s.chat() as chat:
            s.api.fail("sendMessage", Fault(Kind.CUT_BEFORE))
            await broken(chat.post(s.there, HELLO, key="k"))
            await chat.post(s.there, Message(text="another of ours"), key="other")
            await s.ann.says(s.group, "hers")
        async with s.chat() as chat:
            await chat.post(s.there, HELLO, key="k", again=True)
        assert [message.text for message in s.api.messages(s.group.id)] == ["another of ours", "hers", "hello"]


@pytest.mark.looptime
async def test_what_surely_did_not_leave_is_not_looked_for() -> None:
    async with scene() as s, s.chat() as chat:
        await chat.post(s.here, Message(text="before"), key="b")
        await s.api.refuse()
        await broken(chat.post(s.here, HELLO, key="k"), unsure=False)
        await s.api.listen()
        s.api.fail("sendMessage", Fault(Kind.WAIT, seconds=1))
        with pytest.raises(Busy):
            await chat.post(s.here, HELLO, key="k")
        await asyncio.sleep(1.1)
        await chat.post(s.here, HELLO, key="k")
        assert s.words(s.home) == ["before", "hello"]
        assert not s.api.called("editMessageText")


@pytest.mark.looptime
async def test_patience_while_it_looks_is_not_a_failure_of_the_message() -> None:
    """Told to wait while it looks, it still does not know; the office calls that a sure failure."""
    async with scene() as s, s.chat() as chat:
        await chat.post(s.here, Message(text="before"), key="b")
        s.api.fail("sendMessage", Fault(Kind.CUT_AFTER))
        await broken(chat.post(s.here, HELLO, key="k"))
        s.api.fail("editMessageText", Fault(Kind.WAIT, seconds=1))
        with pytest.raises(Busy):
            await chat.post(s.here, HELLO, key="k", again=True)
        await asyncio.sleep(1.1)
        await chat.post(s.here, HELLO, key="k", again=False)
        assert s.words(s.home) == ["before", "hello"]


@pytest.mark.parametrize("kind", LOST)
async def test_a_long_message_that_is_cut_in_its_middle_goes_on_there(kind: Kind) -> None:
    async with scene() as s:
        async with s.chat() as chat:
            await chat.post(s.here, Message(text="before"), key="b")
            s.api.faults.plan("sendMessage", Fault(kind), chat=s.home.id, times=1)
            sent = len(s.api.called("sendMessage"))
            await broken(chat.post(s.here, LONG, key="k"))
            s.api.fail("sendMessage", Fault(kind))
            # the first part is settled by looking or sending; the second one is lost
            await broken(chat.post(s.here, LONG, key="k", again=True))
            assert len(s.api.called("sendMessage")) > sent
        async with s.chat() as chat:
            id_ = await chat.post(s.here, LONG, key="k", again=True)
            assert await chat.post(s.here, LONG, key="k") == id_
        words = s.words(s.home)[1:]
        assert "".join("".join(words).split()) == "".join(LONG.text.split())
        assert id_ == ",".join(str(message.id) for message in s.api.messages(s.home.id)[1:])


async def test_a_file_whose_answer_is_lost_stands_once() -> None:
    async with scene() as s, s.chat() as chat:
        message = Message(text="look", files=(await stored(s, "a.txt", b"words"), await stored(s, "b.png", b"\x89PNG")))
        s.api.fail("sendDocument", Fault(Kind.CUT_AFTER))
        s.api.fail("sendPhoto", Fault(Kind.CUT_AFTER))
        for _ in range(2):
            await broken(chat.post(s.here, message, key="k", again=True))
        await chat.post(s.here, message, key="k", again=True)
        names = [m.file.name if m.file else m.text for m in s.api.messages(s.home.id)]
        assert names == ["look", "a.txt", "b.png"]


async def test_a_note_that_cannot_be_written_does_not_make_two() -> None:
    async with scene() as s, s.chat() as chat:
        await chat.post(s.here, HELLO, key="k")
        real = s.notes.put
        calls = 0

        async def put(notes: object) -> None:
            nonlocal calls
            calls += 1
            if calls == 2:  # the first one says that it is about to be sent
                raise Broken("The disk is full.")
            await real(notes)  # type: ignore[arg-type]

        s.notes.put = put  # type: ignore[method-assign]
        first = await chat.post(s.here, Message(text="next"), key="n")
        assert await chat.post(s.here, Message(text="next"), key="n", again=True) == first
        assert s.words(s.home) == ["hello", "next"]


# --- looks ------------------------------------------------------------------------------------------------------------


async def test_rings_buttons_and_previews() -> None:
    async with scene() as s, s.chat() as chat:
        await chat.post(s.here, Message(text="quiet", buttons=(Button("A", "a"),)), key="1")
        await chat.post(s.here, Message(text="loud https://example.org", rings=True), key="2")
        quiet, loud = s.api.messages(s.home.id)
        assert (quiet.silent, loud.silent) == (True, False)
        assert quiet.buttons[0]["callback_data"] == "a"
        assert all(call.params["link_preview_options"]["is_disabled"] for call in s.api.called("sendMessage"))


async def test_a_text_of_many_messages_is_its_end_and_a_file_with_all_of_it() -> None:
    async with scene() as s, s.chat() as chat:
        id_ = await chat.post(s.here, HUGE, key="k")
        *texts, file = s.api.messages(s.home.id)
        assert file.file is not None
        assert (file.file.name, file.file.content.decode()) == ("answer.md", HUGE.text)
        assert texts[-1].text.endswith("words")
        assert id_ == ",".join(str(text.id) for text in texts) + f"+{file.id}"
        assert [text.silent for text in texts] == [False] + [True] * (len(texts) - 1)  # one message, one sound
        assert file.silent is True
        await chat.remove(s.here, id_)
        assert s.api.messages(s.home.id) == []


async def test_an_edit_of_several_messages_changes_what_differs() -> None:
    async with scene() as s, s.chat() as chat:
        id_ = await chat.post(s.here, LONG, key="k")
        before = len(s.api.messages(s.home.id))
        await chat.edit(s.here, id_, Message(text=LONG.text.replace("words \n", "ends\n"), buttons=(Button("A", "a"),)))
        await chat.edit(s.here, id_, Message(text="short now"))
        messages = s.api.messages(s.home.id)
        assert len(messages) == before > 1
        assert [message.text for message in messages] == ["short now"] + ["…"] * (before - 1)
        edits = len(s.api.called("editMessageText"))
        await chat.edit(s.here, id_, Message(text="short now"))
        assert len(s.api.called("editMessageText")) == edits


async def test_an_edit_to_something_huge_brings_all_of_it_once_as_a_file() -> None:
    async with scene() as s, s.chat() as chat:
        id_ = await chat.post(s.here, HELLO, key="k")
        for _ in range(2):
            await chat.edit(s.here, id_, HUGE)
        assert [m.file.name for m in s.api.messages(s.home.id) if m.file] == ["answer.md"]


async def test_another_life_edits_without_knowing_the_look() -> None:
    async with scene() as s:
        async with s.chat() as chat:
            id_ = await chat.post(s.here, HELLO, key="k")
        async with s.chat() as chat:
            assert await chat.edit(s.here, id_, HELLO) == 0  # not modified, which is quiet
            s.api.street.remove(s.home.standing[int(id_)])
            with pytest.raises(Gone):
                await chat.edit(s.here, id_, Message(text="else"))


@pytest.mark.parametrize("name", ["", "nonsense", "1,x"])
async def test_a_name_that_is_none_is_gone(name: str) -> None:
    async with scene() as s, s.chat() as chat:
        with pytest.raises(Gone):
            await chat.edit(s.here, MessageId(name), HELLO)


# --- files ------------------------------------------------------------------------------------------------------------


async def stored(s: Scene, name: str, content: bytes) -> File:
    await s.artifacts.piece(name, 0, content)
    return File(await s.artifacts.complete(name), name, len(content))


async def test_files_go_out_as_pictures_or_documents_and_what_cannot_is_said() -> None:
    async with scene() as s, s.chat() as chat:
        picture, text = await stored(s, "a.PNG", b"\x89PNG"), await stored(s, "b.txt", b"words")
        lost = File(type(text.artifact)("0" * 64), "lost.txt", 5)
        empty = await stored(s, "empty.txt", b"")
        await chat.post(s.here, Message(text="here", files=(picture, text, lost, empty)), key="k")
        here, one, two, three, four = s.api.messages(s.home.id)
        assert here.text == "here"
        assert "photo" in one.content
        assert two.file is not None
        assert (two.file.name, two.file.content) == ("b.txt", b"words")
        assert "lost.txt" in three.text
        assert "empty.txt is empty" in four.text


async def test_names_that_cannot_be_sent_are_sent_all_the_same() -> None:
    async with scene(forum=True) as s, s.chat() as chat:
        name = 'a\ud800"\n' + "b" * 300 + ".txt"
        await chat.post(s.there, Message(files=(await stored(s, name, b"words"),)), key="k")
        where = await chat.open(s.there, name, key="run")
        file = s.api.messages(s.group.id)[0].file
        assert file is not None
        assert file.name.endswith("….txt")
        assert s.group.topics[int(where.thread)].name.startswith("a\ufffd")


async def test_a_picture_that_is_none_goes_as_a_document() -> None:
    async with scene() as s, s.chat() as chat:
        s.api.fail("sendPhoto", Fault(Kind.STATUS, status=400, words="Bad Request: IMAGE_PROCESS_FAILED"))
        await chat.post(s.here, Message(files=(await stored(s, "a.png", b"no picture"),)), key="k")
        assert "document" in s.api.messages(s.home.id)[-1].content


# --- drafts -----------------------------------------------------------------------------------------------------------


def live(text: str, *, status: str = "working") -> Message:
    return Message(text=text, status=status, since=1_700_000_000.0, tail=True)


async def test_live_text_is_a_draft_and_its_last_look_an_edit() -> None:
    async with scene() as s, s.chat() as chat:
        page = await chat.post(s.here, live("one"), key="k")
        assert await chat.edit(s.here, page, live("one two")) == 20.0
        assert await chat.edit(s.here, page, live("one two three")) == 20.0
        draft = s.api.world.draft(s.home.id)
        assert draft is not None
        assert draft.text.endswith("one two three")
        assert draft.id == int(page)
        assert not s.api.called("editMessageText")
        assert await chat.edit(s.here, page, live("one two three")) == 0.0  # it faded: now for good
        assert s.words(s.home)[0].endswith("one two three")
        assert await chat.edit(s.here, page, live("one two three", status="your turn")) == 0.0
        assert len(s.api.calls) == 5


async def test_no_drafts_in_groups_nor_where_they_are_off_or_refused() -> None:
    async with scene() as s:
        async with s.chat() as chat:
            page = await chat.post(s.there, live("one"), key="k")
            assert await chat.edit(s.there, page, live("two")) == 0.0
            page = await chat.post(s.here, live("one"), key="h")
            s.api.fail("sendMessageDraft", Fault(Kind.STATUS, status=400, words="Bad Request: drafts are not allowed"))
            assert await chat.edit(s.here, page, live("two")) == 0.0
            assert await chat.edit(s.here, page, live("three")) == 0.0
            assert len(s.api.called("sendMessageDraft")) == 1
        async with s.chat(drafts=False) as chat:
            page = await chat.post(s.here, live("one"), key="off")
            assert await chat.edit(s.here, page, live("two")) == 0.0
        assert len(s.api.called("sendMessageDraft")) == 1


# --- places -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LOST)
async def test_a_topic_whose_answer_is_lost_is_opened_once(kind: Kind) -> None:
    async with scene(forum=True) as s, s.life() as chat:
        s.api.fail("createForumTopic", Fault(kind))
        await broken(chat.open(s.there, "Fix the test", key="run-1"))
        await s.rest()
        where = await chat.open(s.there, "Fix the test", key="run-1")
        other = await chat.open(s.there, "Fix the test", key="run-2")
        assert where != other
        assert [str(topic) for topic in s.group.topics] == [where.thread, other.thread]


async def test_the_same_key_is_the_same_place_in_another_life() -> None:
    for forum in (True, False):
        async with scene(forum=forum) as s:
            async with s.chat() as chat:
                first = await chat.open(s.there, "Fix it", key="run-1")
            async with s.chat() as chat:
                assert await chat.open(s.there, "Fix it", key="run-1") == first
            assert first.thread.startswith("r") is not forum


async def test_a_forum_without_the_right_to_open_topics_gets_a_chain() -> None:
    async with scene(forum=True) as s, s.chat() as chat:
        s.group.rights = frozenset()
        where = await chat.open(s.there, "Fix the test", key="run-1")
        assert where.thread.startswith("r")
        assert s.words(s.group) == ["Fix the test"]
        await chat.open(s.there, "Another", key="run-2")
        assert len(s.api.called("createForumTopic")) == 1


async def test_a_chain_is_heard_wherever_one_replies_in_it() -> None:
    async with scene() as s:
        async with s.life() as chat:
            where = await chat.open(s.there, "Fix the test", key="run-1")
            await chat.post(where, HELLO, key="k")
            root, hello = s.api.messages(s.group.id)
            assert hello.reply_to is root
            hers = await s.ann.says(s.group, "to the root", reply_to=root)
            await s.ann.says(s.group, "to the answer", reply_to=hello)
            await s.ann.says(s.group, "to nothing")
            await s.hears(3)
        async with s.life() as chat:
            mine = await s.ann.says(s.group, "to her own", reply_to=hers)
            await s.ann.says(s.group, "and on", reply_to=mine)
            await s.hears(5)
            s.api.street.remove(root)
            await chat.post(where, Message(text="still here"), key="later")
        heard = {inbound.text: inbound.where for inbound in s.core.heard}
        assert heard.pop("to nothing") == s.there
        assert set(heard.values()) == {where}
        assert len(heard) == 4
        assert s.words(s.group)[-1] == "still here"


async def test_a_tap_in_a_chain_is_heard_there() -> None:
    async with scene() as s, s.life() as chat:
        where = await chat.open(s.there, "Fix the test", key="run-1")
        id_ = await chat.post(where, Message(text="?", buttons=(Button("Yes", "ask:1"),)), key="k")
        await s.ann.presses(s.group.standing[int(id_)], "Yes")
        (heard,) = await s.hears()
        assert (heard.where, heard.on, heard.press) == (where, id_, "ask:1")


# --- the end of places ------------------------------------------------------------------------------------------------


async def test_places_that_are_no_more_are_gone() -> None:
    async with scene(forum=True, topics=True) as s, s.chat() as chat:
        for home, chat_ in ((s.here, s.home), (s.there, s.group)):
            where = await chat.open(home, "A run", key=str(home))
            s.api.street.remove_topic(chat_, int(where.thread))
            with pytest.raises(Gone):
                await chat.post(where, HELLO, key="k")
        with pytest.raises(Gone):
            await chat.post(Conversation("telegram", "99"), HELLO, key="k")
        with pytest.raises(Gone):
            await chat.post(Conversation("telegram", "nonsense"), HELLO, key="k")
        s.api.street.blocks(s.ann)
        with pytest.raises(Gone, match="blocked"):
            await chat.post(s.here, HELLO, key="k2")
        s.group.bot = "kicked"
        with pytest.raises(Gone, match="kicked"):
            await chat.post(s.there, HELLO, key="k3")


async def test_a_group_that_became_another_says_its_new_id() -> None:
    async with scene() as s, s.chat() as chat:
        small = s.api.group(-100200)
        s.api.street.migrate(small, -1001000000999)
        with pytest.raises(Gone, match="-1001000000999"):
            await chat.post(Conversation("telegram", "-100200"), HELLO, key="k")


# --- signs and pins ---------------------------------------------------------------------------------------------------


async def test_signs_are_seen_on_the_message_and_the_topic() -> None:
    async with scene(forum=True) as s, s.chat() as chat:
        where = await chat.open(s.there, "A run", key="r")
        hers = await s.ann.says(s.group, "go", thread=int(where.thread))
        for got, emoji in ((Got.SEEN, "👀"), (Got.HEARD, "👍"), (Got.REFUSED, "💔")):
            await chat.sign(where, Receipt(MessageId(str(hers.id)), got))
            assert hers.reactions == (emoji,)
        await chat.sign(where, Typing())
        assert s.api.world.actions[-1][1:] == (s.group.id, int(where.thread), "typing")
        calls = len(s.api.calls)
        for phase in set(Phase) - {Phase.ENDED}:
            await chat.sign(where, Standing(phase))
        assert len(s.api.calls) == calls
        icons = []
        for reason in ("completed", "failed"):
            await chat.sign(where, Standing(Phase.ENDED, reason))
            icons.append(s.group.topics[int(where.thread)].icon)
        assert len(set(icons)) == 2
        assert all(icons)
        assert len(s.api.called("getForumTopicIconStickers")) == 1


async def test_reactions_that_are_not_allowed_are_remembered() -> None:
    async with scene() as s, s.chat() as chat:
        hers = await s.ann.says(s.group, "go")
        s.api.fail("setMessageReaction", Fault(Kind.STATUS, status=400, words="Bad Request: REACTION_INVALID"), times=3)
        for _ in range(3):
            await chat.sign(s.there, Receipt(MessageId(str(hers.id)), Got.SEEN))
        assert len(s.api.called("setMessageReaction")) == 3
        s.api.faults.clear()
        await chat.sign(s.there, Receipt(MessageId(str(hers.id)), Got.SEEN))
        assert len(s.api.called("setMessageReaction")) == 3


async def test_one_refused_reaction_is_about_its_message_alone() -> None:
    async with scene() as s, s.chat() as chat:
        hers = await s.ann.says(s.group, "go")
        fault = Fault(Kind.STATUS, status=400, words="Bad Request: REACTION_INVALID")
        for _ in range(4):
            s.api.fail("setMessageReaction", fault)
            for got in (Got.SEEN, Got.HEARD):
                await chat.sign(s.there, Receipt(MessageId(str(hers.id)), got))
        assert hers.reactions == ("👍",)
        assert len(s.api.called("setMessageReaction")) == 8


async def test_a_board_is_pinned_instead_of_the_last_one() -> None:
    async with scene() as s:
        async with s.chat() as chat:
            first = await chat.post(s.there, Message(board=True), key="1")
            assert await chat.post(s.there, Message(board=True), key="1") == first
        async with s.chat() as chat:
            second = await chat.post(s.there, Message(board=True), key="2")
        pinned = [message.id for message in s.api.messages(s.group.id) if message.pinned]
        assert pinned == [int(second)]
        assert len(s.api.called("pinChatMessage")) == 2
        assert all(call.params["disable_notification"] for call in s.api.called("pinChatMessage"))


async def test_a_board_that_may_not_be_pinned_stands_all_the_same() -> None:
    async with scene() as s, s.chat() as chat:
        s.group.rights = frozenset()
        await chat.post(s.there, Message(board=True), key="1")
        assert len(s.words(s.group)) == 1


# --- rich -------------------------------------------------------------------------------------------------------------

TABLE = "# Head\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"


async def test_rich_chats_get_blocks_and_others_do_not() -> None:
    async with scene() as s, s.chat(rich_chats=[str(s.home.id)]) as chat:
        buttons = (Button("Yes", "y"),)
        id_ = await chat.post(s.here, Message(text=TABLE, buttons=buttons), key="1")
        await chat.post(s.there, Message(text=TABLE), key="2")
        assert s.api.messages(s.home.id)[0].rich is not None
        assert s.api.messages(s.group.id)[0].rich is None
        await chat.edit(s.here, id_, Message(text=TABLE + "\nmore", buttons=buttons))
        await chat.edit(s.here, id_, Message(text=TABLE + "\nmore", buttons=buttons))
        (message,) = s.api.messages(s.home.id)
        assert message.text.endswith("more")
        assert message.edits == 1


async def test_a_server_without_rich_messages_gets_plain_ones() -> None:
    async with scene() as s, s.chat(rich_chats=[str(s.home.id)]) as chat:
        fault = Fault(Kind.STATUS, status=404, words="Not Found: method not found")
        s.api.fail("sendRichMessage", fault)
        await chat.post(s.here, Message(text=TABLE), key="1")
        await chat.post(s.here, Message(text=TABLE), key="2")
        assert len(s.api.called("sendRichMessage")) == 1
        assert len(s.words(s.home)) == 2
        assert isinstance(chat, TelegramChat)


async def test_a_refused_rich_message_is_plain_and_the_next_one_is_rich() -> None:
    fault = Fault(Kind.STATUS, status=400, words="Bad Request: RICH_MESSAGE_BLOCK_INVALID")
    async with scene() as s, s.chat(rich_chats=[str(s.home.id)]) as chat:
        s.api.fail("sendRichMessage", fault)
        plain = await chat.post(s.here, Message(text=TABLE), key="1")
        rich = await chat.post(s.here, Message(text=TABLE), key="2")
        assert [message.rich is None for message in s.api.messages(s.home.id)] == [True, False]
        s.api.fail("editMessageText", fault)
        await chat.edit(s.here, rich, Message(text=TABLE + "\nmore"))
        assert "more" in s.words(s.home)[-1]
        s.api.fail("sendRichMessage", fault, times=9)
        for number in range(5):
            await chat.post(s.here, Message(text=TABLE), key=f"again {number}")
        assert len(s.api.called("sendRichMessage")) == 2 + 2  # with the edit, these are three in a row
        assert len(s.words(s.home)) == 7
        assert plain != rich


async def test_what_the_platform_will_not_have_is_refused_in_its_words() -> None:
    async with scene() as s, s.chat() as chat:
        s.api.fail("sendMessage", Fault(Kind.STATUS, status=400, words="Bad Request: can't parse this"))
        with pytest.raises(Refused, match="parse this"):
            await chat.post(s.here, HELLO, key="k")
