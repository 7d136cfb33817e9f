"""Whether a request's body is what the platform's own description says: unknown, missing and wrong fields.

The description is the package made from the platform's OpenAPI file of mid-2025. Where that is older than what a
client rightly sends, `NEWER` says it here and `addenda` the rest. It knows no routes.
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
        yield f"{where}: {short(value)} is no {model.__name__}"
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
        _judge(kind).validate_python(value)
    except ValidationError as wrong:
        yield f"{where}: {short(value)}: {wrong.errors()[0]['msg']}"


@cache
def _judge(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


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
    yield from best if best is not None else [f"{where}: {short(value)} is of no kind allowed here"]


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


def short(value: Any) -> str:
    """A value as a sentence quotes it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
