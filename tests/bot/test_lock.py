import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bot.lock import only_bot
from orchestrator.errors import Refused

HOLD = """
import sys, pathlib
from bot.lock import only_bot
with only_bot(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_bot_is_refused_by_name(tmp_path: Path) -> None:
    with only_bot(tmp_path / "var"), pytest.raises(Refused) as caught, only_bot(tmp_path / "var"):
        pass
    assert str(os.getpid()) in str(caught.value)
    assert str(tmp_path / "var") in str(caught.value)
    with only_bot(tmp_path / "var"):
        pass


def test_a_killed_bot_holds_nothing(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=root, stdin=-1, stdout=-1, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Refused, match=str(other.pid)), only_bot(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait(timeout=10)
    with only_bot(tmp_path):
        pass


def test_a_place_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="DATA_DIR"), only_bot(tmp_path / "file" / "var"):
        pass
