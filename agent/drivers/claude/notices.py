"""What a person should know while it lasts: one sentence of a kind in each turn, however often the CLI says it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.driver import Step
from agent.drivers.claude import words
from agent.drivers.claude.loose import word
from agent.wire import Noticed, Other


class Notices:
    """The notices of one process."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def begin_turn(self) -> None:
        """What was said before may be said again."""
        self._said.clear()

    def say(self, level: str, code: str, text: str) -> Iterator[Step]:
        """A notice, unless one of this code was given in this turn."""
        if code not in self._said:
            self._said.add(code)
            yield Noticed(level, code, text)

    def retry(self, status: int) -> Iterator[Step]:
        """The API failed and is asked again."""
        kind, _ = words.api_trouble(status)
        yield from self.say("error" if status in words.CREDENTIAL else "warning", kind, words.retrying(status))

    def rate_limit(self, info: dict[str, Any]) -> Iterator[Step]:
        """How much of a subscription is left."""
        match info.get("status"):
            case "rejected":
                text = "The subscription's limit is reached; the model answers again when the limit is reset."
                yield from self.say("error", "limit-reached", text)
            case "allowed_warning":
                yield from self.say("warning", "limit-near", "The subscription's limit is nearly reached.")
            case _:
                pass

    def system(self, subtype: str, message: dict[str, Any], line: bytes) -> Iterator[Step]:
        """Another system message; one that nobody knows is kept."""
        match subtype:
            case "permission_denied":
                tool = word(message.get("tool_name")) or "a tool"
                yield from self.say("info", f"denied-{tool}", f"The agent may not use {tool} in this way.")
            case "compact_boundary":
                text = "The conversation was getting long and was summed up; details of its beginning may be lost."
                yield from self.say("info", "compacted", text)
            case _:
                yield Other(f"system/{subtype}", line.decode("utf-8", "replace"))
