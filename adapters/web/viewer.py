"""One open page: a stream of server-sent events about one conversation and the list beside it.

A viewer holds a state, not a queue: of each message only the newest look waits to be sent, so that a slow connection
costs nothing and ends up right. It knows no platform port and hears nobody.

Event ids are `<boot>.<revision>`. Who comes back with one gets what changed since; who cannot be told gets everything.
The page upserts by message id, so nothing is missed and nothing stands twice.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from adapters.web.posts import Post, Posts
from adapters.web.render import message_html, opened_html, said_html
from adapters.web.threads import Threads

PAGE = 100
"""Messages that a page begins with, and that one tap on "earlier" brings."""

PING_SECONDS = 15.0
LOOK_SECONDS = 1.0
"""How soon a page that went away is noticed: nothing tells of it while there is nothing to write."""

_MOST = 400  # looks that may wait before the viewer is told to begin anew
_REST = 0.03  # seconds between two batches, at least
_SHARE = 4.0  # rendering for one viewer takes at most one part in five of the time
_LIST_SHARE = 100.0  # the list rests a hundred times as long as it took: with hundreds of runs it changes all the time


@dataclass(frozen=True, slots=True)
class About:
    """What a page is told first. `serving` is false while the bot has not begun to listen."""

    serving: bool
    login: bool
    commands: tuple[tuple[str, str], ...]


class Viewer:
    """What one page has not been sent yet."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.closed = False
        self._dirty: dict[str, Post] = {}
        self._anew = False
        self._list = True
        self._about = False
        self._wake = asyncio.Event()
        self._wake.set()  # the list is to be sent

    def see(self, post: Post) -> None:
        """A message of some conversation has a new look."""
        if post.shelf == self.place:
            self._dirty.pop(post.id, None)
            self._dirty[post.id] = post
            if len(self._dirty) > _MOST:
                self._dirty.clear()
                self._anew = True
            self._wake.set()

    def nudge(self, *, about: bool = False, listing: bool = False, close: bool = False) -> None:
        """Something besides the messages has changed."""
        self._about |= about
        self._list |= listing
        self.closed |= close
        self._wake.set()

    async def changes(self, seconds: float) -> bool:
        """Wait for something to send; false when there was nothing for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    def take(self, *, listing: bool = True) -> tuple[bool, bool, bool, list[Post]]:
        """What is to be sent now: about, the list (later, if not `listing`), everything anew, and looks by revision."""
        taken = self._about, self._list and listing, self._anew, list(self._dirty.values())
        self._list &= not listing
        self._about = self._anew = False
        self._dirty.clear()
        return taken


class Streams:
    """Turns what a viewer has to see into events."""

    def __init__(self, posts: Posts, threads: Threads, about: Callable[[], About]) -> None:
        self._posts = posts
        self._threads = threads
        self._about = about
        self._rendered: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}

    async def events(
        self, viewer: Viewer, last: str, *, allowed: Callable[[], Awaitable[bool]], gone: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        """Everything for this page until it is closed, gone, or may not look any more. `last` is the last id it got."""
        async for event in self._begin(viewer, last):
            yield event
        shown, list_at, pinged = "", 0.0, time.monotonic()
        while not viewer.closed and not gone():
            if time.monotonic() - pinged > PING_SECONDS:
                if not await allowed():
                    return
                pinged = time.monotonic()
                yield _event("ping", {"now": time.time()})
            await viewer.changes(LOOK_SECONDS)
            about, listing, anew, looks = viewer.take(listing=time.monotonic() >= list_at)
            if about:
                yield self._hello()
            if listing:
                started = time.monotonic()
                text = json.dumps(await self._threads.listing())
                list_at = time.monotonic() + min(LOOK_SECONDS, _LIST_SHARE * (time.monotonic() - started))
                if text != shown:
                    shown = text
                    yield _event("threads", text)
            if anew:
                async for event in self._everything(viewer.place):
                    yield event
            spent = 0.0  # by this viewer alone: if what others do counted, a busy bot would show nothing any more
            for post in looks:
                started = time.monotonic()
                event = _event("message", self.look(post), id_=f"{self._posts.boot}.{post.rev}")
                spent += time.monotonic() - started
                yield event
            await asyncio.sleep(max(_REST, _SHARE * spent))

    async def earlier(self, place: str, before: str) -> dict[str, Any]:
        """The messages before this one, as the page shows them."""
        posts = await self._posts.newest(place, PAGE + 1, before=before)
        return {"messages": [self.look(post) for post in posts[-PAGE:]], "more": len(posts) > PAGE}

    def look(self, post: Post) -> dict[str, Any]:
        """A message as the page shows it."""
        place = (post.shelf, post.id)
        known = self._rendered.get(place)
        if known and post.rev and known[0] == post.rev:
            return known[1]
        look = _look(post)
        self._rendered.pop(place, None)
        self._rendered[place] = (post.rev, look)
        if len(self._rendered) > PAGE:
            del self._rendered[next(iter(self._rendered))]
        return look

    async def _begin(self, viewer: Viewer, last: str) -> AsyncIterator[bytes]:
        yield self._hello()
        boot, _, rev = last.partition(".")
        missed = self._posts.since(viewer.place, int(rev)) if boot == self._posts.boot and _is_number(rev) else None
        if missed is None:
            async for event in self._everything(viewer.place):
                yield event
            return
        for post in missed:
            yield _event("message", self.look(post), id_=f"{self._posts.boot}.{post.rev}")
        yield _event("ready", {})

    async def _everything(self, place: str) -> AsyncIterator[bytes]:
        """The whole conversation as it stands. Only the last event has an id: a page cut off before begins again."""
        rev = self._posts.rev
        posts = await self._posts.newest(place, PAGE + 1)
        title = await self._threads.title(place)
        ids = [post.id for post in posts[-PAGE:]]
        yield _event("state", {"place": place, "title": title, "ids": ids, "more": len(posts) > PAGE})
        for post in posts[-PAGE:]:
            yield _event("message", self.look(post))
            await asyncio.sleep(0)  # a hundred messages are rendered one by one, others have their turn between
        yield _event("ready", {}, id_=f"{self._posts.boot}.{rev}")

    def _hello(self) -> bytes:
        about = self._about()
        body = {"now": time.time(), "serving": about.serving, "login": about.login, "commands": about.commands}
        return _event("hello", body)


def raw_address(post: Post) -> str:
    """Where the text of a message is to be had in full."""
    return f"/text/{post.shelf}/{post.id}"


def _look(post: Post) -> dict[str, Any]:
    kept, raw = post.kept, raw_address(post)
    message = kept.message
    if kept.opens:
        html = opened_html(message.text, kept.opens)
    elif kept.author == "you":
        html = said_html(message.text, message.files, raw=raw)
    else:
        html = message_html(message, raw=raw)
    look = {"id": post.id, "rev": post.rev, "author": kept.author, "at": kept.at, "html": html}
    extra = {
        "key": kept.key,
        "taken": kept.taken,
        "fault": kept.fault,
        "opens": kept.opens,
        "live": message.since > 0,
        "board": message.board,
        "rings": message.rings,
    }
    return look | extra


def _event(name: str, body: object, *, id_: str = "") -> bytes:
    data = body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))
    return f"event: {name}\n{f'id: {id_}{chr(10)}' if id_ else ''}data: {data}\n\n".encode()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16
