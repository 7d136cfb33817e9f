"""The chats that the settings name, and who may use each. It wires adapters; what they do it does not know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from adapters.discord.chat import DiscordChat
from adapters.discord.interactions import Suggest
from adapters.sqlite import Database
from adapters.telegram.chat import TelegramChat
from adapters.telegram.webhook import Webhook
from adapters.web.chat import WebChat
from bot.settings import Settings
from orchestrator.commands import COMMANDS
from orchestrator.errors import Refused
from orchestrator.gate import Gate, Rule
from orchestrator.nouns import Conversation, Person
from orchestrator.ports import Artifacts, Chat

MANAGER = "manager"
"""The role that the Discord adapter gives to members who may manage their server, besides the server's own."""


@dataclass(frozen=True, slots=True)
class Chats:
    """The platforms on which people are heard, a rule for each, and what they answer over HTTP."""

    by_platform: Mapping[str, Chat]
    rules: Mapping[str, Rule]
    add_routes: Callable[[web.Application], None]


@asynccontextmanager
async def open_chats(
    settings: Settings, database: Database, artifacts: Artifacts, *, suggest: Suggest
) -> AsyncIterator[Chats]:
    """The page, and Telegram and Discord where there is a token; open for as long as the block lasts."""
    page = WebChat(
        database.notes("web"),
        artifacts,
        token=settings.web_token.reveal(),
        commands=[
            (f"/{name}", f"{about}{f' ({arguments})' if arguments else ''}") for name, arguments, about in COMMANDS
        ],
    )
    chats: dict[str, Chat] = {page.platform: page}
    routes = [page.add_routes]
    async with AsyncExitStack() as stack:
        if settings.telegram_token:
            telegram = await stack.enter_async_context(_telegram(settings, database, artifacts))
            chats[telegram.platform] = telegram
            routes.append(telegram.add_routes)
        if settings.discord_token:
            discord = await stack.enter_async_context(_discord(settings, database, artifacts, suggest))
            chats[discord.platform] = discord

        def add_routes(app: web.Application) -> None:
            for add in routes:
                add(app)

        yield Chats(chats, {name: rule for name, rule in rules(settings).items() if name in chats}, add_routes)


def rules(settings: Settings) -> dict[str, Rule]:
    """Who may, on each platform."""
    discord_roles = settings.discord_allowed_roles
    if not settings.discord_allowed_users and not discord_roles:
        discord_roles = frozenset({MANAGER})
    return {
        "web": Rule(people=frozenset({"owner"}), chats=frozenset({"lobby", "runs"})),
        "telegram": Rule(people=settings.telegram_allowed_users, chats=settings.telegram_allowed_chats),
        "discord": Rule(
            people=settings.discord_allowed_users,
            roles=discord_roles,
            servers=settings.discord_allowed_guilds,
            channels=settings.discord_allowed_channels,
        ),
    }


def _telegram(settings: Settings, database: Database, artifacts: Artifacts) -> TelegramChat:
    url, secret = settings.telegram_webhook_url, settings.telegram_webhook_secret.reveal()
    return TelegramChat(
        database.notes("telegram"),
        artifacts,
        token=settings.telegram_token.reveal(),
        api_base=settings.telegram_api_base,
        rich_chats=settings.telegram_rich_chats,
        commands=COMMANDS,
        allowed_users=[int(id_) for id_ in settings.telegram_allowed_users],
        allowed_chats=[int(id_) for id_ in settings.telegram_allowed_chats],
        webhook=Webhook(url, secret) if url else None,
    )


def _discord(settings: Settings, database: Database, artifacts: Artifacts, suggest: Suggest) -> DiscordChat:
    gate = Gate({DiscordChat.platform: rules(settings)[DiscordChat.platform]})

    def may(person: Person, where: Conversation) -> bool:
        try:
            gate.check(person, where)
        except Refused:
            return False
        return True

    return DiscordChat(
        database.notes("discord"),
        artifacts,
        token=settings.discord_token.reveal(),
        guilds=settings.discord_allowed_guilds,
        may=may,
        api_base=settings.discord_api_base,
        gateway_url=settings.discord_gateway_url,
        commands=COMMANDS,
        suggest=suggest,
    )
