"""Files that people send: fetched from the platform and kept among the artifacts, before anybody hears of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from adapters.telegram.line import Line
from adapters.telegram.reading import Attached
from orchestrator.errors import Broken, Busy, Gone, Refused
from orchestrator.nouns import File
from orchestrator.ports import Artifacts

log = structlog.get_logger()

MOST_BYTES = 20 * 1024 * 1024
FETCH_SECONDS = 60.0
PAUSES = (1.0, 5.0)
MOST_PATIENCE = 30.0
AT_ONCE = 4
PART = 256 * 1024


class Attachments:
    """Fetches a few at a time."""

    def __init__(self, line: Line, artifacts: Artifacts) -> None:
        self._line = line
        self._artifacts = artifacts
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def fetch(self, wanted: Sequence[Attached]) -> tuple[tuple[File, ...], tuple[str, ...]]:
        """The files, and a sentence for each that could not be had. Raises `Broken` when one cannot be kept."""
        files, lost = [], []
        for one in wanted:
            try:
                async with self._turn:
                    files.append(await self._one(one))
            except Refused as why:
                lost.append(f"The file {one.name} is missing: {why}")
        return tuple(files), tuple(lost)

    async def _one(self, wanted: Attached) -> File:
        if wanted.size > MOST_BYTES:
            raise Refused(f"it has {wanted.size / 1e6:.0f} MB, and Telegram gives a bot at most 20 MB.")
        content = await self._patiently(wanted)
        if not content:
            raise Refused("it is empty.")
        upload = f"telegram-{wanted.unique}-{len(content)}"
        for start in range(0, len(content), PART):
            await self._artifacts.piece(upload, start, content[start : start + PART])
        artifact = await self._artifacts.complete(upload)
        return File(artifact, wanted.name, len(content))

    async def _patiently(self, wanted: Attached) -> bytes:
        for pause in (*PAUSES, None):
            try:
                return await self._content(wanted)
            except (Broken, Busy) as error:
                if pause is None:
                    raise Refused("Telegram did not hand it over; send it again.") from error
                log.warning("file not fetched", name=wanted.name, again_in=pause, why=str(error))
                await asyncio.sleep(min(MOST_PATIENCE, error.seconds + 1) if isinstance(error, Busy) else pause)
            except Gone as error:
                raise Refused("Telegram does not have it any more.") from error
        raise AssertionError("unreachable")

    async def _content(self, wanted: Attached) -> bytes:
        async with self._line.told(within=FETCH_SECONDS) as bot:
            file = await bot.get_file(wanted.id)
            if (file.file_size or 0) > MOST_BYTES:
                raise Refused("it is larger than the 20 MB that Telegram gives a bot.")
            return bytes(await file.download_as_bytearray(read_timeout=FETCH_SECONDS))
