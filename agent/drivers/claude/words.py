"""Sentences for people: why the API or the process failed, and what to do.

Pure, but for the environment by which the CLI signs in; it knows no state.
"""

from __future__ import annotations

import os
import signal

REFUSED = 401
CREDENTIAL = frozenset({REFUSED, 403})

_SERVER = 500
_API = {
    400: ("request", "The model's API did not accept the request (400)"),
    401: (
        "credential",
        "The model's API refuses the credential (401). Check ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN",
    ),
    402: ("billing", "The model's API wants to be paid first (402). Check the account's credit"),
    403: ("credential", "The model's API forbids this to the credential (403). Check what the key or account may do"),
    404: ("model", "The model's API does not know what was asked for (404). Check the model's name"),
    413: ("request", "The conversation has become too long for the model's API (413)"),
    429: ("rate-limit", "The model's API says that too many requests were made (429)"),
    529: ("overloaded", "The model's API is overloaded (529)"),
}


_REFUSED = {
    "ANTHROPIC_AUTH_TOKEN": (
        "The gateway refuses the credential (401). Check that it takes this token: ANTHROPIC_AUTH_TOKEN, or the "
        "GATEWAY_KEY that it shares with the bot"
    ),
    "AGENT_SECRETS": (
        "The model's API refuses the shared login (401). Log in again with the login pod, store it, and launch again"
    ),
}
"""By the variable with which the CLI signs in, where that is no key or token of the vendor's; the first counts."""


def api_trouble(status: int) -> tuple[str, str]:
    """The kind of an API error and what it is, without a full stop. Status 0: there was no answer at all."""
    if status == REFUSED and (refused := next((words for name, words in _REFUSED.items() if os.environ.get(name)), "")):
        return "credential", refused
    if status in _API:
        return _API[status]
    if status >= _SERVER:
        return "api-error", f"The model's API failed ({status})"
    if status:
        return "api-error", f"The model's API answered with {status}"
    return "unreachable", "The model's API cannot be reached. Check the network and ANTHROPIC_BASE_URL"


def retrying(status: int) -> str:
    """One sentence, or two, while the CLI tries again."""
    trouble = api_trouble(status)[1]
    return f"{trouble}." if status in CREDENTIAL else f"{trouble}. The agent tries again by itself."


def given_up(status: int, said: str) -> str:
    """One sentence, or two, when the turn failed over it. `said`: the CLI's own words."""
    if status == 0 and "Not logged in" in said:
        return "There is no credential for the model's API. Set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN."
    if status == 0 and "onnect" not in said:
        return _sentence(said) or "The agent could not go on."
    trouble = api_trouble(status)[1]
    if status in CREDENTIAL:
        return f"{trouble}."
    if status in {0, 429} or status >= _SERVER:
        return f"{trouble}. It was tried several times; say something to try again."
    return f"{trouble}: {_sentence(said)}" if said else f"{trouble}."


def budget(cap_usd: float) -> str:
    """Why nothing is done any more."""
    return f"The budget of ${cap_usd:.2f} is spent. Set MAX_BUDGET_USD higher and launch again."


def death(code: int, stderr: str) -> tuple[str, bool]:
    """Why the process ended, and whether another one can do better."""
    text = stderr.strip()
    last = _sentence(text.splitlines()[-1]) if text else ""
    for sign, words in _HOPELESS.items():
        if sign in text:
            return f"{words} ({last})", False
    if code in {126, 127}:
        return f"Claude Code could not be started. Install it, or set CLAUDE_BIN to it. {last}".strip(), False
    if name := _signal(code):
        why = " Most likely the memory ran out." if name == "SIGKILL" else ""
        return f"Claude Code was ended by {name}.{why}", True
    if code == 0:
        return "Claude Code ended by itself.", True
    return f"Claude Code ended with code {code}. {last}".strip(), True


_HOPELESS = {
    "unknown option": "This Claude Code does not know an option that is needed; another version is needed.",
    "error: option": "This Claude Code does not accept an option's value.",
    "root/sudo": "Claude Code refuses to skip permissions as root.",
    "Not logged in": "There is no credential for the model's API. Set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN.",
    "Exec format": "The Claude Code that was found does not run on this machine. Set CLAUDE_BIN to one that does.",
}


def _signal(code: int) -> str:
    number = -code if code < 0 else code - 128  # a shell in between adds 128
    try:
        return signal.Signals(number).name if number > 0 else ""
    except ValueError:
        return ""


def _sentence(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:299] + "…"
