"""What every keeper of files does, sentence by sentence of the port; the one in memory first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from adapters.disk import open_artifacts
from agent.wire import MAX_FILE, PIECE
from orchestrator.errors import Broken, Gone, Refused
from orchestrator.nouns import ArtifactId
from orchestrator.ports import Artifacts
from tests.contract.full import full_memory
from tests.fakes.artifacts import MemoryArtifacts

Opening = Callable[[], Awaitable[Artifacts]]


def pieces_of(content: bytes, size: int = PIECE) -> list[tuple[int, bytes]]:
    return [(start, content[start : start + size]) for start in range(0, len(content), size)]


async def content_of(artifacts: Artifacts, artifact: ArtifactId) -> bytes:
    return b"".join([part async for part in artifacts.read(artifact)])


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class ArtifactsContract:
    """`opening` opens the same files again and again; `failing` makes this upload fail for a while."""

    @pytest.fixture
    def opening(self, tmp_path: Path) -> Opening:
        raise NotImplementedError

    def failing(self, artifacts: Artifacts, tmp_path: Path, upload: str) -> AbstractContextManager[None]:
        raise NotImplementedError

    @pytest.fixture
    async def artifacts(self, opening: Opening) -> Artifacts:
        return await opening()

    @pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
    async def test_a_file_comes_back_as_it_was(self, artifacts: Artifacts, size: int) -> None:
        content = Random(size).randbytes(size)
        for offset, data in pieces_of(content) or [(0, b"")]:
            await artifacts.piece("up", offset, data)
        artifact = await artifacts.complete("up", sha256=sha256(content).hexdigest())
        assert artifact == sha256(content).hexdigest()
        assert await artifacts.size(artifact) == size
        assert await content_of(artifacts, artifact) == content
        assert all([0 < len(part) <= 256 << 10 async for part in artifacts.read(artifact)])

    async def test_pieces_in_any_order_and_more_than_once(self, artifacts: Artifacts) -> None:
        content = Random(1).randbytes(10_000)
        pieces = pieces_of(content, 999) * 2
        Random(2).shuffle(pieces)
        for offset, data in pieces:
            await artifacts.piece("up", offset, data)
        assert await content_of(artifacts, await artifacts.complete("up")) == content

    async def test_uploads_side_by_side_do_not_mix(self, artifacts: Artifacts) -> None:
        for name in ("a", "b"):
            await artifacts.piece(name, 0, name.encode())
        a, b = await artifacts.complete("a"), await artifacts.complete("b")
        assert (await content_of(artifacts, a), await content_of(artifacts, b)) == (b"a", b"b")

    async def test_completing_twice_is_completing_once(self, artifacts: Artifacts) -> None:
        await artifacts.piece("up", 0, b"hello")
        first = await artifacts.complete("up")
        assert await artifacts.complete("up") == first
        assert await artifacts.complete("up", sha256=first) == first
        assert await asyncio.gather(*(artifacts.complete("up") for _ in range(5))) == [first] * 5

    async def test_a_piece_after_the_end_changes_nothing(self, artifacts: Artifacts) -> None:
        await artifacts.piece("up", 0, b"hello")
        artifact = await artifacts.complete("up")
        await artifacts.piece("up", 0, b"HELLO")
        assert await artifacts.complete("up") == artifact
        assert await content_of(artifacts, artifact) == b"hello"

    async def test_the_same_content_under_two_names_is_one_file(self, artifacts: Artifacts) -> None:
        await artifacts.piece("a", 0, b"hello")
        await artifacts.piece("b", 0, b"hello")
        a, b = await artifacts.complete("a"), await artifacts.complete("b")
        assert a == b
        assert await content_of(artifacts, a) == b"hello"

    async def test_a_wrong_content_is_refused_until_it_is_right(self, artifacts: Artifacts) -> None:
        wanted = sha256(b"hello").hexdigest()
        await artifacts.piece("up", 0, b"hell")
        with pytest.raises(Refused, match="not what it was announced"):
            await artifacts.complete("up", sha256=wanted)
        with pytest.raises(Gone):
            await artifacts.size(ArtifactId(wanted))
        await artifacts.piece("up", 4, b"o")
        assert await artifacts.complete("up", sha256=wanted) == wanted
        with pytest.raises(Refused, match="not what it was announced"):
            await artifacts.complete("up", sha256=sha256(b"other").hexdigest())

    async def test_an_upload_that_never_began(self, artifacts: Artifacts) -> None:
        with pytest.raises(Refused, match=r"Nothing .* has arrived\."):
            await artifacts.complete("up")
        with pytest.raises(Refused):
            await artifacts.complete("up", sha256=sha256(b"hello").hexdigest())

    @pytest.mark.parametrize("artifact", ["0" * 64, "", "..", "../../etc/passwd", "uploads", "0" * 63 + "/"])
    async def test_what_is_not_there_is_gone(self, artifacts: Artifacts, artifact: str) -> None:
        with pytest.raises(Gone):
            await artifacts.size(ArtifactId(artifact))
        with pytest.raises(Gone):
            await content_of(artifacts, ArtifactId(artifact))

    @pytest.mark.parametrize(("offset", "size"), [(-1, 1), (MAX_FILE, 1), (MAX_FILE - 1, 2), (1 << 62, 1)])
    async def test_a_piece_outside_of_any_file_is_refused(self, artifacts: Artifacts, offset: int, size: int) -> None:
        with pytest.raises(Refused, match="outside"):
            await artifacts.piece("up", offset, bytes(size))

    @pytest.mark.parametrize("name", ["../../up", "/etc/up", "a/b/c", "", "x" * 5000, "nul\x00", "\ud83d"])
    async def test_any_text_names_an_upload(self, artifacts: Artifacts, tmp_path: Path, name: str) -> None:
        await artifacts.piece(name, 0, b"hello")
        assert await content_of(artifacts, await artifacts.complete(name)) == b"hello"
        assert names_in(tmp_path) <= {"files"}

    async def test_what_cannot_be_written_may_be_brought_again(self, artifacts: Artifacts, tmp_path: Path) -> None:
        with self.failing(artifacts, tmp_path, "up"), pytest.raises(Broken) as caught:
            await artifacts.piece("up", 0, b"hello")
        assert "full" in str(caught.value)
        await artifacts.piece("up", 0, b"hello")
        assert await content_of(artifacts, await artifacts.complete("up")) == b"hello"

    async def test_uploads_and_files_are_there_after_reopening(self, opening: Opening) -> None:
        artifacts = await opening()
        await artifacts.piece("a", 0, b"hello")
        await artifacts.piece("b", 0, b"wor")
        artifact = await artifacts.complete("a")
        artifacts = await opening()
        await artifacts.piece("b", 3, b"ld")
        assert await content_of(artifacts, artifact) == b"hello"
        assert await artifacts.complete("a") == artifact
        assert await content_of(artifacts, await artifacts.complete("b")) == b"world"


class TestMemoryArtifacts(ArtifactsContract):
    @pytest.fixture
    def opening(self, tmp_path: Path) -> Opening:
        artifacts = MemoryArtifacts()

        async def opened() -> Artifacts:
            return artifacts

        return opened

    @contextmanager
    def failing(self, artifacts: Artifacts, tmp_path: Path, upload: str) -> Iterator[None]:
        assert isinstance(artifacts, MemoryArtifacts)
        with full_memory(artifacts):
            yield


class TestDiskArtifacts(ArtifactsContract):
    @pytest.fixture
    def opening(self, tmp_path: Path) -> Opening:
        async def opened() -> Artifacts:
            return await open_artifacts(tmp_path / "files")

        return opened

    @contextmanager
    def failing(self, artifacts: Artifacts, tmp_path: Path, upload: str) -> Iterator[None]:
        """The kernel's own full disk stands where the upload would grow."""
        if not Path("/dev/full").exists():
            pytest.skip("this system has no /dev/full")
        part = tmp_path / "files" / "uploads" / f"{sha256(upload.encode()).hexdigest()}.part"
        part.symlink_to("/dev/full")
        yield
        part.unlink()
