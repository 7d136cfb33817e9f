"""Settings: environment variables and `.env`, read into one frozen value; every mistake is told at once.

`read_settings` is a pure function of the environment and a text. It starts nothing and knows no adapter: whether a
token is accepted, a folder writable or a program there is found out by whoever uses it.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bot.dotenv import read_dotenv
from orchestrator.nouns import CREDENTIALS

OUR_PREFIXES = ("TELEGRAM_", "DISCORD_", "ALERTMANAGER_", "KUBE_")
"""Names in the environment that begin so and are close to a setting's are taken for typos."""

TELEGRAM = "https://api.telegram.org"
DISCORD = "https://discord.com/api/v10"

PASSED_ON = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "CLAUDE_CODE_MAX_RETRIES",
)  # fmt: skip
"""What a local agent needs from the bot's environment to reach the network as the bot does."""


class Mistakes(Exception):
    """Everything that is wrong with what a person wrote, a sentence each."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__("\n".join(self.sentences))


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A text that never shows itself by accident. False when empty."""

    _text: str = ""

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "***" if self._text else "(not set)"

    def __bool__(self) -> bool:
        return bool(self._text)


@dataclass(frozen=True, slots=True)
class Bind:
    """Where the HTTP listener listens."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Each field is the variable of the same name in capitals; `.env.example` explains them."""

    telegram_token: Secret = Secret()
    telegram_allowed_users: frozenset[str] = frozenset()
    telegram_allowed_chats: frozenset[str] = frozenset()
    telegram_rich_chats: frozenset[str] = frozenset()
    telegram_api_base: str = TELEGRAM
    telegram_webhook_url: str = ""
    telegram_webhook_secret: Secret = Secret()
    discord_token: Secret = Secret()
    discord_allowed_guilds: frozenset[str] = frozenset()
    discord_allowed_channels: frozenset[str] = frozenset()
    discord_allowed_users: frozenset[str] = frozenset()
    discord_allowed_roles: frozenset[str] = frozenset()
    discord_api_base: str = DISCORD
    discord_gateway_url: str = ""
    http_bind: Bind = Bind("127.0.0.1", 30080)
    web_token: Secret = Secret()
    alertmanager_token: Secret = Secret()
    runtime: str = "local"
    kube_context: str = ""
    kube_namespace: str = "claude-agents"
    runtime_class: str = "kata-fc"
    agent_image: str = ""
    agent_disk: str = "16Gi"
    warm_pods: int = 0
    anthropic_api_key: Secret = Secret()
    claude_code_oauth_token: Secret = Secret()
    anthropic_base_url: str = ""
    gateway_key: Secret = Secret()
    credential: str = ""
    credentials_expire: tuple[tuple[str, float], ...] = ()
    claude_bin: str = ""
    opencode_bin: str = ""
    data_dir: Path = Path("var")
    max_budget_usd: float = 5.0
    max_runs: int = 4
    log_level: str = "INFO"

    @property
    def has_model(self) -> bool:
        """Whether a real model can be asked: without a credential only rehearsals run."""
        return bool(self.anthropic_api_key or self.claude_code_oauth_token or self.gateway_key)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Everything that must never be logged or shown."""
        values = (getattr(self, field.name) for field in fields(self))
        return tuple(value for value in values if isinstance(value, Secret) and value)


NAMES = tuple(field.name.upper() for field in fields(Settings))
"""Every setting there is."""


def load_settings(environ: Mapping[str, str], path: Path) -> Settings:
    """The settings of this environment and of the `.env` at this path, if there is one. Raises `Mistakes`."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise Mistakes([f"{path} cannot be read: {error}."]) from None
    return read_settings(environ, text)


def read_settings(environ: Mapping[str, str], dotenv: str = "") -> Settings:
    """The settings; the environment wins over `.env`, even with an empty value. Raises `Mistakes` with all of them."""
    in_file, mistakes = read_dotenv(dotenv)
    for name in in_file.keys() - set(NAMES):
        mistakes.append(f".env: {name} is not a setting{_perhaps(name)}. See .env.example for all of them.")
    for name in sorted(set(environ) - set(NAMES)):
        if name.startswith(OUR_PREFIXES) and (perhaps := _perhaps(name)):
            mistakes.append(f"{name} is not a setting{perhaps}.")

    written = {**in_file, **{name: environ[name] for name in NAMES if name in environ}}
    values: dict[str, Any] = {}
    for name, parse in PARSERS.items():
        if text := written.get(name, "").strip():
            try:
                values[name.lower()] = parse(text)
            except ValueError as error:
                mistakes.append(f"{name}: {error}.")
    settings = Settings(**values)
    mistakes.extend(_contradictions(settings, wrong=[sentence.partition(":")[0] for sentence in mistakes]))
    if mistakes:
        raise Mistakes(mistakes)
    return settings


def guest_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """What every local agent gets of all this: where the CLIs are and how to reach the network."""
    ours = {"CLAUDE_BIN": settings.claude_bin, "OPENCODE_BIN": settings.opencode_bin}
    passed = {name: environ[name] for name in PASSED_ON if environ.get(name)}
    return passed | {name: text for name, text in ours.items() if text}


def held_credentials(settings: Settings) -> dict[str, str]:
    """What local agents may show to the model, by the variables in which their CLI looks for it."""
    held = {
        "ANTHROPIC_API_KEY": settings.anthropic_api_key.reveal(),
        "CLAUDE_CODE_OAUTH_TOKEN": settings.claude_code_oauth_token.reveal(),
        "ANTHROPIC_BASE_URL": settings.anthropic_base_url,
    }
    return {name: text for name, text in held.items() if text}


def _contradictions(settings: Settings, *, wrong: list[str]) -> Iterable[str]:
    """What is fine by itself and not together. Silent about settings that were `wrong` already."""
    if not settings.http_bind.loopback and not settings.web_token:
        yield (
            f"WEB_TOKEN is missing: HTTP_BIND {settings.http_bind} can be reached from other machines, so the "
            "page needs a token. Set one (for example the output of `openssl rand -hex 24`), or bind to 127.0.0.1."
        )
    if settings.telegram_token and not settings.telegram_allowed_users and "TELEGRAM_ALLOWED_USERS" not in wrong:
        yield (
            "TELEGRAM_ALLOWED_USERS is missing: with TELEGRAM_TOKEN alone nobody may talk to the bot. Set your numeric "
            "id; if you do not know it, set 1, write /start to the bot, and it tells you."
        )
    if settings.discord_token and not settings.discord_allowed_guilds and "DISCORD_ALLOWED_GUILDS" not in wrong:
        yield (
            "DISCORD_ALLOWED_GUILDS is missing: with DISCORD_TOKEN alone the bot may speak in no server. Set your "
            "server's id: switch Developer Mode on in Discord, then Copy Server ID in the server's menu."
        )
    if settings.gateway_key and not settings.anthropic_base_url and "ANTHROPIC_BASE_URL" not in wrong:
        yield (
            "ANTHROPIC_BASE_URL is missing: GATEWAY_KEY signs the tokens of runs for the gateway at that address. Set "
            "it, or leave the key out."
        )
    if settings.credential == "gateway" and not settings.gateway_key and "GATEWAY_KEY" not in wrong:
        yield (
            "GATEWAY_KEY is missing: CREDENTIAL is gateway, and with this key the token of each run is signed. Share "
            "one with the gateway (for example the output of `openssl rand -hex 32`)."
        )
    if bool(settings.telegram_webhook_url) != bool(settings.telegram_webhook_secret):
        yield (
            "TELEGRAM_WEBHOOK_URL and TELEGRAM_WEBHOOK_SECRET belong together: without the secret anybody could "
            "pretend to be Telegram. Leave both out to poll, which needs no public address."
        )
    if bool(settings.discord_gateway_url) != (settings.discord_api_base != DISCORD):
        yield (
            "DISCORD_API_BASE and DISCORD_GATEWAY_URL belong together: with one of them alone the bot would show its "
            "token to two different servers."
        )


def _perhaps(name: str) -> str:
    close = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.8)
    return f"; {close[0]} is meant, probably" if close else ""


# --- one parser for each kind of value: they raise ValueError with the rest of a sentence ----------------------------


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
