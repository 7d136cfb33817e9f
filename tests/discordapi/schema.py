"""Whether a request's body is what the platform's own description says: unknown, missing and wrong fields.

The description is the package made from the platform's OpenAPI file of mid-2025. Where that is older than what a
client rightly sends, `NEWER` and the functions at the end say it in the few words needed. It knows no routes.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from openapi_client import models
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

# Fields that came after the description was made, or that the platform takes although it does not describe them.
NEWER: dict[str, set[str]] = {
    "MessageEditRequestPartial": {"tts"},
    "IncomingWebhookUpdateRequestPartial": {"tts"},
    "IncomingWebhookUpdateForInteractionCallbackRequestPartial": {"tts"},
    "BaseCreateMessageCreateRequest": {"tts"},
    "CreateForumThreadRequest": {"type"},
    "ApplicationCommandUpdateRequest": {"nsfw"},
    "StringSelectComponentForMessageRequest": {"required"},
    "RichEmbed": {"flags"},
    "MessageEmbedResponse": {"flags"},
    # A client gives an attachment that stays back as it got it.
    "MessageAttachmentRequest": {"size", "url", "proxy_url", "spoiler", "height", "width", "content_type", "flags"},
}
COMPONENT_ID = "id"
"""Every component may carry a number of its own."""


def violations(name: str, body: Any) -> list[str]:
    """What is wrong with a body that should be of this kind, a sentence each; nothing when it is right."""
    model: type[BaseModel] = getattr(models, name)
    return list(_object(model, body, "body"))


def _object(model: type[BaseModel], value: Any, where: str) -> Iterator[str]:
    choices = _choices(model)
    if choices:
        yield from _one_of(choices, value, where)
        return
    if not isinstance(value, dict):
        yield f"{where}: {_short(value)} is no {model.__name__}"
        return
    fields = {info.alias or name: info for name, info in model.model_fields.items()}
    component = "ComponentFor" in model.__name__
    for name in value:
        if (
            name not in fields
            and name not in NEWER.get(model.__name__, ())
            and not (component and name == COMPONENT_ID)
        ):
            yield f"{where}.{name}: unknown field of {model.__name__}"
    for name, info in fields.items():
        if name in value:
            yield from _field(info, value[name], f"{where}.{name}")
        elif info.is_required():
            yield f"{where}.{name}: missing field of {model.__name__}"


def _field(info: FieldInfo, value: Any, where: str) -> Iterator[str]:
    kind: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    yield from _value(kind, value, where)


def _value(kind: Any, value: Any, where: str) -> Iterator[str]:
    plain, bounds = _stripped(kind)
    if value is None and type(None) in get_args(plain):
        return
    inner = _without_none(plain)
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        yield from _object(inner, value, where)
    elif get_origin(_stripped(inner)[0]) is list and isinstance(value, list):
        element, deeper = _stripped(inner)
        yield from _leaf(Annotated[list[Any], *bounds, *deeper] if bounds or deeper else list[Any], value, where)
        for index, one in enumerate(value):
            yield from _value(get_args(element)[0], one, f"{where}[{index}]")
    else:
        yield from _leaf(kind, value, where)


def _leaf(kind: Any, value: Any, where: str) -> Iterator[str]:
    try:
        # The package spells the loosest objects as bare types that forbid nothing: that is what they are.
        TypeAdapter(kind).validate_python(value)
    except ValidationError as wrong:
        yield f"{where}: {_short(value)}: {wrong.errors()[0]['msg']}"


def _one_of(choices: list[Any], value: Any, where: str) -> Iterator[str]:
    """None of the choices fits: tell what is wrong with the one that fits best."""
    best: list[str] | None = None
    for choice in choices:
        if _other_type(choice, value):
            continue
        wrong = list(_value(choice, value, where))
        if not wrong:
            return
        if best is None or len(wrong) < len(best):
            best = wrong
    yield from best if best is not None else [f"{where}: {_short(value)} is of no kind allowed here"]


# The description leaves a component's or option's number open, so that without this any would fit any.
TYPES: dict[str, int] = {
    "ActionRowComponentFor": 1,
    "ButtonComponentFor": 2,
    "StringSelectComponentFor": 3,
    "TextInputComponentFor": 4,
    "UserSelectComponentFor": 5,
    "RoleSelectComponentFor": 6,
    "MentionableSelectComponentFor": 7,
    "ChannelSelectComponentFor": 8,
    "SectionComponentFor": 9,
    "TextDisplayComponentFor": 10,
    "ThumbnailComponentFor": 11,
    "MediaGalleryComponentFor": 12,
    "FileComponentFor": 13,
    "SeparatorComponentFor": 14,
    "ContainerComponentFor": 17,
    "ApplicationCommandSubcommandOption": 1,
    "ApplicationCommandSubcommandGroupOption": 2,
    "ApplicationCommandStringOption": 3,
    "ApplicationCommandIntegerOption": 4,
    "ApplicationCommandBooleanOption": 5,
    "ApplicationCommandUserOption": 6,
    "ApplicationCommandChannelOption": 7,
    "ApplicationCommandRoleOption": 8,
    "ApplicationCommandMentionableOption": 9,
    "ApplicationCommandNumberOption": 10,
    "ApplicationCommandAttachmentOption": 11,
}
CALLBACKS: dict[str, set[int]] = {
    "PongInteractionCallbackRequest": {1},
    "CreateMessageInteractionCallbackRequest": {4, 5},
    "UpdateMessageInteractionCallbackRequest": {6, 7},
    "ApplicationCommandAutocompleteCallbackRequest": {8},
    "ModalInteractionCallbackRequest": {9},
    "LaunchActivityInteractionCallbackRequest": {12},
}


def _other_type(choice: Any, value: Any) -> bool:
    if not (isinstance(choice, type) and isinstance(value, dict) and "type" in value):
        return False
    name = choice.__name__
    if name in CALLBACKS:
        return value["type"] not in CALLBACKS[name]
    stem = name.split("ComponentFor")[0] + "ComponentFor" if "ComponentFor" in name else name
    return stem in TYPES and value["type"] != TYPES[stem]


@cache
def _choices(model: type[BaseModel]) -> list[Any]:
    """The alternatives of a wrapper class, in the package's own spelling."""
    names = [n for n in model.model_fields if n.startswith(("oneof_schema_", "anyof_schema_"))]
    return [_without_none(model.model_fields[n].annotation) for n in names]


def _stripped(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(kind) is Annotated:
        inner, *bounds = get_args(kind)
        return inner, tuple(bounds)
    return kind, ()


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in {Union, types.UnionType}:
        rest = [k for k in get_args(kind) if k is not type(None)]
        return rest[0] if len(rest) == 1 else kind
    return kind


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


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
            wrong.append(f"body.data.{name}: {_short(text)} is not 1 to {most} characters")
    components = data.get("components")
    if not isinstance(components, list) or not 1 <= len(components) <= 5:
        return [*wrong, "body.data.components: not 1 to 5"]
    for index, one in enumerate(components):
        wrong += _modal_piece(one, f"body.data.components[{index}]")
    return wrong


def _modal_piece(one: Any, where: str) -> Iterator[str]:
    if not isinstance(one, dict) or one.get("type") not in MODAL_FIELDS:
        yield f"{where}: {_short(one)} cannot stand in a modal"
        return
    required, optional = MODAL_FIELDS[one["type"]]
    yield from (f"{where}.{name}: missing" for name in sorted(required - one.keys()))
    yield from (f"{where}.{name}: unknown field" for name in sorted(one.keys() - required - optional))
    for name, most in MODAL_LENGTHS.items():
        text = one.get(name)
        if name in one and text is not None and (not isinstance(text, str) or len(text) > most):
            yield f"{where}.{name}: {_short(text)} is not at most {most} characters"
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
