"""A pod's volumes as temporary folders, and its paths as paths of this machine.

`/state` and `/work` do not exist here, and no process can be given its own root without privileges. So paths are
translated before the container starts: in its command, its working directory and the values of its environment, each
`:`-separated piece (and what follows the `=` of an option) that is a mount path or lies below one becomes a path in
that volume's folder. Paths inside other texts are left alone, and `readOnly` is not enforced. A volume at `/tmp` is
told by TMPDIR. What no volume covers is this machine's own.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.kubeapi.bodies import quantity
from tests.kubeapi.refusal import Json

Find = Callable[[str, str], Json | None]
"""A Secret, ConfigMap or claim by its kind and name."""


class Missing(Exception):
    """A volume or variable that needs an object that is not there."""


class Places:
    """The folders of one pod; they last as long as the pod, over all restarts of its container."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._volumes: dict[str, Path] = {}
        self._mounts: list[tuple[str, Path]] = []

    def prepare(self, spec: Json, *, find: Find, claims: Path) -> None:
        """Make the volumes; again, when something was missing. Raises `Missing`."""
        for volume in spec.get("volumes") or []:
            self._volumes[volume["name"]] = self._volume(volume, find, claims)
        self._mount(spec["containers"][0])

    def of(self, container: Json) -> Places:
        """The same volumes as another container of the pod mounts them."""
        places = Places(self.root)
        places._volumes = self._volumes
        places._mount(container)
        return places

    def _mount(self, container: Json) -> None:
        self._mounts.clear()
        for mount in container.get("volumeMounts") or []:
            folder = self._volumes[mount["name"]] / str(mount.get("subPath", ""))
            if not folder.exists():  # with a subPath it may be a file
                folder.mkdir(parents=True)
            self._mounts.append((mount["mountPath"].rstrip("/"), folder))
        self._mounts.sort(key=lambda mount: -len(mount[0]))

    def _volume(self, volume: Json, find: Find, claims: Path) -> Path:
        folder = self.root / str(volume["name"])
        folder.mkdir(parents=True, exist_ok=True)
        match volume:
            case {"emptyDir": _}:
                return folder
            case {"projected": _}:
                (folder / "token").write_text("a token of the pod's account, which is good for nothing here")
                return folder
            case {"secret": {"secretName": name} as source}:
                return self._files(folder, "Secret", name, source, find)
            case {"configMap": {"name": name} as source}:
                return self._files(folder, "ConfigMap", name, source, find)
            case {"persistentVolumeClaim": {"claimName": name}}:
                if find("PersistentVolumeClaim", name) is None:
                    raise Missing(f'persistentvolumeclaim "{name}" not found')
                claim = claims / str(name)
                claim.mkdir(parents=True, exist_ok=True)
                return claim
            case _:
                raise Missing(f"this server has no volumes of the kind of {volume['name']}")

    @staticmethod
    def _files(folder: Path, kind: str, name: str, source: Json, find: Find) -> Path:
        found = find(kind, name)
        if found is None:
            if source.get("optional"):
                return folder
            raise Missing(f'MountVolume.SetUp failed for volume "{folder.name}" : {kind.lower()} "{name}" not found')
        data = values(found)
        paths = {i["key"]: i["path"] for i in source["items"]} if source.get("items") else {key: key for key in data}
        for key, path in paths.items():
            if key not in data:
                raise Missing(f"references non-existent {kind.lower()} key: {key}")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data[key])
        return folder

    def here(self, path: str) -> str:
        """This path as it is on this machine."""
        for mount, folder in self._mounts:
            if path == mount or path.startswith(mount + "/"):
                return str(folder) + path[len(mount) :]
        return path

    def value(self, text: str) -> str:
        """A variable's value with its paths as they are here."""
        return ":".join(self.here(piece) for piece in text.split(":"))

    def argument(self, text: str) -> str:
        """A word of a command with its paths as they are here."""
        option, equals, value = text.partition("=")
        return option + equals + self.value(value) if equals and option.startswith("-") else self.value(text)

    @property
    def tmp(self) -> str:
        """Where temporary files of the container go."""
        there = self.here("/tmp")
        return there if there != "/tmp" else tempfile.gettempdir()


def too_much(spec: Json, places: Places) -> str:
    """Why a kubelet evicts the pod for what it has on its node's disk, if it does: its folders, and its logs."""
    whole = sum(file.stat().st_blocks * 512 for file in places.root.glob("*.log"))
    for volume in spec.get("volumes") or []:
        if (about := volume.get("emptyDir")) is None or about.get("medium"):
            continue
        taken = _on_disk(places.root / str(volume["name"]))
        if "sizeLimit" in about and taken > quantity(about["sizeLimit"]):
            return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{about["sizeLimit"]}". '
        whole += taken
    limits = [(one.get("resources") or {}).get("limits", {}).get("ephemeral-storage") for one in spec["containers"]]
    if all(limits) and whole > sum(map(quantity, limits)):
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {limits[0]}. "
    return ""


def _on_disk(folder: Path) -> int:
    taken = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                taken += (Path(path) / name).lstat().st_blocks * 512
    return taken


def values(thing: Json) -> dict[str, bytes]:
    """What is in a Secret or a ConfigMap."""
    if thing["kind"] == "Secret":
        return {key: base64.b64decode(value) for key, value in (thing.get("data") or {}).items()}
    return {key: value.encode() for key, value in (thing.get("data") or {}).items()}
