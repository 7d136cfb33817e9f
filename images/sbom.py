"""A bill of materials of the image it runs in, as CycloneDX 1.5 JSON on stdout: Debian's packages and what came beside.

It reads what the package managers recorded, and takes the rest from whoever built the image.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

DPKG = ("dpkg-query", "-W", "-f", "${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\n")


def main() -> int:
    """Write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--installed", action="store_true", help="the Python packages that this interpreter sees")
    parser.add_argument(
        "--requirements", type=Path, help="a lock file of pip, what was installed by it being elsewhere"
    )
    parser.add_argument("--add", action="append", default=[], metavar="PURL", help="what no package manager recorded")
    asked = parser.parse_args()
    purls = {*debian(), f"pkg:generic/python@{platform.python_version()}", *asked.add}
    if asked.installed:
        purls.update(installed())
    if asked.requirements:
        purls.update(locked_by_pip(asked.requirements.read_text("utf-8")))
    json.dump(bill(asked.name, asked.version, purls), sys.stdout, indent=1)
    return 0


def bill(name: str, version: str, purls: Iterable[str]) -> dict[str, Any]:
    """The document. Without a date or a random number: the same image has the same bill."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": name, "name": name, "version": version}},
        "components": [component(purl) for purl in sorted(purls)],
    }


def component(purl: str) -> dict[str, str]:
    """One entry; its name and version are read from the package URL."""
    path, _, version = purl.partition("?")[0].rpartition("@")
    kind, _, rest = path.removeprefix("pkg:").partition("/")
    name = rest.rpartition("/")[2] if kind == "deb" else rest
    return {"type": "library", "bom-ref": purl, "name": unquote(name), "version": unquote(version), "purl": purl}


def debian() -> Iterator[str]:
    """Every package that dpkg installed."""
    for line in subprocess.run(DPKG, check=True, capture_output=True, text=True).stdout.splitlines():  # noqa: S603
        status, name, version, architecture = line.split("\t")
        if status.startswith("ii"):
            yield f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}"


def installed() -> Iterator[str]:
    """Every Python package."""
    for found in importlib.metadata.distributions():
        yield _pypi(found.metadata["Name"], found.version)


def locked_by_pip(text: str) -> Iterator[str]:
    """What a lock file names."""
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE):
        yield _pypi(name, version)


def _pypi(name: str, version: str) -> str:
    return f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{quote(version)}"


if __name__ == "__main__":
    raise SystemExit(main())
