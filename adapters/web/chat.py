"""The web page as a `Chat`: `Talk` is what is said, `Routes` what the listener answers, `Guard` who may."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from aiohttp import web

from adapters.web.guard import Guard
from adapters.web.render import PLATFORM
from adapters.web.routes import Routes
from adapters.web.talk import OVERALL, Talk
from orchestrator.ports import Artifacts, Notes

COMMANDS = (
    ("/launch", "start an agent on a task: /launch [agent] <task>"),
    ("/stop", "end this run"),
    ("/interrupt", "stop what the agent is doing now, and keep the run"),
    ("/runs", "every live run"),
    ("/logs", "the last events of this run: /logs [n]"),
    ("/doctor", "look at everything that can be wrong"),
    ("/help", "what can be done here"),
)


class WebChat:
    """The page. The bot owns the listener: call `add_routes` before it starts, and run `serve`.

    Without a token only this machine may look. `hosts` are the names that the page answers to besides the loopback
    ones; with a token and no names it answers to any. `https` says that a proxy in front speaks https, so that the
    cookie travels nowhere else.
    """

    def __init__(
        self,
        notes: Notes,
        artifacts: Artifacts,
        *,
        token: str = "",
        hosts: Collection[str] = (),
        https: bool = False,
        commands: Sequence[tuple[str, str]] = COMMANDS,
    ) -> None:
        talk = Talk(notes, commands=commands, login=bool(token))
        self.platform = PLATFORM
        self.serve, self.scope, self.pace = talk.serve, talk.scope, talk.pace
        self.open, self.post, self.edit = talk.open, talk.post, talk.edit
        self.remove, self.stale, self.sign, self.pulse = talk.remove, talk.stale, talk.sign, talk.pulse
        self.overall = OVERALL
        self._routes = Routes(talk, Guard(notes, token=token, hosts=hosts, https=https), artifacts)

    def add_routes(self, app: web.Application) -> None:
        """Answer at the root of this application."""
        self._routes.add_to(app)
