"""What the bot says stands once, whatever the network does to the answer, and says nothing that it should not."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from adapters.discord.chat import DiscordChat
from orchestrator.errors import Broken, Busy, Gone, Refused, Trouble
from orchestrator.nouns import Button, Conversation, File, Message, MessageId, Phase, Row, RunId
from tests.discord_chat.stage import TOKEN, Home
from tests.discordapi import Fault, Permission
from tests.fakes.notes import MemoryNotes

pytestmark = pytest.mark.looptime

SEND = "POST /channels/{}/messages"
EDIT = "PATCH /channels/{}/messages/{}"


def texts(home: Home) -> list[str]:
    return [message.text for message in home.api.messages(home.channel)]


async def insist(chat: DiscordChat, where: Conversation, message: Message, *, key: str) -> MessageId:
    """As the office does it: again, until it stands."""
    again = False
    for _ in range(20):
        try:
            return await chat.post(where, message, key=key, again=again)
        except (Broken, Busy) as trouble:
            again = again or (isinstance(trouble, Broken) and trouble.unsure)
            await asyncio.sleep(trouble.seconds + 1 if isinstance(trouble, Busy) else 1)
    raise AssertionError("it never stood")


LONG = "\n\n".join(f"paragraph {number} " + "word " * 60 for number in range(14))


@pytest.mark.parametrize(
    "fault",
    [
        Fault.cut(),
        Fault.cut_after(),
        Fault.hang(),
        Fault.hang_after(),
        Fault.broken(500),
        Fault.broken(502),
        Fault.garbled(),
        Fault.busy(3.0),
        Fault.banned(5.0),
    ],
    ids=lambda fault: fault.kind.value,
)
@pytest.mark.parametrize("at", [0, 1])
async def test_a_message_stands_once_whatever_became_of_the_answer(
    home: Home, chat: DiscordChat, fault: Fault, at: int
) -> None:
    await chat.post(home.where, Message(text="before"), key="before")
    parts = 3
    tripped = False

    async def trip() -> None:
        nonlocal tripped
        await home.api.until(lambda: len(texts(home)) == 1 + at)
        home.api.fail(SEND, fault)
        tripped = True

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(trip())
        await asyncio.sleep(0)
        message = await insist(chat, home.where, Message(text=LONG), key="k")
    assert tripped
    assert len(message.split(",")) == parts
    assert len(texts(home)) == 1 + parts
    assert await chat.post(home.where, Message(text=LONG), key="k") == message


async def test_the_bot_dies_before_it_notes_what_it_sent(home: Home) -> None:
    """Minutes later the nonce is forgotten: what stands in the channel is looked at."""
    for seconds in (10.0, 3000.0):
        before = len(texts(home))
        async with home.chat() as chat:
            await chat.post(home.where, Message(text="Done."), key=f"earlier-{seconds}")
            kept = dict(home.notes.texts)
            await chat.post(home.where, Message(text="Done."), key=f"k-{seconds}")
        lost = {name: text for name, text in home.notes.texts.items() if name not in kept}
        assert len(lost) == 1
        name, text = lost.popitem()
        home.notes.texts[name] = text.partition(" ")[0] + " "  # as it was before the answer came
        await asyncio.sleep(seconds)
        async with home.chat() as chat:
            message = await chat.post(home.where, Message(text="Done."), key=f"k-{seconds}", again=True)
        assert len(texts(home)) == before + 2
        assert message == str(home.api.messages(home.channel)[-1].id)


async def test_the_same_words_under_another_key_are_another_message(home: Home, chat: DiscordChat) -> None:
    for key in ("one", "two", "three"):
        await chat.post(home.where, Message(text="Done."), key=key, again=True)
    assert texts(home) == ["Done."] * 3


async def test_a_card_is_found_again(home: Home) -> None:
    question = Message(text="Deploy?", buttons=(Button("Yes", "y"), Button("No", "n")), rings=True)
    async with home.chat() as chat:
        await chat.post(home.where, question, key="k")
    (name,) = [name for name in home.notes.texts if name.startswith("sent/")]
    home.notes.texts[name] = home.notes.texts[name].partition(" ")[0] + " "
    await asyncio.sleep(3000)
    async with home.chat() as chat:
        await chat.post(home.where, question, key="k", again=True)
    assert len(texts(home)) == 1


async def test_a_note_that_cannot_be_kept_posts_nothing(home: Home, chat: DiscordChat) -> None:
    assert isinstance(home.notes, MemoryNotes)
    home.notes.fails = "The disk is full."
    with pytest.raises(Broken):
        await chat.post(home.where, Message(text="x"), key="k")
    assert texts(home) == []
    home.notes.fails = ""
    await chat.post(home.where, Message(text="x"), key="k")
    assert texts(home) == ["x"]


async def test_nobody_is_mentioned_and_links_stay_bare(home: Home, chat: DiscordChat) -> None:
    hostile = f"@everyone @here <@{home.api.owner.id}> <@&{home.api.guild.id}> https://example.com"
    for rings in (False, True):
        for buttons in ((), (Button(hostile, "t"),)):
            await chat.post(
                home.where, Message(text=hostile, status=hostile, buttons=buttons, rings=rings), key=f"{rings}{buttons}"
            )
    message = home.api.messages(home.channel)[0]
    await chat.edit(home.where, MessageId(str(message.id)), Message(text=hostile + " edited"))
    sent = [call.body for call in home.api.calls if call.method in {"POST", "PATCH"} and "messages" in call.route]
    assert len(sent) == 5
    for body in sent:
        assert body["allowed_mentions"]["parse"] == []
        assert not body["allowed_mentions"].get("users")
    assert [one.pings for one in home.api.messages(home.channel)] == [[], [], [], []]


async def test_only_what_rings_makes_a_sound(home: Home, chat: DiscordChat) -> None:
    await chat.post(home.where, Message(text="quiet"), key="a")
    await chat.post(home.where, Message(text=LONG, rings=True), key="b")
    await chat.post(home.where, Message(text="ask", buttons=(Button("Yes", "y"),), rings=True), key="c")
    silent = [bool(one.flags & 1 << 12) for one in home.api.messages(home.channel)]
    assert silent == [True, False, True, True, False]


async def test_files_go_along_and_one_that_is_too_big_is_named(home: Home, chat: DiscordChat) -> None:
    async def kept(name: str, data: bytes) -> File:
        for start in range(0, len(data), 1 << 20):
            await home.artifacts.piece(name, start, data[start : start + (1 << 20)])
        return File(await home.artifacts.complete(name), name, len(data))

    small = [await kept(f"{number}.txt", f"file {number}".encode()) for number in range(12)]
    half = [await kept(f"half{number}", bytes([number]) * (9 << 20)) for number in range(3)]
    big = await kept("huge.bin", b"z" * (11 << 20))
    await chat.post(home.where, Message(text="files", files=(*small, *half, big)), key="k")
    found = [one for message in home.api.messages(home.channel) for one in message.attachments]
    assert {one.name: one.data for one in found} == {
        **{f"{number}.txt": f"file {number}".encode() for number in range(12)},
        **{f"half{number}": bytes([number]) * (9 << 20) for number in range(3)},
    }
    assert "huge.bin (11 MiB) is too big" in texts(home)[0]
    await chat.post(home.where, Message(text="gone", files=(File(small[0].artifact, "x", 5),)), key="ok")
    home.artifacts.files.clear()
    await chat.post(home.where, Message(text="gone", files=(small[0],)), key="none")
    assert "not stored any more" in texts(home)[-1]


async def test_a_very_long_text_is_its_end_and_a_file(home: Home, chat: DiscordChat) -> None:
    text = "\n\n".join(f"paragraph {number} " + "word " * 60 for number in range(60))
    await chat.post(home.where, Message(text=text), key="k")
    (message,) = home.api.messages(home.channel)
    assert "paragraph 59" in message.text
    assert [(one.name, one.data.decode()) for one in message.attachments] == [("answer.md", text)]


async def test_an_edit_fits_into_the_messages_there_are(home: Home, chat: DiscordChat) -> None:
    message = await chat.post(home.where, Message(text=LONG), key="k")
    count = len(message.split(","))
    await chat.edit(home.where, message, Message(text="short now"))
    assert texts(home) == ["short now", *["…"] * (count - 1)]
    one = await chat.post(home.where, Message(text="live", tail=True), key="live")
    await chat.edit(home.where, one, Message(text=LONG, tail=True))
    assert not home.api.messages(home.channel)[-1].attachments
    await chat.edit(home.where, one, Message(text=LONG))
    assert [file.name for file in home.api.messages(home.channel)[-1].attachments] == ["answer.md"]


async def test_a_part_that_looks_the_same_is_not_sent(home: Home, chat: DiscordChat) -> None:
    message = await chat.post(home.where, Message(text=LONG), key="k")
    await asyncio.sleep(10)
    before = len(home.api.calls)
    await chat.edit(home.where, message, Message(text=LONG))
    assert len(home.api.calls) == before
    await chat.edit(home.where, message, Message(text=LONG + " and more"))
    assert len(home.api.calls) == before + 1


async def test_a_card_stays_one_also_after_a_restart(home: Home) -> None:
    question = Message(text="Deploy?", buttons=(Button("Yes", "y"),), rings=True)
    async with home.chat() as chat:
        first = await chat.post(home.where, question, key="a")
        second = await chat.post(home.where, question, key="b")
        await chat.edit(home.where, first, Message(text="Deploy?", status="yes, by Ann"))
    async with home.chat() as chat:
        for look in ("one", "two"):
            await chat.edit(home.where, second, Message(text="Deploy?", status=look))
    shown = home.api.messages(home.channel)
    assert all(message.layout and not message.buttons for message in shown)
    assert ["yes, by Ann" in shown[0].text, "two" in shown[1].text] == [True, True]


async def test_an_archived_thread_is_woken_for_an_edit(home: Home, chat: DiscordChat) -> None:
    where = await chat.open(home.where, "A run", key="run-1")
    message = await chat.post(where, Message(text="before"), key="k")
    thread = home.thread(where)
    thread.archived = True
    await chat.edit(where, message, Message(text="after"))
    assert [one.text for one in home.api.messages(thread)] == ["after"]
    thread.archived = True
    await chat.remove(where, message)
    assert home.api.messages(thread) == []


async def test_an_old_message_is_stale_before_discord_thinks_so(home: Home, chat: DiscordChat) -> None:
    message = await chat.post(home.where, Message(text="x"), key="k")
    await asyncio.sleep(49 * 60)
    assert not chat.stale(message)
    await asyncio.sleep(2 * 60)
    assert chat.stale(message)
    await asyncio.sleep(10 * 60)
    for number in range(3):  # as many as Discord allows of these
        await chat.edit(home.where, message, Message(text=f"edit {number}"))
    with pytest.raises(Busy) as told:
        await chat.edit(home.where, message, Message(text="one too many"))
    assert not told.value.everywhere


async def test_the_newest_dashboard_is_pinned(home: Home) -> None:
    row = Row(RunId("r1"), "A run", "claude", Phase.WORKING, 1.0, 0.0, home.where)
    async with home.living() as chat:
        for key in ("one", "two"):
            board = await chat.post(home.where, Message(rows=(row,), board=True), key=key)
            await asyncio.sleep(2)
            shown = home.api.messages(home.channel, notices=True)
            assert [str(one.id) for one in shown if one.pinned] == [board]
            assert [one.kind for one in shown if one.kind == 6] == [], "and Discord's line about it is gone"
        home.api.forbid(home.channel, Permission.PIN_MESSAGES)
        await chat.post(home.where, Message(rows=(row,), board=True), key="three")


@pytest.mark.parametrize(
    ("fault", "kind", "unsure"),
    [
        (Fault.refused(10003), Gone, False),
        (Fault.refused(50001), Gone, False),
        (Fault.refused(50013), Refused, False),
        (Fault.refused(50035), Refused, False),
        (Fault.broken(503), Broken, True),
        (Fault.cut(), Broken, True),
        (Fault.hang(), Broken, True),
    ],
)
async def test_trouble_has_four_kinds(
    home: Home, chat: DiscordChat, fault: Fault, kind: type[Trouble], *, unsure: bool
) -> None:
    await chat.post(home.where, Message(text="first"), key="first")
    home.api.fail(SEND, fault)
    with pytest.raises(kind) as told:
        await chat.post(home.where, Message(text="x"), key="k")
    assert getattr(told.value, "unsure", False) is unsure
    assert TOKEN not in str(told.value)


async def test_a_request_that_never_left_is_surely_not_done(home: Home, chat: DiscordChat) -> None:
    await chat.post(home.where, Message(text="first"), key="first")
    await home.api.down()
    with contextlib.suppress(Broken):  # it may meet the connection that has just been closed
        await chat.post(home.where, Message(text="x"), key="k")
    with pytest.raises(Broken) as told:
        await chat.post(home.where, Message(text="x"), key="k")
    assert not told.value.unsure
    await home.api.up()


async def test_what_is_no_place_or_message_here(home: Home, chat: DiscordChat) -> None:
    with pytest.raises(Refused):
        await chat.post(Conversation("discord", "elsewhere"), Message(text="x"), key="k")
    with pytest.raises(Gone):
        await chat.edit(home.where, MessageId("web-17"), Message(text="x"))


async def test_what_became_of_keys_is_not_kept_for_ever(home: Home) -> None:
    async with home.living() as chat:
        for number in range(5):
            await chat.post(home.where, Message(text="x"), key=f"{number}")
            await asyncio.sleep(5)
        assert len([name for name in home.notes.texts if name.startswith("sent/")]) == 5
        await asyncio.sleep(3 * 86_400)
        assert len([name for name in home.notes.texts if name.startswith("sent/")]) == 0
