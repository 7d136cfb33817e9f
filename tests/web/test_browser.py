"""The page in a real browser: what people see and do, on two screens, with a bad network, by keyboard alone."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, FilePayload, Page, expect

from orchestrator.errors import Broken, Refused, Trouble
from orchestrator.nouns import Button, Message, Phase
from tests.browser import BROWSER, PHONE, browser, shot, window
from tests.web.stage import LOBBY, RUNS, Site, board, opened, question, row, until

__all__ = ["browser"]
pytestmark = BROWSER


@pytest_asyncio.fixture(loop_scope="session")
async def site() -> AsyncIterator[Site]:
    async with opened() as site:
        yield site


TEXTS = "[...document.querySelectorAll('#log > li > .body')].map(n => n.innerText.trim())"


async def write(page: Page, text: str) -> None:
    """Type into the box and press Enter."""
    box = page.get_by_role("textbox", name="Message")
    await box.fill(text)
    await box.press("Enter")


async def test_a_conversation_on_two_screens(browser: Browser, site: Site) -> None:
    async with (
        window(browser, site.address) as (desk, faults),
        window(browser, site.address, viewport=PHONE, has_touch=True, is_mobile=True) as (phone, more_faults),
    ):
        await write(desk, "/launch fix the *flaky* test")
        await until(lambda: site.heard)
        assert site.heard[0].text == "/launch fix the *flaky* test"
        assert site.heard[0].where == LOBBY
        for page in (desk, phone):
            await expect(page.locator("#log .you")).to_contain_text("/launch fix the *flaky* test")
            await expect(page.locator("#outbox > li")).to_have_count(0)

        thread = await site.chat.open(LOBBY, "Fix the flaky test", key="run-1")
        await expect(desk.get_by_role("heading", level=1)).to_have_text(
            "Fix the flaky test"
        )  # my own launch: I am there
        await expect(phone.get_by_role("heading", level=1)).to_have_text("Lobby")
        await phone.get_by_role("link", name="Fix the flaky test Open thread").tap()
        await expect(phone.get_by_role("heading", level=1)).to_have_text("Fix the flaky test")

        live = await site.chat.post(thread, Message(status="working", since=time.time() - 65), key="page")
        for i in range(1, 30):
            message = Message(status="working", text="word " * i, log=("Read a.py",) * i, since=time.time() - 65)
            await site.chat.edit(thread, live, message)
            await asyncio.sleep(0.005)
        for page in (desk, phone):
            await expect(page.locator("#log .md")).to_have_text("word " * 28 + "word")
            await expect(page.locator("#log time[data-since]")).to_have_text(re.compile(r"1m \d\ds"))
            await expect(page.locator("#log .status")).to_contain_text("working")

        asked = await site.chat.post(thread, question(), key="ask")
        await phone.get_by_role("button", name="Rewrite it").tap()
        await until(lambda: len(site.heard) == 2)
        assert (site.heard[1].press, site.heard[1].on, site.heard[1].where) == ("ask:1:0", asked, thread)
        await site.chat.edit(thread, asked, Message(text="Shall I rewrite it? **Rewrite it**, said you."))
        for page in (desk, phone):
            await expect(page.get_by_role("button", name="Rewrite it")).to_have_count(0)
        assert faults + more_faults == []


async def test_a_cut_connection_heals_without_a_gap(browser: Browser, site: Site) -> None:
    await site.chat.post(LOBBY, Message(text="before"), key="1")
    async with window(browser, site.address) as (page, _):
        await expect(page.locator("#log > li")).to_have_count(1)
        for i in range(5):
            site.cut()
            await site.chat.post(LOBBY, Message(text=f"during {i}"), key=f"cut {i}")
            await expect(page.locator("#log > li")).to_have_count(2 + i)
        assert await page.evaluate(TEXTS) == ["before", *(f"during {i}" for i in range(5))]
        await expect(page.locator("#link")).to_have_text("")


async def test_words_survive_a_dead_bot_and_a_reload(browser: Browser) -> None:
    async with opened() as site:
        port = int(site.address.rpartition(":")[2])
        context = await browser.new_context()
        page = await context.new_page()
        await page.goto(site.address)
        await expect(page.get_by_text("What shall an agent do?")).to_be_visible()
    await write(page, "say this once")
    await expect(page.locator("#outbox")).to_contain_text("Not sent. No connection to the bot.")
    await expect(page.locator("#link")).to_have_text("reconnecting…")
    await shot(page, "not-sent")
    async with opened(site, port=port):
        await page.reload()
        await until(lambda: site.heard, seconds=15)
        await expect(page.locator("#outbox > li")).to_have_count(0)
        await expect(page.locator("#log .you")).to_have_count(1)
        assert [inbound.text for inbound in site.heard] == ["say this once"]
    await context.close()


async def write_in_vain(page: Page, site: Site, words: str, trouble: Trouble) -> None:
    """Say something that the core does not take."""
    await expect(page.get_by_text("What shall an agent do?")).to_be_visible()
    site.trouble = trouble
    await write(page, words)


async def test_what_the_core_could_not_store_is_offered_again(browser: Browser, site: Site) -> None:
    async with window(browser, site.address) as (page, _):
        await write_in_vain(page, site, "keep this", Broken("The disk is full."))
        await expect(page.locator("#log .you")).to_contain_text("Not sent. The disk is full.")
        site.trouble = None
        await page.get_by_role("button", name="Send again").click()
        await until(lambda: site.heard)
        await expect(page.locator("#log .fault")).to_have_count(0)
        assert [inbound.text for inbound in site.heard] == ["keep this"]


async def test_a_refusal_gives_the_words_back(browser: Browser, site: Site) -> None:
    async with window(browser, site.address) as (page, _):
        await write_in_vain(page, site, "too late", Refused("This run has ended."))
        await expect(page.locator("#log .fault")).to_have_text("This run has ended.")
        await expect(page.get_by_role("alert")).to_have_text("This run has ended.")
        await expect(page.get_by_role("textbox", name="Message")).to_have_value("too late")


async def test_a_draft_and_the_place_survive_a_reload(browser: Browser, site: Site) -> None:
    thread = await site.chat.open(LOBBY, "A run", key="run-1")
    message = await site.chat.post(thread, Message(text="working", since=time.time()), key="k")
    async with window(browser, f"{site.address}#{thread.thread}") as (page, _):
        await expect(page.get_by_text("working")).to_be_visible()
        await page.get_by_role("textbox", name="Message").fill("half a thou")
        await site.chat.edit(thread, message, Message(text="half an answer", since=time.time()))
        await page.reload()
        await expect(page.get_by_role("heading", level=1)).to_have_text("A run")
        await expect(page.get_by_role("textbox", name="Message")).to_have_value("half a thou")
        await expect(page.locator("#log > li")).to_have_count(1)
        await site.chat.edit(thread, message, Message(text="a whole answer"))
        await expect(page.locator("#log").get_by_text("a whole answer")).to_be_visible()
        await page.goto(f"{site.address}#lobby")
        await expect(page.get_by_role("textbox", name="Message")).to_have_value("")


async def test_a_live_edit_leaves_the_reader_alone(browser: Browser, site: Site) -> None:
    """What is folded open, selected or focused stays so while the agent writes, and the page does not jump."""
    long = "\n\n".join(f"paragraph {i}" for i in range(80))
    buttons = (Button("Stop", "stop:1"),)
    message = Message(text=long, log=("one", "two"), buttons=buttons, since=time.time())
    id_ = await site.chat.post(LOBBY, message, key="k")
    async with window(browser, site.address) as (page, _):
        await expect(page.get_by_text("paragraph 79")).to_be_in_viewport()  # it begins at the end
        await page.get_by_text("2 steps").click()
        await page.get_by_role("button", name="Stop").focus()
        await page.locator("#scroll").evaluate("node => { node.scrollTop = 300 }")
        await page.evaluate("getSelection().selectAllChildren(document.querySelectorAll('.md p')[3])")
        await expect(page.locator("#below")).to_be_hidden()
        await site.chat.edit(
            LOBBY, id_, Message(text=f"{long}\n\nand more", log=("one", "two", "three"), buttons=buttons, since=1.0)
        )
        await expect(page.get_by_text("and more")).to_have_count(1)
        assert await page.evaluate("getSelection().toString()") == "paragraph 3"
        assert await page.evaluate("document.activeElement.dataset.press") == "stop:1"
        assert await page.locator("details.log").evaluate("node => node.open")
        assert await page.locator("#scroll").evaluate("node => node.scrollTop") < 400
        await site.chat.post(LOBBY, Message(text="a new one"), key="new")
        await page.get_by_role("button", name="New messages").click()
        await expect(page.locator("#log").get_by_text("a new one")).to_be_in_viewport()


async def test_attacks_are_inert(browser: Browser, site: Site) -> None:
    evil = (
        "<script>window.hurt=1</script><img src=x onerror='window.hurt=1'> [x](javascript:window.hurt=1) "
        '![a](https://evil.example/pixel.png) <svg/onload=window.hurt=1> `<b>` "onmouseover="window.hurt=1"'
    )
    message = Message(text=evil, status=evil, log=(evil,), buttons=(Button(evil, "t"),))
    thread = await site.chat.open(LOBBY, evil, key="run")
    await site.chat.post(RUNS, board(row(evil, Phase.WORKING, thread, words=evil)), key="board")
    for place in ("lobby", "runs", thread.thread):
        await site.chat.post(thread if place == thread.thread else LOBBY, message, key=place)
        async with window(browser, f"{site.address}#{place}") as (page, faults):
            await expect(page.get_by_text("<script>window.hurt=1</script>").first).to_be_visible()
            await page.mouse.move(400, 300)
            assert await page.evaluate("window.hurt") is None
            assert await page.locator("#log script, #log svg, #log [onerror], #log [onload]").count() == 0
            assert faults == []  # no script error, no violated policy, and no request to another host


async def test_the_list_changes_under_a_keyboard_and_the_focus_stays(browser: Browser, site: Site) -> None:
    await site.chat.open(LOBBY, "First", key="run-1")
    async with window(browser, site.address) as (page, _):
        listed = page.locator("#threads")
        mine = listed.get_by_role("link", name="First")
        await mine.focus()
        for name in ("Second", "Third"):
            other = await site.chat.open(LOBBY, name, key=name)
            await expect(listed.get_by_role("link", name=name)).to_be_visible()
            await expect(mine).to_be_focused()
            await site.chat.post(other, Message(text="news", rings=True), key=f"news of {name}")
            await expect(listed.get_by_role("link", name=f"{name} unread")).to_be_visible()
            await expect(mine).to_be_focused()


async def test_by_keyboard_alone(browser: Browser, site: Site) -> None:
    thread = await site.chat.open(LOBBY, "A run", key="run-1")
    await site.chat.post(thread, question(), key="ask")
    async with window(browser, site.address) as (page, _):
        await expect(page.get_by_role("link", name="A run", exact=True)).to_be_visible()
        keys = page.keyboard
        await keys.type("/lo")
        await expect(page.get_by_role("option")).to_have_count(1)
        await keys.press("Enter")
        await expect(page.get_by_role("textbox", name="Message")).to_have_value("/logs ")
        await keys.type("5")
        await keys.press("Shift+Enter")
        await keys.type("second line")
        await keys.press("Enter")
        await until(lambda: site.heard)
        assert site.heard[0].text == "/logs 5\nsecond line"
        await page.reload()
        await expect(page.get_by_role("link", name="A run", exact=True)).to_be_visible()
        await keys.press("Shift+Tab")  # from wherever one is, backwards into the list and to the thread
        for _ in range(12):
            if await page.evaluate("document.activeElement.innerText") == "A run":
                break
            await keys.press("Shift+Tab")
        await expect(page.get_by_role("link", name="A run", exact=True)).to_be_focused()
        await keys.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("A run")
        await expect(page.get_by_role("button", name="Keep it")).to_be_visible()
        await expect(page.get_by_role("textbox", name="Message")).to_be_focused()
        for _ in range(12):
            if await page.evaluate("document.activeElement.dataset.press") == "ask:1:1":
                break
            await keys.press("Shift+Tab")
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
        await keys.press("Enter")
        await until(lambda: len(site.heard) == 2)
        assert site.heard[1].press == "ask:1:1"


async def test_a_screen_reader_hears_whole_messages_once(browser: Browser, site: Site) -> None:
    async with window(browser, site.address) as (page, _):
        await expect(page.get_by_text("What shall an agent do?")).to_be_visible()
        live = await site.chat.post(LOBBY, Message(text="w", since=1.0), key="live")
        for i in range(20):
            await site.chat.edit(LOBBY, live, Message(text="w " * i, since=1.0))
        await expect(page.locator("#log > li")).to_have_count(1)
        await site.chat.edit(LOBBY, live, Message(text="the whole answer"))
        news = page.locator("[role=log]")
        await expect(news).to_have_text("the whole answer")
        await expect(news).to_have_attribute("aria-live", "polite")
        unnamed = await page.evaluate(
            """[...document.querySelectorAll('button, a, input, textarea')].filter(n => n.checkVisibility())
            .filter(n => !(n.innerText.trim() || n.ariaLabel || n.title)).map(n => n.outerHTML)"""
        )
        assert unnamed == []


async def test_files_go_both_ways(browser: Browser, site: Site) -> None:
    async with window(browser, site.address) as (page, faults):
        file = FilePayload(name="notes.txt", mimeType="text/plain", buffer=b"some notes")
        await page.get_by_label("Attach files").set_input_files([file])
        await expect(page.locator("#attached")).to_contain_text("notes.txt")
        await write(page, "read this")
        await until(lambda: site.heard)
        assert [(f.name, f.size) for f in site.heard[0].files] == [("notes.txt", 10)]
        async with page.expect_download() as coming:
            await page.get_by_role("link", name="notes.txt").click()
        path = await (await coming.value).path()
        assert path.read_bytes() == b"some notes"
        assert faults == []


async def test_a_ring_marks_the_title_of_a_hidden_page(browser: Browser, site: Site) -> None:
    thread = await site.chat.open(LOBBY, "A run", key="run-1")
    async with window(browser, site.address) as (page, _):
        await expect(page.get_by_role("link", name="A run", exact=True)).to_be_visible()
        await page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        await site.chat.post(thread, question(), key="ask")
        await expect(page).to_have_title("(!) Lobby · RJ AI Army")
        await expect(page.get_by_role("link", name="A run unread")).to_be_visible()
        await page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
        await expect(page).to_have_title("Lobby · RJ AI Army")


async def test_of_hidden_tabs_one_keeps_its_stream(browser: Browser, site: Site) -> None:
    """Six connections are all that a browser gives one host: a seventh tab must not hang."""
    hide = "Object.defineProperty(document, 'hidden', { value: true, configurable: true });"
    turn = "document.dispatchEvent(new Event('visibilitychange'))"
    async with window(browser, site.address) as (one, _):
        two = await one.context.new_page()
        await two.goto(site.address)
        for page in (one, two):
            await expect(page.get_by_text("What shall an agent do?")).to_be_visible()
            await page.evaluate(hide + turn)
        await until(lambda: len(site.talk._viewers) == 1)
        await site.chat.post(LOBBY, Message(text="meanwhile"), key="1")
        await expect(one.locator("#log")).to_contain_text("meanwhile")
        await two.evaluate(f"delete document.hidden; {turn}")
        await expect(two.locator("#log")).to_contain_text("meanwhile")


async def test_earlier_messages_come_by_a_tap(browser: Browser, site: Site) -> None:
    for i in range(130):
        await site.chat.post(LOBBY, Message(text=f"message {i}"), key=f"{i}")
    async with window(browser, site.address) as (page, _):
        await expect(page.locator("#log > li")).to_have_count(100)
        await page.get_by_role("button", name="Show earlier messages").click()
        await expect(page.locator("#log > li")).to_have_count(130)
        assert await page.evaluate(TEXTS) == [f"message {i}" for i in range(130)]
        await expect(page.get_by_role("button", name="Show earlier messages")).to_be_hidden()


async def test_logging_in_and_out(browser: Browser) -> None:
    async with opened(token="open sesame") as site, window(browser, site.address) as (page, faults):
        await expect(page).to_have_title("Log in · RJ AI Army")
        await shot(page, "login")
        await page.get_by_label("Token").fill("wrong")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("alert")).to_contain_text("WEB_TOKEN")
        await page.get_by_label("Token").fill("open sesame")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_text("What shall an agent do?")).to_be_visible()
        await write(page, "hello")
        await until(lambda: site.heard)
        await page.get_by_role("button", name="Log out").click()
        await expect(page).to_have_title("Log in · RJ AI Army")
        assert faults == []


async def test_a_thread_that_does_not_exist_leads_home(browser: Browser, site: Site) -> None:
    async with window(browser, f"{site.address}#0123456789abcdef") as (page, _):
        await expect(page.get_by_role("heading", level=1)).to_have_text("Lobby")
        await expect(page.get_by_role("alert")).to_have_text("There is no such conversation.")
