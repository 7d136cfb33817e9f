"""Untrusted text on the page: no input makes markup, no words are lost, every beginning of a text can be shown."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.web.markdown import to_html
from adapters.web.render import LONGEST, clip, message_html, said_html, size_words
from orchestrator.nouns import ArtifactId, Button, Conversation, File, Message, Phase, Row, RunId, Style
from orchestrator.words import clean
from tests.web.page import Reading, words_of

ALLOWED: dict[str, set[str]] = {
    "a": {"href", "target", "rel", "class", "download"},
    "button": {"type", "class", "data-press"},
    "div": {"class", "tabindex", "role", "aria-label"},
    "img": {"class", "src", "alt", "loading"},
    "ol": {"start"},
    "p": {"class"},
    "pre": {"tabindex"},
    "span": {"class"},
    "details": {"class"},
    "time": {"role", "data-since"},
    "ul": {"class"},
    "li": {"class"},
    "td": {"class"},
    "th": {"class"},
    **{tag: set() for tag in ("blockquote", "br", "code", "em", "h3", "h4", "h5", "h6", "hr", "s", "strong")},
    **{tag: set() for tag in ("summary", "table", "tbody", "thead", "tr")},
}
EVIL = (
    "<script>", "</p>", "<img src=x onerror=alert(1)>", "javascript:alert(1)", "](", "[a](", "![", "`", "```\n", "~~~",
    "**", "_", "~~", "|", "\n|-|-|\n", "> ", "- ", "1. ", "\n", "\n\n", "    ", "# ", "&lt;", "&#x3c;", "<!--", "\\",
    "http://a.b/c?d=e&f", "https://x.y/(z)", "data:text/html,x", '"onmouseover="', "'", "\u202e", "\x00", "\ud800",
    "<a href='//e.vil'>", "<https://ok.example>", "<javascript:x>", "[x]: y", "- [ ] ", "\t", "word", "***", "é🚀",
)  # fmt: skip
PIECES = st.sampled_from(EVIL)
WILD = st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=25).map("".join)


def check(html: str) -> None:
    """Only our own tags and attributes, well nested, and every address harmless."""
    reading = Reading(html)
    assert reading.torn == []
    for tag, attributes in reading.tags:
        assert tag in ALLOWED, tag
        assert set(attributes) <= ALLOWED[tag], (tag, attributes)
        href = attributes.get("href")
        if href is not None and "rel" in attributes:
            assert href.lower().startswith(("http://", "https://", "mailto:"))
            assert attributes["rel"] == "noopener noreferrer nofollow"
        elif href is not None:
            assert href.startswith(("/files/", "/text/", "#"))
        assert str(attributes.get("src", "/files/")).startswith("/files/")
    html.encode()


@given(WILD)
@example("[a]()")
@example("![a]()")
@settings(max_examples=300, deadline=None)
def test_no_text_makes_markup(text: str) -> None:
    check(to_html(text))


@given(WILD)
@settings(max_examples=60, deadline=None)
def test_no_part_of_a_message_makes_markup(text: str) -> None:
    row = Row(RunId("r"), text, text, Phase.ASKING, 1.0, 0.5, Conversation("web", "lobby", text), text)
    message = Message(
        text=text,
        status=text,
        log=(text, text),
        since=5.0,
        buttons=(Button(text, text, Style.DANGER),),
        files=(File(ArtifactId(text), text + ".png", 7),),
        rows=(row,),
    )
    check(message_html(message, raw=f"/text/{text}"))
    check(said_html(text, message.files, raw="/text/x"))


@given(st.lists(st.sampled_from([*"*_`~>#|[](!-+<&\\\n ", "\n\n", "```", "1. ", "word{}"]), max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_words_are_lost(parts: list[str]) -> None:
    text = "".join(part.format(f"{i}x") if "{}" in part else part for i, part in enumerate(parts))
    if "|" in text:
        return  # a table leaves out cells that its head does not have, as GitHub does
    shown = "".join(Reading(to_html(text)).parts)
    for i, part in enumerate(parts):
        assert "{}" not in part or f"word{i}x" in shown


def test_every_beginning_of_a_text_can_be_shown() -> None:
    code, table = "```python\nprint(1)\n```\n\n", "| a | b |\n|---|---|\n| 1 | [x](http://y.z) |\n\n"
    text = f"# Done\n\nI **changed** `a_b.py`:\n\n{code}{table}- [x] ok"
    for end in range(len(text) + 1):
        check(to_html(text[:end]))
    assert "print(1)" in words_of(to_html(text[: text.index("```\n\n|")]))


@pytest.mark.parametrize("depth", [3, 30, 80, 3000])
def test_deep_nesting_keeps_its_words(depth: int) -> None:
    for start in ("> ", "- ", "1. "):
        assert "the bottom" in words_of(to_html(start * depth + "the bottom"))


@pytest.mark.parametrize("evil", ["[" * 20_000, "![" * 10_000, "*a " * 6000, "`a " * 6000, "[a](" * 5000, "|a" * 9000])
def test_no_text_takes_long(evil: str) -> None:
    started = time.process_time()
    check(to_html(evil))
    assert time.process_time() - started < 1.0


def test_a_run_elsewhere_has_no_link() -> None:
    where = Conversation("telegram", "-100", "17")
    row = Row(RunId("r"), "A run", "claude", Phase.QUEUED, 1.0, 0.0, where)
    html = message_html(Message(rows=(row,)), raw="")
    assert "on telegram" in html
    assert "<a" not in html


def test_links() -> None:
    html = to_html(
        "[ok](https://a.b) [rel](src/a.py) [bad](javascript:x) ![pic](http://p.q/r.png) (https://w.x/y_z_1)."
    )
    hrefs = [attributes["href"] for tag, attributes in Reading(html).tags if tag == "a"]
    assert hrefs == ["https://a.b", "http://p.q/r.png", "https://w.x/y_z_1"]
    assert words_of(html) == "ok rel (src/a.py) bad (javascript:x) pic ( https://w.x/y_z_1 )."


def test_github_looks() -> None:
    html = to_html("- [ ] todo\n- [x] done\n\na\nb ~~c~~\n\n```diff\n+a\n-b\n```")
    for piece in ("☐ todo", "☑ done", "a<br>", "<s>c</s>", '<span class="add">+a', '<span class="del">-b'):
        assert piece in html


def test_directions_and_control_characters_are_dropped() -> None:
    assert clean("a\u202eb\u2066c\x07d\x9be\r\nf\rg\u200eh\ud83d") == "abcde\nf\ngh\ufffd"
    assert clean("👩\u200d👩 نص") == "👩\u200d👩 نص"


def test_a_long_text_says_where_the_rest_is() -> None:
    text = "line of words\n" * 3000
    shown, rest = clip(text)
    assert len(shown) <= LONGEST
    assert len(shown) + rest == len(text)
    html = message_html(Message(text=text), raw="/text/lobby/1")
    assert 'href="/text/lobby/1"' in html
    assert f"{rest:,} more characters" in html


def test_a_long_log_shows_its_end() -> None:
    html = message_html(Message(log=tuple(f"step {i}" for i in range(500))), raw="")
    assert "500 steps" in html
    assert "step 499" in html
    assert "step 299<" not in html
    assert "300 earlier steps are not shown." in html


def test_what_a_person_typed_stays_as_typed() -> None:
    assert '<p class="said">**not bold**\n  two</p>' in said_html("**not bold**\n  two", (), raw="")


def test_sizes() -> None:
    assert [size_words(n) for n in (0, 1023, 1024, 1536 << 10, 5 << 30)] == [
        "0 B",
        "1023 B",
        "1.0 KB",
        "1.5 MB",
        "5.0 GB",
    ]


def test_a_failure_does_not_look_like_a_footnote() -> None:
    assert 'class="status trouble"' in message_html(Message(status="⚠ failed · The disk is full."), raw="/r")
    assert "trouble" not in message_html(Message(status="done · 3 s"), raw="/r")
