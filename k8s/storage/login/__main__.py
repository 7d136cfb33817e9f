"""The shared login: stored by a person, renewed by one process, handed to agents without what renews it.

`python3 -I /opt/login store | renew | check`. The first two need the claim at /credentials, and take the Lease before
they look at it; `check` sees what agents see. A login is renewed by the CLI that made it, which writes the new pair.
"""

# ruff: noqa: INP001 - a ConfigMap carries this folder

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from cluster import SPENDING, Cluster, Lease
from files import CLAUDE, FILES, OPENCODE, Failed, dump, login_of, moment, published, span, write

RENEW_BELOW_SECONDS = 5 * 3600.0
"""An access token lives for about eight hours. Agents are to begin with as much of it as can be had."""

CLI_SECONDS = 150.0
SIGNALLED = 128
"""A shell that started a program adds this to the signal that killed it."""

QUIET = {"DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
ACCESS_UNTIL, LOGIN_UNTIL = "army/access-expires", "army/login-expires"
GIVES, TROUBLE = "army/gives", "army/trouble"
"""What the Lease tells: by it the bot counts down, and needs to read no Secret."""

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def main(arguments: list[str] | None = None) -> int:
    """Do what is asked; 0 when it is well, 1 when a person has to act."""
    parser = argparse.ArgumentParser(prog="login")
    parser.add_argument("command", choices=("store", "renew", "check"))
    parser.add_argument("--shared", type=Path, default=Path("/credentials"))
    parser.add_argument("--home", type=Path, default=Path("/home/agent"))
    parser.add_argument("--seen", type=Path, default=Path("/login"), help="what agents see")
    parser.add_argument("--claude", default="claude", help="the CLI that renews")
    parser.add_argument("--seconds", type=float, default=CLI_SECONDS, help="its time")
    parser.add_argument("--api", default="")
    parser.add_argument("--account", type=Path, default=ACCOUNT)
    asked = parser.parse_args(arguments)
    try:
        match asked.command:
            case "check":
                words = check(asked.seen, now=time.time())
            case "store":
                with held(Cluster(asked.api, asked.account)) as (cluster, lease):
                    words = store(asked.home, asked.shared, cluster, lease)
            case _:
                with held(Cluster(asked.api, asked.account)) as (cluster, lease):
                    words = renew(asked.shared, cluster, lease, claude=asked.claude, seconds=asked.seconds)
    except Failed as failed:
        sys.stderr.write(f"✗ {failed}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"✗ {error}. Are the cluster's API and the NFS server (namespace storage) up?\n")
        return 1
    sys.stdout.write(f"{words}\n")
    return 0


@contextmanager
def held(cluster: Cluster) -> Iterator[tuple[Cluster, Lease]]:
    """Nobody else changes the login meanwhile; what went wrong stands on the Lease afterwards."""
    lease = Lease(cluster, holder=f"{socket.gethostname()}-{uuid4().hex[:8]}")
    lease.take()
    try:
        yield cluster, lease
        lease.notes.pop(TROUBLE, None)
    except (Failed, OSError) as trouble:
        lease.notes[TROUBLE] = str(trouble)[:500]
        raise
    finally:
        lease.leave()


def store(home: Path, shared: Path, cluster: Cluster, lease: Lease) -> str:
    """What somebody logged in as in this home becomes the shared login."""
    kept = [name for name in FILES if (home / name).is_file()]
    if not {CLAUDE, OPENCODE} & set(kept):
        raise Failed(
            f"Nobody is logged in in {home}. Run `claude` and /login, or `opencode auth login`, then this again."
        )
    for name in kept:
        write(shared / name, (home / name).read_bytes())
    lease.notes.pop(SPENDING, None)  # another token now
    # A login of Claude that has died meanwhile is no reason to keep OpenCode's from anybody.
    publish(shared, cluster, lease, names=[name for name in FILES if name != CLAUDE or name in kept])
    # Two homes with one refresh token: the second to use it is logged out, and the first with it.
    for name in kept:
        (home / name).unlink()
    return f"Stored: {', '.join(map(str, kept))}. It is not in {home} any more. Agents get it from their next start on."


def renew(shared: Path, cluster: Cluster, lease: Lease, *, claude: str, seconds: float) -> str:
    """Have the CLI spend the refresh token when the access token runs low."""
    if not (shared / CLAUDE).is_file():
        publish(shared, cluster, lease)
        return "There is no Claude login to renew."
    before = login_of(shared / CLAUDE)
    if (left := moment(before, "expiresAt") - time.time()) > RENEW_BELOW_SECONDS:
        publish(shared, cluster, lease)
        return f"The access token is good for {span(left)}; nothing to renew."
    if not (token := str(before.get("refreshToken") or "")):
        raise Failed("The stored login has nothing that renews it. Log in again with the login pod.")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a pod that is to go may finish what cannot be done twice
    lease.spend(hashlib.sha256(token.encode()).hexdigest())
    try:
        said, cut = spent(shared, claude=claude, seconds=seconds)
    except (Failed, OSError):  # it never began
        lease.notes.pop(SPENDING, None)
        raise
    if not cut:  # it ended by itself: nobody spends the token any more, and the next one may try
        lease.notes.pop(SPENDING, None)
    after = login_of(shared / CLAUDE)
    renewed = after.get("accessToken") not in {None, "", before.get("accessToken")}
    if renewed or after.get("refreshToken") != token:
        lease.notes.pop(SPENDING, None)
    if not renewed:
        # What the CLI left is kept but for the date: it may have blanked a token that is no good any more.
        write(shared / CLAUDE, dump({"claudeAiOauth": {**after, "expiresAt": before.get("expiresAt", 0)}}))
        if SPENDING in lease.notes:
            raise Failed(
                f"The renewal of the login was cut off ({said}), so its refresh token may be spent: it is not tried "
                "again. Log in again with the login pod before the access token runs out."
            )
        raise Failed(f"The login was not renewed ({said}). Log in again with the login pod before it runs out.")
    publish(shared, cluster, lease)
    return f"Renewed; good for {span(moment(after, 'expiresAt') - time.time())}."


def spent(shared: Path, *, claude: str, seconds: float) -> tuple[str, bool]:
    """Let the CLI renew the login on the claim: the end of what it said, and whether it was cut off in the middle."""
    before = login_of(shared / CLAUDE)
    # The CLI refreshes what has expired. Agents go on with what they have, which still has the true date.
    write(shared / CLAUDE, dump({"claudeAiOauth": {**before, "expiresAt": 1}}))
    env = {**os.environ, **QUIET, "CLAUDE_CONFIG_DIR": str(shared / ".claude")}
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"):
        env.pop(name, None)  # each of these would be asked with instead
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and nothing of what is run comes from outside
            [claude, "-p", "Answer with the word ok.", "--model", "haiku"],
            env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=seconds,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"it said nothing for {seconds:.0f} seconds", True
    except OSError as error:
        return f"{claude} cannot be started: {error.strerror}", False
    words = " ".join((done.stdout + " " + done.stderr).split())[-300:]
    if done.returncode < 0 or done.returncode > SIGNALLED:
        return f"{words} It was killed.".strip(), True
    return words, False


def publish(shared: Path, cluster: Cluster, lease: Lease, *, names: Collection[Path] = tuple(FILES)) -> None:
    """Agents get what is on the claim, but for what renews it; the Lease tells how long that is good."""
    cluster.publish(published(shared, names))
    there = {"claude": CLAUDE, "opencode": OPENCODE}
    lease.notes[GIVES] = ",".join(cli for cli, name in there.items() if (shared / name).is_file())
    if CLAUDE not in names:
        return
    oauth = login_of(shared / CLAUDE) if (shared / CLAUDE).is_file() else {}
    for note, name in ((ACCESS_UNTIL, "expiresAt"), (LOGIN_UNTIL, "refreshTokenExpiresAt")):
        lease.notes.pop(note, None)
        if until := moment(oauth, name):
            lease.notes[note] = str(int(until))


def check(seen: Path, *, now: float) -> str:
    """What agents get and how long it lasts. Raises `Failed` when they could not work with it."""
    there = [str(name) for name, key in FILES.items() if name in {CLAUDE, OPENCODE} and (seen / key).is_file()]
    if not there:
        raise Failed("There is no shared login yet. Start the login pod.")
    words = f"Agents get: {', '.join(there)}."
    if str(CLAUDE) in there:
        left = moment(login_of(seen / FILES[CLAUDE]), "expiresAt") - now
        if left <= 0:
            raise Failed("The access token has run out and nobody renewed it: see the log of login-refresh.")
        words += f" Claude's access token is good for {span(left)}."
    return words


if __name__ == "__main__":
    raise SystemExit(main())
