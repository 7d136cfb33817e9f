"""The methods of the bot's own affairs: hearing updates, the webhook, and the menu of commands."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

from tests.botapi.ask import Ask, Method
from tests.botapi.refusal import Json, bad
from tests.botapi.world import World

COMMAND = re.compile(r"[a-z0-9_]{1,32}")
SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")


async def get_updates(world: World, ask: Ask) -> list[Json]:
    """What happened from the offset on."""
    allowed = ask.params.get("allowed_updates")
    return await world.updates.poll(
        offset=ask.number("offset"),
        limit=ask.number("limit") or 100,
        timeout=ask.number("timeout"),
        allowed=allowed if isinstance(allowed, list) else None,
    )


async def set_webhook(world: World, ask: Ask) -> bool:
    """Deliver to an address. This server delivers to its own machine and nowhere else."""
    url, secret = ask.text("url"), ask.text("secret_token")
    if not url:
        return await delete_webhook(world, ask)
    if urlsplit(url).hostname != "127.0.0.1":
        raise bad("bad webhook: this server delivers to 127.0.0.1 only")
    if secret and not SECRET.fullmatch(secret):
        raise bad("secret token contains unallowed characters")
    if ask.flag("drop_pending_updates"):
        world.updates.waiting.clear()
    allowed = ask.params.get("allowed_updates")
    world.updates.allow(allowed if isinstance(allowed, list) else None)
    world.updates.hook({"url": url, "secret": secret})
    return True


async def delete_webhook(world: World, ask: Ask) -> bool:
    """Whoever polls hears again."""
    if ask.flag("drop_pending_updates"):
        world.updates.waiting.clear()
    world.updates.hook(None)
    return True


async def get_webhook_info(world: World, _: Ask) -> Json:
    """Where updates go, how many wait, and what went wrong last."""
    hook = world.updates.webhook or {}
    found: Json = {
        "url": hook.get("url", ""),
        "has_custom_certificate": False,
        "pending_update_count": len(world.updates.waiting),
    }
    return found | {name: hook[name] for name in ("last_error_date", "last_error_message") if name in hook}


async def set_commands(world: World, ask: Ask) -> bool:
    """The menu for a scope and a language."""
    commands = ask.rows("commands")
    if len(commands) > 100:
        raise bad("BOT_COMMANDS_TOO_MUCH")
    for command in commands:
        if not COMMAND.fullmatch(command["command"].removeprefix("/")):
            raise bad("BOT_COMMAND_INVALID")
        if not 1 <= len(command["description"]) <= 256:
            raise bad("BOT_COMMAND_DESCRIPTION_INVALID")
    world.commands[_menu(world, ask)] = commands
    return True


async def get_commands(world: World, ask: Ask) -> list[Json]:
    """The menu of exactly this scope and language."""
    return world.commands.get(_menu(world, ask), [])


async def delete_commands(world: World, ask: Ask) -> bool:
    """The menu of this scope and language is what a wider one says."""
    world.commands.pop(_menu(world, ask), None)
    return True


def menu(scope: Json, language: str) -> tuple[str, str]:
    """The name under which a menu is kept."""
    return json.dumps(scope or {"type": "default"}, sort_keys=True), language


def _menu(world: World, ask: Ask) -> tuple[str, str]:
    scope = ask.json("scope")
    if "chat_id" in scope:
        world.chat(scope["chat_id"])
    language = ask.text("language_code")
    if language and not re.fullmatch(r"[a-z]{2}", language):
        raise bad("BOT_COMMAND_LANGUAGE_INVALID")
    return menu(scope, language)


SETTINGS: dict[str, Method] = {
    "getupdates": get_updates,
    "setwebhook": set_webhook,
    "deletewebhook": delete_webhook,
    "getwebhookinfo": get_webhook_info,
    "setmycommands": set_commands,
    "getmycommands": get_commands,
    "deletemycommands": delete_commands,
}
