"""A flat dataclass as a JSON object and back, every field's type checked.

It knows dataclasses and no word of the pipe: what else the house keeps as JSON is packed and unpacked by it as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
Check = Callable[[Any], Any]


class Malformed(ValueError):
    """A line that is not of this vocabulary; the message is a sentence fit for a log."""


def kind_name(cls: type) -> str:
    """The word that names this class on the wire and in the journal: `ToolCalled` is `tool_called`."""
    name = cls.__name__
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


def pack(thing: object) -> dict[str, Any]:
    """A flat dataclass as a JSON object; fields that have their default are left out."""
    body: dict[str, Any] = {}
    for name, default in _defaults(cast("Any", type(thing))):
        value = getattr(thing, name)
        if value != default:
            body[name] = _plain(value)
    return body


def unpack(cls: type[T], body: object) -> T:
    """The dataclass that `pack` made this of, every field's type checked; raises `Malformed`.

    Unknown fields are ignored, so that either end may be the newer one.
    """
    if not isinstance(body, dict):
        raise Malformed(f"{kind_name(cls)}: the body is not an object")
    values: dict[str, Any] = {}
    for name, check, required in _shape(cast("Any", cls)):
        if name in body:
            try:
                values[name] = check(body[name])
            except (TypeError, ValueError) as error:
                raise Malformed(f"{kind_name(cls)}: '{name}' is {error}") from None
        elif required:
            raise Malformed(f"{kind_name(cls)}: '{name}' is missing")
    return cls(**values)


@cache
def _shape(cls: Any) -> tuple[tuple[str, Check, bool], ...]:
    hints = get_type_hints(cls)
    return tuple((f.name, _checker(hints[f.name]), f.default is MISSING) for f in fields(cls))


@cache
def _defaults(cls: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((f.name, f.default) for f in fields(cls))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return pack(value) if is_dataclass(value) else value


def _checker(hint: Any) -> Check:
    """A function that returns a JSON value as this type, or raises ValueError or TypeError saying what it is not."""
    if get_origin(hint) is tuple:
        item = _checker(get_args(hint)[0])
        return lambda value: tuple(item(one) for one in _exactly(list, value))
    if isinstance(hint, UnionType):
        known = _checker(next(arm for arm in get_args(hint) if arm is not NoneType))
        return lambda value: None if value is None else known(value)
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda value: unpack(hint, value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if hint is float:
        return lambda value: float(value if type(value) is int else _exactly(float, value))
    wanted = getattr(hint, "__supertype__", hint)  # a NewType is checked as what it is made of
    return lambda value: _exactly(wanted, value)


def _exactly(wanted: type, value: Any) -> Any:
    if type(value) is not wanted:
        raise TypeError(f"not a {wanted.__name__}")
    return value
