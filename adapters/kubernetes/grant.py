"""What an agent chose as its credential, as variables and files of its pod, all of it out of Secrets. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapters.kubernetes.guest import Guest
from orchestrator.errors import Refused
from orchestrator.nouns import CREDENTIALS, Agent, RunId

Body = dict[str, Any]

ALL = ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN")
KEPT_AS = {"key": "ANTHROPIC_API_KEY", "token": "CLAUDE_CODE_OAUTH_TOKEN"}
RUNS_OWN = "ANTHROPIC_AUTH_TOKEN"

LOGIN = "agent-login"
"""The Secret in which agents find the shared login, and the Lease of who may renew it."""

LOGIN_FOLDER = "/login"
MASKED = "AGENT_SECRETS"
"""By this variable agentd knows the folder whose credentials it masks, renewed ones, too."""

HOME = "/state/home"
"""Where the CLIs have their home: agentd makes it, and it outlives the container."""

PREPARE = """umask 077
mkdir -p "$2/.claude" "$2/.local/share/opencode" "$2/.config/opencode"
ln -sfn "$1/claude-credentials.json" "$2/.claude/.credentials.json"
copy() { [ ! -e "$1" ] || [ -e "$2" ] || cp "$1" "$2"; }
copy "$1/claude-settings.json" "$2/.claude/settings.json"
copy "$1/opencode-auth.json" "$2/.local/share/opencode/auth.json"
copy "$1/opencode-mcp-auth.json" "$2/.local/share/opencode/mcp-auth.json"
copy "$1/opencode-config.json" "$2/.config/opencode/opencode.json"
"""
"""The original's layout, in a home of the agent's own. Claude's access token is linked and not copied: a kubelet that
renews the Secret's files renews it for a CLI that runs, which reads the file again when the old token is refused. It is
linked before it is there, too: a pod that was started ahead of the login has it later."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The parts of a pod by which it has its credential. `kind` is empty where nothing was chosen."""

    kind: str = ""
    env: tuple[Body, ...] = ()
    volumes: tuple[Body, ...] = ()
    mounts: tuple[Body, ...] = ()
    before: tuple[Body, ...] = ()  # what runs first, in the same image


def granted(run: RunId, agent: Agent, guest: Guest) -> Grant:
    """What this agent's pod gets; an agent that asks no model gets nothing. Raises `Refused`."""
    if agent.driver == "rehearsal":
        return Grant()
    match agent.credential or guest.credential:
        case "":
            return Grant(env=tuple(_out_of(guest.secret, name, optional=True) for name in ALL))
        case "key" | "token" as kind:
            return Grant(kind, env=(_out_of(guest.secret, KEPT_AS[kind]),))
        case "gateway":
            if guest.gateway is None:
                raise Refused(
                    f"The agent {agent.name} is to use a gateway: set ANTHROPIC_BASE_URL and GATEWAY_KEY for the bot."
                )
            url = {"name": "ANTHROPIC_BASE_URL", "value": guest.gateway.url}
            return Grant("gateway", env=(url, _out_of(run, RUNS_OWN)))
        case "login":
            return _login()
        case other:
            raise Refused(f"The agent {agent.name} is to use {other[:40]!r}; known are {', '.join(CREDENTIALS)}.")


def _out_of(secret: str, key: str, *, optional: bool = False) -> Body:
    ref: Body = {"name": secret, "key": key}
    if optional:
        ref["optional"] = True  # keys that the Secret lacks are left out
    return {"name": key, "valueFrom": {"secretKeyRef": ref}}


def _login() -> Grant:
    """The published part of the login: a Secret, which reaches a guest that shares no filesystem with its host."""
    mount = {"name": "login", "mountPath": LOGIN_FOLDER, "readOnly": True}
    return Grant(
        "login",
        env=({"name": MASKED, "value": LOGIN_FOLDER},),
        volumes=({"name": "login", "secret": {"secretName": LOGIN, "defaultMode": 0o440}},),
        mounts=(mount,),
        before=(
            {
                "name": "home",
                "command": ["sh", "-euc", PREPARE, "home", LOGIN_FOLDER, HOME],
                "volumeMounts": [dict(mount), {"name": "state", "mountPath": "/state"}],
            },
        ),
    )
