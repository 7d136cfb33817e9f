"""Bodies: read, decoded as strictly as the real server does, and validated. The schemas are kubernetes-validate's.

It knows no namespace and no cluster; what those refuse is admission's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema
from referencing import Registry, Resource

from tests.kubeapi import refusal
from tests.kubeapi.refusal import Json
from tests.kubeapi.sorts import Sort

_UNEXPECTED = re.compile(r"'([^']+)'")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]|")
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?)(m|k|M|G|T|Ki|Mi|Gi|Ti|)")
_UNITS = {"m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30,
          "Ti": 2.0**40}  # fmt: skip


def quantity(text: object) -> float:
    """`250m`, `2Gi`. Raises `ValueError`."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        raise ValueError(f"quantities must match the regular expression, and {text!r} does not")
    return float(found[1]) * _UNITS[found[2]]


@cache
def _validator(version: str, kind: str) -> Any:
    folder = files("kubernetes_validate").joinpath("kubernetes-json-schema", f"v{version}.0-local-strict")
    schema = json.loads(folder.joinpath(f"{kind}.json").read_bytes())
    registry: Any = Resource.from_contents(schema) @ Registry()
    return jsonschema.Draft202012Validator(
        schema, registry=Resource.from_contents(json.loads(_definitions(version))) @ registry
    )


@cache
def _definitions(version: str) -> bytes:
    folder = files("kubernetes_validate").joinpath("kubernetes-json-schema", f"v{version}.0-local-strict")
    return folder.joinpath("_definitions.json").read_bytes()


def load(body: bytes) -> Json:
    """A JSON object. Raises `Refusal`."""
    try:
        loaded = json.loads(body)
    except ValueError as error:
        raise refusal.bad_request(f"couldn't get version/kind; json parse error: {error}") from None
    if not isinstance(loaded, dict):
        raise refusal.bad_request("couldn't get version/kind; json parse error: cannot unmarshal into Go value")
    return loaded


def decode(thing: Json, sort: Sort, *, version: str) -> list[str]:
    """The fields that nobody knows. Raises `Refusal` for a body that cannot be read as this sort."""
    if (thing.get("apiVersion"), thing.get("kind")) != (sort.api_version, sort.kind):
        raise refusal.bad_request(
            f"the API version in the data ({thing.get('apiVersion')}) or its kind ({thing.get('kind')}) does not match "
            f"the expected {sort.api_version}, Kind={sort.kind}"
        )
    group = sort.api_version.split("/", maxsplit=1)[0].split(".", maxsplit=1)[0] if sort.group else ""
    schema = f"{sort.kind.lower()}-{f'{group}-' if group else ''}{sort.version}"
    unknown: list[str] = []
    for error in _validator(version, schema).iter_errors(thing):
        path = _path(error.absolute_path)
        if error.validator == "additionalProperties":
            names = _UNEXPECTED.findall(error.message.partition(" (")[2])
            unknown += [f'unknown field "{path}{"." if path else ""}{name}"' for name in names]
        elif error.validator == "required":
            missing = _UNEXPECTED.findall(error.message)[0]
            name = thing.get("metadata", {}).get("name", "")
            raise refusal.invalid(sort.kind, name, [(f"{path}{'.' if path else ''}{missing}", "Required value")])
        else:
            raise refusal.bad_request(
                f'{sort.kind} in version "{sort.version}" cannot be handled as a {sort.kind}: json: cannot unmarshal '
                f"into Go struct field {path}: {error.message[:200]}"
            )
    return sorted(unknown)


def _path(steps: Any) -> str:
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f"{'.' if text else ''}{step}"
    return text


# --- what the schema does not say ---


def validate(thing: Json, sort: Sort) -> None:
    """Raises `Refusal` 422 with everything that is wrong."""
    name = str(thing["metadata"].get("name", ""))
    causes = list(_metadata(thing["metadata"], name))
    if sort.kind == "Pod":
        causes += _pod(thing["spec"])
    if causes:
        raise refusal.invalid(sort.kind, name, causes)


def _metadata(meta: Json, name: str) -> Iterator[tuple[str, str]]:
    if not name:
        yield "metadata.name", "Required value: name or generateName is required"
    elif len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        yield (
            "metadata.name",
            (
                f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric '
                "characters, '-' or '.', and must start and end with an alphanumeric character"
            ),
        )
    for key, value in (meta.get("labels") or {}).items():
        if not _VALUE.fullmatch(value):
            yield "metadata.labels", f'Invalid value: "{value}": a valid label has at most 63 alphanumeric characters'
        yield from _key("metadata.labels", key)
    for key in meta.get("annotations") or {}:
        yield from _key("metadata.annotations", key)


def _key(field: str, key: str) -> Iterator[tuple[str, str]]:
    prefix, slash, last = key.rpartition("/")
    if (slash and not _SUBDOMAIN.fullmatch(prefix)) or not last or not _VALUE.fullmatch(last):
        yield field, f'Invalid value: "{key}": name part must consist of alphanumeric characters'


def _pod(spec: Json) -> Iterator[tuple[str, str]]:
    if not spec.get("containers"):
        yield "spec.containers", "Required value"
    for field, allowed in (("restartPolicy", ("Always", "OnFailure", "Never")),
                           ("dnsPolicy", ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"))):  # fmt: skip
        if spec.get(field, allowed[0]) not in allowed:
            listed = ", ".join(f'"{one}"' for one in sorted(allowed))
            yield f"spec.{field}", f'Unsupported value: "{spec[field]}": supported values: {listed}'
    for field, least in (("activeDeadlineSeconds", 1), ("terminationGracePeriodSeconds", 0)):
        if spec.get(field, least) < least:
            yield f"spec.{field}", f"Invalid value: {spec[field]}: must be greater than or equal to {least}"
    volumes = [volume["name"] for volume in spec.get("volumes") or []]
    for at, volume in enumerate(volumes):
        if not _LABEL.fullmatch(volume):
            yield f"spec.volumes[{at}].name", f'Invalid value: "{volume}": a lowercase RFC 1123 label is wanted'
        if volume in volumes[:at]:
            yield f"spec.volumes[{at}].name", f'Duplicate value: "{volume}"'
        if len(spec["volumes"][at]) != 2:
            yield f"spec.volumes[{at}]", "Required value: must specify exactly one volume type"
    names: list[str] = []
    for which in ("initContainers", "containers"):
        for at, container in enumerate(spec.get(which) or []):
            yield from _container(f"spec.{which}[{at}]", container, volumes)
            if container["name"] in names:
                yield f"spec.{which}[{at}].name", f'Duplicate value: "{container["name"]}"'
            names.append(container["name"])


def _container(field: str, container: Json, volumes: list[str]) -> Iterator[tuple[str, str]]:
    if not _LABEL.fullmatch(container["name"]):
        yield f"{field}.name", f'Invalid value: "{container["name"]}": a lowercase RFC 1123 label is wanted'
    if not container.get("image"):
        yield f"{field}.image", "Required value"
    paths: list[str] = []
    for at, mount in enumerate(container.get("volumeMounts") or []):
        if mount["name"] not in volumes:
            yield f"{field}.volumeMounts[{at}].name", f'Not found: "{mount["name"]}"'
        if mount["mountPath"] in paths:
            yield f"{field}.volumeMounts[{at}].mountPath", f'Invalid value: "{mount["mountPath"]}": must be unique'
        paths.append(mount["mountPath"])
    for at, variable in enumerate(container.get("env") or []):
        if not variable["name"] or "=" in variable["name"]:
            yield f"{field}.env[{at}].name", f'Invalid value: "{variable["name"]}"'
        if variable.get("value") and variable.get("valueFrom"):
            yield f"{field}.env[{at}].valueFrom", "Invalid value: may not be specified when `value` is not empty"
    yield from _resources(field, container.get("resources") or {})


def _resources(field: str, resources: Json) -> Iterator[tuple[str, str]]:
    for which in ("requests", "limits"):
        for name, text in (resources.get(which) or {}).items():
            try:
                asked = quantity(text)
            except ValueError as error:
                yield f"{field}.resources.{which}[{name}]", f'Invalid value: "{text}": {error}'
                continue
            limit = (resources.get("limits") or {}).get(name)
            if which == "requests" and limit is not None and asked > quantity(limit):
                yield (
                    f"{field}.resources.requests",
                    (f'Invalid value: "{text}": must be less than or equal to {name} limit of {limit}'),
                )
