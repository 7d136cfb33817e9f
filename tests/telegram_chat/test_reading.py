"""What an update means, read from the platform's own JSON: who said what where, and all that is nothing for us."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram import Update

from adapters.telegram.reading import Attached, Heard, Ignored, Me, Nobody, Press, Reading, read
from orchestrator.nouns import Person

Json = dict[str, Any]
ME = Me(4242, "army_bot")
ANN: Json = {"id": 7, "is_bot": False, "first_name": "Ann", "last_name": "Lee"}
BOT: Json = {"id": 4242, "is_bot": True, "first_name": "Army", "username": "army_bot"}
PRIVATE: Json = {"id": 7, "type": "private", "first_name": "Ann"}
GROUP: Json = {"id": -1001, "type": "supergroup", "title": "G"}
FORUM: Json = GROUP | {"is_forum": True}
CHANNEL: Json = {"id": -1009, "type": "channel", "title": "News"}
WHO = Person("telegram", "7", "Ann Lee")


def message(chat: Json = PRIVATE, sender: Json | None = None, **fields: Any) -> Json:
    return {"message_id": 5, "date": 1_700_000_000, "chat": chat, "from": sender or ANN} | fields


def reading(**update: Any) -> Reading:
    return read(Update.de_json({"update_id": 1} | update, None), ME)


def heard(chat: Json = PRIVATE, sender: Json | None = None, **fields: Any) -> Heard:
    found = reading(message=message(chat, sender, **fields))
    assert isinstance(found, Heard)
    return found


def ignored(**update: Any) -> str:
    found = reading(**update)
    assert isinstance(found, Ignored), found
    return found.why


def test_a_word_in_private() -> None:
    assert heard(text="hello") == Heard(chat=7, message=5, person=WHO, text="hello")


def test_a_word_in_a_group_is_addressed_only_when_it_says_so() -> None:
    theirs = message(GROUP, message_id=3, text="x")
    mine = message(GROUP, BOT, message_id=4, text="y")
    assert not heard(GROUP, text="hello").addressed
    assert not heard(GROUP, text="hello", reply_to_message=theirs).addressed
    assert heard(GROUP, text="hello", reply_to_message=mine).addressed
    assert heard(GROUP, text="/runs").addressed
    assert heard(GROUP, text="do it, @army_bot").addressed


def test_the_bots_name_is_no_part_of_the_words() -> None:
    assert heard(GROUP, text="/launch@Army_Bot claude fix it").text == "/launch claude fix it"
    assert heard(GROUP, text="@army_bot fix\nit").text == "fix\nit"


@pytest.mark.parametrize("text", ["/launch@other_bot evil", "/stop@other_bot", "/launch@army_bot_2 x", "/x@"])
def test_a_command_for_another_bot_is_ignored(text: str) -> None:
    assert "another bot" in ignored(message=message(GROUP, text=text))


def test_a_topic_is_named_by_the_platform_alone() -> None:
    root = message(GROUP, message_id=3, text="x")
    assert heard(FORUM, text="a", message_thread_id=77, is_topic_message=True).topic == "77"
    assert heard(FORUM, text="a").topic == ""
    reply = heard(GROUP, text="a", message_thread_id=3, reply_to_message=root)  # a thread, but no topic
    assert (reply.topic, reply.replies_to) == ("", 3)
    assert heard(PRIVATE, text="a", message_thread_id=9, is_topic_message=True).topic == "9"


# --- what must not get in (one for each way) --------------------------------------------------------------------------


def test_an_edited_message_is_nothing() -> None:
    assert ignored(edited_message=message(text="/launch evil", edit_date=1_700_000_001))


def test_a_channels_post_is_nothing() -> None:
    post = {"message_id": 5, "date": 1, "chat": CHANNEL, "sender_chat": CHANNEL, "text": "/launch evil"}
    assert ignored(channel_post=post)
    assert ignored(message=post)


def test_a_channels_post_that_was_forwarded_by_itself_is_nothing() -> None:
    origin = {"type": "channel", "date": 1, "chat": CHANNEL, "message_id": 1}
    post = message(
        GROUP, {"id": 777000, "is_bot": False, "first_name": "Telegram"},
        text="/launch evil", sender_chat=CHANNEL, is_automatic_forward=True, forward_origin=origin,
    )  # fmt: skip
    assert ignored(message=post)


def test_what_bots_write_is_nothing() -> None:
    assert ignored(message=message(GROUP, BOT, text="/launch evil"))
    assert ignored(message=message(GROUP, BOT | {"id": 1}, text="/launch evil"))
    assert ignored(message=message(text="/launch evil", via_bot=BOT | {"id": 1, "username": "other"}))


def test_a_service_message_is_nothing() -> None:
    assert ignored(message=message(GROUP, new_chat_title="/launch evil"))
    assert "-1001234" in ignored(message=message(GROUP, migrate_to_chat_id=-1001234))
    assert ignored(message=message(GROUP, pinned_message=message(GROUP, text="/launch evil")))


def test_who_hides_behind_a_group_or_a_channel_is_nobody() -> None:
    anonymous = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
    for sender, behind in ((anonymous, GROUP), (BOT | {"id": 136817688}, CHANNEL)):
        found = reading(message=message(GROUP, sender, text="/launch evil", sender_chat=behind))
        assert found == Nobody(-1001, 5, "", addressed=True)


def test_a_stopped_draft_has_no_person_and_is_nothing() -> None:
    assert ignored(stopped_message_generation={"chat": PRIVATE, "draft_id": 3})


ORIGINS = [
    ({"type": "user", "date": 1, "sender_user": {"id": 9, "is_bot": False, "first_name": "Eve"}}, "Eve"),
    ({"type": "hidden_user", "date": 1, "sender_user_name": "Somebody"}, "Somebody"),
    ({"type": "chat", "date": 1, "sender_chat": GROUP}, "G"),
    ({"type": "channel", "date": 1, "chat": CHANNEL, "message_id": 1}, "News"),
]


@pytest.mark.parametrize(("origin", "name"), ORIGINS)
def test_what_is_forwarded_is_quoted_and_never_a_command(origin: Json, name: str) -> None:
    found = heard(text="/launch evil", forward_origin=origin)
    assert found.quoted
    assert found.text == f"Forwarded from {name}:\n/launch evil"


# --- taps -------------------------------------------------------------------------------------------------------------


def tap(**fields: Any) -> Json:
    pressed = message(BOT and PRIVATE, BOT, text="Sure?")
    return {"id": "99", "from": ANN, "chat_instance": "1", "data": "ask:1", "message": pressed} | fields


def test_a_tap() -> None:
    assert reading(callback_query=tap()) == Press("99", 7, 5, WHO, "ask:1")
    gone = {"chat": PRIVATE, "message_id": 5, "date": 0}
    assert reading(callback_query=tap(message=gone)) == Press("99", 7, 5, WHO, "ask:1")


def test_a_tap_on_what_is_not_ours_is_nothing() -> None:
    inline = tap(inline_message_id="x")
    del inline["message"]
    assert ignored(callback_query=inline)
    game = tap(game_short_name="x")
    del game["data"]
    assert ignored(callback_query=game)
    assert ignored(callback_query=tap(**{"from": BOT}))


# --- words and files --------------------------------------------------------------------------------------------------


def test_an_address_behind_words_is_told() -> None:
    entity = {"type": "text_link", "offset": 3, "length": 3, "url": "https://x.org/a"}
    assert heard(text="👍 see it", entities=[entity]).text == "👍 see (https://x.org/a) it"


def test_the_words_of_a_rich_message_are_heard() -> None:
    rich = {"blocks": [{"type": "paragraph", "text": ["one ", {"type": "bold", "text": "two"}]}]}
    assert "two" in heard(rich_message=rich).text


FILE: Json = {"file_id": "f", "file_unique_id": "u", "file_size": 10}
CLIP: Json = FILE | {"duration": 1, "width": 10, "height": 10}
FILES: list[tuple[Json, str]] = [
    ({"photo": [FILE | {"width": 9, "height": 9, "file_id": "s"}, FILE | {"width": 90, "height": 90}]}, "photo-5.jpg"),
    ({"document": FILE | {"file_name": "../../etc/passwd"}}, "_.._etc_passwd"),
    ({"document": FILE}, "document-5"),
    ({"voice": FILE | {"duration": 1}}, "voice-5.ogg"),
    ({"audio": FILE | {"duration": 1, "file_name": "song.mp3"}}, "song.mp3"),
    ({"video": CLIP}, "video-5.mp4"),
    ({"video_note": FILE | {"duration": 1, "length": 10}}, "video-5.mp4"),
    ({"animation": CLIP, "document": FILE | {"file_name": "cat.gif"}}, "animation-5.mp4"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "name"), FILES)
def test_every_kind_of_file_is_heard_once(fields: Json, name: str) -> None:
    found = heard(caption="look", media_group_id="g", **fields)
    assert found.files == (Attached("f", "u", name, 10),)
    assert (found.text, found.album) == ("look", "g")


def test_a_sticker_is_its_emoji() -> None:
    sticker = FILE | {
        "type": "regular",
        "width": 1,
        "height": 1,
        "is_animated": False,
        "is_video": False,
        "emoji": "👍",
    }
    assert heard(sticker=sticker).text == "👍"


@given(st.text(max_size=50), st.integers(0, 60), st.integers(0, 60))
def test_no_text_and_no_marks_trip_it(text: str, offset: int, length: int) -> None:
    entity = {"type": "text_link", "offset": offset, "length": length, "url": "https://x.org"}
    found = reading(message=message(GROUP, text=text, entities=[entity]))
    assert isinstance(found, Heard | Ignored)
