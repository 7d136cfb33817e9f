"""How the platform says no: a number, a sentence in its own words, and sometimes parameters."""

from __future__ import annotations

from math import ceil
from typing import Any

Json = dict[str, Any]


class Refusal(Exception):
    """An answer with `ok: false`."""

    def __init__(self, code: int, words: str, parameters: Json | None = None) -> None:
        super().__init__(words)
        self.code = code
        self.words = words
        self.parameters = parameters

    def body(self) -> Json:
        """The answer as it goes over the wire."""
        body: Json = {"ok": False, "error_code": self.code, "description": self.words}
        return body | ({"parameters": self.parameters} if self.parameters else {})


def bad(words: str) -> Refusal:
    """The request cannot be done."""
    return Refusal(400, f"Bad Request: {words}")


def forbidden(words: str) -> Refusal:
    """The bot may not."""
    return Refusal(403, f"Forbidden: {words}")


def conflict(words: str) -> Refusal:
    """Somebody else already listens."""
    return Refusal(409, f"Conflict: {words}")


def patience(seconds: float) -> Refusal:
    """Come back later; the platform only speaks of whole seconds."""
    whole = max(1, ceil(seconds))
    return Refusal(429, f"Too Many Requests: retry after {whole}", {"retry_after": whole})


class Careless(Refusal):
    """What the platform would put up with by spoiling it silently, and what a test is to fail over."""

    def __init__(self, words: str) -> None:
        super().__init__(400, f"Bad Request: {words}")
