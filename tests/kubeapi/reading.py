"""Lists and watches: pages, versions, selectors, bookmarks, and the moment at which a version is too old.

It knows the stock, and no rights.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from tests.kubeapi import refusal
from tests.kubeapi.ask import Target
from tests.kubeapi.refusal import Json, Refusal
from tests.kubeapi.selectors import FIELDS, PLAIN, Match, by_fields, by_labels
from tests.kubeapi.sorts import Sort
from tests.kubeapi.stock import Change, Stock, Thing

KEPT_PAGES = 16
LIST_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter."
)


def selected(target: Target, query: Mapping[str, str]) -> Match:
    """Which objects a request is about."""
    labels = by_labels(query.get("labelSelector", ""))
    fields = by_fields(query.get("fieldSelector", ""), allowed=FIELDS.get(target.sort.kind, PLAIN))
    space = target.namespace

    def match(thing: Json) -> bool:
        return (not space or thing["metadata"].get("namespace") == space) and labels(thing) and fields(thing)

    return match


def version_of(query: Mapping[str, str]) -> int | None:
    """The resource version that was asked for; None: whatever is newest. Raises `Refusal`."""
    text = query.get("resourceVersion", "")
    if not text:
        return None
    if not text.isdigit():
        raise refusal.bad_request(f'invalid resource version "{text}"')
    return int(text)


class Lists:
    """Lists, and the pages that are not fetched yet."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
        self._pages: dict[tuple[Sort, str, int], list[Thing]] = {}

    def answer(self, target: Target, query: Mapping[str, str]) -> bytes:
        """The list as it is sent. Raises `Refusal`."""
        version, things, start = self._snapshot(target, query)
        match = selected(target, query)
        limit = int(query.get("limit") or 0)
        found = [thing for thing in things if match(thing.object)]
        page = found[start : start + limit] if limit else found[start:]
        meta: Json = {"resourceVersion": str(version)}
        if len(page) < len(found) - start:
            self._pages[target.sort, target.namespace, version] = things
            while len(self._pages) > KEPT_PAGES:
                del self._pages[next(iter(self._pages))]
            token = json.dumps({"rv": version, "start": start + limit})
            meta["continue"] = base64.urlsafe_b64encode(token.encode()).decode()
            if not query.get("labelSelector") and not query.get("fieldSelector"):
                meta["remainingItemCount"] = len(found) - start - limit
        head = {"kind": f"{target.sort.kind}List", "apiVersion": target.sort.api_version, "metadata": meta}
        items = b",".join(thing.bare for thing in page)
        return json.dumps(head).encode()[:-1] + b', "items": [' + items + b"]}"

    def _snapshot(self, target: Target, query: Mapping[str, str]) -> tuple[int, list[Thing], int]:
        asked = version_of(query)
        if text := query.get("continue"):
            try:
                token = json.loads(base64.urlsafe_b64decode(text))
                version, start = int(token["rv"]), int(token["start"])
            except (ValueError, KeyError, TypeError):
                raise refusal.bad_request("continue key is not valid") from None
            kept = self._pages.get((target.sort, target.namespace, version))
            if version < self._stock.compacted or kept is None:
                raise refusal.expired(LIST_TOO_OLD)
            return version, kept, start
        if asked is not None and asked > self._stock.version:
            raise refusal.internal(f"Too large resource version: {asked}, current: {self._stock.version}", code=504)
        exact = query.get("resourceVersionMatch") == "Exact"
        if exact and asked is not None and asked < self._stock.version:
            raise refusal.expired(f"too old resource version: {asked} ({self._stock.compacted + 1})")
        return self._stock.version, self._stock.all(target.sort, target.namespace), 0


@dataclass
class Watch:
    """One watch that is open."""

    target: Target
    response: web.StreamResponse
    transport: asyncio.Transport

    def cut(self, *, torn: bool) -> None:
        """Let it end without an end: the client sees an unexpected EOF, `torn`: in the midst of a line."""
        if torn:
            line = b'{"type":"MODIFIED","object":{"kind":"Po'
            self.transport.write(b"%x\r\n%b\r\n" % (len(line), line))
        self.transport.close()


class Watches:
    """Every open watch."""

    def __init__(self, stock: Stock) -> None:
        self.open: list[Watch] = []
        self.bookmark_seconds = 60.0
        self.longest_seconds = 1800.0
        self._stock = stock

    def cut(self, *, torn: bool = False) -> None:
        """All of them end without an end."""
        for watch in list(self.open):
            watch.cut(torn=torn)

    async def serve(self, request: web.Request, target: Target, *, expire: bool = False) -> web.StreamResponse:
        """Stream changes until the time is over or the client is gone. Raises `Refusal` before it begins."""
        query = request.query
        match = selected(target, query)
        asked = version_of(query)
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache"})
        response.enable_chunked_encoding()
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        await response.prepare(request)
        watch = Watch(target, response, transport)
        self.open.append(watch)
        limit = float(query.get("timeoutSeconds") or self.longest_seconds)
        try:
            with suppress(ConnectionError):  # the client has gone while it was told something
                try:
                    if expire:
                        raise refusal.expired(f"too old resource version: {asked} ({self._stock.version})")
                    await self._stream(watch, match, asked, query=query, until=time.monotonic() + limit)
                except Refusal as refused:
                    await response.write(_line("ERROR", json.dumps(refused.status).encode()))
                await response.write_eof()
        finally:
            self.open.remove(watch)
        return response

    async def _stream(
        self, watch: Watch, match: Match, asked: int | None, *, query: Mapping[str, str], until: float
    ) -> None:
        sort, at = watch.target.sort, self._stock.version
        marks = query.get("allowWatchBookmarks", "").lower() in {"true", "1"}
        initial = query.get("sendInitialEvents", "").lower() in {"true", "1"}
        if not asked or initial:
            for thing in self._stock.all(sort, watch.target.namespace):
                if match(thing.object):
                    await watch.response.write(_line("ADDED", thing.raw))
            if initial and marks:
                await watch.response.write(_bookmark(sort, at, {"k8s.io/initial-events-end": "true"}))
        else:
            at = asked
        mark_at = time.monotonic() + self.bookmark_seconds
        while True:
            changes = self._stock.since(at)
            lines = [line for change in changes if change.sort is sort and (line := _seen(change, match))]
            if lines:
                await watch.response.write(b"".join(lines))
            at = changes[-1].version if changes else max(at, asked or 0)
            left = min(until, mark_at if marks else until) - time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, left)):
                    await self._stock.changed(at)
            except TimeoutError:
                if marks:
                    await watch.response.write(_bookmark(sort, at, {}))
                    mark_at = time.monotonic() + self.bookmark_seconds
                if time.monotonic() >= until:
                    return


def _seen(change: Change, match: Match) -> bytes:
    """The event that somebody with this selector sees; what leaves the selection is gone for him."""
    was = change.before is not None and match(change.before.object)
    if change.what == "DELETED":
        return _line("DELETED", change.thing.raw) if was else b""
    now = match(change.thing.object)
    if now:
        return _line("MODIFIED" if was else "ADDED", change.thing.raw)
    if was and change.before is not None:
        gone = {**change.before.object}
        gone["metadata"] = {**gone["metadata"], "resourceVersion": str(change.version)}
        return _line("DELETED", json.dumps(gone).encode())
    return b""


def _line(what: str, thing: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (what.encode(), thing)


def _bookmark(sort: Sort, version: int, annotations: dict[str, str]) -> bytes:
    meta: Json = {"resourceVersion": str(version), "creationTimestamp": None}
    if annotations:
        meta["annotations"] = annotations
    thing: Json = {"kind": sort.kind, "apiVersion": sort.api_version, "metadata": meta}
    if sort.kind == "Pod":
        thing |= {"spec": {"containers": None}, "status": {}}
    return _line("BOOKMARK", json.dumps(thing).encode())
