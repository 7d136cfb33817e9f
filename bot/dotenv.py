"""The `.env` file: lines of NAME=value, read strictly, so that a slip of the finger is told and not guessed.

It knows no setting; values are texts. Nothing is expanded: `$` stands for itself.
"""

from __future__ import annotations

import re

LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<rest>.*)")
QUOTED = re.compile(r"(?P<quote>['\"])(?P<text>.*?)(?P=quote)\s*(?:#.*)?")
PLAIN = re.compile(r"(?P<text>(?:[^'\"#].*?)?)(?:(?:^|\s+)#.*)?")


def read_dotenv(text: str) -> tuple[dict[str, str], list[str]]:
    """The values by name, and a sentence for every line that is wrong."""
    values: dict[str, str] = {}
    mistakes: list[str] = []
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        where = f".env, line {number}"
        found = LINE.fullmatch(line)
        if found is None:
            mistakes.append(f"{where}: this is not NAME=value. Put a # before a comment.")
            continue
        name, rest = found["name"], found["rest"]
        value = QUOTED.fullmatch(rest) if rest[:1] in {"'", '"'} else PLAIN.fullmatch(rest)
        if value is None:
            mistakes.append(f"{where}: the quotes around {name}'s value do not match.")
        elif name in values:
            mistakes.append(f"{where}: {name} is there a second time. Keep one of the two.")
        else:
            values[name] = value["text"]
    return values, mistakes
