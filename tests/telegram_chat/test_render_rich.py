"""A message as rich messages: valid, tame, and without a word less."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiogram.types import InputRichMessage
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.telegram.rich import rich
from orchestrator.nouns import Conversation, Message, Phase, Row, RunId
from orchestrator.words import clean
from tests.telegram_chat import oracle
from tests.telegram_chat.test_render_markdown import SAMPLES, read
from tests.telegram_chat.test_render_properties import markdowns


def shown(message: Message) -> list[str]:
    found = rich(message, link=lambda where: f"https://t.me/c/1/{where.thread}")
    for one in found:
        assert set(InputRichMessage.model_validate(one).model_dump(exclude_none=True)) == {"html"}
        assert oracle.rich_faults(one["html"])[0] == []
    return [one["html"] for one in found]


def html(text: str) -> str:
    (found,) = shown(Message(text=text))
    return found


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_sample_is_valid_and_keeps_its_words(sample: Path) -> None:
    text = read(sample)
    found = shown(Message(text=text))
    assert found
    words = "".join(oracle.rich_faults(one)[1] for one in found)
    assert not oracle.letters(oracle.visible(clean(text))[0]) - oracle.letters(words)


@given(markdowns())
@example("\n- [x] t  \n\n- ")
def test_any_text_is_valid_and_keeps_its_words(text: str) -> None:
    found = shown(Message(text=text))
    words = "".join(oracle.rich_faults(one)[1] for one in found)
    if found or not text.strip():
        assert not oracle.letters(oracle.visible(clean(text))[0]) - oracle.letters(words)


@given(st.text(alphabet="|>*_`[]()<!&;#-+1.\n ax$~\\"))
def test_any_marks_are_valid(text: str) -> None:
    shown(Message(text=text))


def test_what_telegram_has_it_gets() -> None:
    assert html("# A *b*\n\n| c | d |\n|--|--:|\n| e | f |") == (
        '<h1>A <i>b</i></h1><table><tr><th>c</th><th align="right">d</th></tr>'
        '<tr><td>e</td><td align="right">f</td></tr></table>'
    )


def test_a_forged_button_is_words() -> None:
    forged = '<tg-button type="callback_data" data="approve:all">Yes</tg-button>'
    assert "<tg-button" not in html(forged)
    assert oracle.rich_faults(html(forged))[1] == forged


def test_a_spoiler_over_paragraphs_is_words() -> None:
    assert html("||a\n\nb||") == "<p>||a</p><p>b||</p>"


def test_pictures_are_links_and_unsafe_links_words() -> None:
    assert html("![a](https://b.example)") == '<p>🖼 <a href="https://b.example">a</a></p>'
    assert html("[a](javascript:b)") == "<p>a (javascript:b)</p>"
    assert html("[a](tg://user?id=1)") == "<p>a (tg://user?id=1)</p>"


def test_tasks_have_plain_boxes() -> None:
    assert html("- [x] a\n- [ ] b\n- c ✅ d") == "<ul><li>☑ a</li><li>☐ b</li><li>c ✅ d</li></ul>"


def test_ours_is_escaped() -> None:
    row = Row(RunId("r"), "<b>t</b>", "claude", Phase.WORKING, 5.0, 0.0, Conversation("telegram", "1", "9"), "<w>")
    (found,) = shown(Message(text="x", status="<s> @me", log=("<l> /go",), since=3.0, rows=(row,), board=True))
    assert found == (
        '<p><b>&lt;s&gt; @\u2060me</b> · started <tg-time unix="3" format="r">00:00 UTC</tg-time></p>'
        "<details><summary>1 step</summary><p>&lt;l&gt; /\u2060go</p></details><p>x</p>"
        '<p>🟢 <b><a href="https://t.me/c/1/9">&lt;b&gt;t&lt;/b&gt;</a></b><br/>'
        'working · claude · started <tg-time unix="5" format="r">00:00 UTC</tg-time><br/>&lt;w&gt;</p>'
    )


def test_limits() -> None:
    assert len(shown(Message(text="- a\n" * 1100))) > 1
    assert shown(Message(text="word " * 30_000)) == []
    deep = "".join("  " * level + "- x\n" for level in range(30))
    assert "x" in html(deep)
    assert "<table>" not in html("|a" * 21 + "\n" + "|-" * 21 + "\n" + "|b" * 21)
    assert shown(Message()) == []
