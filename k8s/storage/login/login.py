"""The shared login: stored by a person, renewed by one process, handed to agents without what renews it.

`login.py store | renew | check`, in a pod that has the claim at /credentials. Each takes the lock on the claim first.
It knows the files of Claude Code and OpenCode and no cluster. Standard library only: it runs in the agents' image.
"""

# ruff: noqa: INP001 - a script that a ConfigMap carries

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CLAUDE = Path(".claude/.credentials.json")
OPENCODE = Path(".local/share/opencode/auth.json")
OPENCODE_SERVERS = Path(".local/share/opencode/mcp-auth.json")
FILES = (CLAUDE, Path(".claude/settings.json"), OPENCODE, OPENCODE_SERVERS, Path(".config/opencode/opencode.json"))
"""What makes up a login. Everything else in these folders is a CLI's own business and stays where it is."""

ACCESS = Path("access")
RENEW_BELOW_SECONDS = 5 * 3600.0
"""An access token lives for about eight hours. Agents are to begin with as much of it as can be had."""

LOCK_SECONDS = 120.0
CLI_SECONDS = 150.0
QUIET = {"DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}


class Failed(Exception):
    """A sentence for a person."""


def main(arguments: list[str] | None = None) -> int:
    """Do what is asked; 0 when it is well, 1 when a person has to act."""
    parser = argparse.ArgumentParser(prog="login")
    parser.add_argument("command", choices=("store", "renew", "check"))
    parser.add_argument("--shared", type=Path, default=Path("/credentials"))
    parser.add_argument("--home", type=Path, default=Path("/home/agent"))
    parser.add_argument("--claude", default="claude", help="the CLI that renews")
    asked = parser.parse_args(arguments)
    try:
        with alone(asked.shared):
            match asked.command:
                case "store":
                    words = store(asked.home, asked.shared)
                case "renew":
                    words = renew(asked.shared, claude=asked.claude, now=time.time())
                case _:
                    words = check(asked.shared, now=time.time())
    except Failed as failed:
        sys.stderr.write(f"✗ {failed}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"✗ {asked.shared} cannot be used: {error}. Is the NFS server up (namespace storage)?\n")
        return 1
    sys.stdout.write(f"{words}\n")
    return 0


@contextmanager
def alone(shared: Path, *, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Nobody else changes the login meanwhile. The lock goes with its holder, however that ends."""
    handle = os.open(shared / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Failed("Somebody else works on the login just now; try again in a minute.") from None
                time.sleep(0.5)
        yield
    finally:
        os.close(handle)


def store(home: Path, shared: Path) -> str:
    """What somebody logged in as in this home becomes the shared login."""
    kept = [name for name in FILES if (home / name).is_file()]
    if not {CLAUDE, OPENCODE} & set(kept):
        raise Failed(
            f"Nobody is logged in in {home}. Run `claude` and /login, or `opencode auth login`, then this again."
        )
    for name in kept:
        write(shared / name, (home / name).read_bytes())
    publish(shared)
    # Two homes with one refresh token: the second to use it is logged out, and the first with it.
    for name in kept:
        (home / name).unlink()
    return f"Stored: {', '.join(map(str, kept))}. It is not in {home} any more. Agents get it from their next start on."


def renew(shared: Path, *, claude: str, now: float) -> str:
    """Have the CLI spend the refresh token when the access token runs low. The CLI writes the new pair itself."""
    if not (shared / CLAUDE).is_file():
        publish(shared)
        return "There is no Claude login to renew."
    if (left := seconds_left(shared, now)) > RENEW_BELOW_SECONDS:
        publish(shared)
        return f"The access token is good for {span(left)}; nothing to renew."
    before = login_of(shared)
    # The CLI refreshes what has expired. Agents go on with their copy, which still has the true date.
    write(shared / CLAUDE, dump({"claudeAiOauth": {**before, "expiresAt": 1}}))
    env = {**os.environ, **QUIET, "CLAUDE_CONFIG_DIR": str(shared / ".claude")}
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"):
        env.pop(name, None)  # each of these would be asked with instead
    said = ""
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and nothing of what is run comes from outside
            [claude, "-p", "Answer with the word ok.", "--model", "haiku"],
            env=env, capture_output=True, text=True, timeout=CLI_SECONDS, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        said = " ".join((done.stdout + " " + done.stderr).split())[-300:]
    except subprocess.TimeoutExpired:
        said = f"it said nothing for {CLI_SECONDS:.0f} seconds"
    after = login_of(shared)
    if after.get("accessToken") == before.get("accessToken"):
        # What the CLI left is kept but for the date: it may have blanked a token that is no good any more.
        write(shared / CLAUDE, dump({"claudeAiOauth": {**after, "expiresAt": before.get("expiresAt", 0)}}))
        raise Failed(f"The login was not renewed ({said}). Log in again with the login pod before it runs out.")
    publish(shared)
    return f"Renewed; good for {span(seconds_left(shared, now))}."


def check(shared: Path, *, now: float) -> str:
    """What there is and how long it lasts. Raises `Failed` when agents could not work with it."""
    there = [str(name) for name in (CLAUDE, OPENCODE) if (shared / ACCESS / name).is_file()]
    if not there:
        raise Failed("There is no shared login yet. Start the login pod.")
    words = f"Agents get: {', '.join(there)}."
    if str(CLAUDE) in there:
        if (left := seconds_left(shared / ACCESS, now)) <= 0:
            raise Failed("The access token has run out and nobody renewed it: see the log of login-refresh.")
        words += f" Claude's access token is good for {span(left)}."
    return words


def publish(shared: Path) -> None:
    """The login as agents may see it: complete, but for what renews it. What is gone from the login goes here, too."""
    for name in FILES:
        target = shared / ACCESS / name
        if not (shared / name).is_file():
            target.unlink(missing_ok=True)
            continue
        content = (shared / name).read_bytes()
        if name == CLAUDE:
            oauth = login_of(shared)
            if not oauth.get("accessToken"):
                raise Failed("The stored login has no access token. Log in again with the login pod.")
            content = dump({"claudeAiOauth": {k: v for k, v in oauth.items() if not k.startswith("refresh")}})
        elif name in {OPENCODE, OPENCODE_SERVERS}:
            content = dump(blanked(read(shared / name)))
        write(target, content)


def blanked(value: Any) -> Any:
    """The value with every refresh token emptied; OpenCode wants the key itself to be there."""
    if isinstance(value, dict):
        names = {"refresh", "refreshToken", "refresh_token"}
        return {key: "" if key in names and isinstance(inner, str) else blanked(inner) for key, inner in value.items()}
    return [blanked(inner) for inner in value] if isinstance(value, list) else value


def login_of(folder: Path) -> Mapping[str, Any]:
    """Claude's part of the login."""
    content = read(folder / CLAUDE)
    oauth = content.get("claudeAiOauth") if isinstance(content, dict) else None
    if not isinstance(oauth, dict):
        raise Failed(f"{folder / CLAUDE} is not a login of Claude Code. Log in again with the login pod.")
    return oauth


def seconds_left(folder: Path, now: float) -> float:
    """Until the access token runs out; the file has milliseconds."""
    expires = login_of(folder).get("expiresAt")
    return (expires / 1000 if isinstance(expires, int | float) else 0.0) - now


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


if __name__ == "__main__":
    raise SystemExit(main())
