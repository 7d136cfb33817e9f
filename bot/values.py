"""Each setting's text as a value: one parser for each kind of value, and which setting is read by which.

A parser raises ValueError with the rest of a sentence. It knows one text, and neither its name nor any other setting.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bot.settings import Bind, Secret
from orchestrator.nouns import CREDENTIALS


def _text(text: str) -> str:
    return text


def _one_word(text: str) -> Secret:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("a token is one word of plain letters, digits and signs; was something else copied along?")
    return Secret(text)


def _telegram_token(text: str) -> Secret:
    if not re.fullmatch(r"\d+:[A-Za-z0-9_-]+", text):
        raise ValueError("this is not a bot token; it looks like 123456789:AAE… and comes from @BotFather")
    return Secret(text)


def _ids(*, signed: bool) -> Callable[[str], frozenset[str]]:
    pattern = re.compile(r"-?\d+" if signed else r"\d+")

    def parse(text: str) -> frozenset[str]:
        words = [word for word in re.split(r"[,\s]+", text) if word]
        if bad := [word for word in words if not pattern.fullmatch(word)]:
            raise ValueError(
                f"{', '.join(map(repr, bad))} cannot be an id; ids are numbers, separated by commas (not names)"
            )
        return frozenset(str(int(word)) for word in words)

    return parse


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"{text!r} is not an address that begins with {' or '.join(s + '://' for s in schemes)}")
        return text.rstrip("/")

    return parse


def _safe_url(secure: str, plain: str) -> Callable[[str], str]:
    """An address that gets a token: nothing between may read it."""

    def parse(text: str) -> str:
        url = _url(secure, plain)(text)
        if urlsplit(url).scheme == plain and not Bind(str(urlsplit(url).hostname), 0).loopback:
            raise ValueError(f"{text!r} would carry the token in the open; only on this machine may it be {plain}://")
        return url

    return parse


def _secret_word(text: str) -> Secret:
    if not re.fullmatch(r"[A-Za-z0-9_-]{16,256}", text):
        raise ValueError("a secret has 16 to 256 letters, digits, _ and -; make one with: openssl rand -hex 32")
    return Secret(text)


def _bind(text: str) -> Bind:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is not an address and a port, like 127.0.0.1:30080 or [::1]:30080")
    return Bind(host, int(port))


def _runtime(text: str) -> str:
    if text not in {"local", "kubernetes"}:
        raise ValueError(f"{text!r} is neither 'local' nor 'kubernetes'")
    return text


def _namespace(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", text):
        raise ValueError(f"{text!r} cannot be a namespace: small letters, digits and dashes, 63 at most")
    return text


def _class(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", text):
        raise ValueError(
            f"{text!r} cannot be a runtime class; write kata-fc, kata-clh, kata-qemu, gvisor, none or your own"
        )
    return text


def _amount(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d*(Ki|Mi|Gi|Ti|k|M|G|T)", text):
        raise ValueError(f"{text!r} is not an amount of bytes with its unit, like 16Gi or 512Mi")
    return text


def _image(text: str) -> str:
    if not re.fullmatch(
        r"[a-z0-9]([a-z0-9._:/-]*[a-z0-9])?(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?(@sha256:[0-9a-f]{64})?", text
    ):
        raise ValueError(f"{text!r} is not an image, like ghcr.io/rj-ai-army/agent:0.1.0")
    return text


def _credential(text: str) -> str:
    if text not in CREDENTIALS:
        raise ValueError(f"{text!r} is none of {', '.join(CREDENTIALS)}")
    return text


def _days(text: str) -> tuple[tuple[str, float], ...]:
    """`token=2027-11-26, key=2027-03-01` as kinds and the moments at which those days begin."""
    days: dict[str, float] = {}
    for word in re.split(r"[,\s]+", text):
        kind, _, day = word.partition("=")
        try:
            at = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            at = None
        if kind not in CREDENTIALS or at is None:
            raise ValueError(f"{word!r} is not a credential and its last day, like token=2027-11-26")
        days[kind] = at.timestamp()
    return tuple(sorted(days.items()))


def _dollars(text: str) -> float:
    amount = float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else math.nan
    if not amount > 0 or math.isinf(amount):
        raise ValueError(f"{text!r} is not an amount of dollars above 0, like 5 or 2.50")
    return amount


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise ValueError(f"{text!r} is not a number from 1 to 1000")
    return int(text)


def _few(text: str) -> int:
    if not text.isdecimal() or int(text) > 50:
        raise ValueError(f"{text!r} is not a number from 0 to 50")
    return int(text)


def _level(text: str) -> str:
    levels = ("DEBUG", "INFO", "WARNING", "ERROR")
    if text.upper() not in levels:
        raise ValueError(f"{text!r} is none of {', '.join(levels)}")
    return text.upper()


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{text!r} begins with the home of somebody who is not known here") from None


PARSERS: Mapping[str, Callable[[str], Any]] = {
    "TELEGRAM_TOKEN": _telegram_token,
    "TELEGRAM_ALLOWED_USERS": _ids(signed=False),
    "TELEGRAM_ALLOWED_CHATS": _ids(signed=True),
    "TELEGRAM_RICH_CHATS": _ids(signed=True),
    "TELEGRAM_API_BASE": _safe_url("https", "http"),
    "TELEGRAM_WEBHOOK_URL": _safe_url("https", "http"),
    "TELEGRAM_WEBHOOK_SECRET": _secret_word,
    "DISCORD_TOKEN": _one_word,
    "DISCORD_ALLOWED_GUILDS": _ids(signed=False),
    "DISCORD_ALLOWED_CHANNELS": _ids(signed=False),
    "DISCORD_ALLOWED_USERS": _ids(signed=False),
    "DISCORD_ALLOWED_ROLES": _ids(signed=False),
    "DISCORD_API_BASE": _safe_url("https", "http"),
    "DISCORD_GATEWAY_URL": _safe_url("wss", "ws"),
    "HTTP_BIND": _bind,
    "WEB_TOKEN": _one_word,
    "ALERTMANAGER_TOKEN": _one_word,
    "RUNTIME": _runtime,
    "KUBECONFIG": _text,
    "KUBE_CONTEXT": _text,
    "KUBE_NAMESPACE": _namespace,
    "RUNTIME_CLASS": _class,
    "AGENT_IMAGE": _image,
    "AGENT_DISK": _amount,
    "WARM_PODS": _few,
    "ANTHROPIC_API_KEY": _one_word,
    "CLAUDE_CODE_OAUTH_TOKEN": _one_word,
    "ANTHROPIC_BASE_URL": _url("http", "https"),
    "GATEWAY_KEY": _secret_word,
    "CREDENTIAL": _credential,
    "CREDENTIALS_EXPIRE": _days,
    "CLAUDE_BIN": _text,
    "OPENCODE_BIN": _text,
    "DATA_DIR": _path,
    "MAX_BUDGET_USD": _dollars,
    "MAX_RUNS": _count,
    "LOG_LEVEL": _level,
}
