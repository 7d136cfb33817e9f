"""Every exception of the library is one of the four troubles, and none of their words holds the token."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    TelegramError,
    TimedOut,
)

from adapters.telegram.errors import Flood, Locked, Missing, Moved, NotOurs, Rival, Same, masked, trouble
from orchestrator.errors import Broken, Busy, Gone, Refused, Trouble
from tests.botapi import TOKEN

CASES: list[tuple[TelegramError, type[Trouble]]] = [
    (Flood(7), Busy),
    (ChatMigrated(-100123), Moved),
    (Forbidden("Forbidden: bot was blocked by the user"), Gone),
    (BadRequest("Bad Request: chat not found"), Gone),
    (BadRequest("Bad Request: message thread not found"), Gone),
    (BadRequest("Bad Request: TOPIC_CLOSED"), Gone),
    (BadRequest("Bad Request: message to edit not found"), Missing),
    (BadRequest("Bad Request: message is not modified: specified new message content ..."), Same),
    (BadRequest("Bad Request: message can't be edited"), NotOurs),
    (BadRequest("Bad Request: text must be non-empty"), Refused),
    (InvalidToken("Unauthorized"), Locked),
    (Conflict("Conflict: terminated by other getUpdates request"), Rival),
    (TimedOut(), Broken),
    (NetworkError("Bad Gateway"), Broken),
    (TelegramError("anything"), Broken),
]


@pytest.mark.parametrize(("error", "kind"), CASES, ids=lambda one: str(one)[:40])
def test_it_is_this_trouble(error: TelegramError, kind: type[Trouble]) -> None:
    assert type(trouble(error, token=TOKEN)) is kind


@pytest.mark.parametrize(
    ("cause", "unsure"),
    [
        (httpx.ConnectError("refused"), False),
        (httpx.ConnectTimeout("slow"), False),
        (httpx.PoolTimeout("full"), False),
        (httpx.ReadTimeout("slow"), True),
        (httpx.WriteTimeout("slow"), True),
        (httpx.RemoteProtocolError("gone"), True),
        (httpx.ReadError("cut"), True),
        (None, True),
    ],
)
def test_only_what_never_left_is_sure(cause: Exception | None, unsure: bool) -> None:  # noqa: FBT001 - a parameter
    error = NetworkError("x")
    error.__cause__ = cause
    found = trouble(error, token=TOKEN)
    assert isinstance(found, Broken)
    assert found.unsure is unsure


@given(st.text(), st.text(), st.booleans())
def test_no_words_hold_the_token(before: str, after: str, whole: bool) -> None:  # noqa: FBT001 - a parameter
    secret = TOKEN.partition(":")[2]
    words = f"{before}https://api.telegram.org/bot{TOKEN if whole else secret}/sendMessage{after}"
    assert secret not in masked(words, TOKEN)
    for kind in (NetworkError, BadRequest, Forbidden, Conflict):
        assert secret not in str(trouble(kind(words), token=TOKEN))
