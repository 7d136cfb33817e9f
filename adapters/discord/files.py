"""Files on their way in and out. What people attach is fetched in parts, from addresses that must not see the token."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import discord

from adapters.discord.words import clip
from orchestrator.errors import Broken, Gone, Refused
from orchestrator.nouns import File, line
from orchestrator.ports import Artifacts
from orchestrator.words import clean

MOST_IN = 25 << 20
MOST_OUT = 10 << 20
MOST_IN_A_MESSAGE = 10
MOST_BYTES = 24 << 20
"""Of all files of one message: a request may have 25 MiB."""

SECONDS = 120.0
MESSAGE_SECONDS = 45.0
"""For all files of a message, tries and all: whoever else speaks in its channel waits for no more."""

PART = 256 << 10


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to go along with a message."""

    name: str
    data: bytes

    def made(self) -> discord.File:
        """As the library wants it: a new one for each attempt."""
        return discord.File(io.BytesIO(self.data), filename=self.name)


async def fetched(
    attachment: discord.Attachment, *, key: str, session: aiohttp.ClientSession, artifacts: Artifacts
) -> File:
    """What somebody attached, stored. Raises `Refused` when it is too big or no more, `Broken`."""
    name = line(clean(attachment.filename), 100) or "file"
    if attachment.size > MOST_IN:
        raise Refused(f"The file {name} is bigger than {MOST_IN >> 20} MiB, which is the most that is taken.")
    upload = f"{key}/{attachment.id}"
    offset = 0
    try:
        async with asyncio.timeout(SECONDS), session.get(attachment.url, allow_redirects=False) as response:
            if response.status in {403, 404, 410}:
                raise Refused(f"The file {name} is no more.")
            if response.status != 200:
                raise Broken(f"The file {name} could not be fetched ({response.status}).")
            async for part in response.content.iter_chunked(PART):
                if offset + len(part) > MOST_IN:
                    raise Refused(f"The file {name} is bigger than it was said to be.")
                await artifacts.piece(upload, offset, part)
                offset += len(part)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Broken(f"The file {name} could not be fetched ({type(error).__name__}).") from error
    if not offset:
        raise Refused(f"The file {name} is empty.")
    return File(await artifacts.complete(upload), name, offset)


class Attached:
    """What came along with one message, fetched within a bound for all of it. What is here is not fetched again."""

    def __init__(
        self,
        attachments: Sequence[discord.Attachment],
        *,
        key: str,
        session: aiohttp.ClientSession,
        artifacts: Artifacts,
    ) -> None:
        self.files: list[File] = []
        self.words: list[str] = []
        self._left = list(attachments)
        self._key = key
        self._session = session
        self._artifacts = artifacts
        self._until = asyncio.get_running_loop().time() + MESSAGE_SECONDS

    async def come(self, *, patient: bool) -> None:
        """Fetch the rest; what does not come is words. Raises `Broken`, when `patient`, to be called again."""
        while self._left:
            try:
                self.files.append(await self._fetched(self._left[0]))
            except Refused as why:
                self.words.append(f"({why})")
            except Broken as why:
                if patient and asyncio.get_running_loop().time() < self._until:
                    raise
                self.words.append(f"({why})")
            del self._left[0]

    async def _fetched(self, attachment: discord.Attachment) -> File:
        try:
            async with asyncio.timeout_at(self._until):
                return await fetched(attachment, key=self._key, session=self._session, artifacts=self._artifacts)
        except TimeoutError as error:
            name = line(clean(attachment.filename), 100) or "file"
            raise Refused(f"The file {name} took too long to come and was left out.") from error


async def carried(files: Sequence[File], artifacts: Artifacts) -> tuple[list[Upload], list[str]]:
    """Files as uploads, and a sentence about each that cannot go along."""
    uploads: list[Upload] = []
    words: list[str] = []
    for file in files:
        name = clip(clean(file.name), 100) or "file"
        if file.size > MOST_OUT:
            words.append(f"The file {name} ({file.size / (1 << 20):.0f} MiB) is too big for Discord.")
            continue
        try:
            data = b"".join([part async for part in artifacts.read(file.artifact)])
        except Gone:
            words.append(f"The file {name} is not stored any more.")
        else:
            uploads.append(Upload(name, data))
    return uploads, words


def batches(uploads: Sequence[Upload]) -> list[tuple[Upload, ...]]:
    """The files message by message, in order."""
    out: list[list[Upload]] = []
    room = 0
    for upload in uploads:
        if not out or len(out[-1]) == MOST_IN_A_MESSAGE or len(upload.data) > room:
            out.append([])
            room = MOST_BYTES
        out[-1].append(upload)
        room -= len(upload.data)
    return [tuple(batch) for batch in out]
