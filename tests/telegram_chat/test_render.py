"""A message as Telegram's texts and buttons: what stands where, what is cut, what goes along as a file."""

from __future__ import annotations

import json

import pytest

from adapters.telegram.keyboard import keyboard
from adapters.telegram.render import Pieces, fit, pieces
from adapters.telegram.styled import Piece
from orchestrator.nouns import Button, Conversation, Message, Phase, Row, RunId, Style
from tests.telegram_chat import oracle

HERE = Conversation("telegram", "-100", "7")
ELSEWHERE = Conversation("web", "lobby")


def link(where: Conversation) -> str | None:
    return f"https://t.me/c/100/{where.thread}" if where.platform == "telegram" else None


def shown(message: Message) -> Pieces:
    return checked(pieces(message, link=link))


def fitted(message: Message, count: int) -> Pieces:
    return checked(fit(message, count, link=link))


def checked(found: Pieces) -> Pieces:
    for piece in found.texts:
        assert oracle.faults(piece.text, piece.entities) == []
    return found


def marks(piece: Piece) -> list[tuple[str, str]]:
    return [(str(entity.type), oracle.covered(piece.text, entity)) for entity in piece.entities]


def row(run: str, *, title: str = "Fix it", where: Conversation | None = HERE, buttons: tuple[Button, ...] = ()) -> Row:
    return Row(RunId(run), title, "claude", Phase.WORKING, 1_700_000_000.0, 0.5, where, "its words", buttons)


# --- the parts ------------------------------------------------------------------------------------------------------


def test_status_log_and_text_stand_in_this_order() -> None:
    (piece,) = shown(Message(text="the **text**", status="working", log=("one", "two"), since=1_700_000_000.9)).texts
    assert piece.text == "working · started 22:13 UTC\none\ntwo\n\nthe text"
    assert marks(piece) == [
        ("bold", "working"),
        ("date_time", "22:13 UTC"),
        ("expandable_blockquote", "one\ntwo"),
        ("bold", "text"),
    ]


def test_the_clock_is_kept_fresh_by_the_client() -> None:
    (piece,) = shown(Message(status="working", since=1_700_000_000.9)).texts
    sent = json.loads(piece.entities[1].to_json())
    assert sent == {"type": "date_time", "offset": 18, "length": 9, "unix_time": 1_700_000_000, "date_time_format": "r"}


def test_of_a_long_log_the_newest_lines_are_shown_and_the_others_counted() -> None:
    (piece,) = shown(Message(log=tuple(f"line {number}" for number in range(100)))).texts
    lines = piece.text.split("\n")
    assert lines[0] == "… 60 earlier"
    assert lines[1::39] == ["line 60", "line 99"]
    assert len(shown(Message(log=("x" * 500,) * 40)).texts[0].text) < 1600


def test_a_row_says_what_is_known_of_a_run() -> None:
    (piece,) = shown(Message(rows=(row("a"), row("b", title="Other", where=ELSEWHERE)), board=True)).texts
    assert piece.text == (
        "🟢 Fix it\nworking · claude · started 22:13 UTC · $0.50\nits words\n\n"
        "🟢 Other\nworking · claude · started 22:13 UTC · $0.50\nits words"
    )
    assert ("text_link", "Fix it") in marks(piece)
    assert ("bold", "Fix it") in marks(piece)
    assert [entity.url for entity in piece.entities if entity.url] == ["https://t.me/c/100/7"]


def test_a_run_that_is_over_has_no_clock_and_one_without_a_title_its_name() -> None:
    over = Row(RunId("run-1"), " ", "claude", Phase.ENDED, 0.0, 0.0, None)
    (piece,) = shown(Message(rows=(over,))).texts
    assert piece.text == "⚫ run-1\nended · claude"


def test_a_board_of_many_runs_is_one_message() -> None:
    (piece,) = shown(Message(rows=tuple(row(f"run-{number}") for number in range(300)), board=True)).texts
    assert piece.text.endswith("more")
    assert "Nothing is running." in shown(Message(board=True)).texts[0].text


@pytest.mark.parametrize("message", [Message(), Message(text=" \n\u200e "), Message(status=" ")])
def test_nothing_is_never_sent(message: Message) -> None:
    assert shown(message) == Pieces(())
    assert fitted(message, 2).texts[0].text == "…"


def test_buttons_have_something_to_hang_on() -> None:
    assert shown(Message(buttons=(Button("Stop", "s"),))).texts[0].text == "…"


def test_plain_parts_are_plain() -> None:
    hostile = "**b** <i>x</i> @someone /stop \u202e\x00\ud800 [x](http://a.example)"
    message = Message(status=hostile, log=(hostile,), rows=(row("r", title=hostile),))
    (piece,) = shown(message).texts
    assert piece.text.count("**b** <i>x</i> @\u2060someone /\u2060stop") == 3


# --- long texts -----------------------------------------------------------------------------------------------------


def words(count: int) -> str:
    return "\n\n".join(f"paragraph {number} says some words" for number in range(count))


def test_a_long_text_is_two_or_three_messages() -> None:
    found = shown(Message(text=words(330), status="done"))
    assert len(found.texts) == 3
    assert found.whole == ""
    assert "\n\n".join(piece.text for piece in found.texts) == "done\n\n" + words(330)


def test_a_longer_one_is_its_tail_and_a_file() -> None:
    message = Message(text=words(2000), status="done")
    found = shown(message)
    assert found.whole == message.text
    (piece,) = found.texts
    assert piece.text.startswith("done\n\n…paragraph")
    assert piece.text.endswith("paragraph 1999 says some words")
    assert len(piece.text) > 3900


def test_a_live_page_is_one_message_and_never_a_file() -> None:
    found = shown(Message(text=words(300), status="working", since=1.0, tail=True))
    assert len(found.texts) == 1
    assert found.whole == ""
    assert found.texts[0].text.endswith("paragraph 299 says some words")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_edit_has_as_many_messages_as_there_are(count: int) -> None:
    live = fitted(Message(text=words(2000), since=1.0, tail=True), count)
    assert len(live.texts) == count
    assert live.whole == ""
    assert sum(len(piece.text) for piece in live.texts) > 3600 * count
    assert fitted(Message(text=words(2000)), count).whole == words(2000)
    assert len(fitted(Message(text="short"), count).texts) == 1


def test_a_tail_keeps_code_code() -> None:
    text = "```python\n" + "a = 1\n" * 20_000 + "```\n\nthe end"
    (piece,) = shown(Message(text=text)).texts
    assert marks(piece) == [("pre", piece.text.removeprefix("…").removesuffix("\n\nthe end"))]
    assert piece.entities[0].language == "python" or piece.entities[0].language is None


def test_code_that_is_cut_goes_on_with_its_language() -> None:
    body = "\n".join(f"    line({number})" for number in range(500))
    found = shown(Message(text=f"before\n\n```python\n{body}\n```\n\nafter"))
    assert len(found.texts) > 1
    assert [entity.language for piece in found.texts for entity in piece.entities] == ["python"] * len(found.texts)
    code = [oracle.covered(piece.text, entity) for piece in found.texts for entity in piece.entities]
    assert "\n".join(code) == body


def test_too_many_entities_cost_decoration_and_no_words() -> None:
    text = " ".join(f"*i{number}* `c{number}` **b{number}**" for number in range(400))
    found = shown(Message(text=text))
    assert found.whole == ""
    seen = " ".join(piece.text for piece in found.texts).split()
    assert seen == [f"{kind}{number}" for number in range(400) for kind in "icb"]


def test_dropped_code_is_kept_calm() -> None:
    text = " ".join(f"`/stop{number}` `@name{number}` **b**" for number in range(300))
    assert shown(Message(text=text)).texts


@pytest.mark.parametrize("room", [4094, 4095, 4096])
def test_a_cut_makes_no_command(room: int) -> None:
    found = shown(Message(text="x" * room + "/stop " + "y" * 100))
    assert len(found.texts) == 2


def test_a_cut_parts_no_letters() -> None:
    family = "👨‍👩‍👧‍👦"
    found = shown(Message(text=family * 700 + "\n\n" + "e\u0301" * 1000 + "\n\n" + "🇩🇪" * 500))
    assert len(found.texts) > 1
    for piece in found.texts:
        assert not piece.text.startswith(("\u200d", "\u0301"))
        assert not piece.text.endswith("\u200d")
    assert sum(piece.text.count(family) for piece in found.texts) == 700
    assert sum(piece.text.count("🇩🇪") for piece in found.texts) == 500


# --- buttons --------------------------------------------------------------------------------------------------------


def board(message: Message) -> list[list[str]]:
    markup = keyboard(message)
    assert markup is not None
    assert oracle.keyboard_faults(markup) == []
    return [[tap.text for tap in line] for line in markup.inline_keyboard]


def test_buttons_have_their_token_and_their_colour() -> None:
    markup = keyboard(
        Message(buttons=(Button("Yes", "y:1", Style.GOOD), Button("No", "n:1", Style.DANGER), Button("?", "q")))
    )
    assert markup is not None
    assert markup.to_dict()["inline_keyboard"] == [
        [
            {"text": "Yes", "callback_data": "y:1", "style": "success"},
            {"text": "No", "callback_data": "n:1", "style": "danger"},
            {"text": "?", "callback_data": "q"},
        ]
    ]
    assert keyboard(Message(text="x")) is None


def test_short_labels_stand_beside_each_other_and_long_ones_alone() -> None:
    labels = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "Take the one that is at the left", "Stop"]
    lines = board(Message(buttons=tuple(Button(label, "t") for label in labels)))
    assert lines == [["1", "2", "3", "4", "5", "6"], ["7", "8", "9"], [labels[9]], ["Stop"]]


def test_buttons_of_several_runs_say_whose_they_are() -> None:
    stop = (Button("Stop", "s"),)
    both = (row("a", title="Fix the flaky test", buttons=stop), row("b", buttons=stop))
    assert board(Message(rows=both, buttons=(Button("Launch", "l"),))) == [
        ["Fix the flaky…: Stop"],
        ["Fix it: Stop"],
        ["Launch"],
    ]
    assert board(Message(rows=both[:1])) == [["Stop"]]


def test_a_hundred_buttons_are_the_most_and_ones_own_come_first() -> None:
    rows = tuple(row(f"r{number}", buttons=(Button("Stop", "s"),) * 2) for number in range(80))
    lines = board(Message(rows=rows, buttons=(Button("Launch", "l"),)))
    assert sum(map(len, lines)) == 100
    assert lines[-1] == ["Launch"]


def test_a_token_that_cannot_be_sent_costs_one_button(capsys: pytest.CaptureFixture[str]) -> None:
    buttons = (Button("a", "x" * 65), Button("b", "é"), Button("c", ""), Button("d", "x" * 64))
    assert board(Message(buttons=buttons)) == [["d"]]
    assert capsys.readouterr().out.count("button left out") == 3


def test_labels_are_clean() -> None:
    assert board(Message(buttons=(Button("\u202ea\x00b\ud800", "t"),))) == [["ab\ufffd"]]
