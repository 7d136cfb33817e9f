"""Places of runs in Telegram: topics and chains, their end, and the signs and pins that stand in them."""

from __future__ import annotations

import pytest

from orchestrator.errors import Gone
from orchestrator.nouns import Button, Conversation, Got, Message, MessageId, Phase, Receipt, Standing, Typing
from tests.botapi import Fault, Kind
from tests.telegram_chat.scene import HELLO, LOST, broken, scene


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
