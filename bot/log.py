"""Logging: structlog and the standard library through one pipe to stderr, with secrets masked on the way.

People get a console rendering on a terminal, programs get JSON lines. Nothing here knows what is logged.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASK = "***"
TOKENS = re.compile(r"\d{4,}:[A-Za-z0-9_-]{30,}|sk-ant-[A-Za-z0-9_-]+")
"""What looks like a Telegram token or a model's key is masked even when nobody told us about it."""

QUIET = ("aiohttp.access", "aiosqlite", "asyncio", "httpx", "httpcore")
SHORTEST = 6
"""A shorter secret would mask ordinary words; it is no secret either."""


class Redactor:
    """Replaces secrets by `***`, in texts and in whatever holds texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = sorted({text for text in secrets if len(text) >= SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, text: str) -> str:
        """The text without secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        return TOKENS.sub(MASK, text)

    def value(self, value: Any) -> Any:
        """The same with every text in it masked."""
        match value:
            case str():
                return self.text(value)
            case bytes():
                return self.text(value.decode("utf-8", "replace"))
            case Mapping():
                return {self.value(name): self.value(inner) for name, inner in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.value(inner) for inner in value]
            case None | bool() | int() | float():
                return value
            case _:
                return self.text(str(value))

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Mask a log entry, as a structlog processor."""
        return {name: value if name.startswith("_") or name == "exc_info" else self.value(value)
                for name, value in event.items()}  # fmt: skip


def set_up_logging(*, level: str, secrets: Iterable[str], stream: TextIO | None = None) -> None:
    """Route structlog and the standard library to `stream` (stderr), from now on, in this whole process."""
    out = sys.stderr if stream is None else stream
    redactor = Redactor(secrets)
    plain = structlog.processors.format_exc_info
    render: Processor = (
        structlog.dev.ConsoleRenderer(colors=True, exception_formatter=structlog.dev.plain_traceback)
        if out.isatty()
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            # The traceback becomes a text before it is masked: an exception's words may carry a secret.
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, plain, redactor, render],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
