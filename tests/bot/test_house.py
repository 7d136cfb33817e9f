"""The house while it opens: a signal in that moment must end it, too."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from bot.house import live
from bot.reading import load_settings
from orchestrator.core import Orchestrator


async def test_a_signal_before_anybody_is_heard_ends_the_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def recover_for_ever(_: Orchestrator) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    monkeypatch.setattr(Orchestrator, "run", recover_for_ever)
    settings = load_settings({"DATA_DIR": str(tmp_path), "HTTP_BIND": "127.0.0.1:0"}, tmp_path / ".env")
    kept = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what the loop puts back when it is done is not our default
    try:
        async with asyncio.timeout(20):
            await live(settings, os.environ, greet=lambda _: pytest.fail("it was never ready"))
    finally:
        signal.signal(signal.SIGTERM, kept)
