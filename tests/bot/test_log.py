import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from bot.log import Redactor, set_up_logging

TELEGRAM = "123456789:AAE-abcdefghijklmnopqrstuvwxyz_0123"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_programs_get_json_from_both_worlds() -> None:
    out = io.StringIO()
    set_up_logging(level="INFO", secrets=(), stream=out)
    structlog.get_logger("army").info("run started", run="r-1")
    logging.getLogger("aiohttp.web").warning("slow %s", "client", extra={"peer": "me"})
    logging.getLogger("httpx").info("GET …")
    structlog.get_logger("army").debug("not now")
    ours, theirs = lines(out)
    assert (ours["event"], ours["run"], ours["level"], ours["logger"]) == ("run started", "r-1", "info", "army")
    assert (theirs["event"], theirs["peer"], theirs["level"]) == ("slow client", "me", "warning")


def test_secrets_are_masked_wherever_they_stand() -> None:
    out = io.StringIO()
    set_up_logging(level="INFO", secrets=("let-me-in",), stream=out)
    log = structlog.get_logger()
    log.info(
        "let-me-in",
        url=f"https://api.telegram.org/bot{TELEGRAM}/getMe",
        deep={"a": ["sk-ant-api03-xyz_1", b"let-me-in"]},
    )
    try:
        raise ValueError("token let-me-in is wrong")  # noqa: TRY301
    except ValueError:
        log.exception("failed")
        logging.getLogger("lib").exception("failed there with %s", "let-me-in")
    text = out.getvalue()
    assert len(lines(out)) == 3
    assert "ValueError" in text
    for secret in ("let-me-in", TELEGRAM, "sk-ant-api03"):
        assert secret not in text


def test_people_get_a_console() -> None:
    out = Terminal()
    set_up_logging(level="INFO", secrets=("let-me-in",), stream=out)
    try:
        raise ValueError("let-me-in")  # noqa: TRY301
    except ValueError:
        structlog.get_logger().exception("run ended", reason="let-me-in")
    assert "run ended" in out.getvalue()
    assert "Traceback" in out.getvalue()
    assert "let-me-in" not in out.getvalue()


def test_bound_variables_are_seen() -> None:
    out = io.StringIO()
    set_up_logging(level="INFO", secrets=(), stream=out)
    with structlog.contextvars.bound_contextvars(run="r-9"):
        structlog.get_logger().info("here")
    assert lines(out)[0]["run"] == "r-9"


def test_a_short_secret_does_not_eat_the_log() -> None:
    assert Redactor(["a", ""]).text("banana") == "banana"


def test_the_longest_secret_goes_first() -> None:
    assert Redactor(["abcdef", "abcdefgh"]).text("abcdefgh") == "***"
