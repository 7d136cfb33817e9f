"""The port Artifacts over asyncio: each call is one short visit to the folder, made in a thread."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from adapters.disk.folder import Folder
from orchestrator.errors import Broken, Gone
from orchestrator.nouns import ArtifactId

PART = 256 << 10
"""Bytes that are read at once."""

DEADLINE = 30.0
"""Seconds after which a caller is told that the disk does not answer."""

STALE = 24 * 3600.0
"""Seconds after which an upload that nobody completed is thrown away."""

P = ParamSpec("P")
T = TypeVar("T")


async def open_artifacts(root: Path, *, now: Callable[[], float] = time.time) -> DiskArtifacts:
    """The files below `root`, made if it is missing; uploads left behind for a day are removed."""
    artifacts = DiskArtifacts(Folder(root))
    await artifacts.sweep(now() - STALE)
    return artifacts


class DiskArtifacts:
    """Whole files under the name of their content, uploads beside them."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    async def piece(self, upload: str, offset: int, data: bytes) -> None:
        """On the disk before it returns."""
        await self._visit(self._folder.piece, upload, offset, data)

    async def complete(self, upload: str, *, sha256: str = "") -> ArtifactId:
        """Hashed, flushed, and moved to its place."""
        return ArtifactId(await self._visit(self._folder.complete, upload, sha256))

    async def size(self, artifact: ArtifactId) -> int:
        """As the file system says."""
        try:
            return await self._visit(self._folder.size, artifact)
        except FileNotFoundError:
            raise _gone(artifact) from None

    async def read(self, artifact: ArtifactId) -> AsyncIterator[bytes]:
        """No handle stays open between the parts, so a reader may stop at any of them."""
        offset = 0
        try:
            while part := await self._visit(self._folder.part, artifact, offset, PART):
                yield part
                offset += len(part)
        except FileNotFoundError:
            raise _gone(artifact) from None

    async def sweep(self, before: float) -> None:
        """Remove what is left of uploads untouched since then (Unix seconds)."""
        await self._visit(self._folder.sweep, before)

    async def _visit(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with _told(self._folder.root):
            async with asyncio.timeout(DEADLINE):
                return await asyncio.to_thread(do, *args, **kwargs)


@contextmanager
def _told(root: Path) -> Iterator[None]:
    """A sentence instead of what the file system raises; a missing file is left to whoever asked for it."""
    try:
        yield
    except FileNotFoundError:
        raise
    except TimeoutError as error:
        raise Broken(f"The disk under {root} has not answered for {DEADLINE:.0f} seconds.", unsure=True) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            words = f"The disk is full: {root} cannot take the file. Free some space; then the same works again."
        else:
            words = (
                f"The folder {root} failed: {error.strerror} ({error.filename}). Check that the bot's user owns it, "
                "and that the disk is well and not mounted read-only."
            )
        raise Broken(words) from error


def _gone(artifact: str) -> Gone:
    return Gone(f"The file {artifact[:12]} is not stored here any more.")
