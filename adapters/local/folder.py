"""A run's folder: the pipes, agentd's state, a home and a log. It knows where things lie, and starts nothing.

<root>/<run>/in, out      named pipes: agentd's stdin and stdout
<root>/<run>/state/       agentd's own: `lock` is held while it lives, `finished` says how the run ended
<root>/<run>/home/        HOME of everything that runs here
<root>/<run>/agentd.log   its stderr, bounded
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from orchestrator.errors import Refused
from orchestrator.nouns import RunId

log = structlog.get_logger()

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
GONE = ".gone-"
LOG_BYTES = 1 << 20
TAIL_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Folder:
    """Where one run lives."""

    path: Path

    @property
    def into(self) -> Path:
        """The pipe that is agentd's stdin."""
        return self.path / "in"

    @property
    def out(self) -> Path:
        """The pipe that is agentd's stdout."""
        return self.path / "out"

    @property
    def state(self) -> Path:
        """What agentd keeps."""
        return self.path / "state"

    @property
    def home(self) -> Path:
        """HOME of agentd and of what it starts."""
        return self.state / "home"

    @property
    def log(self) -> Path:
        """The stderr of agentd."""
        return self.path / "agentd.log"

    def prepare(self) -> None:
        """Make what is missing. Each step may be the last before a crash; the next call goes on from there."""
        for folder in (self.path, self.state, self.home):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for pipe in (self.into, self.out):
            with suppress(FileExistsError):
                os.mkfifo(pipe, 0o600)

    @property
    def lived(self) -> bool:
        """Whether an agentd ever lived here."""
        return (self.state / "lock").exists()

    def holder(self) -> int | None:
        """The process id of the agentd that lives here now; 0 when it has not said; None when there is none."""
        try:
            lock = os.open(self.state / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # dropped again by close
        except BlockingIOError:
            words = os.pread(lock, 40, 0).split()
            return int(words[0]) if words and words[0].isdigit() else 0
        else:
            return None
        finally:
            os.close(lock)

    def finished(self) -> str | None:
        """How the run ended, in agentd's words; None as long as it has not."""
        try:
            text = (self.state / "finished").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        reason, _, words = text.strip().partition("\n")
        return words.strip() or f"The run has ended ({reason})."

    def last_words(self) -> str:
        """The last line that agentd wrote to its stderr."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 2000))
                lines = file.read().decode("utf-8", "replace").split("\n")
        except FileNotFoundError:
            return ""
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")

    def bound_log(self) -> None:
        """Keep the log's end when it has grown too long. Its writer appends, so it goes on behind what is kept."""
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_BYTES:
                with self.log.open("r+b") as file:
                    file.seek(-TAIL_BYTES, os.SEEK_END)
                    tail = file.read()
                    file.truncate(0)
                    file.seek(0)
                    file.write(tail)

    def remove(self) -> None:
        """All of it, for ever. It leaves its place at once, so that half a folder is never taken for a run."""
        grave = self.path.with_name(f"{GONE}{uuid.uuid4().hex}")
        try:
            self.path.rename(grave)
        except FileNotFoundError:
            return
        _bury(grave)


@dataclass(frozen=True, slots=True)
class Plot:
    """The ground on which the folders stand."""

    root: Path

    def prepare(self) -> None:
        """Make the ground, and finish the removals that a former life began."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for grave in self.root.glob(f"{GONE}*"):
            _bury(grave)

    def folder(self, run: RunId) -> Folder:
        """The folder of this run, whether it is there or not. Raises `Refused` for what is no run's name."""
        if not NAME.fullmatch(run):
            raise Refused(f"{run[:60]!r} cannot be the name of a run.")
        return Folder(self.root / run)

    def folders(self) -> Iterator[tuple[RunId, Folder]]:
        """Every run's folder."""
        for entry in sorted(os.scandir(self.root), key=lambda entry: entry.name):
            if NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                yield RunId(entry.name), Folder(Path(entry.path))


def _bury(grave: Path) -> None:
    """Remove a tree, also where an agent took the right to do so away (a module cache is read-only).

    What belongs to another user (a container wrote it) stays, and is tried again by the next life.
    """
    try:
        shutil.rmtree(grave)
    except PermissionError:
        for parent, folders, _ in os.walk(grave):  # top down, and never through a link to the outside
            for folder in (path for name in folders if not (path := Path(parent, name)).is_symlink()):
                with suppress(PermissionError):
                    folder.chmod(0o700)
        try:
            shutil.rmtree(grave)
        except PermissionError as error:
            log.warning("the remains of a run cannot be removed", path=str(grave), error=str(error))
