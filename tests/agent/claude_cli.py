"""The real CLI for tests: where it is, and what it may inherit, which is nothing."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

MODEL = "claude-opus-5-5"


def claude_bin() -> Path | None:
    """The binary that the pinned wheel carries."""
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / "_bundled" / "claude"
    return path if path.exists() else None


def environment(home: Path, *, api: str) -> dict[str, str]:
    """An environment from scratch: an inherited CLAUDE*, ANTHROPIC* or IS_SANDBOX changes what the CLI does."""
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "NO_PROXY": "*",
        "CLAUDE_BIN": str(claude_bin()),
        "ANTHROPIC_BASE_URL": api,
        "ANTHROPIC_API_KEY": "stub-key-for-tests",
        "CLAUDE_CODE_MAX_RETRIES": "2",
    }


needs_cli = pytest.mark.skipif(
    claude_bin() is None and not os.environ.get("ARMY_NEED_CLI"), reason="the agent CLI's wheel is not installed"
)
