"""Whether a request is one that the platform's description allows; the description is aiogram's typed methods.

It knows names, types and what is required, and nothing of what a value means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

import aiogram.methods
from aiogram.client.default import Default
from aiogram.methods.base import TelegramMethod
from aiogram.types import InputFile
from pydantic import BaseModel, TypeAdapter, ValidationError

from tests.botapi.refusal import Json

Method = type[TelegramMethod[Any]]


@cache
def methods() -> Mapping[str, Method]:
    """Every method of the platform by its name in lower case: the platform does not mind capitals."""
    found = (getattr(aiogram.methods, name) for name in aiogram.methods.__all__)
    return {
        method.__api_method__.lower(): method
        for method in found
        if isinstance(method, type) and issubclass(method, TelegramMethod) and method is not TelegramMethod
    }


def decoded(method: Method, fields: Mapping[str, Any]) -> Json:
    """What a form carries as text, as values: each field by its type."""
    return {name: _value(_kinds(method, name), value) for name, value in fields.items()}


def faults(method: Method, params: Json) -> list[str]:
    """What is wrong with these parameters, a sentence each."""
    name = method.__api_method__
    params = {key: value for key, value in params.items() if _kinds(method, key) - {type(None)} != {InputFile}}
    try:
        model = method.model_validate_json(json.dumps(params), strict=True)
    except ValidationError as wrong:
        return [
            f"{name}: {'.'.join(str(step) for step in error['loc'])}: {error['msg']}"
            for error in wrong.errors(include_url=False, include_input=False)
        ]
    return [f"{name}: {where} is no field that the platform knows" for where in strangers(model, "")]


def _kinds(method: Method, name: str) -> set[Any]:
    field = method.model_fields.get(name)
    return set(_flat(field.annotation)) - {Default} if field else {str}


def _flat(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in {Union, UnionType}:
        for part in get_args(annotation):
            yield from _flat(part)
    else:
        yield annotation


def _value(kinds: set[Any], value: Any) -> Any:
    if not isinstance(value, str) or not kinds - {str, InputFile, type(None)}:
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def answer_faults(method: Method, result: object) -> list[str]:
    """What is wrong with an answer: the server that gives it would be lying."""
    name = method.__api_method__
    try:
        found = _returning(method).validate_python(result)
    except ValidationError as wrong:
        return [f"{name} answers {error['loc']}: {error['msg']}" for error in wrong.errors(include_url=False)]
    return [f"{name} answers {where}, which the platform does not know" for where in strangers(found, "")]


@cache
def _returning(method: Method) -> TypeAdapter[Any]:
    return TypeAdapter(method.__returning__)


def strangers(value: object, where: str) -> Iterator[str]:
    """Fields, however deep, that the description does not have."""
    if isinstance(value, BaseModel):
        for name in value.model_extra or {}:
            yield f"{where}{name}"
        for name in type(value).model_fields:
            yield from strangers(getattr(value, name), f"{where}{name}.")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from strangers(part, f"{where}{index}.")
