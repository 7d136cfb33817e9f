"""How fast texts become messages of Telegram and Discord: answers, and live pages as they are drawn again and again."""

from __future__ import annotations

import time
from collections.abc import Callable

from adapters.discord import render as discord
from adapters.telegram import render as telegram
from orchestrator.nouns import Message
from tests.bench.pods import PROSE
from tests.bench.rows import Row, row
from tests.product import ROOT

SAMPLES = ROOT / "tests" / "telegram_chat" / "samples"
SECONDS = 1.0


def rendered(name: str) -> list[Row]:
    """All of it for one platform."""
    texts = [path.read_text() for path in sorted(SAMPLES.glob("*.md"))]
    report = (SAMPLES / "10-report.md").read_text()
    log = tuple(f"make test TEST=listen_{n}" for n in range(40))
    page = Message(text=PROSE * 6, status="working · make test", log=log, since=time.time(), tail=True)
    new, again = RENDERERS[name]
    answers = per_second(lambda: new(Message(text=report)))
    mixed = per_second(lambda: [new(Message(text=text)) for text in texts])
    return [
        row(f"{name}: answers of 8 kB rendered", answers, "/s", better="higher"),
        row(
            f"{name}: markdown of all samples rendered", mixed * sum(map(len, texts)) / 1e3, "kchar/s", better="higher"
        ),
        row(f"{name}: live pages rendered", per_second(lambda: again(page)), "/s", better="higher"),
    ]


RENDERERS: dict[str, tuple[Callable[[Message], object], Callable[[Message], object]]] = {
    "telegram": (
        lambda message: telegram.pieces(message, link=lambda _: None),
        lambda message: telegram.fit(message, 1, link=lambda _: None),
    ),
    "discord": (discord.pieces, lambda message: discord.fit(message, 1)),
}


def per_second(work: Callable[[], object]) -> float:
    """How often this can be done."""
    began, times = time.perf_counter(), 0
    while time.perf_counter() < began + SECONDS:
        work()
        times += 1
    return times / (time.perf_counter() - began)
