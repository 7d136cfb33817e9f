import sys
import textwrap
from pathlib import Path

import pytest

from bot.claude import bundled_claude, ensure_claude


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def silent(words: str) -> None:
    raise AssertionError(words)


@pytest.fixture(autouse=True)
def _nothing_in_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


async def test_the_named_one_is_the_only_one(tmp_path: Path) -> None:
    mine = program(tmp_path / "mine" / "claude")
    assert (await ensure_claude(str(mine), say=silent, bundled=lambda: None)).path == mine
    cli = await ensure_claude(str(tmp_path / "nowhere"), say=silent, bundled=lambda: mine)
    assert cli.path is None
    assert "CLAUDE_BIN" in cli.words


async def test_the_bundled_one_goes_before_path(tmp_path: Path) -> None:
    in_path = program(tmp_path / "bin" / "claude")
    inside = program(tmp_path / "package" / "claude")
    assert (await ensure_claude("", say=silent, bundled=lambda: inside)).path == inside
    assert (await ensure_claude("", say=silent, bundled=lambda: None)).path == in_path
    assert (await ensure_claude("claude", say=silent, bundled=lambda: inside)).path == in_path


def test_a_package_is_looked_into_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = program(tmp_path / "some_sdk" / "_bundled" / "claude")
    (tmp_path / "some_sdk" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert bundled_claude("some_sdk") == inside
    inside.chmod(0o644)
    assert bundled_claude("some_sdk") is None
    assert bundled_claude("no_such_sdk") is None


async def test_otherwise_it_is_installed_and_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    fake_pip = program(
        tmp_path / "pip.py",
        textwrap.dedent(f"""
        import pathlib, sys
        assert sys.argv[1] == "install" and "--require-hashes" in sys.argv and sys.argv[-1].endswith("claude.txt")
        assert pathlib.Path(sys.argv[-1]).is_file()
        folder = pathlib.Path({str(tmp_path)!r}) / "fresh_sdk" / "_bundled"
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").touch()
        (folder / "claude").touch(mode=0o755)
        """),
    )
    told: list[str] = []
    cli = await ensure_claude(
        "", say=told.append, bundled=lambda: bundled_claude("fresh_sdk"), pip=(sys.executable, str(fake_pip))
    )
    assert cli.path == tmp_path / "fresh_sdk" / "_bundled" / "claude"
    assert len(told) == 1
    assert "160 MB" in told[0]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import sys; sys.exit('no matching distribution')", "no matching distribution"),
        ("", "does not contain it"),
        ("import time; time.sleep(60)", "longer than"),
    ],
)
async def test_a_failed_install_is_a_sentence(script: str, words: str) -> None:
    cli = await ensure_claude(
        "",
        say=lambda _: None,
        bundled=lambda: None,
        pip=(sys.executable, "-c", script),
        seconds=0.5 if "sleep" in script else 20,
    )
    assert cli.path is None
    assert words in cli.words
    assert "rehearsals" in cli.words


async def test_no_pip_is_a_sentence(tmp_path: Path) -> None:
    cli = await ensure_claude("", say=lambda _: None, bundled=lambda: None, pip=(str(tmp_path / "no-python"),))
    assert "cannot be started" in cli.words
