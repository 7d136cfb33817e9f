"""What the platform says when it refuses: the status, the code and the sentence, as they are documented.

It does not know who is refused or why; routes raise these and the front turns them into answers.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

SENTENCES = {
    10003: (404, "Unknown Channel"),
    10004: (404, "Unknown Guild"),
    10007: (404, "Unknown Member"),
    10008: (404, "Unknown Message"),
    10013: (404, "Unknown User"),
    10014: (404, "Unknown Emoji"),
    10015: (404, "Unknown Webhook"),
    10062: (404, "Unknown interaction"),
    10063: (404, "Unknown application command"),
    20028: (429, "The write action you are performing on the channel has hit the write rate limit."),
    30003: (400, "Maximum number of pins reached for the channel (250)"),
    30010: (400, "Maximum number of reactions reached (20)"),
    30034: (429, "Max number of daily application command creates has been reached (200)"),
    30046: (429, "Maximum number of edits to messages older than 1 hour reached. Try again later"),
    40005: (413, "Request entity too large"),
    40060: (400, "Interaction has already been acknowledged."),
    40062: (429, "Service resource is being rate limited."),
    40067: (400, "A tag is required to create a forum post in this channel"),
    50001: (403, "Missing Access"),
    50005: (403, "Cannot edit a message authored by another user"),
    50006: (400, "Cannot send an empty message"),
    50007: (403, "Cannot send messages to this user"),
    50013: (403, "Missing Permissions"),
    50024: (400, "Cannot execute action on this channel type"),
    50027: (401, "Invalid Webhook Token"),
    50035: (400, "Invalid Form Body"),
    50083: (400, "Thread is archived"),
    50109: (400, "The request body contains invalid JSON."),
    160004: (400, "A thread has already been created for this message"),
    160005: (400, "This thread is locked"),
    160006: (400, "Maximum number of active threads reached"),
}


class Refusal(Exception):
    """An answer that is not what was asked for."""

    def __init__(
        self, code: int, *, status: int = 0, said: str = "", errors: Json | None = None, retry_after: float = 0.0
    ) -> None:
        known = SENTENCES.get(code, (400, "Bad Request"))
        self.code = code
        self.status = status or known[0]
        self.said = said or known[1]
        self.errors = errors
        self.retry_after = retry_after
        super().__init__(f"{self.status} {self.code} {self.said}")

    @property
    def body(self) -> Json:
        """The body of the answer."""
        body: Json = {"message": self.said, "code": self.code}
        return body | ({"errors": self.errors} if self.errors else {})


def invalid(where: str, why: str, *, code: str = "BASE_TYPE_BAD_LENGTH") -> Refusal:
    """50035 with the field that is wrong, nested as the platform nests it."""
    errors: Json = {"_errors": [{"code": code, "message": why}]}
    for part in reversed(where.split(".")):
        errors = {part: errors}
    return Refusal(50035, errors=errors)


def unauthorised() -> Refusal:
    """The token is not the bot's."""
    return Refusal(0, status=401, said="401: Unauthorized")


def unknown_route() -> Refusal:
    """A path that this fake does not have."""
    return Refusal(0, status=404, said="404: Not Found")
