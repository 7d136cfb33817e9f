"""Speaking: everything stands once, whatever happens to the answer or to the bot; and looks as it should."""

from __future__ import annotations

import asyncio

import pytest

from adapters.telegram.chat import TelegramChat
from orchestrator.errors import Broken, Busy, Gone, Refused
from orchestrator.nouns import Button, File, Message, MessageId
from tests.botapi import Fault, Kind
from tests.telegram_chat.scene import HELLO, LOST, Scene, broken, scene

LONG = Message(text="\n\n".join(f"Paragraph {number}: " + "words " * 150 for number in range(9)), rings=True)
HUGE = Message(text="\n\n".join(f"Paragraph {number}: " + "words " * 150 for number in range(40)), rings=True)


# --- fates that nobody knows ------------------------------------------------------------------------------------------


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
