"""One bot for one data directory: a lock that the system drops with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.errors import Refused


@contextmanager
def only_bot(data_dir: Path) -> Iterator[None]:
    """Hold the data directory, made if need be. Raises `Refused` when another bot has it, or nobody can."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(f"The data directory {data_dir} cannot be used: {error.strerror}. Set DATA_DIR.") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise Refused(
                f"Another bot (process {holder}) already uses the data directory {data_dir.absolute()}. "
                "Stop it first, or give this one a DATA_DIR of its own."
            ) from None
        with suppress(OSError):  # a full disk: the lock holds all the same, and others only do not read who has it
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)  # the file stays: removing it would let two bots lock two files of one name
