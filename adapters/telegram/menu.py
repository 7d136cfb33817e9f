"""The menu of commands that Telegram shows: for those chats only in which the bot may be used, in two languages.

It is sent when it is not what was sent last. Who may use a command is not decided by this.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256

import structlog
from telegram import BotCommand, BotCommandScope, BotCommandScopeChat, BotCommandScopeDefault

from adapters.telegram.line import Line
from adapters.telegram.sent import one
from orchestrator.errors import Busy, Gone, Refused
from orchestrator.ports import Notes

log = structlog.get_logger()

Commands = Sequence[tuple[str, str, str]]
"""Name, arguments, and help in one line."""

GERMAN = {
    "launch": "[Agent] <Aufgabe>: öffnet einen Faden und startet darin einen Agenten",
    "stop": "beendet den Lauf dieses Fadens",
    "interrupt": "hält nur an, was der Agent gerade tut; die Sitzung geht weiter",
    "runs": "die Übersicht: alle laufenden Agenten, immer aktuell",
    "logs": "[n]: die letzten n Ereignisse dieses Laufs, oder alle als Datei",
    "doctor": "sieht nach allem, was nicht in Ordnung sein kann, und sagt, was zu tun ist",
    "help": "was man hier tun kann",
}
MOST_ABOUT = 256
NOTE = "menu"


class Menu:
    """The commands, and where they are shown."""

    def __init__(self, line: Line, notes: Notes, *, commands: Commands, scopes: Collection[int]) -> None:
        self._line = line
        self._notes = notes
        self._commands = commands
        self._scopes = sorted(set(scopes))
        self._lacking: set[int] = set()
        self._tried: set[int] = set()
        self.wanted = asyncio.Event()

    def heard(self, chat: int) -> None:
        """Somebody wrote there: when it lacks its menu, it is `wanted` now, once; after that it takes its time."""
        if chat in self._lacking - self._tried:
            self._tried.add(chat)
            self.wanted.set()

    async def show(self) -> bool:
        """Bring it up to date; whether it is everywhere now. Raises `Broken` when Telegram cannot be reached.

        A chat that Telegram does not know yet, because nobody has pressed Start there, is left for another time.
        """
        known = json.loads(await one(self._notes, NOTE) or "{}")
        shown: dict[str, str] = {}
        for name, scope, language, commands in self._wanted():
            digest = sha256(repr([(c.command, c.description) for c in commands]).encode()).hexdigest()[:16]
            if known.get(name) == digest or await self._send(scope, language, commands):
                shown[name] = digest
        for name in known.keys() - {name for name, *_ in self._wanted()}:
            chat, _, language = name.partition("/")
            if chat != "default" and not await self._send(BotCommandScopeChat(int(chat)), language, []):
                shown[name] = known[name]
        if shown != known:
            await self._notes.put({NOTE: json.dumps(shown)})
        missing = {name for name, *_ in self._wanted()} - shown.keys()
        self._lacking = {chat for chat in self._scopes if {f"{chat}/", f"{chat}/de"} & missing}
        return not missing

    def _wanted(self) -> Iterator[tuple[str, BotCommandScope, str, Sequence[BotCommand]]]:
        yield "default/", BotCommandScopeDefault(), "", []
        english = [BotCommand(name, _about(f"{arguments}: {about}" if arguments else about))
                   for name, arguments, about in self._commands]  # fmt: skip
        german = [BotCommand(one.command, _about(GERMAN.get(one.command, one.description))) for one in english]
        for chat in self._scopes:
            yield f"{chat}/", BotCommandScopeChat(chat), "", english
            yield f"{chat}/de", BotCommandScopeChat(chat), "de", german

    async def _send(self, scope: BotCommandScope, language: str, commands: Sequence[BotCommand]) -> bool:
        try:
            async with self._line.told() as bot:
                if commands:
                    await bot.set_my_commands(commands, scope, language or None)
                else:
                    await bot.delete_my_commands(scope, language or None)
        except (Refused, Gone, Busy) as why:
            log.info("no menu there yet", scope=scope.to_dict(), why=str(why))
            return False
        return True


def _about(words: str) -> str:
    return words if len(words) <= MOST_ABOUT else words[: MOST_ABOUT - 1] + "…"
