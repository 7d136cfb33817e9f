"""What an operator should know of a bot on Telegram before anybody writes to it. It asks and changes nothing.

It never polls, so that a bot that runs meanwhile goes on hearing. Who may talk to the bot it does not know.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Collection, Iterator
from urllib.parse import urlsplit

from telegram import ChatFullInfo, ChatMember, ChatMemberAdministrator, User, WebhookInfo
from telegram.constants import ChatType

from adapters.telegram.errors import Locked, Moved
from adapters.telegram.line import Line
from adapters.telegram.webhook import PATH
from orchestrator.checkup import Finding, looked
from orchestrator.errors import Busy, Gone, Refused, Trouble

WHAT = "telegram"
SECONDS = 10.0
NO_WAY = "Look at this machine's network, HTTPS_PROXY and TELEGRAM_API_BASE; the bot itself tries again and again"


async def checkup(line: Line, *, chats: Collection[int], webhook_url: str = "") -> list[Finding]:
    """Everything there is to find; `chats` are the allowed ones, `webhook_url` is empty for a bot that polls."""
    late = Finding(WHAT, f"Telegram did not answer all questions within {SECONDS:.0f} s; try again.", good=False)
    return await looked(_look(line, sorted(chats), webhook_url), seconds=SECONDS, late=lambda: late)


async def _look(line: Line, chats: Collection[int], webhook_url: str) -> AsyncGenerator[Finding, None]:
    try:
        async with line.told() as bot:
            me = await bot.get_me()
        yield Finding(WHAT, f"the token is accepted; the bot is @{me.username}", good=True)
        for finding in _ways(me, groups=bool(chats)):
            yield finding
        async with line.told() as bot:
            hook = await bot.get_webhook_info()
        for finding in _hooked(hook, webhook_url.rstrip("/") + PATH if webhook_url else ""):
            yield finding
        for chat in chats:
            yield await _chat(line, me, chat)
    except Locked as why:
        yield Finding(WHAT, str(why), good=False, grave=True)
    except Busy as why:
        yield Finding(WHAT, f"{_clause(why)} Try again in {math.ceil(why.seconds)} s", good=False)
    except Trouble as why:
        yield Finding(WHAT, f"{_clause(why)} {NO_WAY}", good=False)


def _ways(me: User, *, groups: bool) -> Iterator[Finding]:
    """What the bot's account is allowed to do, as @BotFather has it."""
    if me.has_topics_enabled:
        yield Finding(WHAT, "topics in private chats are on: each run there gets a topic of its own", good=True)
    else:
        yield Finding(
            WHAT,
            "topics in private chats are off: runs there are chains of replies. For a topic each, switch Threaded Mode "
            "on in @BotFather (Bot Settings) and start again",
            good=False,
        )
    if me.can_read_all_group_messages:
        yield Finding(WHAT, "privacy mode is off: in its groups the bot reads everything that is said", good=True)
    else:
        yield Finding(
            WHAT,
            "privacy mode is on: in groups the bot hears commands and replies to its messages; where it is an admin, "
            "everything",
            good=True,
        )
    if groups and me.can_join_groups is False:
        yield Finding(
            WHAT, "the bot cannot be added to groups: switch “Allow Groups” on in @BotFather (Bot Settings)", good=False
        )


def _hooked(hook: WebhookInfo, ours: str) -> Iterator[Finding]:
    """Where updates go. An address is shown without its path, in which people hide secrets."""
    host = urlsplit(hook.url).hostname or hook.url
    waiting = f"{hook.pending_update_count} {'update waits' if hook.pending_update_count == 1 else 'updates wait'}"
    if hook.url and not ours:
        yield Finding(
            WHAT,
            f"a webhook is set: Telegram brings what people write to {host}, and this bot polls. Its next start takes "
            "the webhook away; if another program needs it, give this bot a token of its own",
            good=False,
        )
    elif ours and hook.url != ours:
        words = f"to {host}" if hook.url else "nowhere"
        yield Finding(
            WHAT, f"updates go {words} and not to TELEGRAM_WEBHOOK_URL; the next start changes that", good=False
        )
    elif ours:
        yield Finding(WHAT, f"Telegram brings updates to {host}; {waiting}", good=not hook.last_error_message)
    elif hook.pending_update_count:
        yield Finding(WHAT, f"{waiting} at Telegram for the bot to fetch them", good=True)
    if hook.url and hook.last_error_message:
        when = f" at {hook.last_error_date:%Y-%m-%d %H:%M} UTC" if hook.last_error_date else ""
        yield Finding(
            WHAT,
            f"Telegram could not bring updates{when}: {hook.last_error_message}. The address must reach this bot's "
            f"{PATH} over HTTPS",
            good=False,
        )


async def _chat(line: Line, me: User, chat: int) -> Finding:
    """One entry of TELEGRAM_ALLOWED_CHATS."""
    try:
        async with line.told() as bot:
            found = await bot.get_chat(chat)
        async with line.told() as bot:
            member = await bot.get_chat_member(chat, me.id)
    except Moved as why:
        return Finding(WHAT, f"chat {chat} of TELEGRAM_ALLOWED_CHATS: {_clause(why)}", good=False)
    except (Gone, Refused) as why:
        words = f"chat {chat} of TELEGRAM_ALLOWED_CHATS: {_clause(why)} Add @{me.username} there, or take the entry out"
        return Finding(WHAT, words, good=False)
    lacks = list(_lacks(found, member))
    name = f"“{found.title or found.full_name or ''}” ({chat})"
    return Finding(WHAT, f"{name}: {'; '.join(lacks) or 'a forum, in which the bot may all it needs'}", good=not lacks)


def _lacks(chat: ChatFullInfo, member: ChatMember) -> Iterator[str]:
    if chat.type == ChatType.PRIVATE:
        yield "a private chat needs no entry in TELEGRAM_ALLOWED_CHATS, only its person in TELEGRAM_ALLOWED_USERS"
        return
    if chat.type == ChatType.CHANNEL:
        yield "this is a channel, where nobody can talk to a bot; take a group"
        return
    if member.status in {ChatMember.LEFT, ChatMember.BANNED}:
        yield "the bot is not in this group; add it"
        return
    admin = member if isinstance(member, ChatMemberAdministrator) else None
    if not chat.is_forum:
        yield (
            "the group has no topics, so runs are chains of replies there. For a topic each, switch Topics on in its "
            "settings and make the bot an admin that may manage topics"
        )
    elif not (admin and admin.can_manage_topics):
        yield (
            f"a forum, but the bot {'lacks the right to manage topics' if admin else 'is no admin'}, so runs are "
            f"chains of replies there. {'Give it' if admin else 'Make it an admin with'} “Manage Topics”"
        )
    if not (admin and admin.can_pin_messages):
        yield (
            "the bot may not pin messages, so the dashboard is not pinned. "
            f"{'Give it' if admin else 'Make it an admin with'} “Pin Messages”"
        )


def _clause(why: Trouble) -> str:
    """What went wrong, as a sentence to go on after."""
    return f"{str(why).rstrip('.')}."
