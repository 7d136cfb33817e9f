"""What the platform's description of mid-2025 does not have: queries, modals with labels, ids that come as numbers.

Written from the platform's documentation in the few words needed to tell right from wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tests.discordapi.limits import shape
from tests.discordapi.schema import short, violations

# --- queries, which the package has only as arguments of its own functions --------------------------------------------

QUERIES: dict[str, set[str]] = {
    "GET /channels/{}/messages": {"limit", "before", "after", "around"},
    "GET /channels/{}/messages/pins": {"limit", "before"},
    "GET /channels/{}/messages/{}/reactions/{}": {"after", "limit", "type"},
    "GET /channels/{}/threads/archived/public": {"before", "limit"},
    "GET /channels/{}/thread-members": {"with_member", "limit", "after"},
    "POST /channels/{}/threads": {"use_nested_fields"},
    "POST /interactions/{}/{}/callback": {"with_response"},
    "POST /webhooks/{}/{}": {"wait", "thread_id", "with_components"},
    "GET /webhooks/{}/{}/messages/{}": {"thread_id"},
    "PATCH /webhooks/{}/{}/messages/{}": {"thread_id", "with_components"},
    "DELETE /webhooks/{}/{}/messages/{}": {"thread_id"},
    "GET /applications/{}/commands": {"with_localizations"},
    "GET /applications/{}/guilds/{}/commands": {"with_localizations"},
    "GET /guilds/{}": {"with_counts"},
}


def query_violations(route: str, query: Iterable[str]) -> list[str]:
    """The parameters of a query that this route does not have."""
    return [f"query.{name}: unknown parameter" for name in query if name not in QUERIES.get(shape(route), ())]


# --- what the description does not have -----------------------------------------------------------------------------

MODAL_FIELDS: dict[int, tuple[set[str], set[str]]] = {
    # type: (required, optional); labels and what stands in them came to modals after the description was made.
    1: ({"type", "components"}, {"id"}),
    10: ({"type", "content"}, {"id"}),
    18: ({"type", "label", "component"}, {"id", "description"}),
    4: (
        {"type", "custom_id", "style"},
        {"id", "label", "min_length", "max_length", "required", "value", "placeholder"},
    ),
    3: (
        {"type", "custom_id", "options"},
        {"id", "placeholder", "min_values", "max_values", "required", "disabled"},
    ),
    5: (
        {"type", "custom_id"},
        {"id", "placeholder", "min_values", "max_values", "required", "disabled", "default_values"},
    ),
    6: (
        {"type", "custom_id"},
        {"id", "placeholder", "min_values", "max_values", "required", "disabled", "default_values"},
    ),
    7: (
        {"type", "custom_id"},
        {"id", "placeholder", "min_values", "max_values", "required", "disabled", "default_values"},
    ),
    8: (
        {"type", "custom_id"},
        {"id", "placeholder", "min_values", "max_values", "required", "disabled", "default_values", "channel_types"},
    ),
    19: ({"type", "custom_id"}, {"id", "min_values", "max_values", "required"}),
    21: ({"type", "custom_id", "options"}, {"id", "required"}),
    22: ({"type", "custom_id", "options"}, {"id", "min_values", "max_values", "required"}),
    23: ({"type", "custom_id"}, {"id", "default"}),
}
MODAL_LENGTHS = {"label": 45, "description": 100, "placeholder": 150, "custom_id": 100, "value": 4000, "content": 4000}


def modal_violations(body: Any) -> list[str]:
    """What is wrong with the answer that opens a modal."""
    data = body.get("data")
    if not isinstance(data, dict):
        return ["body.data: missing"]
    wrong = [f"body.data.{n}: unknown field" for n in data if n not in {"custom_id", "title", "components"}]
    for name, most in (("custom_id", 100), ("title", 45)):
        text = data.get(name)
        if not isinstance(text, str) or not 1 <= len(text) <= most:
            wrong.append(f"body.data.{name}: {short(text)} is not 1 to {most} characters")
    components = data.get("components")
    if not isinstance(components, list) or not 1 <= len(components) <= 5:
        return [*wrong, "body.data.components: not 1 to 5"]
    for index, one in enumerate(components):
        wrong += _modal_piece(one, f"body.data.components[{index}]")
    return wrong


def _modal_piece(one: Any, where: str) -> Iterator[str]:
    if not isinstance(one, dict) or one.get("type") not in MODAL_FIELDS:
        yield f"{where}: {short(one)} cannot stand in a modal"
        return
    required, optional = MODAL_FIELDS[one["type"]]
    yield from (f"{where}.{name}: missing" for name in sorted(required - one.keys()))
    yield from (f"{where}.{name}: unknown field" for name in sorted(one.keys() - required - optional))
    for name, most in MODAL_LENGTHS.items():
        text = one.get(name)
        if name in one and text is not None and (not isinstance(text, str) or len(text) > most):
            yield f"{where}.{name}: {short(text)} is not at most {most} characters"
    if one["type"] == 3 and not 1 <= len(one.get("options") or []) <= 25:
        yield f"{where}.options: not 1 to 25"
    if one["type"] == 1:
        for index, inner in enumerate(one.get("components") or []):
            yield from _modal_piece(inner, f"{where}.components[{index}]")
    if one["type"] == 18 and "component" in one:
        yield from _modal_piece(one["component"], f"{where}.component")


def settled(body: Any) -> Any:
    """The body with what the platform takes and its description spells otherwise: ids that come as numbers."""
    if not isinstance(body, dict):
        return body
    changed = {k: settled(v) if k in {"message", "data", "message_reference"} else v for k, v in body.items()}
    for name in ("message_id", "channel_id", "guild_id", "recipient_id"):
        if isinstance(body.get(name), int):
            changed[name] = str(body[name])
    for name in ("applied_tags", "sticker_ids"):
        if isinstance(body.get(name), list):
            changed[name] = [str(one) for one in body[name]]
    if isinstance(allowed := body.get("allowed_mentions"), dict):
        ids = {k: [str(one) for one in allowed[k]] for k in ("users", "roles") if isinstance(allowed.get(k), list)}
        changed["allowed_mentions"] = allowed | ids
    if isinstance(body.get("attachments"), list):
        changed["attachments"] = [
            a | {"id": str(a["id"])} if isinstance(a, dict) and isinstance(a.get("id"), int) else a
            for a in body["attachments"]
        ]
    return changed


def callback_violations(body: Any) -> list[str]:
    """What is wrong with the first answer to an interaction."""
    if isinstance(body, dict) and body.get("type") == 9:
        return [f"body.{n}: unknown field" for n in body if n not in {"type", "data"}] + modal_violations(body)
    return violations("CreateInteractionResponseRequest", body)


def command_violations(body: Any, name: str = "ApplicationCommandUpdateRequest") -> list[str]:
    """What is wrong with a command; nulls mean "as usual" in some fields that the description wants filled."""
    if not isinstance(body, dict):
        return ["body: no command"]
    return violations(name, {k: v for k, v in body.items() if v is not None or k not in _MAY_BE_NULL})


_MAY_BE_NULL = {"contexts", "integration_types", "default_member_permissions", "dm_permission"}
