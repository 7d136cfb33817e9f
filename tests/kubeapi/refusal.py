"""How the API server says no: one Status object for every refusal, in the server's own words.

It knows the form of an answer, not when it is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]


class Refusal(Exception):
    """A request that gets a Status instead of what it asked for."""

    def __init__(
        self, code: int, reason: str, message: str, *, details: Json | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after
        self.text = ""
        """What is said in plain text, where the server does not get as far as a Status."""
        self.status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }
        if details:
            self.status["details"] = details


def unauthorised() -> Refusal:
    """No token, or not one that counts."""
    return Refusal(401, "Unauthorized", "Unauthorized")


def not_found(plural: str, name: str) -> Refusal:
    """There is no such object."""
    return Refusal(404, "NotFound", f'{plural} "{name}" not found', details={"name": name, "kind": plural})


def no_such_path() -> Refusal:
    """There is no such address."""
    refused = Refusal(404, "NotFound", "")
    refused.text = "404 page not found\n"
    return refused


def exists(plural: str, name: str) -> Refusal:
    """A create for a name that is taken."""
    return Refusal(409, "AlreadyExists", f'{plural} "{name}" already exists', details={"name": name, "kind": plural})


def conflict(plural: str, name: str, why: str = "") -> Refusal:
    """A write that was made for another version of the object."""
    why = why or ("the object has been modified; please apply your changes to the latest version and try again")
    return Refusal(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {plural} "{name}": {why}',
        details={"name": name, "kind": plural},
    )


def forbidden(plural: str, name: str, why: str) -> Refusal:
    """What rights or admission refuse."""
    what = f'{plural} "{name}"' if name else plural
    return Refusal(403, "Forbidden", f"{what} is forbidden: {why}", details={"name": name, "kind": plural})


def invalid(kind: str, name: str, causes: Sequence[tuple[str, str]]) -> Refusal:
    """A body that can be read and makes no sense: pairs of a field and what is wrong with it."""
    told = [f"{field}: {why}" for field, why in causes]
    listed = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    return Refusal(
        422,
        "Invalid",
        f'{kind} "{name}" is invalid: {listed}',
        details={
            "name": name,
            "kind": kind,
            "causes": [{"reason": "FieldValueInvalid", "message": why, "field": field} for field, why in causes],
        },
    )


def bad_request(message: str) -> Refusal:
    """A body or a parameter that cannot be read."""
    return Refusal(400, "BadRequest", message)


def expired(message: str) -> Refusal:
    """A resource version that was compacted away."""
    return Refusal(410, "Expired", message)


def busy(retry_after: float) -> Refusal:
    """Too many requests."""
    return Refusal(
        429,
        "TooManyRequests",
        "the server has received too many requests and has asked us to try again later",
        details={"retryAfterSeconds": max(1, round(retry_after))},
        retry_after=retry_after,
    )


def internal(message: str, *, code: int = 500) -> Refusal:
    """The server's own failure, or that of the kubelet behind it."""
    reason = {503: "ServiceUnavailable", 504: "Timeout"}.get(code, "InternalError")
    return Refusal(code, reason, message)
