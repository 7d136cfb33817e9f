"""Patches: JSON merge patch and JSON patch. A strategic merge is taken for a merge where it has no lists."""

from __future__ import annotations

import copy
import json
from typing import Any

from tests.kubeapi import refusal
from tests.kubeapi.refusal import Json, Refusal


def patched(thing: Json, body: bytes, content_type: str) -> Json:
    """The object with the patch applied. Raises `Refusal`."""
    try:
        patch = json.loads(body)
    except ValueError as error:
        raise refusal.bad_request(f"error decoding patch: {error}") from None
    match content_type.partition(";")[0].strip():
        case "application/json-patch+json" if isinstance(patch, list):
            return _by_steps(thing, patch)
        case "application/merge-patch+json" if isinstance(patch, dict):
            return _merged(thing, patch)
        case "application/strategic-merge-patch+json" if isinstance(patch, dict):
            if _lists(patch):
                raise refusal.internal("this server does not know how to merge lists strategically", code=501)
            return _merged(thing, patch)
        case other:
            raise Refusal(
                415, "UnsupportedMediaType",
                f"the body of the request was in an unknown format - accepted media types include: "
                f"application/json-patch+json, application/merge-patch+json; got {other}",
            )  # fmt: skip


def _lists(patch: Any) -> bool:
    return isinstance(patch, list) or (isinstance(patch, dict) and any(_lists(value) for value in patch.values()))


def _merged(thing: Any, patch: Json) -> Json:
    merged = dict(thing) if isinstance(thing, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value) if isinstance(value, dict) else value
    return merged


def _unprocessable() -> Refusal:
    return Refusal(422, "Invalid", "the server rejected our request due to an error in our request")


def _by_steps(thing: Json, steps: list[Any]) -> Json:
    at: Any = copy.deepcopy(thing)
    for step in steps:
        try:
            at = _step(at, step)
        except (KeyError, IndexError, ValueError, TypeError):
            raise _unprocessable() from None
    return dict(at)


def _step(root: Any, step: Json) -> Any:
    path = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
    holder = root
    for part in path[:-1]:
        holder = holder[int(part)] if isinstance(holder, list) else holder[part]
    last: Any = path[-1]
    if isinstance(holder, list):
        last = len(holder) if last == "-" else int(last)
    match step["op"]:
        case "test":
            if holder[last] != step["value"]:
                raise ValueError("test failed")
        case "add" if isinstance(holder, list):
            holder.insert(last, step["value"])
        case "add":
            holder[last] = step["value"]
        case "replace":
            holder.pop(last)
            return _step(root, {**step, "op": "add"})
        case "remove":
            del holder[last]
        case other:
            raise ValueError(f"this server does not know {other}")
    return root
