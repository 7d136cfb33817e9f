"""The files of a login on the claim, in the layout of the CLIs, and what of them agents may see. It knows no cluster.

Standard library only: it runs in the agents' image.
"""

# ruff: noqa: INP001 - a ConfigMap carries this folder

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

CLAUDE = Path(".claude/.credentials.json")
OPENCODE = Path(".local/share/opencode/auth.json")
OPENCODE_SERVERS = Path(".local/share/opencode/mcp-auth.json")
FILES: Mapping[Path, str] = {
    CLAUDE: "claude-credentials.json",
    Path(".claude/settings.json"): "claude-settings.json",
    OPENCODE: "opencode-auth.json",
    OPENCODE_SERVERS: "opencode-mcp-auth.json",
    Path(".config/opencode/opencode.json"): "opencode-config.json",
}
"""What makes up a login, and its keys in the Secret. All else in these folders is a CLI's own business."""


class Failed(Exception):
    """A sentence for a person."""


def published(shared: Path, names: Collection[Path]) -> dict[str, bytes | None]:
    """These files as agents may see them: complete, but for what renews a login. None: that key goes away."""
    return {FILES[name]: _published(shared, name) if (shared / name).is_file() else None for name in names}


def _published(shared: Path, name: Path) -> bytes:
    if name == CLAUDE:
        oauth = login_of(shared / name)
        if not oauth.get("accessToken"):
            raise Failed("The stored login has no access token. Log in again with the login pod.")
        return dump({"claudeAiOauth": {key: value for key, value in oauth.items() if not key.startswith("refresh")}})
    if name in {OPENCODE, OPENCODE_SERVERS}:
        return dump(_blanked(read(shared / name)))
    return (shared / name).read_bytes()


def _blanked(value: Any) -> Any:
    """The value with all emptied that only a renewal needs; OpenCode wants the keys themselves to be there."""
    if isinstance(value, dict):
        names = {"refresh", "refreshToken", "refresh_token", "clientSecret", "client_secret"}
        return {key: "" if key in names and isinstance(inner, str) else _blanked(inner) for key, inner in value.items()}
    return [_blanked(inner) for inner in value] if isinstance(value, list) else value


def login_of(path: Path) -> Mapping[str, Any]:
    """Claude's login in this file."""
    content = read(path)
    oauth = content.get("claudeAiOauth") if isinstance(content, dict) else None
    if not isinstance(oauth, dict):
        raise Failed(f"{path} is not a login of Claude Code. Log in again with the login pod.")
    return oauth


def moment(oauth: Mapping[str, Any], name: str) -> float:
    """Unix seconds; the file has milliseconds. 0: it does not say."""
    value = oauth.get(name)
    return value / 1000 if isinstance(value, int | float) else 0.0


def span(seconds: float) -> str:
    """For people."""
    return f"{max(0, int(seconds)) // 3600} h {max(0, int(seconds)) % 3600 // 60} min"


def read(path: Path) -> Any:
    """A JSON file."""
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        raise Failed(f"{path} cannot be read. Log in again with the login pod.") from None


def dump(value: Any) -> bytes:
    """As the CLIs write it."""
    return json.dumps(value, ensure_ascii=False).encode()


def write(path: Path, content: bytes) -> None:
    """The whole content or the old one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
