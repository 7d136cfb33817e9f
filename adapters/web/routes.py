"""The page's addresses: which part answers at which, and who is let in to it.

Each part checks what came, asks the chat or the artifacts, and answers in a sentence; none of that is known here.
"""

from __future__ import annotations

from aiohttp import web

from adapters.web.doings import Doings
from adapters.web.events import Events
from adapters.web.files import Files
from adapters.web.guard import Guard
from adapters.web.pages import Pages
from adapters.web.talk import Talk
from orchestrator.ports import Artifacts


class Routes:
    """What the listener answers."""

    def __init__(self, talk: Talk, guard: Guard, artifacts: Artifacts) -> None:
        self._talk = talk
        self._guard = guard
        self._pages = Pages(guard)
        self._events = Events(talk, guard)
        self._files = Files(talk, artifacts)
        self._doings = Doings(talk, self._files)

    def add_to(self, app: web.Application) -> None:
        """Mount everything at the root."""
        wrap = self._guard.wrap
        app.add_routes(
            [
                web.get("/", wrap(self._pages.page)),
                web.get("/login", wrap(self._pages.login_page, open_to_all=True)),
                web.post("/login", wrap(self._pages.login, open_to_all=True, script=False)),
                web.post("/logout", wrap(self._guard.log_out, script=False)),
                web.get("/static/{name:page[.]css|login[.]css|icon[.]svg}", wrap(self._pages.asset, open_to_all=True)),
                web.get("/static/{name}", wrap(self._pages.asset)),
                web.get("/events", wrap(self._events.follow), allow_head=False),
                web.get("/api/earlier", wrap(self._events.earlier)),
                web.post("/api/send", wrap(self._doings.send)),
                web.post("/api/press", wrap(self._doings.press)),
                web.post("/api/upload", wrap(self._files.upload)),
                web.get("/files/{artifact}/{name}", wrap(self._files.file)),
                web.get("/text/{place}/{id}", wrap(self._files.text)),
            ]
        )

        async def close(_app: web.Application) -> None:
            self._talk.close()

        app.on_shutdown.append(close)
