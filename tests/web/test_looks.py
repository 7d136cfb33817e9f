"""How the page looks: pictures of a desk and a phone, light and dark, and what must fit on them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from orchestrator.nouns import Conversation, Message, Phase
from tests.browser import BROWSER, DESK, PHONE, browser, shot, window
from tests.web.stage import LOBBY, RUNS, Site, board, keep_file, opened, question, row

__all__ = ["browser"]
pytestmark = BROWSER

REPORT = """I found it: `test_expiry` compares wall-clock time with a **monotonic** deadline.

## What changed

1. `clock.py` reads one clock only
2. the test freezes it

```diff
- deadline = time.time() + ttl
+ deadline = time.monotonic() + ttl
```

| file | lines | tests |
|:-----|------:|:-----:|
| `app/clock.py` | 12 | 4 |
| `app/sessions/expiry_with_a_long_name.py` | 230 | 19 |

See https://github.com/example/shop/pull/41 for the whole change. ~~Nothing else~~ Two more places look alike.

> They are not called anywhere.
"""
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763d0d5d50500"
    "02b50115a3f1f4b30000000049454e44ae426082"
)


async def furnish(site: Site) -> Conversation:
    """A site in the middle of its day; returns the thread of a run."""
    chat, now = site.chat, time.time()
    thread = await chat.open(LOBBY, "Fix the flaky expiry test", key="run-1")
    other = await chat.open(LOBBY, "Write the release notes for version 4 and send them around", key="run-2")
    third = await chat.open(LOBBY, "Look for slow queries", key="run-3")
    await chat.post(thread, Message(text="Fix the flaky test `test_expiry`; it fails one time in ten."), key="task")
    log = ("Read app/clock.py", "Ran pytest -x tests/test_expiry.py", "Edited app/clock.py")
    files = (await keep_file(site, "pytest.log", b"x" * 24_000), await keep_file(site, "chart.png", PIXEL))
    await chat.post(thread, Message(status="done in 3m 12s · $0.42", text=REPORT, log=log, files=files), key="report")
    await chat.post(thread, question(), key="ask")
    await chat.post(thread, Message(status="running pytest", log=log, since=now - 83, text="Now I run the"), key="live")
    rows = (
        row("Fix the flaky expiry test", Phase.ASKING, thread, words="asks: shall I rewrite it?", cost=0.42),
        row(
            "Write the release notes for version 4 and send them around", Phase.WORKING, other, words="reading git log"
        ),
        row("Look for slow queries", Phase.IDLE, third, cost=1.25),
        row("Update the dependencies", Phase.QUEUED, None, words="waits for a free slot"),
    )
    await chat.post(RUNS, board(*rows), key="board")
    await chat.post(other, Message(text="The notes are ready."), key="other")
    return thread


async def fits(page: Page) -> None:
    """Nothing sticks out at the side, and what can be tapped can be hit with a thumb."""
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = await page.evaluate(
        """[...document.querySelectorAll('.tap, #send, #attach, #menu, .places a, .file')]
        .filter(n => n.checkVisibility() && n.getBoundingClientRect().height < 43.5).map(n => n.outerHTML)"""
    )
    assert small == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desk", "phone"])
async def test_pictures(browser: Browser, size: str, scheme: str) -> None:
    phone = size == "phone"
    options: dict[str, Any] = {"viewport": PHONE if phone else DESK, "color_scheme": scheme, "has_touch": phone}
    async with opened() as site, window(browser, site.address, **options) as (page, faults):
        await page.get_by_text("What shall an agent do?").wait_for()
        await shot(page, f"{size}-{scheme}-welcome")
        thread = await furnish(site)
        await page.goto(f"{site.address}#{thread.thread}")
        await page.get_by_role("button", name="Rewrite it").wait_for()
        await shot(page, f"{size}-{scheme}-thread")
        await fits(page)
        await page.locator("#scroll").evaluate("node => { node.scrollTop = 0 }")
        await shot(page, f"{size}-{scheme}-report")
        await page.goto(f"{site.address}#runs")
        await page.get_by_role("heading", name="Look for slow queries").wait_for()
        await shot(page, f"{size}-{scheme}-runs")
        await fits(page)
        await page.goto(f"{site.address}#lobby")
        await page.get_by_role("link", name="Open thread").first.wait_for()
        await page.get_by_role("textbox", name="Message").press_sequentially("/")
        await shot(page, f"{size}-{scheme}-lobby")
        await fits(page)
        if phone:
            await page.get_by_role("button", name="Conversations").click()
            await page.locator("#side.open").wait_for()
            await page.wait_for_timeout(250)  # the list slides in; only the picture needs it to have arrived
            await shot(page, f"{size}-{scheme}-list")
            await fits(page)
        assert faults == []


async def test_colours_can_be_read(browser: Browser) -> None:
    """WCAG AA: 4.5 to 1 for every text that is shown, in both schemes."""
    for scheme in ("light", "dark"):
        async with opened() as site, window(browser, site.address, color_scheme=scheme) as (page, _):
            thread = await furnish(site)
            for place, sign in (
                (str(thread.thread), "Rewrite it"),
                ("runs", "Look for slow queries"),
                ("lobby", "Open"),
            ):
                await page.goto(f"{site.address}#{place}")
                await page.locator("#log").get_by_text(sign).first.wait_for()
                assert await page.evaluate(CONTRAST) == []


CONTRAST = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const paint = (layers) => {
    for (const layer of layers) { canvas.fillStyle = layer; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const bad = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !node.checkVisibility({ visibilityProperty: true })) continue;
    if (node.closest(".sr, .skip, noscript, textarea")) continue;
    const layers = [];
    for (let up = node; up; up = up.parentElement) layers.unshift(getComputedStyle(up).backgroundColor);
    const back = paint(["white", ...layers]);
    const ink = paint([`rgb(${back})`, getComputedStyle(node).color]);
    const [a, b] = [light(back), light(ink)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const where = node.className || node.nodeName;
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${where}: ${walk.currentNode.data.trim().slice(0, 40)}`);
  }
  return bad;
}"""
