"""Files into a run and out of it: what is put into its folder, and what it puts into its outbox."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.agentd.outbox import Outbox
from agent.agentd.uploads import Uploads, safe_name
from agent.wire import MAX_FILE, PIECE, FilePiece, Noticed, Put

SECRET = "sk-secret-0123456789abcdef"


@given(st.text(max_size=300))
def test_a_safe_name_is_one_file_in_one_folder(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert not safe.startswith(".")
    assert Path("/a", safe).parent == Path("/a")
    assert len(safe.encode("utf-8", "replace")) <= 250
    assert safe == safe_name(safe)


def test_safe_names_keep_what_people_know() -> None:
    assert safe_name("../../etc/pass wd.TXT") == "pass wd.TXT"
    assert safe_name("C:\\temp\\x.png") == "x.png"
    assert safe_name("a" * 300 + ".tar") == "a" * 116 + ".tar"
    assert safe_name("..") == "file"


def test_pieces_may_come_twice_and_not_out_of_order(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)

    def put(offset: int, data: bytes, *, last: bool = False) -> str:
        return uploads.put(Put("a.bin", offset, base64.b64encode(data).decode(), last=last))

    assert put(0, b"abc") == ""
    assert put(3, b"def") == ""
    assert put(3, b"def") == ""
    assert "missing" in put(9, b"x")
    assert not (tmp_path / "a.bin").exists()
    assert put(6, b"g", last=True) == ""
    assert put(6, b"g", last=True) == "", "agentd was killed before it could remember the piece"
    assert "missing" in put(6, b"h", last=True)
    assert "missing" in put(6, b"gh", last=True)
    assert (tmp_path / "a.bin").read_bytes() == b"abcdefg"
    assert put(0, b"new", last=True) == ""
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert "larger" in put(MAX_FILE, b"x")


def test_what_an_agent_put_in_the_way_of_an_upload_is_said(tmp_path: Path) -> None:
    piece = Put("a.bin", 0, base64.b64encode(b"abc").decode(), last=True)
    (tmp_path / "one" / "a.bin").mkdir(parents=True)
    assert "cannot be written" in Uploads(tmp_path / "one").put(piece)
    (tmp_path / "two").write_text("not a folder")
    assert "cannot be written" in Uploads(tmp_path / "two").put(piece)
    assert Uploads(tmp_path / "three" / "tidied away").put(piece) == ""
    assert (tmp_path / "three" / "tidied away" / "a.bin").read_bytes() == b"abc"


def handed(outbox: Outbox, *, turn_over: bool = True) -> list[Any]:
    found: list[Any] = []
    for path in outbox.ready(turn_over=turn_over):
        for mark in filter(outbox.new, outbox.take(path)):
            outbox.remember(mark.ref)
            found.append(mark.report)
        outbox.handed(path)
    return found


def test_an_outbox_hands_over_once_and_a_changed_file_again(tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    folder.mkdir()
    outbox = Outbox(folder, tmp_path / "copy", secrets=lambda: (SECRET,), refs=())
    (folder / "a.txt").write_text("one")
    assert handed(outbox, turn_over=False) == []  # it may still be growing
    (first,) = handed(outbox)
    assert isinstance(first, FilePiece)
    assert (first.name, first.size, first.last) == ("a.txt", 3, True)
    assert handed(outbox) == []
    reborn = Outbox(folder, tmp_path / "copy", secrets=tuple, refs=[f"file:{first.file}:0"])
    assert handed(reborn) == []
    (folder / "a.txt").write_text("another")
    (second,) = handed(outbox)
    assert second.file != first.file
    (folder / "empty").touch()
    assert handed(outbox)[0].last
    (folder / "pipe.txt").write_text(f"x{SECRET}")
    os.mkfifo(folder / "fifo")
    with (folder / "big").open("wb") as big:
        big.truncate(MAX_FILE + 1)
    words = sorted(report.text for report in handed(outbox))
    assert len(words) == 2
    assert "32 MiB is the most" in words[0]
    assert "credential" in words[1]
    assert handed(outbox) == []


def test_a_tree_in_the_outbox_is_looked_at_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.agentd.outbox.MOST_SEEN", 70)
    for number in range(100):
        (tmp_path / str(number)).touch()
    outbox = Outbox(tmp_path, tmp_path.with_name("copy"), secrets=tuple, refs=())
    assert len(outbox.ready(turn_over=True)) == 70


def test_too_many_files_are_said_once(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, tmp_path.with_name("copy"), secrets=tuple, refs=())
    for number in range(60):
        (tmp_path / f"{number}").touch()
    reports = handed(outbox)
    assert sum(isinstance(report, FilePiece) for report in reports) == 50
    assert sum(isinstance(report, Noticed) for report in reports) == 1


def test_files_of_former_lives_do_not_count_as_too_many(tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    folder.mkdir()
    outbox = Outbox(folder, tmp_path / "copy", secrets=tuple, refs=())
    refs: list[str] = []
    for turn in range(2):
        for number in range(30):
            (folder / f"{turn}-{number}").write_text(f"{turn} {number}")
        refs += [f"file:{piece.file}:0" for piece in handed(outbox)]
    assert len(refs) == 60
    (folder / "new").write_text("new")
    reborn = Outbox(folder, tmp_path / "copy", secrets=tuple, refs=refs)
    assert [report.name for report in handed(reborn)] == ["new"]


def test_a_hand_over_that_broke_off_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "outbox"
    folder.mkdir()
    (folder / "big").write_bytes(b"x" * (PIECE * 2 + 1))
    outbox = Outbox(folder, tmp_path / "copy", secrets=tuple, refs=())
    (path,) = outbox.ready(turn_over=True)
    outbox.remember(next(outbox.take(path)).ref)
    assert [(piece.offset, piece.last) for piece in handed(outbox)] == [(PIECE, False), (2 * PIECE, True)]
    assert handed(outbox) == []
