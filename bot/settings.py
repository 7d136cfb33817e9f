"""What can be set, as one frozen value, and what of it local agents get.

It knows no adapter, starts nothing, and does not know where the values were written: `bot/reading.py` reads them.
Whether a token is accepted, a folder writable or a program there is found out by whoever uses it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

TELEGRAM = "https://api.telegram.org"
DISCORD = "https://discord.com/api/v10"

PASSED_ON = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "CLAUDE_CODE_MAX_RETRIES",
)  # fmt: skip
"""What a local agent needs from the bot's environment to reach the network as the bot does."""


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
    kubeconfig: str = ""
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
