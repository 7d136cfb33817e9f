"""What the README promises is there, and what is there stands in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.commands import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]
TARGETS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
OUTSIDE = re.compile(r"^[a-z]+:|^#")


def test_every_chat_command_stands_in_the_readme_as_it_is_typed() -> None:
    for name, arguments, _ in COMMANDS:
        assert f"`/{name}{' ' + arguments if arguments else ''}`" in README


def test_every_command_in_the_readmes_table_exists() -> None:
    typed = set(re.findall(r"^\| `/([a-z]+)", README, re.MULTILINE))
    assert typed == {name for name, _, _ in COMMANDS}


def test_every_make_target_that_a_document_names_exists() -> None:
    for document in DOCUMENTS:
        for name in re.findall(r"`make ([a-z]+)|^make ([a-z]+)", document.read_text(encoding="utf-8"), re.MULTILINE):
            assert "".join(name) in TARGETS, f"{document.name}: make {''.join(name)}"


def test_every_command_of_the_bot_that_a_document_names_exists() -> None:
    door = (ROOT / "bot" / "__main__.py").read_text(encoding="utf-8")
    known = set(re.findall(r'add_parser\("([a-z]+)"', door))
    named = set(re.findall(r"python -m bot ([a-z]+)", "".join(d.read_text(encoding="utf-8") for d in DOCUMENTS)))
    assert named <= known
    assert {"doctor", "backup", "migrate", "version"} <= set(re.findall(r"python -m bot ([a-z]+)", README))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if not OUTSIDE.match(link):
            assert (document.parent / link.partition("#")[0]).exists(), f"{document.name}: {link}"
