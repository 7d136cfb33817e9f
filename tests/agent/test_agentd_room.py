"""agentd says in time that its pod's disk comes to an end: whoever takes more than it may is ended at once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from agent.agentd.room import FOLDERS, MOST, Room, _taken
from agent.wire import Finished, Noticed
from tests.agent.harness import Pod

MIB = 1 << 20
NEVER = threading.Event()


def test_it_says_each_step_once_and_takes_it_back() -> None:
    room = Room(1000 * MIB, [])
    said = [room.notice(mebi * MIB) for mebi in (10, 740, 760, 800, 910, 2000, 850, 700, 10)]
    assert [one and one.level for one in said] == [
        None, None, "warning", None, "error", None, "warning", "info", None
    ]  # fmt: skip
    assert said[2] is not None
    assert "760 MiB of the 1000 MiB" in said[2].text
    assert said[7] is not None
    assert said[7].text.startswith("There is room again")


@pytest.mark.parametrize(
    "env", [{}, {MOST: "0", FOLDERS: "/x"}, {MOST: "much", FOLDERS: "/x"}, {MOST: "5"}, {MOST: "5", FOLDERS: ":"}]
)
def test_where_nobody_says_how_much_nobody_looks(env: dict[str, str]) -> None:
    assert Room.told(env) is None


def test_what_is_on_disk_is_counted_once_and_what_is_elsewhere_is_not(tmp_path: Path) -> None:
    pod, elsewhere = tmp_path / "pod", tmp_path / "elsewhere"
    (pod / "a" / "b").mkdir(parents=True)
    elsewhere.mkdir()
    empty = _taken([pod], NEVER)
    (elsewhere / "large").write_bytes(os.urandom(2 * MIB))
    (pod / "elsewhere").symlink_to(elsewhere)
    (pod / "a" / "large").symlink_to(elsewhere / "large")
    assert _taken([pod, tmp_path / "nowhere"], NEVER) - empty < MIB
    (pod / "a" / "b" / "one").write_bytes(os.urandom(MIB))
    (pod / "other-name").hardlink_to(pod / "a" / "b" / "one")
    with (pod / "hollow").open("wb") as file:
        file.truncate(1 << 40)
    assert MIB <= _taken([pod], NEVER) - empty < 2 * MIB


def test_whoever_leaves_waits_for_no_look(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(os.urandom(MIB))
    over = threading.Event()
    over.set()
    assert _taken([tmp_path], over) == 0


async def test_a_person_hears_of_it_while_the_agent_works_and_when_there_is_room_again(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    env = {MOST: str(4 * MIB), FOLDERS: f"{work}:{tmp_path / 'pod'}"}
    async with Pod(tmp_path / "pod", env=env, pace=0.005) as pod:
        await pod.start(driver="rehearsal", script="echo", task="hello")
        (work / "cache").write_bytes(os.urandom(7 * MIB // 2))
        await pod.until(Noticed, lambda noticed: noticed.code == "disk" and noticed.level != "info")
        (work / "cache").unlink()
        await pod.until(Noticed, lambda noticed: noticed.code == "disk" and noticed.level == "info")
        await pod.stop()
        await pod.until(Finished)
    pod.check()
    assert isinstance(pod.reports[-1], Finished), "nothing follows the end"
