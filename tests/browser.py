"""A real browser for tests: the machine's own Chromium, headless, started once for all tests of a worker.

Import `browser` (a fixture) and `window`, and set `pytestmark = BROWSER`: the browser lives in the session's event
loop, so tests and async fixtures around it must, too (`@pytest_asyncio.fixture(loop_scope="session")`). Nothing here
knows the product. `CHROMIUM` names another executable.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

SHOTS = Path(__file__).parent / "screenshots"
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def executable() -> str | None:
    """The browser of this machine."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next((path for name in names if (path := shutil.which(name))), None)


needs_browser = pytest.mark.skipif(
    executable() is None and not os.environ.get("ARMY_NEED_BROWSER"),  # where one is promised, its absence fails
    reason="NO BROWSER: THE WEB PAGE IS NOT TESTED. Install chromium, or name one in the variable CHROMIUM.",
)


BROWSER = [
    pytest.mark.browser,
    pytest.mark.xdist_group("browser"),
    pytest.mark.asyncio(loop_scope="session"),
    needs_browser,
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium."""
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=executable(), args=_ARGS, headless=True)
        yield browser
        await browser.close()


class Faults(list[str]):
    """What the browser complained about: script errors, refusals of the content security policy, foreign requests."""


@asynccontextmanager
async def window(browser: Browser, address: str, **context: Any) -> AsyncIterator[tuple[Page, Faults]]:
    """A fresh window on a page, with everything that went wrong in it. Nothing but that page's host is reachable."""
    faults = Faults()
    fresh = await browser.new_context(**({"viewport": DESK} | context))
    page = await fresh.new_page()
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    page.on("console", lambda line: faults.append(line.text) if "Content Security Policy" in line.text else None)
    home = address.split("#", maxsplit=1)[0].rstrip("/")
    page.on(
        "request",
        lambda request: None if request.url.startswith((home, "data:", "blob:")) else faults.append(request.url),
    )
    try:
        await page.goto(address)
        yield page, faults
    finally:
        await fresh.close()


async def shot(page: Page, name: str) -> None:
    """A picture for people to look at; not compared with anything."""
    SHOTS.mkdir(exist_ok=True)
    await page.screenshot(path=SHOTS / f"{name}.png")
