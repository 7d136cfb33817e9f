"""The whole product in a real browser, as a newcomer uses it: the tour on a phone, a killed bot on a desk."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser import BROWSER, DESK, PHONE, browser, shot, window
from tests.e2e.cast import keep, rehearsed
from tests.product import Product

__all__ = ["browser"]
pytestmark = BROWSER

TOUCH: dict[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True}
LOOKS = "[...document.querySelectorAll('#log > li')].map(n => [n.id, n.querySelector('.body').innerText.trim()])"
WORDS = " ".join(f"word{i:02d}" for i in range(40))
SLOW: list[list[dict[str, object]]] = [
    [
        {"say": WORDS, "pace": 0.1},
        {"tool": "Bash", "summary": "make", "output": "made", "seconds": 0.3},
        {"wait": 60},  # for what is said meanwhile: behind the question it would be its answer
        {"ask": "Go on?", "choices": ["Yes", "No"]},
        {"say": "You chose {answer}.", "pace": 0.05},
        {"cost": 0.12},
    ]
]


@pytest_asyncio.fixture(loop_scope="session")
async def bot(tmp_path: Path) -> AsyncIterator[Product]:
    await keep(tmp_path / "var", rehearsed(tmp_path, "slow", SLOW, then=[{"wait": 60}]))
    async with Product(tmp_path / "var") as bot:
        yield bot


async def looks(page: Page) -> dict[str, str]:
    """Every message that stands there: its id and its text."""
    found: list[tuple[str, str]] = await page.evaluate(LOOKS)
    assert len(dict(found)) == len(found), f"a message stands there twice: {found}"
    return dict(found)


async def grows(page: Page, *, steps: int) -> None:
    """See the page's text become longer this often, and never lose what stood there."""
    text = page.locator("#log .md").first
    before, seen = "", 0
    async with asyncio.timeout(15):
        while seen < steps:
            now = " ".join((await text.inner_text()).split())
            assert now.startswith(before), f"{before!r} became {now!r}"
            seen += now != before
            before = now
            await page.evaluate("new Promise(requestAnimationFrame)")


async def say(page: Page, text: str) -> None:
    """Write it and tap the arrow."""
    await page.get_by_role("textbox", name="Message").fill(text)
    await page.get_by_role("button", name="Send", exact=True).click()


def shown_in_full(before: dict[str, str], after: dict[str, str], *, live: bool = True) -> None:
    """Nothing is missing, in another order or shorter than it was."""
    assert list(after)[: len(before)] == list(before)
    for id_, text in before.items():
        said = [line for line in text.splitlines() if not re.search(r"^(working|Interrupt|Stop|\d+s|\d+ steps?)", line)]
        assert live or after[id_] == text
        assert all(line in after[id_] for line in said[:-1]), (text, after[id_])


async def test_the_tour_by_two_taps_on_a_phone(browser: Browser, bot: Product) -> None:
    async with window(browser, bot.url, **TOUCH) as (page, faults):
        await shot(page, "story-phone-1-first")
        await page.get_by_role("button", name="Launch an agent").tap()
        await page.get_by_role("button", name="rehearsal", exact=True).tap()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Show me around")
        await expect(page.locator("#phase")).to_have_text("working")
        await grows(page, steps=8)
        await expect(page.locator("#log .status")).to_contain_text("no isolation")
        await shot(page, "story-phone-2-working")

        await expect(page.locator("#log").get_by_text("Which way shall I go on?")).to_be_visible(timeout=20_000)
        await expect(page.locator("#phase")).to_have_text("waiting for you")
        await shot(page, "story-phone-3-asking")
        await page.get_by_role("button", name="Fix the test").tap()
        await expect(page.locator("#log").get_by_text("answered · Fix the test (you)")).to_be_visible()
        await expect(page.get_by_role("button", name="Fix the test")).to_have_count(0)

        await say(page, "please mind the docs")
        await expect(page.locator("#log .you")).to_have_text(re.compile("please mind the docs"))
        before = await looks(page)
        await page.reload()
        await expect(page.locator("#log .you")).to_have_count(1)
        shown_in_full(before, await looks(page))

        await expect(page.get_by_role("link", name="rehearsal-report.md")).to_be_visible(timeout=20_000)
        async with page.expect_download() as coming:
            await page.get_by_role("link", name="rehearsal-report.md").tap()
        report = (await (await coming.value).path()).read_text()
        assert "- task: Show me around\n- your answer: Fix the test\n" in report
        await expect(page.locator("#log > li").last).to_contain_text("It is your turn", timeout=20_000)
        assert "While I worked you said:\n\nplease mind the docs" in list((await looks(page)).values())[-1]
        await expect(page.locator("#log .status").first).to_have_text(re.compile(r"done · \d+ s · 5 tools · \$0\.05"))
        await shot(page, "story-phone-4-final")

        await page.get_by_role("button", name="Conversations").tap()
        await page.get_by_role("link", name="Runs").tap()
        card = page.locator(".card")
        await expect(card).to_contain_text("your turn")
        await expect(card).to_contain_text("$0.05")
        await expect(page.locator("#side")).to_be_hidden()
        await shot(page, "story-phone-5-runs")
        await card.get_by_role("button", name="Stop").tap()
        await expect(card).to_contain_text("ended")
        await expect(card).to_contain_text("stopped by you · after ")
        await page.go_back()
        await expect(page.locator("#log > li").last).to_contain_text("ended · stopped by you · 1 turn · $0.05 · ")
        await shot(page, "story-phone-6-ended")
        whole = await looks(page)
        await page.reload()
        await expect(page.locator("#log > li")).to_have_count(len(whole))
        shown_in_full(whole, await looks(page), live=False)
        assert faults == []


async def test_a_killed_bot_comes_back_under_an_open_page(browser: Browser, bot: Product) -> None:
    async with window(browser, bot.url) as (page, faults):
        await say(page, "/launch slow go")
        await expect(page.get_by_role("heading", level=1)).to_have_text("go")
        await grows(page, steps=5)
        await bot.kill()
        await expect(page.locator("#link")).to_have_text("reconnecting…")
        await say(page, "while you were away")
        await expect(page.locator("#outbox")).to_contain_text("while you were away")
        await shot(page, "story-desk-1-away")
        before = await looks(page)
        await bot.start()
        await expect(page.locator("#link")).to_have_text("", timeout=15_000)
        await expect(page.locator("#log .you")).to_have_text(re.compile("while you were away"))
        await expect(page.locator("#outbox > li")).to_have_count(0)
        await expect(page.locator("#log .md").first).to_contain_text(WORDS, timeout=45_000)
        shown_in_full(dict.fromkeys(before, ""), await looks(page))
        await page.get_by_role("button", name="Yes").click()
        await expect(page.locator("#phase")).to_have_text("your turn")
        await expect(page.locator("#log").get_by_text("You chose Yes.", exact=True)).to_have_count(1)
        final = list((await looks(page)).values())[-1]
        assert final.startswith("You chose Yes.")
        assert final.count("while you were away") == 1
        text = "\n".join((await looks(page)).values())
        assert text.count("word39") == text.count("word00") == text.count("Go on?") == 1
        assert "$0.12" in text

        await say(page, "and wait")
        await expect(page.locator("#phase")).to_have_text("working")
        thread = page.url.partition("#")[2]
        for scheme in ("light", "dark"):
            for name, size in (("phone", TOUCH), ("desk", {"viewport": DESK})):
                for place in (thread, "runs"):
                    async with window(browser, f"{bot.url}/#{place}", color_scheme=scheme, **size) as (other, more):
                        await expect(other.locator("#log > li").first).to_contain_text("$0.12")
                        await shot(other, f"story-{name}-{scheme}-{'runs' if place == 'runs' else 'thread'}")
                        assert more == []
        assert [fault for fault in faults if "script:" in fault] == []
