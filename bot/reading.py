"""The settings, read from the environment and from `.env`; every mistake is told at once.

`read_settings` is a pure function of the environment and a text. It does not know what any value looks like or means.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.dotenv import read_dotenv
from bot.mistakes import Mistakes, contradictions
from bot.settings import NAMES, Settings
from bot.values import PARSERS

OUR_PREFIXES = ("TELEGRAM_", "DISCORD_", "ALERTMANAGER_", "KUBE_")
"""Names in the environment that begin so and are close to a setting's are taken for typos."""


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
    mistakes.extend(contradictions(settings, wrong=[sentence.partition(":")[0] for sentence in mistakes]))
    if mistakes:
        raise Mistakes(mistakes)
    return settings


def _perhaps(name: str) -> str:
    close = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.8)
    return f"; {close[0]} is meant, probably" if close else ""
