"""The words at the start: where the page is, what is missing, and the next step for each."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from bot.settings import Settings

VERSION = "0.1.0"


def greeting(settings: Settings, *, port: int, unavailable: Mapping[str, str], runs: int) -> str:
    """What a person reads after the start, and can act on."""
    host = settings.http_bind.host
    host = f"[{host}]" if ":" in host else host
    host = "127.0.0.1" if host in ("0.0.0.0", "[::]") else host  # noqa: S104 - shown, not bound
    lines = [
        "",
        f"  RJ AI Army {VERSION} is running. Open the page:  http://{host}:{port}/",
        "",
        "  Tap Launch an agent there, or type /launch rehearsal. Ctrl-C stops the bot, not its agents.",
        "",
        *(f"  {word:11} {words}" for word, words in _state(settings, unavailable)),
        "",
    ]
    if runs:
        lines.insert(3, f"  {runs} live run{'' if runs == 1 else 's'} taken up again.")
    return "\n".join(lines)


def _state(settings: Settings, unavailable: Mapping[str, str]) -> list[tuple[str, str]]:
    """One line for each thing that may be missing."""
    model = unavailable.get("claude", "")
    budget = f"each run may cost up to ${settings.max_budget_usd:.2f} (MAX_BUDGET_USD)"
    return [
        ("model", _model(settings, model, budget)),
        ("Telegram", _telegram(settings)),
        ("Discord", _discord(settings)),
        ("Kubernetes", _kubernetes(settings)),
    ]


def _model(settings: Settings, missing: str, budget: str) -> str:
    if settings.runtime == "kubernetes":
        where = {"gateway": "a gateway's token of each run", "login": "the login that agents share"}
        credential = where.get(settings.credential, "the cluster's Secret agent-credentials")
        return f"its credential is {credential}; {budget}."
    return f"missing: {missing}" if missing else f"ready, {budget}."


def _kubernetes(settings: Settings) -> str:
    if settings.runtime != "kubernetes":
        return "missing: agents are plain processes with your user's rights, no isolation. Set RUNTIME=kubernetes."
    cluster = settings.kube_context or "the cluster at hand"
    return f"agents are pods in {settings.kube_namespace} ({cluster}, runtime class {settings.runtime_class})."


def _telegram(settings: Settings) -> str:
    if not settings.telegram_token:
        return "missing: make a bot with @BotFather and set TELEGRAM_TOKEN and TELEGRAM_ALLOWED_USERS (see README.md)."
    groups = len(settings.telegram_allowed_chats)
    also = f" and in {groups} group{'s' if groups > 1 else ''}" if groups else ""
    return f"write /start to your bot, in a private chat{also}. If it stays silent: python -m bot doctor."


def _discord(settings: Settings) -> str:
    if not settings.discord_token:
        return "missing: make a bot in the portal and set DISCORD_TOKEN and DISCORD_ALLOWED_GUILDS (see README.md)."
    named = settings.discord_allowed_users or settings.discord_allowed_roles
    who = "the people and roles that you listed" if named else "members who may manage the server"
    return f"type /launch in your server; it listens to {who}. If it stays silent: python -m bot doctor."


def say(words: str) -> None:
    """To the person at the terminal."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()
