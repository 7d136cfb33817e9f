"""Messages as texts for Discord: examples that a person reads, and properties that hold for anything."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.discord.markdown import parsed
from adapters.discord.pack import packed
from adapters.discord.render import MOST_MESSAGES, fit, pieces
from orchestrator.nouns import Message
from tests.discord_chat.oracle import changed_code, expected, letters, lost, read, troubles

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.md"))
BITS = [
    *(
        "**",
        "*",
        "_",
        "__",
        "~~",
        "~",
        "`",
        "``",
        "```",
        "````",
        "```py\n",
        "~~~",
        "\n",
        "\n\n",
        "> ",
        "- ",
        "7. ",
        "# ",
    ),
    *("|", "||", "<@1>", "@everyone", "@here", "</a b:1>", "<t:1:R>", "<:a:1>", ":ok:", "::", ": ", "<", ">", "<!--"),
    *(
        "[",
        "](",
        "](https://x.example/a_b)",
        "](javascript:x)",
        "![",
        "https://y.example/*c*",
        "[ ] ",
        "[^1]",
        "(",
        ")",
    ),
    *("\\", "\u202e", "\x00", "\ud800", "😀", "\u200d", "é", "日本", "&lt;", "&#64;", "!", "-", "#", "\t", "    ", " "),
    *("word", "two words ", "snake_case", "1. ", "12", "| a | b |\n|---|---|\n| c | d |\n", "x" * 70, "y " * 60),
]
SOUP = st.lists(st.sampled_from(BITS) | st.text(max_size=5), max_size=40).map("".join)
LONG = st.lists(SOUP | st.sampled_from(BITS).map(lambda bit: bit * 400), min_size=1, max_size=6).map("\n\n".join)


def sample(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogatepass")


def texts_of(text: str, limit: int = 2000) -> list[str]:
    return list(packed(parsed(text), limit=limit))


def shown(text: str) -> str:
    return "\n⁂\n".join(texts_of(text))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("# A\n## B\n### C\n#### D *e*", "# A\n## B\n### C\n**D _e_**"),
        ("para\n\nother", "para\n\nother"),
        ("- a\n  1. b\n     - c\n- [ ] d\n- [X] e", "- a\n  1. b\n     - c\n- ☐ d\n- ☑ e"),
        ("> a\n> > b", "> a\n> b"),
        ("~~a~~ ***b*** `c` `` d`e ``", "~~a~~ _**b**_ `c` `` d`e ``"),
        ("***", "──────────"),
        ("[a](https://x.example/b) ![p](https://x.example/c)", "[a](<https://x.example/b>) [p](<https://x.example/c>)"),
        ("see https://x.example/a_b_*c*.", "see <https://x.example/a_b_*c>\\*."),
        ("[a](javascript:b) [](ftp://c.example)", "a (javascript:b) ftp\\://c.example"),
        ("snake_case_word __init__.py *.py", "snake\\_case\\_word **init**.py \\*.py"),
        ("C:\\new\\_dir_ 1 < 2 > 0 | x", "C:\\\\new\\_dir\\_ 1 \\< 2 \\> 0 \\| x"),
        ("a\n+ 1\n\n\\# b\n\n3\\. c", "a\n- 1\n\n\\# b\n\n3\\. c"),
        ("\\- a\n\\-# b", "\\- a\n\\-# b"),
        ("a:https://x.example/b", "a\\:<https://x.example/b>"),
        ("```\n\n\n```", "```\n\u200b\n```"),
        ("```py\nx = 1\n", "```py\nx = 1\n```"),
        ("~~~~ C++ x\na\n```\nb", "```c++\na\n`\u200b``\nb\n```"),
        ("|a|b|\n|-|-:|\n|日本|1|\n|x|22|", "```\na    │  b\n─────┼───\n日本 │  1\nx    │ 22\n```"),
        ("a[^1]\n\n[^1]: note", "a\\[^1\\]\n\n\\[^1\\]: note"),
        ("||a|| :tada: 10:30", "\\|\\|a\\|\\| \\:tada: 10\\:30"),
    ],
)
def test_github_markdown_is_discords(source: str, text: str) -> None:
    assert shown(source) == text


@pytest.mark.parametrize(
    "words",
    [
        "https://bank.example",
        "bank.example",
        "www.bank.example/login",
        "ｂａｎｋ．example",
        "bank\u2060.example",
        "a] b",
    ],
)
def test_words_do_not_hide_another_address(words: str) -> None:
    (text,) = texts_of(f"[{words}](https://evil.example/)")
    assert not read(text).links
    assert "(<https://evil.example/>)" in text


def test_a_wide_table_is_a_list() -> None:
    long = "much " * 15
    assert shown(f"|name|text|\n|-|-|\n|*a*|{long}|\n|b||\n") == (
        f"- **name:** _a_ · **text:** {long.strip()}\n- **name:** b"
    )


@pytest.mark.parametrize(
    "text",
    ["@everyone", "@here", "<@1>", "<@!1>", "<@&1>", "<#1>", "<t:1:R>", "<:a:1>", "<a:b:1>", "</a b:1>", "<id:x>"],
)
def test_nobody_is_called(text: str) -> None:
    message = Message(text=f"{text} **{text}** # {text}\n\n|{text}|\n|-|\n", status=text, log=(text,))
    for piece in pieces(message).texts:
        outside = piece.partition("```")[0]
        assert text not in outside
        assert text.replace("<", "\\<") not in outside


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_whole(path: Path) -> None:
    source = expected(sample(path))
    for limit in (2000, 400):
        texts = texts_of(sample(path), limit)
        assert not list(troubles(texts, limit=limit))
        assert not lost(source, texts)
        assert not changed_code(source, texts)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_beginning_of_a_sample_can_be_sent(path: Path) -> None:
    text = sample(path)[:2500]
    for stop in range(1, len(text), 1 if len(text) < 700 else 13):
        looks = pieces(Message(text=text[:stop])).texts
        assert not list(troubles(looks)), text[:stop]


@settings(max_examples=300, deadline=None, print_blob=True)
@given(SOUP, st.sampled_from([120, 400, 2000]))
def test_anything_is_whole(text: str, limit: int) -> None:
    source = expected(text)
    texts = texts_of(text, limit)
    assert not list(troubles(texts, limit=limit))
    assert not lost(source, texts)
    assert not changed_code(source, texts)


@settings(max_examples=150, deadline=None, print_blob=True)
@given(LONG, st.integers(1, 3), st.text(max_size=600), st.lists(st.text(max_size=300), max_size=20))
def test_anything_fits(text: str, count: int, status: str, log: list[str]) -> None:
    message = Message(text=text, status=status, log=tuple(log))
    for look, most in ((pieces(message), MOST_MESSAGES), (fit(message, count), count)):
        assert 1 <= len(look.texts) <= most
        assert not list(troubles(look.texts))
        if not look.whole:
            assert not changed_code(expected(text), look.texts)
    assert pieces(message).whole == "" or len(pieces(message).texts) == 1


def test_a_page_has_its_clock_and_its_newest_steps() -> None:
    log = tuple(f"step {number}" for number in range(12))
    (text,) = pieces(Message(text="Hello *you*", status="working · Bash: ls *", log=log, since=1700000000.9)).texts
    lines = text.split("\n")
    assert lines[0] == "**working · Bash: ls \\*** · <t:1700000000:R>"
    assert lines[1:4] == ["-# … 4 earlier", "-# step 4", "-# step 5"]
    assert lines[-2:] == ["-# step 11", "Hello _you_"]


def test_three_messages_at_most_and_then_a_file() -> None:
    three = "\n\n".join(f"{number:04} {'word ' * 100}" for number in range(9))
    assert len(pieces(Message(text=three)).texts) == 3
    assert pieces(Message(text=three)).whole == ""
    text = three * 2 + "\n\nthe end"
    look = pieces(Message(text=text, status="done"))
    assert len(look.texts) == 1
    assert look.whole == text
    assert look.texts[0].startswith("**done**\n…")
    assert look.texts[0].endswith("the end")
    assert len(look.texts[0]) > 1000


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_edit_keeps_the_newest_words(count: int) -> None:
    text = "\n".join(["```log", *(f"{number} passed" for number in range(3000)), "```", "", "and done"])
    look = fit(Message(text=text, status="working"), count)
    assert len(look.texts) == count
    assert look.texts[0].startswith("**working**\n…\n```log\n")
    assert look.texts[-1].endswith("2999 passed\n```\nand done")
    assert sum(map(len, look.texts)) > 1700 * count


def test_nothing_to_see_is_still_a_message() -> None:
    for text in ("", " \n", "\u202e", "#", "-", "[]()", "```", "\t" * 3000, "\u0301" * 3000):
        assert not list(troubles(pieces(Message(text=text)).texts))


def test_a_cut_goes_through_no_character() -> None:
    for character in ("👩‍👩‍👧‍👦", "🇩🇪", "e\u0301", "👍🏿"):
        texts = texts_of(character * 1200)
        assert len(texts) > 1
        assert "".join(texts) == character * 1200
        assert all(len(text) % len(character) == 0 for text in texts)


def test_a_cut_keeps_marks_and_languages() -> None:
    bold = texts_of("**" + "heavy " * 700 + "end**")
    assert all(text.startswith("**heavy") and text.endswith("**") for text in bold)
    code = texts_of("```py\n" + "x = 1\n" * 700 + "```")
    assert all(text.startswith("```py\nx = 1\n") and text.endswith("x = 1\n```") for text in code)
    quote = texts_of("> " + "said " * 900)
    assert all(line.startswith("> said") for text in quote for line in text.split("\n"))
    point = texts_of("- " + "said " * 900)
    assert [text[:4] for text in point] == ["- sa", "  sa", "  sa"]
    assert len(bold) == len(code) == len(quote) == 3


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[a](" * 1900,
        ">" * 20_000,
        "".join("  " * depth + "- x\n" for depth in range(300)),
        "**a" * 16_000,
        "`a" * 24_000,
        ":a" * 24_000,
        "http://a " * 5_000,
        "a" * 200_000,
        "\U0001f600\u200d" * 24_000,
        "|" + "head " * 4000 + "|b|\n|-|-|\n" + "|x|y|\n" * 4000,
    ],
    ids=lambda text: str(text)[:6].encode("ascii", "backslashreplace").decode(),
)
def test_hostile_texts_take_no_time(text: str) -> None:
    began = time.process_time()
    look = pieces(Message(text=text))
    assert time.process_time() - began < 3
    assert not list(troubles(look.texts))
    assert look.whole


def test_the_oracle_finds_fault() -> None:
    bad = [
        "```a\nb",
        "x ```",
        "<@1>",
        "@everyone",
        "||a||",
        "__a__",
        ":ok:",
        "https://a.example",
        "\u202e",
        "",
        "a" * 2001,
    ]
    assert all(list(troubles([text])) for text in bad)
    assert not list(troubles(["\\*a\\* **b** `@everyone`\n```\n<@1>\n```"]))
    assert lost(expected("a **b** c"), ["a **b**"])
    assert lost(expected("a **b** c"), ["a **b c"])
    assert changed_code(expected("```\na b\n```"), ["```\na c\n```"])
    assert letters(read("> **a _b_**\n- c").words) == "abc"
