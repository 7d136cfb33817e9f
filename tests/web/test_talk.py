"""The page without a browser: what is kept, what is pushed and what comes back after a lost connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import aiohttp
import pytest

from adapters.web.talk import Talk
from adapters.web.viewer import PAGE, Viewer
from orchestrator.errors import Broken, Gone, Refused
from orchestrator.nouns import Button, Conversation, Message, Phase
from tests.fakes.notes import MemoryNotes
from tests.web.page import words_of
from tests.web.stage import LOBBY, RUNS, Site, board, keep_file, opened, row, until

Event = tuple[str, str, Any]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with opened() as site:
        yield site


@pytest.fixture
async def net() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as net:
        yield net


class Page:
    """A page that reads its stream as the real one does: upserting by id, remembering the last event's id."""

    def __init__(self) -> None:
        self.shown: dict[str, Any] = {}
        self.threads: list[Any] = []
        self.hello: dict[str, Any] = {}
        self.last = ""
        self.names: list[str] = []

    def take(self, name: str, id_: str, data: Any) -> None:
        self.names.append(name)
        self.last = id_ or self.last
        if name == "state":
            self.shown = {known: look for known, look in self.shown.items() if known in data["ids"]}
        elif name == "message" and self.shown.get(data["id"], {"rev": -1})["rev"] <= data["rev"]:
            self.shown[data["id"]] = data
        elif name == "threads":
            self.threads = data
        elif name == "hello":
            self.hello = data

    def texts(self) -> list[str]:
        return [words_of(look["html"]) for _, look in sorted(self.shown.items())]

    @asynccontextmanager
    async def looking(self, net: aiohttp.ClientSession, site: Site, place: str) -> AsyncIterator[None]:
        """Follow a conversation while inside."""
        query = {"conversation": place, "last": self.last}
        async with net.get(f"{site.address}/events", params=query) as stream, asyncio.TaskGroup() as tasks:
            assert stream.status == 200
            reading = tasks.create_task(self._read(stream))
            try:
                yield
            finally:
                reading.cancel()

    async def _read(self, stream: aiohttp.ClientResponse) -> None:
        block: dict[str, str] = {}
        try:
            async for line in stream.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    block[name] = value
                elif block:
                    self.take(block["event"], block.get("id", ""), json.loads(block["data"]))
                    block = {}
        except aiohttp.ClientError:
            return


async def send(net: aiohttp.ClientSession, site: Site, **body: Any) -> tuple[int, str]:
    body = {"id": "message-1", "conversation": "lobby"} | body
    headers = {"X-Army": "1", "Origin": site.address}
    data = BytesIO(json.dumps(body).encode())
    async with net.post(f"{site.address}/api/send", data=data, headers=headers) as response:
        return response.status, (await response.json()).get("words", "")


# --- the stream -----------------------------------------------------------------------------------------------------


async def test_a_page_sees_what_is_there_and_what_comes(site: Site, net: aiohttp.ClientSession) -> None:
    first = await site.chat.post(LOBBY, Message(text="one"), key="1")
    page = Page()
    async with page.looking(net, site, "lobby"):
        await until(lambda: "ready" in page.names)
        assert page.names[0] == "hello"
        assert page.texts() == ["one"]
        await site.chat.post(LOBBY, Message(text="two"), key="2")
        await site.chat.edit(LOBBY, first, Message(text="one, edited"))
        await until(lambda: page.texts() == ["one, edited", "two"])


async def test_after_a_cut_only_what_was_missed_is_sent(site: Site, net: aiohttp.ClientSession) -> None:
    ids = [await site.chat.post(LOBBY, Message(text=f"{i}"), key=f"{i}") for i in range(5)]
    page = Page()
    async with page.looking(net, site, "lobby"):
        await until(lambda: len(page.shown) == 5 and page.last)
    site.cut()
    await site.chat.edit(LOBBY, ids[1], Message(text="edited meanwhile"))
    await site.chat.post(LOBBY, Message(text="new meanwhile"), key="new")
    page.names.clear()
    async with page.looking(net, site, "lobby"):
        await until(lambda: len(page.shown) == 6)
        await until(lambda: "ready" in page.names)
    assert page.texts() == ["0", "edited meanwhile", "2", "3", "4", "new meanwhile"]
    assert page.names.count("message") == 2
    assert "state" not in page.names


async def test_no_gap_and_no_double_under_fire(site: Site, net: aiohttp.ClientSession) -> None:
    """Posts and edits go on while the connection is cut again and again; the page ends with exactly the truth."""
    page = Page()
    posted = []

    async def write() -> None:
        for i in range(120):
            posted.append(await site.chat.post(LOBBY, Message(text=f"message {i}"), key=f"{i}"))
            await site.chat.edit(LOBBY, posted[i // 2], Message(text=f"message {i // 2} seen at {i}", since=1.0))
            await asyncio.sleep(0.004)

    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(write())
        while not writing.done():
            async with page.looking(net, site, "lobby"):
                await asyncio.sleep(0.05)
            site.cut()
    async with page.looking(net, site, "lobby"):
        await until(lambda: "message 119" in page.texts())
        await until(lambda: sum("seen at" in text for text in page.texts()) == 60)
    found = await (await net.get(f"{site.address}/api/earlier?conversation=lobby")).json()
    truth = {look["id"]: words_of(look["html"]) for look in found["messages"]}
    assert list(truth)[-1] == posted[-1]
    assert {id_: words_of(page.shown[id_]["html"]) for id_ in truth} == truth
    assert set(page.shown) <= set(posted)


async def test_a_restart_is_another_life(net: aiohttp.ClientSession) -> None:
    page = Page()
    async with opened() as site:
        message = await site.chat.post(LOBBY, Message(text="before", since=1.0), key="1")
        await site.chat.edit(LOBBY, message, Message(text="working", since=1.0))
        async with page.looking(net, site, "lobby"):
            await until(lambda: page.last)
    async with opened(site) as again:
        page.names.clear()
        async with page.looking(net, again, "lobby"):
            await until(lambda: "ready" in page.names)
        assert "state" in page.names
        assert page.texts() == ["working"]  # the moving look was saved at the end of the former life
        assert await again.chat.post(LOBBY, Message(text="again"), key="1") == message


async def test_a_slow_viewer_gets_the_newest_look_only() -> None:
    talk = Talk(MemoryNotes(), commands=(), login=False)
    viewer = Viewer("lobby")
    message = await talk.post(LOBBY, Message(text="0"), key="k")
    with talk.viewing(viewer):
        for i in range(1000):
            await talk.edit(LOBBY, message, Message(text=str(i), since=1.0))
        for i in range(3000):
            await talk.post(RUNS, Message(text=str(i)), key=str(i))
        _, _, anew, looks = viewer.take()
        assert [look.kept.message.text for look in looks] == ["999"]
        assert not anew
        for i in range(500):
            await talk.post(LOBBY, Message(text=str(i)), key=f"lobby {i}")
        _, _, anew, looks = viewer.take()
        assert anew
        assert len(looks) < 401


async def test_who_does_not_read_is_sent_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.web.bodies.WRITE_SECONDS", 0.2)
    talk = site.talk
    reader, writer = await asyncio.open_connection("127.0.0.1", int(site.address.rpartition(":")[2]), limit=1024)
    writer.write(b"GET /events?conversation=lobby HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    reader._transport.pause_reading()  # type: ignore[attr-defined]  # a phone that is carried into a lift
    await until(lambda: talk._viewers)
    for i in range(2000):
        await site.chat.post(LOBBY, Message(text="x" * 15_000), key=f"{i}")
        if not talk._viewers:
            break
        await asyncio.sleep(0.005)
    await until(lambda: not talk._viewers)
    writer.transport.abort()


async def test_who_logged_out_sees_no_more(net: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.web.viewer.PING_SECONDS", 0.05)
    monkeypatch.setattr("adapters.web.viewer.LOOK_SECONDS", 0.05)
    async with opened(token="secret") as site:
        headers = {"Origin": site.address}
        login = await net.post(
            f"{site.address}/login", data={"token": "secret"}, headers=headers, allow_redirects=False
        )
        jar = {"Cookie": f"army={login.cookies['army'].value}"}
        async with net.get(f"{site.address}/events?conversation=lobby", headers=jar) as stream:
            await stream.content.readuntil(b"event: ping")
            assert site.talk._viewers
            await net.post(f"{site.address}/logout", headers=headers | jar, allow_redirects=False)
            await until(lambda: not site.talk._viewers)


async def test_trouble_with_the_drawer_is_told(site: Site, net: aiohttp.ClientSession) -> None:
    site.notes.fails = "The disk is full."
    assert await send(net, site, text="hello") == (503, "The disk is full.")
    with pytest.raises(Broken, match="disk"):
        await site.chat.post(LOBBY, Message(text="x"), key="k")
    site.notes.fails = ""
    await site.chat.post(LOBBY, Message(text="x"), key="k")


async def test_old_messages_come_on_demand(site: Site, net: aiohttp.ClientSession) -> None:
    for i in range(PAGE * 2 + 10):
        await site.chat.post(LOBBY, Message(text=f"{i}"), key=f"{i}")
    page = Page()
    async with page.looking(net, site, "lobby"):
        await until(lambda: "ready" in page.names)
    assert page.texts() == [f"{i}" for i in range(PAGE + 10, PAGE * 2 + 10)]
    seen, before, more = page.texts(), min(page.shown), True
    while more:
        query = {"conversation": "lobby", "before": before}
        found = await (await net.get(f"{site.address}/api/earlier", params=query)).json()
        seen = [words_of(look["html"]) for look in found["messages"]] + seen
        before, more = found["messages"][0]["id"], found["more"]
    assert seen == [f"{i}" for i in range(PAGE * 2 + 10)]


async def test_the_list_beside_the_log(site: Site, net: aiohttp.ClientSession) -> None:
    page = Page()
    async with page.looking(net, site, "lobby"):
        thread = await site.chat.open(LOBBY, "A <b>run</b>\u202e", key="run-1")
        await until(lambda: len(page.threads) == 3)
        assert page.threads[2] == {"id": thread.thread, "title": "A <b>run</b>", "newest": "", "rang": ""}
        message = await site.chat.post(RUNS, board(row("A run", Phase.WORKING, thread)), key="board")
        await until(lambda: page.threads[2].get("phase") == "working")
        await site.chat.edit(RUNS, message, board(row("A run", Phase.ASKING, thread)))
        await until(lambda: page.threads[2].get("phase") == "waiting for you")
        rang = await site.chat.post(thread, Message(text="Hey", rings=True), key="ring")
        await until(lambda: page.threads[2]["rang"] == rang)
        await site.chat.edit(RUNS, message, board())
        await until(lambda: "phase" not in page.threads[2])


async def test_a_page_is_told_that_the_bot_still_starts(net: aiohttp.ClientSession) -> None:
    async with opened(serving=False) as site:
        page = Page()
        async with page.looking(net, site, "lobby"), asyncio.TaskGroup() as tasks:
            await until(lambda: page.hello)
            assert not page.hello["serving"]
            status, words = await send(net, site, text="too early")
            assert status == 503
            assert "starting" in words
            serving = tasks.create_task(site.chat.serve(site.receive))
            await until(lambda: page.hello["serving"])
            assert (await send(net, site, text="now"))[0] == 200
            serving.cancel()
    assert [inbound.text for inbound in site.heard] == ["now"]


async def test_nobody_looks_at_what_is_not_there(site: Site, net: aiohttp.ClientSession) -> None:
    for place in ("", "nowhere", "../lobby", "0123456789abcdef", "m/lobby"):
        async with net.get(f"{site.address}/events", params={"conversation": place}) as response:
            assert response.status == 404
        assert (await send(net, site, conversation=place, text="x"))[0] == 404
    for where in (Conversation("web", "hall"), Conversation("fake", "lobby"), Conversation("web", "lobby", "gone")):
        with pytest.raises(Gone):
            await site.chat.post(where, Message(text="x"), key="k")


# --- what people do -------------------------------------------------------------------------------------------------


async def test_words_are_kept_before_the_core_is_told(site: Site, net: aiohttp.ClientSession) -> None:
    site.trouble = Broken("The disk is full.")
    assert await send(net, site, text="keep me") == (503, "The disk is full.")
    found = await (await net.get(f"{site.address}/api/earlier?conversation=lobby")).json()
    assert [(look["taken"], words_of(look["html"])) for look in found["messages"]] == [(False, "keep me")]
    site.trouble = None
    assert (await send(net, site, again=True))[0] == 200  # another browser repeats it from what is kept
    assert (await send(net, site, text="keep me"))[0] == 200
    found = await (await net.get(f"{site.address}/api/earlier?conversation=lobby")).json()
    assert [(look["taken"], look["fault"]) for look in found["messages"]] == [(True, "")]
    assert [(inbound.key, inbound.text) for inbound in site.heard] == [("web/lobby/message-1", "keep me")]
    assert (await send(net, site, id="never-sent", again=True))[0] == 404


async def test_a_refusal_stands_beside_the_words(site: Site, net: aiohttp.ClientSession) -> None:
    site.trouble = Refused("This run has ended.")
    assert await send(net, site, text="hello") == (403, "This run has ended.")
    found = await (await net.get(f"{site.address}/api/earlier?conversation=lobby")).json()
    assert [(look["taken"], look["fault"]) for look in found["messages"]] == [(True, "This run has ended.")]


async def test_long_texts(site: Site, net: aiohttp.ClientSession) -> None:
    task = "wörds and 🚀 " * 8000
    assert len(task) > 90_000
    assert (await send(net, site, text=task))[0] == 200
    assert site.heard[0].text == task
    status, words = await send(net, site, id="message-2", text="x" * 200_001)
    assert status == 413
    assert "200,001" in words
    status, words = await send(net, site, id="message-3", text="x" * 3_000_000)
    assert status == 413
    found = await (await net.get(f"{site.address}/api/earlier?conversation=lobby")).json()
    raw = await net.get(f"{site.address}/text/lobby/{found['messages'][0]['id']}")
    assert await raw.text() == task
    assert raw.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "body",
    [
        {"id": "short"},
        {"id": 7},
        {"id": "a/b/c/d/e"},
        {"id": "x" * 65},
        {"text": 5},
        {"text": " \n"},
        {"text": "x", "files": "no"},
        {"text": "x", "files": [{"artifact": "../../etc/passwd", "name": "x"}]},
        {"text": "x", "files": [{"artifact": "0" * 64, "name": "x"}]},
        {"text": "x", "files": [{"artifact": "0" * 64, "name": "x"}] * 21},
    ],
)
async def test_bad_words_are_answered_in_words(site: Site, net: aiohttp.ClientSession, body: dict[str, Any]) -> None:
    status, words = await send(net, site, **body)
    assert status == 400
    assert words.endswith(".")
    assert site.heard == []


async def test_what_is_no_json(site: Site, net: aiohttp.ClientSession) -> None:
    headers = {"X-Army": "1", "Origin": site.address}
    for data in (b"", b"{", b"[]", b"\xff", b"[" * 100_000):
        response = await net.post(f"{site.address}/api/send", data=data, headers=headers)
        assert response.status == 400
        assert (await response.json())["words"]


async def test_a_tap(site: Site, net: aiohttp.ClientSession) -> None:
    message = await site.chat.post(LOBBY, Message(text="?", buttons=(Button("Yes", "t:1"),)), key="k")
    headers = {"X-Army": "1", "Origin": site.address}
    body = {"id": "press-0001", "conversation": "lobby", "message": message, "token": "t:1"}
    for _ in range(2):
        assert (await net.post(f"{site.address}/api/press", json=body, headers=headers)).status == 200
    assert [(i.key, i.press, i.on, i.text) for i in site.heard] == [("web/lobby/press-0001", "t:1", message, "")]
    for token in ("", "x" * 61, "é", "a\nb", None, 5):
        bad = await net.post(f"{site.address}/api/press", json=body | {"token": token}, headers=headers)
        assert bad.status == 400


# --- files ----------------------------------------------------------------------------------------------------------


async def test_files_go_up_and_come_down(site: Site, net: aiohttp.ClientSession) -> None:
    headers = {"X-Army": "1", "Origin": site.address}
    content = bytes(range(256)) * 3000
    url = f"{site.address}/api/upload"
    up = await net.post(url, params={"name": 'a/b "ü".bin'}, data=content, headers=headers)
    kept = await up.json()
    assert (kept["name"], kept["size"]) == ('a_b "ü".bin', len(content))
    assert (await send(net, site, text="", files=[kept]))[0] == 200
    assert [(f.name, f.size) for f in site.heard[0].files] == [('a_b "ü".bin', len(content))]
    down = await net.get(f"{site.address}/files/{kept['artifact']}/x%22%0d%0ay.html")
    assert await down.read() == content
    assert down.headers["Content-Disposition"] == "attachment; filename=\"x___y.html\"; filename*=UTF-8''x%22%20y.html"
    assert down.headers["Content-Security-Policy"].startswith("sandbox")
    assert down.headers["X-Content-Type-Options"] == "nosniff"
    assert down.headers["Content-Type"] == "application/octet-stream"
    for bad in ("0" * 64, "x", "..%2f..%2fetc"):
        assert (await net.get(f"{site.address}/files/{bad}/x")).status == 404


async def test_uploads_that_do_not_fit(site: Site, net: aiohttp.ClientSession) -> None:
    headers = {"X-Army": "1", "Origin": site.address}
    url = f"{site.address}/api/upload?name=big.bin"
    assert (await net.post(url, data=b"", headers=headers)).status == 400
    site.artifacts.fails = "The disk is full."
    response = await net.post(url, data=b"x", headers=headers)
    assert (response.status, await response.json()) == (507, {"words": "The disk is full."})
    site.artifacts.fails = ""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield bytes(256 << 10)

    try:
        response = await net.post(url, data=endless(), headers=headers)
        assert response.status == 413
        assert "32 MiB" in (await response.json())["words"]
    except aiohttp.ClientConnectionError:
        pass  # the door was closed while more was still coming
    assert site.artifacts.files == {}


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n...", "image/png"),
        ("a.jpg", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("a.webp", b"RIFF....WEBPVP8 ", "image/webp"),
        ("a.gif", b"GIF89a", "image/gif"),
        ("a.png", b"<svg onload=alert(1)>", ""),
        ("a.svg", b"<svg onload=alert(1)>", ""),
        ("a.png", b"<!doctype html><script>alert(1)</script>", ""),
    ],
)
async def test_only_real_pictures_are_shown(
    site: Site, net: aiohttp.ClientSession, name: str, content: bytes, kind: str
) -> None:
    file = await keep_file(site, name, content)
    response = await net.get(f"{site.address}/files/{file.artifact}/{name}?view=1")
    assert await response.read() == content
    assert response.headers["Content-Type"] == (kind or "application/octet-stream")
    assert response.headers["Content-Disposition"].startswith("inline" if kind else "attachment")
    assert response.headers["Content-Security-Policy"].startswith("sandbox")
