"""What holds for every text: it can be sent, nothing of it is lost, and code stays as it was."""

from __future__ import annotations

import os
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from adapters.telegram.markdown import to_styled
from adapters.telegram.render import Pieces, fit, pieces
from adapters.telegram.split import split
from adapters.telegram.styled import Span, Styled, nested, piece
from orchestrator.nouns import Message
from orchestrator.words import clean
from tests.telegram_chat import oracle
from tests.telegram_chat.test_render_markdown import SAMPLES, read

BITS = (
    *("**", "*", "_", "~~", "`", "``", "||", "|", "$", "\\", "<b>", "</b>", "&amp;", "&#8238;", "@name ", " /stop"),
    *("\n", "\n\n", "\n> ", "\n- ", "\n1. ", "\n- [x] t", "\n    ", "\n# ", "\n---\n", "\n```py\n", "\n~~~\n", "  \n"),
    *("[a](", "](https://b.example)", "](javascript:c)", "![", "[](", ")", "](tg://user?id=1)", "]: ", "[^1]", "<"),
    *("word", "日本", "👩‍👩‍👧", "🇩🇪", "e\u0301", "\u202e", "\x00", "\ud83d", "\ue000", " ", "x" * 300),
    *("\n| a | b |\n|---|--:|\n| c | d |\n", "\n| wide table |\n|--|\n| " + "w " * 30 + "| more |\n"),
    *("https://a.example/b_c_*d*", "line of a longer text that says something\n" * 40),
)


def markdowns() -> st.SearchStrategy[str]:
    """Markdown of all kinds put together at random."""
    return st.lists(st.sampled_from(BITS) | st.text(max_size=8), max_size=40).map("".join)


def sent(found: Pieces) -> str:
    for part in found.texts:
        assert oracle.faults(part.text, part.entities) == []
    return "".join(part.text for part in found.texts)


@given(markdowns(), st.integers(1, 3))
@example("****\n-   \n\n- [x] t", 1)
def test_any_text_can_be_sent_and_loses_nothing(text: str, count: int) -> None:
    words, bodies = oracle.visible(clean(text))
    found = pieces(Message(text=text), link=lambda _where: None)
    seen = sent(found)
    if not found.whole:
        assert not oracle.letters(words) - oracle.letters(seen)
        lines = [line.strip() for body in bodies for line in body.split("\n") if "http" not in line]
        assert [line for line in lines if line[:200] not in seen] == []
    edited = fit(Message(text=text, status="s", log=("l",), since=1.0, tail=True), count, link=lambda _where: None)
    assert 1 <= len(edited.texts) <= count
    sent(edited)


@given(markdowns())
def test_code_is_unchanged(text: str) -> None:
    whole = to_styled(text)
    body = f"{text}x".replace("`", "'").replace("~", "-")
    found = to_styled(f"```lang\n{body}\n```")
    assert found.text == clean(body)
    assert whole.text.count("\x00") == 0


@given(st.text(alphabet="|>*_`[]()<!&;#-+1.\n ax$~\\@/:"))
def test_any_marks_can_be_sent(text: str) -> None:
    sent(pieces(Message(text=text), link=lambda _where: None))


@given(markdowns())
def test_every_beginning_can_be_sent(text: str) -> None:
    for end in range(0, len(text), max(1, len(text) // 12)):
        sent(fit(Message(text=text[:end], since=1.0, tail=True), 1, link=lambda _where: None))


KINDS = ("bold", "italic", "blockquote", "code", "pre", "text_link", "expandable_blockquote", "underline")
SPANS = st.tuples(st.integers(0, 60), st.integers(0, 60), st.sampled_from(KINDS)).map(
    lambda made: Span(min(made[:2]), max(made[:2]), made[2], "https://a.example" if made[2] == "text_link" else "")
)


@given(st.text(alphabet="ab😀 \n", min_size=60, max_size=60), st.lists(SPANS, max_size=12))
def test_any_spans_become_ones_that_telegram_takes(text: str, spans: list[Span]) -> None:
    found = nested(Styled(text, tuple(spans)))
    faults = oracle.faults(found.text, piece(found).entities)
    assert [fault for fault in faults if fault != "nothing to see"] == []


@given(st.lists(st.sampled_from(("wörd ", "x" * 500, "\n", "\n\n", "😀", "    ", "👩‍👩‍👧")), max_size=400), st.data())
def test_a_split_loses_nothing(words: list[str], data: st.DataObject) -> None:
    text = "".join(words)
    where = st.integers(0, len(text))
    spans = data.draw(st.lists(st.tuples(where, where, st.sampled_from((*KINDS[:2], "pre"))), max_size=200))
    styled = nested(Styled(text, tuple(Span(min(a, b), max(a, b), kind) for a, b, kind in spans)))
    parts = split(styled, most=1000)
    assert parts is not None
    assert "".join("".join(part.text.split()) for part in parts) == "".join(text.split())
    for part in parts:
        assert oracle.faults(part.text, piece(part).entities) == []


def test_samples_cut_and_mixed_at_random_can_be_sent() -> None:
    seed = int(os.environ.get("RENDER_SEED", "0")) or Random().randrange(1, 1 << 32)
    print("RENDER_SEED", seed)
    chance = Random(seed)
    samples = [read(sample) for sample in SAMPLES]
    for _ in range(120):
        text = chance.choice(samples)
        for _ in range(chance.randrange(5)):
            at = chance.randrange(len(text) + 1)
            text = text[:at] + chance.choice(BITS) + text[at:]
        text = text[chance.randrange(len(text)) :] if chance.random() < 0.3 else text
        text = text[: chance.randrange(len(text) + 1)] if chance.random() < 0.3 else text
        sent(pieces(Message(text=text), link=lambda _where: None))
