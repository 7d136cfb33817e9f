"""The list of conversations beside the log: the lobby, the dashboard and the threads, and what each is about now.

It knows names, the newest message and the phase that the dashboard last gave a thread; nothing of what is said in it.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from typing import Any

from adapters.web.drawer import Drawer, short
from adapters.web.posts import Post, Posts
from adapters.web.render import PLATFORM, phase_class, place_of
from orchestrator.nouns import Row
from orchestrator.words import clean

LOBBY, RUNS = "lobby", "runs"
_SHELF = "threads"
_SHOWN = 100
_KNOWN = 2000


class Threads:
    """The conversations of this page."""

    def __init__(self, drawer: Drawer, posts: Posts) -> None:
        self._drawer = drawer
        self._posts = posts
        self._listed: list[dict[str, Any]] | None = None  # the newest threads, newest first, once they were read
        self._known: OrderedDict[str, str] = OrderedDict()  # ids that were seen to exist, with their titles
        self._newest: OrderedDict[str, tuple[str, str]] = OrderedDict()  # the newest message, and the newest that rang
        self._rows: tuple[Row, ...] = ()

    async def open(self, title: str, *, key: str) -> tuple[str, bool]:
        """A thread of this key: its id, and whether it is new."""
        thread = {"id": short(key)[:16], "title": clean(title).strip() or "Untitled", "at": time.time()}
        _, new = await self._drawer.add(_SHELF, json.dumps(thread), key=str(thread["id"]))
        if new and self._listed is not None:
            self._listed = [thread, *self._listed][:_SHOWN]
        return str(thread["id"]), new

    async def title(self, place: str) -> str | None:
        """What a conversation is called; None when there is none of this name."""
        if place in {LOBBY, RUNS}:
            return place.capitalize()
        if place not in self._known:
            id_ = await self._drawer.find(_SHELF, key=place)
            body = await self._drawer.get(_SHELF, id_) if id_ else None
            if body is None:
                return None
            self._known[place] = str(json.loads(body)["title"])
            if len(self._known) > _KNOWN:
                self._known.popitem(last=False)
        return self._known[place]

    def notice(self, post: Post) -> bool:
        """Take note of a new look; true when the list looks different now."""
        message = post.kept.message
        changed = False
        if message.board and message.rows != self._rows:
            changed = _gist(message.rows) != _gist(self._rows)
            self._rows = message.rows
        newest, rang = self._newest.get(post.shelf, ("", ""))
        if post.kept.author != "you" and (newest or "0") < post.id:
            newest = post.id
        if message.rings and rang < post.id:
            rang = post.id
        if (newest, rang) != self._newest.get(post.shelf, ("", "")):
            self._newest[post.shelf] = (newest, rang)
            self._newest.move_to_end(post.shelf)
            if len(self._newest) > _KNOWN:
                self._newest.popitem(last=False)
            changed = True
        return changed

    async def listing(self) -> list[dict[str, Any]]:
        """Every conversation to be listed: the two fixed ones, threads with a live run, then the newest threads."""
        await self._read()
        phases = {place_of(row.where): row for row in self._rows if row.where and _is_here(row)}
        threads = {str(thread["id"]): str(thread["title"]) for thread in self._listed or ()}
        places = {RUNS: "Runs", LOBBY: "Lobby", **{place: row.title for place, row in phases.items()}}
        places.update({place: title for place, title in threads.items() if place not in places})
        return [await self._entry(place, title, phases.get(place)) for place, title in places.items()]

    async def _entry(self, place: str, title: str, row: Row | None) -> dict[str, Any]:
        if place not in self._newest:
            found = await self._posts.newest(place, 1)
            self._newest[place] = (found[-1].id if found else "", "")
        newest, rang = self._newest[place]
        entry: dict[str, Any] = {"id": place, "title": title, "newest": newest, "rang": rang}
        if row:
            entry |= {"phase": row.phase.value, "look": phase_class(row.phase)}
        return entry

    async def _read(self) -> None:
        """What was listed in former lives: the threads, and the phases that the last dashboard shows."""
        if self._listed is not None:
            return
        found = await self._drawer.newest(_SHELF, _SHOWN)
        boards = [post.kept.message for post in await self._posts.newest(RUNS, 5) if post.kept.message.board]
        if self._listed is None:  # somebody else may have read it, and opened a thread, in the meantime
            self._listed = [json.loads(body) for _, body in reversed(found)]
            self._rows = self._rows or (boards[-1].rows if boards else ())


def _is_here(row: Row) -> bool:
    return row.where is not None and row.where.platform == PLATFORM and row.where.thread != ""


def _gist(rows: tuple[Row, ...]) -> list[tuple[object, ...]]:
    return [(row.where, row.title, row.phase) for row in rows]
