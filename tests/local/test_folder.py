import os
import shutil
from pathlib import Path

import pytest

from adapters.local.folder import LOG_BYTES, TAIL_BYTES, Folder, Plot
from orchestrator.errors import Refused
from orchestrator.nouns import RunId


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "runs" / "r-1")
    folder.prepare()
    return folder


def test_it_is_made_once_and_for_its_owner_alone(folder: Folder) -> None:
    (folder.state / "journal").write_text("kept")
    folder.prepare()
    assert (folder.state / "journal").read_text() == "kept"
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert folder.into.is_fifo()
    assert folder.out.is_fifo()


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "-a", "a" * 41, ".gone-x", "a\n"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused):
        Plot(tmp_path).folder(RunId(name))


def test_only_runs_are_listed(tmp_path: Path) -> None:
    plot = Plot(tmp_path / "runs")
    plot.prepare()
    for name in ("r-2", "r-1"):
        plot.folder(RunId(name)).prepare()
    (plot.root / "notes").write_text("no folder")
    (plot.root / "link").symlink_to(tmp_path)
    assert [run for run, _ in plot.folders()] == ["r-1", "r-2"]


def test_a_read_only_tree_is_removed_and_nothing_beyond_it(folder: Folder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o555)
    (folder.state / "link").symlink_to(outside)
    deep = folder.state / "cache" / "module"
    deep.mkdir(parents=True)
    (deep / "file").touch(mode=0o444)
    deep.chmod(0o555)
    deep.parent.chmod(0o555)
    folder.remove()
    assert list((tmp_path / "runs").iterdir()) == []
    assert outside.stat().st_mode & 0o777 == 0o555
    folder.remove()


def test_a_removal_that_was_cut_short_is_finished_later(folder: Folder, tmp_path: Path) -> None:
    folder.path.rename(folder.path.with_name(".gone-1"))
    plot = Plot(tmp_path / "runs")
    assert not list(plot.folders())
    plot.prepare()
    assert list(plot.root.iterdir()) == []


def test_remains_of_another_user_keep_nobody_from_starting(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    with monkeypatch.context() as foreign:
        foreign.setattr(shutil, "rmtree", refused)
        folder.remove()
        plot = Plot(tmp_path / "runs")
        plot.prepare()
        assert not list(plot.folders())
    assert len(list(plot.root.iterdir())) == 1
    plot.prepare()
    assert list(plot.root.iterdir()) == []


def test_the_log_keeps_its_end(folder: Folder) -> None:
    log = os.open(folder.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, b"x" * LOG_BYTES)
    folder.bound_log()
    assert folder.log.stat().st_size == LOG_BYTES
    os.write(log, b"\nthe last words\n")
    folder.bound_log()
    assert folder.log.stat().st_size == TAIL_BYTES
    assert folder.last_words() == "the last words"
    os.write(log, b"and later ones\n\n")
    os.close(log)
    assert folder.log.stat().st_size == TAIL_BYTES + 16
    assert folder.last_words() == "and later ones"


def test_how_a_run_ended(folder: Folder) -> None:
    assert folder.finished() is None
    (folder.state / "finished").write_text("stopped\nenough\n")
    assert folder.finished() == "enough"
    (folder.state / "finished").write_text("completed\n\n")
    assert folder.finished() == "The run has ended (completed)."
