"""The manifests as a cluster gets them: rendered once, read as plain objects. It knows no rule that they must keep."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
NO_KUSTOMIZE = 3
HASHED = re.compile(r"-[bcdfghkmt2-9]{10}$")

Thing = Mapping[str, Any]


def missing(what: str) -> NoReturn:
    """Skip, or fail where the tools were said to be there."""
    if os.environ.get("ARMY_NEED_KUSTOMIZE") == "1":
        pytest.fail(what)
    pytest.skip(what)


def tool(name: str) -> str:
    """Where this program is; skips the test where it is not."""
    if (path := shutil.which(name)) is None:
        missing(f"{name} is not installed (apt-get install prometheus prometheus-alertmanager).")
    return str(path)


def render(out: Path) -> dict[str, list[Thing]]:
    """All kustomizations by their folders' names, with the objects in them."""
    done = subprocess.run([K8S / "render", out], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == NO_KUSTOMIZE:
        missing(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return {path.stem: list(documents(path.read_text(encoding="utf-8"))) for path in sorted(out.glob("*.yaml"))}


def documents(text: str) -> Iterator[Thing]:
    """The objects in a YAML text."""
    return (thing for thing in yaml.safe_load_all(text) if thing)


def read(path: Path) -> Any:
    """One YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def schema(kind: str) -> Any:
    """What we use of a kind that is not Kubernetes' own; None where it is."""
    path = Path(__file__).parent / "schemas" / f"{kind}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def named(things: list[Thing], kind: str, name: str) -> Thing:
    """The one object of this kind and name; kustomize may have put a hash behind that."""
    [thing] = [t for t in things if t["kind"] == kind and t["metadata"]["name"].removeprefix(name) in {"", hashed(t)}]
    return thing


def hashed(thing: Thing) -> str:
    """What kustomize has put behind a name."""
    found = HASHED.search(thing["metadata"]["name"])
    return found[0] if found else ""


def pods(things: list[Thing]) -> Iterator[tuple[str, Thing]]:
    """Every pod's spec that these objects lead to, with a name for messages."""
    for thing in things:
        label = f"{thing['kind']}/{thing['metadata']['name']}"
        match thing["kind"]:
            case "Pod":
                yield label, thing["spec"]
            case "Deployment" | "DaemonSet" | "StatefulSet" | "Job":
                yield label, thing["spec"]["template"]["spec"]
            case "CronJob":
                yield label, thing["spec"]["jobTemplate"]["spec"]["template"]["spec"]
            case _:
                pass


def containers(spec: Thing) -> list[Thing]:
    """All containers of a pod's spec."""
    return [*spec.get("initContainers", []), *spec["containers"]]
