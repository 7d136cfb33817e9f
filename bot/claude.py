"""Where the Claude CLI is: named by the person, brought by its package, in PATH, or installed now.

It only finds or fetches a program. What is done with it, and with which credential, stands elsewhere.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements" / "claude.txt"
SIZE = "160 MB"
INSTALL_SECONDS = 900.0
TOLD_EVERY = 10.0
WORDS_KEPT = 300


@dataclass(frozen=True, slots=True)
class Cli:
    """The CLI that local agents use, or, without a path, why there is none."""

    path: Path | None
    words: str


def bundled_claude(package: str = "claude_agent_sdk") -> Path | None:
    """The CLI inside of its Python package, which is found without being imported."""
    importlib.invalidate_caches()
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if _runs(path := Path(folder) / "_bundled" / "claude"):
            return path
    return None


async def ensure_claude(
    named: str,
    *,
    say: Callable[[str], None],
    bundled: Callable[[], Path | None] = bundled_claude,
    pip: Sequence[str] = (sys.executable, "-m", "pip"),
    seconds: float = INSTALL_SECONDS,
) -> Cli:
    """Find the CLI, or install it, telling a person through `say` what takes so long. Never raises: see `Cli.words`.

    `named` is CLAUDE_BIN: a path or a program in PATH, and the only one that is looked at when it is given.
    """
    if named:
        return _named(named)
    if (inside := bundled()) is not None:
        return _at(inside)
    if (in_path := shutil.which("claude")) is not None:
        return _at(Path(in_path))
    say(f"Installing the Claude CLI ({SIZE}, once): a credential for a model is set and no `claude` was found …")
    wrong = await _install(pip, say=say, seconds=seconds)
    if not wrong and (inside := bundled()) is not None:
        return _at(inside)
    why = wrong or "the package does not contain it"
    return Cli(
        None,
        f"The Claude CLI could not be installed: {why}. Only rehearsals run. "
        "Set CLAUDE_BIN to a `claude` of your own, or repair this and start again.",
    )


async def _install(pip: Sequence[str], *, say: Callable[[str], None], seconds: float) -> str:
    """Install the locked package; the answer is what went wrong, or nothing."""
    arguments = ("install", "--disable-pip-version-check", "--no-input", "--quiet", "--no-deps", "--require-hashes",
                 "-r", str(REQUIREMENTS))  # fmt: skip
    try:
        process = await asyncio.create_subprocess_exec(
            *pip,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        return f"{pip[0]} cannot be started ({error.strerror})"
    begun = time.monotonic()
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(_tell(say, begun=begun))
            output, _ = await process.communicate()
            telling.cancel()
    except TimeoutError:
        return f"it took longer than {seconds:.0f} seconds"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    words = " ".join(output.decode("utf-8", "replace").split())
    return "" if process.returncode == 0 else f"pip ended with {process.returncode}: {words[-WORDS_KEPT:]}".rstrip(". ")


async def _tell(say: Callable[[str], None], *, begun: float) -> None:
    while True:
        await asyncio.sleep(TOLD_EVERY)
        say(f"Still installing the Claude CLI ({SIZE}), {time.monotonic() - begun:.0f} s so far …")


def _named(named: str) -> Cli:
    try:
        found = shutil.which(Path(named).expanduser() if "/" in named else named)
    except RuntimeError:  # `~name` of somebody who is not known here
        found = None
    return _at(Path(found)) if found else Cli(None, f"CLAUDE_BIN is {named!r}, which is not a program that can run.")


def _at(path: Path) -> Cli:
    return Cli(path.absolute(), f"The Claude CLI is {path.absolute()}.")


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
