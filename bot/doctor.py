"""`python -m bot doctor` and `/doctor`: looks at everything that can be wrong and says what to do. It starts nothing.

Opening the store brings one of an older version to today's shape, as a start would. Platforms are asked and never
listened to, so that a bot that runs meanwhile goes on hearing.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from adapters.discord.checkup import asking
from adapters.discord.checkup import checkup as look_at_discord
from adapters.local.credentials import SHARED_LOGIN
from adapters.sqlite import Database, open_store
from adapters.telegram.checkup import checkup as look_at_telegram
from adapters.telegram.line import Line
from bot.claude import bundled_claude
from bot.listener import why_not
from bot.lock import only_bot
from bot.runtimes import SECRET, known_expiries, look_at_cluster
from bot.settings import Settings
from orchestrator.checkup import Finding, counted
from orchestrator.errors import Trouble

ROOM_BYTES = 1 << 30
ASIDE = "aside/"


async def examine(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    """Everything, in the order in which it is needed."""
    here = [
        Finding("python", sys.version.split()[0], good=True),
        *_data(settings.data_dir),
        *await _store(settings.data_dir / "army.db"),
        _port(settings),
        *_model(settings, environ),
    ]
    return [*here, *await _elsewhere(settings, environ)]


async def examine_alive(settings: Settings, environ: Mapping[str, str], database: Database) -> list[Finding]:
    """The same from within a bot that runs: what it holds itself, its data and its port, is not asked for."""
    here = [_disk(settings.data_dir), *await _aside(database), *_model(settings, environ)]
    return [*here, *await _elsewhere(settings, environ)]


async def _elsewhere(settings: Settings, environ: Mapping[str, str]) -> Iterable[Finding]:
    there = await asyncio.gather(_cluster(settings, environ), _telegram(settings), _discord(settings))
    return itertools.chain.from_iterable(there)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    return Finding("disk", f"{free / (1 << 30):.1f} GiB free in {folder}", good=free > ROOM_BYTES)


def _data(folder: Path) -> Iterator[Finding]:
    if not folder.exists():
        yield Finding("data", f"{folder} is not there yet; the first start makes it", good=True)
        return
    yield _disk(folder)
    if not os.access(folder, os.W_OK):
        yield Finding("data", f"{folder} cannot be written by this user; set DATA_DIR", good=False, grave=True)
        return
    try:
        with only_bot(folder):
            yield Finding("data", f"{folder} is free for a bot", good=True)
    except Trouble as trouble:
        yield Finding("data", str(trouble), good=False)


async def _store(path: Path) -> list[Finding]:
    if not await asyncio.to_thread(path.exists):
        return []
    try:
        async with open_store(path) as database:
            live = await database.store.live()
            aside = await _aside(database)
    except Trouble as trouble:
        return [Finding("store", str(trouble), good=False, grave=True)]
    words = f"{path} is sound; {len(live)} live run{'' if len(live) == 1 else 's'}"
    return [Finding("store", words, good=True), *aside]


async def _aside(database: Database) -> list[Finding]:
    """What came from Telegram and could not be read; Discord brings such things again by itself."""
    kept = len(await database.notes("telegram").scan(ASIDE))
    if not kept:
        return []
    words = (
        f"{kept} update{'' if kept == 1 else 's'} from Telegram could not be read and {'is' if kept == 1 else 'are'} "
        "kept in the store; the log says `update put aside` and where. People may have to say it again"
    )
    return [Finding("aside", words, good=False)]


def _port(settings: Settings) -> Finding:
    bind = settings.http_bind
    with socket.socket(socket.AF_INET6 if ":" in bind.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind.host, bind.port))
        except OSError as error:
            return Finding("port", why_not(bind, error), good=False)
    return Finding("port", f"{bind} is free", good=True)


def _model(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    yield from (counted(expiry, now=time.time()) for expiry in known_expiries(settings))
    if settings.runtime == "kubernetes":
        yield Finding("model", _in_cluster(settings), good=True)
        return
    if settings.credential == "login":
        yield Finding("model", SHARED_LOGIN, good=False, grave=True)
        return
    if not settings.has_model:
        yield Finding("model", "no credential: set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN in .env", good=False)
        return
    kinds = {
        "key": ("an API key", settings.anthropic_api_key),
        "token": ("a setup token", settings.claude_code_oauth_token),
        "gateway": (f"a gateway ({settings.anthropic_base_url}), with a token for each run", settings.gateway_key),
    }
    held = [words for words, secret in kinds.values() if secret]
    if settings.credential and not kinds[settings.credential][1]:
        words = f"CREDENTIAL is {settings.credential}, and what it needs is not set; there is {' and '.join(held)}"
        yield Finding("model", words, good=False, grave=True)
    else:
        words = f"{' and '.join(held)}: set; whether it is accepted shows at the first run"
        yield Finding("model", words, good=True)
    found = settings.claude_bin or bundled_claude() or shutil.which("claude", path=environ.get("PATH"))
    words = f"the CLI is {found}" if found else "the CLI is installed at the next start (160 MB)"
    yield Finding("claude", words, good=True)


def _in_cluster(settings: Settings) -> str:
    """Where agents that choose nothing have their credential from."""
    secret = f"the Secret {SECRET} in the namespace {settings.kube_namespace}"
    match settings.credential:
        case "key" | "token" as kind:
            return f"agents show a {kind} out of {secret}"
        case "gateway":
            return f"agents show a token of their run to {settings.anthropic_base_url or 'a gateway'}"
        case "login":
            return "agents use the login that they share (Secret agent-login)"
        case _:
            return f"agents get their credential from {secret}"


async def _cluster(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    if settings.runtime != "kubernetes":
        return []
    return await look_at_cluster(settings, environ)


async def _telegram(settings: Settings) -> list[Finding]:
    if not settings.telegram_token:
        return [Finding("telegram", "no TELEGRAM_TOKEN: nobody is heard there (README.md says how)", good=True)]
    async with Line(settings.telegram_token.reveal(), api_base=settings.telegram_api_base) as line:
        return await look_at_telegram(
            line, chats=[int(id_) for id_ in settings.telegram_allowed_chats], webhook_url=settings.telegram_webhook_url
        )


async def _discord(settings: Settings) -> list[Finding]:
    if not settings.discord_token:
        return [Finding("discord", "no DISCORD_TOKEN: nobody is heard there (README.md says how)", good=True)]
    wire = asking(
        token=settings.discord_token.reveal(),
        api_base=settings.discord_api_base,
        gateway_url=settings.discord_gateway_url,
    )
    await wire.open()
    try:
        return await look_at_discord(
            wire,
            guilds=settings.discord_allowed_guilds,
            channels=settings.discord_allowed_channels,
            roles=settings.discord_allowed_roles,
        )
    finally:
        await wire.close()
