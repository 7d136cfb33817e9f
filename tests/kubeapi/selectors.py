"""Selectors: which objects a list or a watch is about, by labels and by fields."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.kubeapi.refusal import Json, bad_request

Match = Callable[[Json], bool]

_SET = re.compile(r"\s*([^\s=!,()]+)\s+(in|notin)\s*\(([^)]*)\)\s*")
_EQUAL = re.compile(r"\s*([^\s=!,()]+)\s*(==|=|!=)\s*([^\s=!,()]*)\s*")
_PRESENT = re.compile(r"\s*(!?)\s*([^\s=!,()]+)\s*")
_COMMA = re.compile(r",(?![^(]*\))")


def by_labels(text: str) -> Match:
    """`a=b,c!=d,e,!f,g in (h,i)`. Raises `Refusal` for what is none."""
    tests = [_label_test(part) for part in _COMMA.split(text)] if text.strip() else []
    return lambda thing: all(test(thing["metadata"].get("labels") or {}) for test in tests)


def _label_test(part: str) -> Match:
    if found := _SET.fullmatch(part):
        key, how, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        if how == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.fullmatch(part):
        key, how, value = found.groups()
        if how == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _PRESENT.fullmatch(part):
        absent, key = found.groups()
        return lambda labels: (key in labels) is not bool(absent)
    raise bad_request(f"unable to parse requirement: found '{part}'")


def by_fields(text: str, *, allowed: frozenset[str]) -> Match:
    """`metadata.name=x,status.phase!=Running`. Raises `Refusal` for a field that this sort cannot be asked by."""
    tests = [_field_test(part, allowed) for part in text.split(",")] if text.strip() else []
    return lambda thing: all(test(thing) for test in tests)


def _field_test(part: str, allowed: frozenset[str]) -> Match:
    found = _EQUAL.fullmatch(part)
    if found is None:
        raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
    field, how, value = found.groups()
    if field not in allowed:
        raise bad_request(f"field label not supported: {field}")
    path = field.split(".")
    return lambda thing: (_dig(thing, path) == value) is (how != "!=")


def _dig(thing: Json, path: list[str]) -> str:
    at: object = thing
    for step in path:
        at = at.get(step) if isinstance(at, dict) else None
    return "" if at is None else str(at)


FIELDS = {
    "Pod": frozenset({
        "metadata.name", "metadata.namespace", "spec.nodeName", "spec.restartPolicy", "spec.schedulerName",
        "spec.serviceAccountName", "status.phase", "status.podIP", "status.nominatedNodeName",
    }),
    "Event": frozenset({
        "metadata.name", "metadata.namespace", "involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
        "involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
        "reason", "reportingComponent", "source", "type",
    }),
    "Secret": frozenset({"metadata.name", "metadata.namespace", "type"}),
}  # fmt: skip
PLAIN = frozenset({"metadata.name", "metadata.namespace"})
