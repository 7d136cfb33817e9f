"""Clones the repositories of a run into the workspace, each whole or not at all. Knows git, nothing of agents."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from agent.agentd.pipes import readable
from agent.agentd.process import Process, Reaper
from agent.wire import Noticed

DEADLINE_SECONDS = 600.0
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "GIT_ALLOW_PROTOCOL": "https:http:ssh:git:file"}


async def clone(reaper: Reaper, urls: tuple[str, ...], workspace: Path) -> AsyncIterator[Noticed]:
    """Clone what is not there yet, and say how it goes. A failure is said and does not end anything."""
    for url, name in zip(urls, _names(urls), strict=True):
        shown = without_password(url)
        if (workspace / name).exists():
            continue
        yield Noticed("info", "cloning", f"Cloning {shown} …")
        words = await _clone_one(reaper, url, workspace=workspace, name=name)
        if words:
            yield Noticed("error", "cloning", f"Could not clone {shown}: {without_password(words)}")


def without_password(text: str) -> str:
    """The text with the user part of every URL masked."""
    return re.sub(r"(://)[^/\s@]+@", r"\1•••@", text)


def _names(urls: tuple[str, ...]) -> list[str]:
    """One folder for each, after the last part of the URL."""
    names: list[str] = []
    for url in urls:
        last = re.split(r"[/:]", url.strip().rstrip("/"))[-1].removesuffix(".git")
        stem = re.sub(r"[^\w.-]", "-", last).lstrip(".-") or "repository"
        name, count = stem, 2
        while name in names:
            name, count = f"{stem}-{count}", count + 1
        names.append(name)
    return names


async def _clone_one(reaper: Reaper, url: str, *, workspace: Path, name: str) -> str:
    """What went wrong, or nothing."""
    unfinished = workspace / f".cloning-{name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    argv = ("git", "clone", "--quiet", "--depth", "50", "--", url.strip(), str(unfinished))
    try:
        git = Process(reaper, argv, cwd=workspace, env={**os.environ, **_QUIET})
    except OSError as error:
        return f"git cannot be started ({error.strerror})"
    git.hang_up()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while git.read() != b"":
                await readable(git.out)
            code = await git.exit
    except TimeoutError:
        return f"it took longer than {DEADLINE_SECONDS / 60:.0f} minutes"
    finally:
        git.kill(signal.SIGKILL)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(git.exit), timeout=5)
        git.close()
    if code == 0:
        unfinished.rename(workspace / name)
        return ""
    shutil.rmtree(unfinished, ignore_errors=True)
    said = [line.strip() for line in git.stderr.splitlines() if line.strip()]
    return said[-1] if said else f"git ended with code {code}"
