"""What a container runs: its command with the image's, its environment with the image's, as this machine has them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import agent
from tests.kubeapi.places import Find, Missing, Places, values
from tests.kubeapi.refusal import Json

SOURCE = str(Path(agent.__file__).parent.parent)
AGENTD = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('agent.agentd', run_name='__main__')"


@dataclass(frozen=True, slots=True)
class Image:
    """What an image says it runs."""

    entrypoint: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


AGENT_IMAGE = Image(
    ("python3", "-I", "-m", "agent.agentd", "--state", "/state", "--workspace", "/work"),
    {"LANG": "C.UTF-8", "HOME": "/home/agent"},
)


def argv(container: Json, image: Image, places: Places) -> list[str]:
    """The command. Python is this Python, and agentd is the one of this checkout."""
    words = [*(container.get("command") or image.entrypoint), *(container.get("args") or [])]
    words = [words[0], *(places.argument(word) for word in words[1:])]  # first: this checkout may lie below a mount
    if Path(words[0]).name.startswith("python"):
        words[0] = sys.executable
        if "-m" in words and words[words.index("-m") + 1 :][:1] == ["agent.agentd"]:
            at = words.index("-m")
            words[at : at + 2] = ["-c", AGENTD, SOURCE]
    return words


def environment(pod: Json, image: Image, places: Places, *, find: Find, own: Mapping[str, str]) -> dict[str, str]:
    """The variables. Raises `Missing` when one needs an object that is not there."""
    container = pod["spec"]["containers"][0]
    given: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        given |= _all_of(source, find)
    for variable in container.get("env") or []:
        value = _value(variable, pod, find)
        if value is not None:
            given[variable["name"]] = _expanded(value, given)
    cluster = {"KUBERNETES_SERVICE_HOST": "10.43.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    env = {**image.env, "HOSTNAME": pod["metadata"]["name"], **cluster, **given}
    path = {"PATH": own["PATH"]} if "PATH" in own else {}  # the image's programs are this machine's
    return {"TMPDIR": places.tmp, **path, **{name: places.value(value) for name, value in env.items()}}


def _all_of(source: Json, find: Find) -> dict[str, str]:
    kind, ref = ("Secret", source["secretRef"]) if "secretRef" in source else ("ConfigMap", source["configMapRef"])
    found = find(kind, ref["name"])
    if found is None:
        if ref.get("optional"):
            return {}
        raise Missing(f'{kind.lower()} "{ref["name"]}" not found')
    return {source.get("prefix", "") + key: value.decode() for key, value in values(found).items()}


def _value(variable: Json, pod: Json, find: Find) -> str | None:
    match variable.get("valueFrom"):
        case None:
            return str(variable.get("value", ""))
        case {"secretKeyRef": ref}:
            return _key(ref, "Secret", find)
        case {"configMapKeyRef": ref}:
            return _key(ref, "ConfigMap", find)
        case {"fieldRef": {"fieldPath": path}}:
            return _field(pod, path)
        case other:
            raise Missing(f"this server gives no variables from {sorted(other)}")


def _key(ref: Json, kind: str, find: Find) -> str | None:
    found = find(kind, ref["name"])
    if found is None:
        if ref.get("optional"):
            return None
        raise Missing(f'{kind.lower()} "{ref["name"]}" not found')
    if (value := values(found).get(ref["key"])) is None:
        if ref.get("optional"):
            return None
        name = f"{pod_namespace(found)}/{ref['name']}"
        raise Missing(f"couldn't find key {ref['key']} in {kind} {name}")
    return value.decode()


def pod_namespace(thing: Json) -> str:
    """The namespace of an object."""
    return str(thing["metadata"].get("namespace", ""))


def _field(pod: Json, path: str) -> str:
    if path.startswith(("metadata.labels['", "metadata.annotations['")):
        which, _, key = path.removeprefix("metadata.").partition("['")
        return str((pod["metadata"].get(which) or {}).get(key.removesuffix("']"), ""))
    at: object = pod
    for step in path.split("."):
        at = at.get(step, "") if isinstance(at, dict) else ""
    return str(at)


def _expanded(value: str, given: Mapping[str, str]) -> str:
    """`$(NAME)` of a variable that stands further up."""
    for name, known in given.items():
        value = value.replace(f"$({name})", known)
    return value
