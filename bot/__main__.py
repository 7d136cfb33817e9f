"""The command line: `python -m bot [run | doctor | migrate | backup FILE | version]`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from adapters.sqlite import backup, open_store
from bot.doctor import examine
from bot.greeting import VERSION, greeting, say
from bot.house import House, live
from bot.lock import only_bot
from bot.log import set_up_logging
from bot.mistakes import Mistakes
from bot.reading import load_settings
from bot.settings import Settings
from orchestrator.errors import Trouble


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; returns the exit code: 0 done, 1 could not, 2 wrong settings."""
    parser = argparse.ArgumentParser(prog="army", description="Agents you run from your phone.")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("run", help="start the bot (the default)")
    commands.add_parser("doctor", help="look at everything that can be wrong")
    commands.add_parser("migrate", help="bring the data directory to this version's shape, without starting")
    copy = commands.add_parser("backup", help="copy the database while the bot runs; refuses to overwrite")
    copy.add_argument("file", type=Path)
    commands.add_parser("version", help="print the version")
    chosen = parser.parse_args(arguments)
    if chosen.command == "version":
        say(VERSION)
        return 0
    try:
        settings = load_settings(os.environ, Path(".env"))
    except Mistakes as mistakes:
        for sentence in mistakes.sentences:
            sys.stderr.write(f"✗ {sentence}\n")
        sys.stderr.write("Nothing was started.\n")
        return 2
    # What a doctor finds is said once, in its own words; whoever wants to see its requests says DEBUG.
    quiet = chosen.command == "doctor" and settings.log_level != "DEBUG"
    set_up_logging(
        level="CRITICAL" if quiet else settings.log_level, secrets=[secret.reveal() for secret in settings.secrets]
    )
    try:
        match chosen.command:
            case "doctor":
                return asyncio.run(_doctor(settings))
            case "migrate":
                asyncio.run(_migrate(settings))
            case "backup":
                asyncio.run(backup(settings.data_dir / "army.db", chosen.file))
                say(f"The database is copied to {chosen.file}.")
            case _:
                asyncio.run(_run(settings))
    except Trouble as trouble:
        sys.stderr.write(f"✗ {trouble}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


async def _run(settings: Settings) -> None:
    def greet(house: House) -> None:
        runs = len(house.room.roster.live) if house.room.roster else 0
        say(greeting(settings, port=house.port, unavailable=house.unavailable, runs=runs))

    try:
        await live(settings, os.environ, greet=greet)
    except* Trouble as group:
        raise _first(group) from None


async def _doctor(settings: Settings) -> int:
    findings = await examine(settings, os.environ)
    for finding in findings:
        say(str(finding))
    return 1 if any(finding.grave for finding in findings) else 0


async def _migrate(settings: Settings) -> None:
    with only_bot(settings.data_dir):
        async with open_store(settings.data_dir / "army.db"):
            say(f"{settings.data_dir / 'army.db'} has the shape of version {VERSION}.")


def _first(group: BaseExceptionGroup[Trouble]) -> BaseException:
    """The one sentence that a person needs of several failures of one start."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    sys.exit(main())
