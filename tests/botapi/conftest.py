"""What holds for the tests beside this."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTB_TIMEDELTA", "1")  # the client warns of its own way to say seconds
