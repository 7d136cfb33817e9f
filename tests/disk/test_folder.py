"""Files on a disk: killed between any two steps, filled up, left behind, and larger than memory should notice."""

from __future__ import annotations

import os
import tracemalloc
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.disk import DiskArtifacts, folder, open_artifacts
from adapters.disk.folder import Folder
from agent.wire import MAX_FILE, PIECE
from orchestrator.errors import Broken, Gone, Refused
from orchestrator.nouns import ArtifactId

HELLO = sha256(b"hello").hexdigest()


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "files"


async def content_of(artifacts: DiskArtifacts, artifact: str) -> bytes:
    return b"".join([part async for part in artifacts.read(ArtifactId(artifact))])


def all_files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """End the process where it would flush for the nth time; each state of a completion ends with a flush."""
    flush, calls = folder._flush, iter(range(1, 100))

    def dying(path: Path) -> None:
        if next(calls) == step:
            raise Killed
        flush(path)

    monkeypatch.setattr(folder, "_flush", dying)


@pytest.mark.parametrize("announced", ["", HELLO])
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
async def test_killed_while_completing(root: Path, monkeypatch: pytest.MonkeyPatch, step: int, announced: str) -> None:
    artifacts = await open_artifacts(root)
    await artifacts.piece("up", 0, b"hello")
    with monkeypatch.context() as patch:
        killed_at(patch, step)
        with pytest.raises(Killed):
            Folder(root).complete("up", announced)

    artifacts = await open_artifacts(root)
    await artifacts.piece("up", 0, b"HELLO"[:1] if step > 1 else b"h")
    assert await artifacts.complete("up", sha256=announced) == HELLO
    assert await content_of(artifacts, HELLO) == b"hello"
    assert not [path for path in all_files(root) if path.suffix == ".part"]


async def test_a_piece_that_was_torn_by_a_kill_is_mended_by_the_same_piece(root: Path) -> None:
    artifacts = await open_artifacts(root)
    await artifacts.piece("up", 0, b"he")
    await artifacts.piece("up", 0, b"hello")
    assert await artifacts.complete("up") == HELLO


async def test_a_full_disk_in_words(root: Path) -> None:
    artifacts = await open_artifacts(root)
    (root / "uploads" / f"{sha256(b'up').hexdigest()}.part").symlink_to("/dev/full")
    with pytest.raises(Broken, match=r"The disk is full: .*files cannot take the file\. Free some space") as caught:
        await artifacts.piece("up", 0, b"hello")
    assert str(root) in str(caught.value)


async def test_an_unusable_folder_in_words() -> None:
    with pytest.raises(Broken, match=r"/dev/null.* Check that the bot's user owns it"):
        await open_artifacts(Path("/dev/null/files"))


async def test_what_was_left_behind_for_a_day_is_removed(root: Path) -> None:
    artifacts = await open_artifacts(root)
    for name in ("old", "young", "old and whole"):
        await artifacts.piece(name, 0, name.encode())
    whole = await artifacts.complete("old and whole")
    for name in ("old", "old and whole"):
        for path in (root / "uploads").glob(f"{sha256(name.encode()).hexdigest()}.*"):
            os.utime(path, (1000.0, 1000.0))

    artifacts = await open_artifacts(root, now=lambda: 1000.0 + 23 * 3600)
    assert len(list((root / "uploads").iterdir())) == 3
    artifacts = await open_artifacts(root, now=lambda: 1000.0 + 25 * 3600)
    assert len(list((root / "uploads").iterdir())) == 1

    with pytest.raises(Refused, match="Nothing of this upload"):
        await artifacts.complete("old")
    await artifacts.complete("young")
    assert await content_of(artifacts, whole) == b"old and whole"
    assert await artifacts.complete("old and whole", sha256=whole) == whole


async def test_a_large_file_is_never_in_memory(root: Path) -> None:
    artifacts = await open_artifacts(root)
    block = Random(1).randbytes(PIECE)
    tracemalloc.start()
    try:
        for offset in range(0, MAX_FILE // 2, PIECE):
            await artifacts.piece("up", offset, block)
        artifact = await artifacts.complete("up")
        total = 0
        async for part in artifacts.read(artifact):
            total += len(part)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == await artifacts.size(artifact) == MAX_FILE // 2
    assert peak < 8 * PIECE


async def test_a_hole_takes_no_space_and_is_no_whole_file(root: Path) -> None:
    artifacts = await open_artifacts(root)
    await artifacts.piece("up", MAX_FILE - 1, b"x")
    (part,) = (root / "uploads").iterdir()
    assert part.stat().st_blocks * 512 < MAX_FILE // 4
    with pytest.raises(Refused, match="not what it was announced"):
        await artifacts.complete("up", sha256=HELLO)


async def test_files_are_private_and_have_no_name_from_outside(root: Path) -> None:
    artifacts = await open_artifacts(root)
    await artifacts.piece("../../secret name", 0, b"hello")
    await artifacts.complete("../../secret name")
    files = all_files(root.parent)
    assert {path.stat().st_mode & 0o077 for path in files if path.suffix != ".done"} == {0}
    assert not [path for path in files if "secret" in str(path.relative_to(root))]
    assert root / HELLO[:2] / HELLO in files


async def test_a_file_that_vanishes_while_it_is_read(root: Path) -> None:
    artifacts = await open_artifacts(root)
    for offset in (0, PIECE):
        await artifacts.piece("up", offset, bytes(PIECE))
    artifact = await artifacts.complete("up")
    parts = artifacts.read(artifact)
    assert len(await anext(parts)) == 256 << 10
    (root / artifact[:2] / artifact).unlink()
    with pytest.raises(Gone):
        await anext(parts)


@settings(max_examples=40, deadline=None)
@given(content=st.binary(min_size=1, max_size=400), cut=st.integers(1, 100), seed=st.integers(0, 1000))
def test_any_cut_in_any_order_is_the_same_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cut: int, seed: int
) -> None:
    files = Folder(tmp_path_factory.getbasetemp() / "any-cut")
    pieces = [(start, content[start : start + cut]) for start in range(0, len(content), cut)] * 2
    Random(seed).shuffle(pieces)
    for offset, data in pieces:
        files.piece(f"{content!r} {cut} {seed}", offset, data)
    digest = files.complete(f"{content!r} {cut} {seed}", "")
    assert digest == sha256(content).hexdigest()
    assert files.part(digest, 0, 1000) == content
