"""Files in memory. Set `fails` to a sentence and every change raises `Broken` with it, until it is empty again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256 as digest_of

from agent.wire import MAX_FILE
from orchestrator.errors import Broken, Gone, Refused
from orchestrator.nouns import ArtifactId

PART = 256 << 10


class MemoryArtifacts:
    """Uploads under way, and whole files by their content."""

    def __init__(self) -> None:
        self.fails = ""
        self.files: dict[ArtifactId, bytes] = {}
        self._uploads: dict[str, bytearray] = {}
        self._completed: dict[str, ArtifactId] = {}

    async def piece(self, upload: str, offset: int, data: bytes) -> None:
        self._may_fail()
        if offset < 0 or offset + len(data) > MAX_FILE:
            raise Refused(f"A piece at {offset} is outside of the {MAX_FILE} bytes that a file may have.")
        if upload in self._completed:
            return
        content = self._uploads.setdefault(upload, bytearray())
        content.extend(bytes(max(0, offset + len(data) - len(content))))
        content[offset : offset + len(data)] = data

    async def complete(self, upload: str, *, sha256: str = "") -> ArtifactId:
        self._may_fail()
        artifact = self._completed.get(upload)
        if artifact is None and upload in self._uploads:
            artifact = ArtifactId(digest_of(self._uploads[upload]).hexdigest())
        elif artifact is None and sha256 in self.files:
            artifact = ArtifactId(sha256)
        if artifact is None:
            raise Refused("Nothing of this upload has arrived.")
        if sha256 and sha256 != artifact:
            raise Refused(f"The upload's content is not what it was announced to be: {artifact}, not {sha256}.")
        self._completed[upload] = artifact
        if (content := self._uploads.pop(upload, None)) is not None:
            self.files[artifact] = bytes(content)
        return artifact

    async def size(self, artifact: ArtifactId) -> int:
        return len(self._content(artifact))

    async def read(self, artifact: ArtifactId) -> AsyncIterator[bytes]:
        content = self._content(artifact)
        for start in range(0, len(content), PART):
            yield content[start : start + PART]

    def _content(self, artifact: ArtifactId) -> bytes:
        if artifact not in self.files:
            raise Gone(f"The file {artifact[:12]} is not stored here any more.")
        return self.files[artifact]

    def _may_fail(self) -> None:
        if self.fails:
            raise Broken(self.fails)
