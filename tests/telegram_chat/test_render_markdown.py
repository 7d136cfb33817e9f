"""GitHub markdown as Telegram can show it: what each thing becomes, and what an agent's words cannot do."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest

from adapters.telegram.markdown import is_safe, to_styled
from adapters.telegram.render import pieces
from adapters.telegram.styled import Span, Styled, nested, piece
from orchestrator.nouns import Message
from orchestrator.words import clean, whole
from tests.telegram_chat import oracle

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.md"))


def read(sample: Path) -> str:
    return sample.read_bytes().decode("utf-8", "surrogateescape")


def styled(markdown: str) -> Styled:
    found = nested(to_styled(markdown))
    assert [fault for fault in oracle.faults(found.text, piece(found).entities) if "too" not in fault] == []
    return found


def seen(markdown: str) -> str:
    return styled(markdown).text


def marks(markdown: str) -> list[tuple[str, str]]:
    found = styled(markdown)
    return [(span.kind, found.text[span.start : span.end]) for span in found.spans]


# --- samples --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_sample_is_sent_and_keeps_its_words(sample: Path) -> None:
    text = read(sample)
    found = pieces(Message(text=text), link=lambda _where: None)
    assert found.texts
    for part in found.texts:
        assert oracle.faults(part.text, part.entities) == []
    whole = to_styled(text)
    words, bodies = oracle.visible(clean(text))
    assert not oracle.letters(words) - oracle.letters(whole.text)
    if not found.whole:
        assert not oracle.letters(whole.text) - oracle.letters("".join(part.text for part in found.texts))
    code = [whole.text[span.start : span.end] for span in whole.spans if span.kind == "pre"]
    assert [body for body in bodies if body not in code] == []


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if "05" not in sample.stem], ids=lambda s: s.stem)
def test_every_beginning_of_a_sample_can_be_sent(sample: Path) -> None:
    text = read(sample)
    step = max(1, len(text) // 150)
    for end in range(1, len(text), step):
        for part in pieces(Message(text=text[:end], since=1.0, tail=True), link=lambda _where: None).texts:
            assert oracle.faults(part.text, part.entities) == []


# --- what things become ---------------------------------------------------------------------------------------------


def test_headings_lists_and_tasks_are_not_decorated() -> None:
    assert seen("# One\n## Two\n- [x] done\n- [ ] open\n- item\n\n***") == "One\nTwo\n☑ done\n☐ open\n• item\n\n———"


def test_code_keeps_its_body_and_the_first_word_of_its_language() -> None:
    found = styled('```c++ {1} x="y"\na < b && *c // @x /y $z || [](\n```')
    assert found == Styled("a < b && *c // @x /y $z || [](", (Span(0, 30, "pre", "c++"),))


def test_styles_leave_code_out() -> None:
    assert marks("**a `b` c**") == [("bold", "a"), ("code", "b"), ("bold", "c")]


def test_code_in_a_link_is_a_link() -> None:
    assert marks("[`c`](https://a.example)") == [("text_link", "c")]


def test_a_quote_in_a_quote_is_one_quote() -> None:
    assert marks("> a\n> > b\n>\n> ```\n> c\n> ```") == [("blockquote", "a\nb\n\nc"), ("pre", "c")]


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("[a](javascript:x)", "a (javascript:x)"),
        ("[a](tg://user?id=1)", "a (tg://user?id=1)"),
        ("[a](file:///etc)", "a (file:///etc)"),
        ("[a](mailto:b@c.example)", "a (b@c.example)"),
        ("[b@c.example](mailto:b@c.example)", "b@c.example"),
        ("![](javascript:x)", "🖼 link (javascript:x)"),
        ("[a](http://localhost/x)", "a (http://localhost/x)"),
        ("![👍](tg://emoji?id=5368324170671202286)", "👍"),
    ],
)
def test_unsafe_links_are_words_with_their_target(markdown: str, text: str) -> None:
    assert seen(markdown) == text
    assert marks(markdown) == []


@pytest.mark.parametrize(
    ("markdown", "text", "words"),
    [
        ("[a](https://b.example/c_d_*e*)", "a", "a"),
        ("![pic](https://b.example/c_d_*e*)", "🖼 pic", "pic"),
        ("[](https://b.example/c_d_*e*)", "link", "link"),
        ("[**a**](https://b.example/c_d_*e*)", "a", "a"),
    ],
)
def test_safe_links_are_links(markdown: str, text: str, words: str) -> None:
    found = styled(markdown)
    assert found.text == text
    (span,) = (span for span in found.spans if span.kind == "text_link")
    assert found.text[span.start : span.end] == words
    assert span.value == "https://b.example/c_d_*e*"


def test_safe_addresses() -> None:
    assert is_safe("https://a.example/b?c=d#e")
    assert is_safe("HTTP://[::1]:80/")
    for address in (
        "https://",
        "https://a b.example",
        "https://[a.example",
        "ftp://a.example",
        "https://a.example/" * 200,
    ):
        assert not is_safe(address)


@pytest.mark.parametrize(
    "text",
    [
        "<b>x</b> <script>y</script>",
        "<details>\n\n</details>",
        '<tg-button type="callback_data" data="x">Yes</tg-button>',
        "$HOME:$PATH and $5 to $10",
        "a || b || c",
        "~5 to ~10",
        "[note]: https://a.example/b",
        "[^1]: a footnote",
        "https://a.example/b_c_d*e*f~g~",
        "\ue000\ue001 private",
        "me@example.org at /usr/bin, 1/2",
    ],
)
def test_what_is_no_markdown_stays_as_it_is(text: str) -> None:
    assert seen(text) == text


def test_nobody_is_notified_and_nothing_is_sent_by_a_tap() -> None:
    assert seen("@all (@you) &#64;me `@code` /stop /go@bot, </b>") == (
        "@\u2060all (@\u2060you) @\u2060me @code /\u2060stop /\u2060go@bot, </b>"
    )


def test_what_lies_is_gone_however_it_is_written() -> None:
    assert seen("a\u202eb\x00c\x1bd\ufeffe\ud800f &#8238;&rlm;&#x2066;") == "abcde\ufffdf \ufffd\ufffd\ufffd"


# --- tables ---------------------------------------------------------------------------------------------------------


def test_a_narrow_table_has_columns() -> None:
    table = "| name | n | m |\n|:--|--:|:-:|\n| 日本 | 1 | **x** |\n| a\\|b | 22 | `yyy` |"
    found = styled(f"before\n{table}\n\nafter")
    assert found.text == "before\nname   n   m\n────  ──  ───\n日本   1   x\na|b   22  yyy\n\nafter"
    assert [span.kind for span in found.spans] == ["pre"]


def test_a_wide_table_is_a_list() -> None:
    wide = "w" * 40
    found = styled(f"| name | what |\n|--|--|\n| a | {wide} |\n| b | |\n| c | d | too much |")
    assert found.text == f"name: a\nwhat: {wide}\n\nname: b\nwhat: —\n\nname: c\nwhat: d too much"
    assert [found.text[span.start : span.end] for span in found.spans] == ["name: a", "name: b", "name: c"]


def test_a_table_with_links_keeps_them() -> None:
    assert marks("| a |\n|--|\n| [x](https://a.example) |") == [("bold", "a: x"), ("text_link", "x")]


def test_a_table_in_a_quote_and_in_a_list() -> None:
    assert marks("> | a |\n> |--|\n> | b |\n\n- | c |\n  |--|\n  | d |") == [
        ("blockquote", "a\n─\nb"),
        ("pre", "a\n─\nb"),
        ("pre", "c\n─\nd"),
    ]


def test_cells_begin_no_lists_and_empty_ones_are_none() -> None:
    assert seen("| # a | - b |\n|--|--|\n| > c | |\n| 1. d | \\|\\|e\\|\\| |") == (
        "# a   - b\n────  ─────\n> c\n1. d  ||e||"
    )


# --- spans ----------------------------------------------------------------------------------------------------------


def test_spans_that_cross_are_parted() -> None:
    found = nested(Styled("abcdef", (Span(0, 4, "bold"), Span(2, 6, "italic"), Span(1, 6, "spoiler"))))
    assert oracle.faults(found.text, piece(found).entities) == []
    for kind, expected in (("bold", "abcd"), ("italic", "cdef"), ("spoiler", "bcdef")):
        assert "".join(found.text[span.start : span.end] for span in found.spans if span.kind == kind) == expected


def test_offsets_are_utf_16() -> None:
    found = piece(nested(Styled("😀 bold 😀", (Span(2, 6, "bold"),))))
    assert [(entity.offset, entity.length) for entity in found.entities] == [(3, 4)]


def test_cuts_between_letters() -> None:
    text = "a👩‍👩‍👧b🇩🇪🇫🇷e\u0301c"
    places = [at for at in range(len(text) + 1) if whole(text, at) == at]
    assert [text[a:b] for a, b in pairwise(places)] == [
        "a",
        "👩‍👩‍👧",
        "b",
        "🇩🇪",
        "🇫🇷",
        "e\u0301",
        "c",
    ]


# --- what takes long ------------------------------------------------------------------------------------------------

LONG = {
    "brackets": "[" * 100_000,
    "links": "[a](" * 50_000,
    "quotes": ">" * 200_000,
    "quotes and lists": "> - " * 50_000,
    "numbers": "1. " * 60_000,
    "stars": "*a **" * 40_000,
    "ticks": "".join("`" * count + " " for count in range(600)),
    "fences": "```\n" * 50_000,
    "tags": "<a " * 60_000,
    "prices": "$1 " * 60_000,
    "bars": "||a" * 60_000,
    "tables": "|a|b|\n|-|-|\n|c|d|\n\n" * 10_000,
    "columns": "|a" * 40_000 + "\n" + "|-" * 40_000 + "\n" + "|b" * 40_000,
    "accents": "e" + "\u0301" * 200_000,
    "families": "👩‍👩‍👧" * 40_000,
    "mentions": "@a /b " * 40_000,
    "addresses": "http://a.b/" + "*_~" * 60_000,
    "one word": "a" * 200_000,
    "private": "".join(map(chr, range(0xE000, 0xF900))) * 10,
}


@pytest.mark.parametrize("name", LONG)
def test_nothing_takes_long_or_raises(name: str) -> None:
    for text in (LONG[name], LONG[name][:39_000]):
        began = time.process_time()
        found = pieces(Message(text=text), link=lambda _where: None)
        assert time.process_time() - began < 2
        for part in found.texts:
            assert oracle.faults(part.text, part.entities) == []
