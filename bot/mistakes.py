"""What is said to a person who set something wrong: each mistake a sentence, and all of them at once.

It knows values that are right by themselves and wrong together; a text that is no value is refused by `bot/values.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from bot.settings import DISCORD, Settings


class Mistakes(Exception):
    """Everything that is wrong with what a person wrote, a sentence each."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__("\n".join(self.sentences))


def contradictions(settings: Settings, *, wrong: list[str]) -> Iterable[str]:
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
