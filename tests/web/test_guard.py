"""Who gets in, and each way in which somebody must not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from adapters.web.guard import FREE_TRIES, Guard
from tests.fakes.notes import MemoryNotes
from tests.web.stage import Site, opened

TOKEN = "a-long-secret"
SEND = {"id": "message-1", "conversation": "lobby", "text": "hello"}


@pytest.fixture
async def net() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as net:
        yield net


def own(site: Site, **more: str) -> dict[str, str]:
    """What this page's own scripts send."""
    return {"X-Army": "1", "Origin": site.address, **more}


async def log_in(net: aiohttp.ClientSession, site: Site, token: str = TOKEN) -> aiohttp.ClientResponse:
    headers = {"Origin": site.address}
    return await net.post(f"{site.address}/login", data={"token": token}, headers=headers, allow_redirects=False)


async def test_loopback_without_a_token_is_open(net: aiohttp.ClientSession) -> None:
    async with opened() as site:
        for path in ("/", "/static/main.js", "/api/earlier?conversation=lobby"):
            assert (await net.get(site.address + path)).status == 200
        assert (await net.post(f"{site.address}/api/send", json=SEND, headers=own(site))).status == 200
        assert [inbound.key for inbound in site.heard] == ["web/lobby/message-1"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[", "10.0.0.1"])
async def test_another_name_is_not_answered(net: aiohttp.ClientSession, host: str) -> None:
    """A page elsewhere that points its own name at this machine gets nothing (DNS rebinding)."""
    async with opened() as site:
        for path in ("/", "/login", "/static/page.css", "/api/earlier?conversation=lobby"):
            assert (await net.get(site.address + path, headers={"Host": host})).status in {400, 421}


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:30080", "LOCALHOST", "army.example:8443"])
async def test_known_names_are_answered(net: aiohttp.ClientSession, host: str) -> None:
    async with opened(hosts=("army.example",)) as site:
        assert (await net.get(site.address, headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Army": "1"},
        {"X-Army": "1", "Origin": "https://evil.example"},
        {"X-Army": "1", "Origin": "null"},
        {"X-Army": "1", "Origin": "http://127.0.0.1"},
        {"X-Army": "1", "Sec-Fetch-Site": "cross-site"},
        {"X-Army": "1", "Sec-Fetch-Site": "same-site", "Origin": "SELF"},
        {"Origin": "SELF"},
        {"X-Army": "0", "Origin": "SELF"},
    ],
)
async def test_another_site_changes_nothing(net: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    async with opened() as site:
        sent = {name: value.replace("SELF", site.address) for name, value in headers.items()}
        for path in ("/api/send", "/api/press", "/api/upload?name=x"):
            response = await net.post(site.address + path, json=SEND, headers=sent)
            assert response.status == 403
            assert (await response.json())["words"]
        assert site.heard == []


async def test_another_site_reads_nothing(net: aiohttp.ClientSession) -> None:
    async with opened() as site:
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        for path in ("/events?conversation=lobby", "/api/earlier?conversation=lobby", "/static/main.js"):
            assert (await net.get(site.address + path, headers=headers)).status == 403
        headers["Sec-Fetch-Mode"] = "navigate"
        assert (await net.get(site.address, headers=headers)).status == 200


async def test_everything_but_the_login_needs_the_cookie(net: aiohttp.ClientSession) -> None:
    async with opened(token=TOKEN) as site:
        for path in (
            "/static/main.js",
            "/static/composer.js",
            "/static/page.html",
            "/events?conversation=lobby",
            "/api/earlier?conversation=lobby",
            f"/files/{'0' * 64}/x",
            "/text/lobby/1",
        ):
            assert (await net.get(site.address + path)).status == 401, path
        for path in ("/api/send", "/api/press", "/api/upload", "/logout"):
            assert (await net.post(site.address + path, json=SEND, headers=own(site))).status == 401, path
        for path in ("/login", "/static/page.css", "/static/icon.svg"):
            assert (await net.get(site.address + path)).status == 200, path
        page = await net.get(site.address, allow_redirects=False)
        assert (page.status, page.headers["Location"]) == (303, "/login")
        assert site.heard == []


async def test_a_session_begins_lasts_and_ends(net: aiohttp.ClientSession) -> None:
    async with opened(token=TOKEN) as site:
        assert (await log_in(net, site)).status == 303
        assert (await net.get(site.address)).status == 200
        kept = " ".join([*site.notes.texts, *site.notes.texts.values()])
    cookie = next(iter(net.cookie_jar))
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    assert cookie["path"] == "/"
    assert cookie.value not in kept  # reading the drawer gives nobody a way in
    async with opened(site, token=TOKEN) as again:  # a restart keeps it
        jar = {"Cookie": f"army={cookie.value}"}
        assert (await net.get(f"{again.address}/api/earlier?conversation=lobby", headers=jar)).status == 200
        out = await net.post(f"{again.address}/logout", headers=own(again) | jar, allow_redirects=False)
        assert out.status == 303
        assert (await net.get(f"{again.address}/api/earlier?conversation=lobby", headers=jar)).status == 401


async def test_another_token_ends_every_session(net: aiohttp.ClientSession) -> None:
    async with opened(token=TOKEN) as site:
        await log_in(net, site)
        jar = {"Cookie": f"army={next(iter(net.cookie_jar)).value}"}
    async with opened(site, token="changed") as again:
        assert (await net.get(f"{again.address}/api/earlier?conversation=lobby", headers=jar)).status == 401


async def test_an_old_session_is_over(net: aiohttp.ClientSession) -> None:
    async with opened(token=TOKEN) as site:
        await log_in(net, site)
        jar = {"Cookie": f"army={next(iter(net.cookie_jar)).value}"}
        session = next(name for name in site.notes.texts if name.startswith("s/"))
    site.notes.texts[session] = "12.5"
    async with opened(site, token=TOKEN) as again:
        assert (await net.get(f"{again.address}/api/earlier?conversation=lobby", headers=jar)).status == 401
        await log_in(net, again)
        assert session not in site.notes.texts  # and is swept out


async def test_wrong_tokens_wait_longer_and_longer(net: aiohttp.ClientSession) -> None:
    async with opened(token=TOKEN) as site:
        for guess in ["", "x", "\udcff", TOKEN[:-1], TOKEN + "x"][:FREE_TRIES]:
            response = await log_in(net, site, guess.encode("utf-8", "replace").decode())
            assert response.status == 401
            assert "WEB_TOKEN" in await response.text()
        response = await log_in(net, site)  # even the right one has to wait now
        assert response.status == 429
        assert "Try again in" in await response.text()
        assert not net.cookie_jar


async def test_a_login_from_another_site_is_refused(net: aiohttp.ClientSession) -> None:
    async with opened(token=TOKEN) as site:
        for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
            response = await net.post(f"{site.address}/login", data={"token": TOKEN}, headers=headers)
            assert response.status == 403
        assert not net.cookie_jar


async def test_a_link_from_elsewhere_leads_in(net: aiohttp.ClientSession) -> None:
    """A strict cookie does not come with the first step from another site: the page makes a second step of its own."""
    async with opened(token=TOKEN) as site:
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        response = await net.get(site.address, headers=headers, allow_redirects=False)
        assert response.status == 200
        assert 'http-equiv="refresh"' in await response.text()


async def test_every_answer_carries_the_policy(net: aiohttp.ClientSession) -> None:
    async with opened(token=TOKEN) as site:
        for path in ("/", "/login", "/static/page.css", "/static/nothing.css", "/api/earlier", "/events"):
            response = await net.get(site.address + path)
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["X-Frame-Options"] == "DENY"
        await log_in(net, site)
        async with net.get(f"{site.address}/events?conversation=lobby") as stream:
            assert "default-src 'none'" in stream.headers["Content-Security-Policy"]


async def test_assets_are_kept_until_they_change(net: aiohttp.ClientSession) -> None:
    async with opened() as site:
        first = await net.get(f"{site.address}/static/page.css")
        again = await net.get(f"{site.address}/static/page.css", headers={"If-None-Match": first.headers["ETag"]})
        assert (first.status, again.status) == (200, 304)
        for name in ("..%2fchat.py", "nothing.js", "page.html", "login.html", "%00"):
            assert (await net.get(f"{site.address}/static/{name}")).status in {400, 404}


@pytest.mark.parametrize(("remote", "known"), [("127.0.0.1", True), ("::1", True), ("10.1.2.3", False), (None, False)])
async def test_without_a_token_only_this_machine_is_known(remote: str | None, *, known: bool) -> None:
    """The listener may be opened to the network by mistake; a stranger then is nobody."""
    guard = Guard(MemoryNotes(), token="", hosts=(), https=False)
    request = make_mocked_request("GET", "/", headers={"Host": "localhost"})
    found = request.clone(remote=remote) if remote else request
    assert await guard.knows(found) is known
