"""The rehearsal's scripts and its driver, without processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.driver import Close, Done, Driver, Mark, Tell, Workplace
from agent.drivers.rehearsal import Rehearsal
from agent.rehearsal.memory import Memory, Turn
from agent.rehearsal.script import SCRIPTS, Script, find, load
from agent.rehearsal.stage import Stage
from agent.wire import Answer, CliStarted, Other, Start, TextSoFar, Wrote

PLACE = Workplace(Path("/w"), Path("/h"), Path("/u"), Path("/o"))


def rehearsal(script: str = "echo") -> Driver:
    return Rehearsal(Start(driver="rehearsal", session="s", task="t", script=script), PLACE)


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_script_that_is_shipped_can_be_read(path: Path) -> None:
    script = load(path)
    assert script.steps(0)
    assert script.steps(100)
    assert json.loads(path.read_text())["about"]


def test_the_tour_is_what_one_gets_without_a_name() -> None:
    assert find("").stem == "welcome"


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"sing": "x"}, "unknown verb 'sing'"),
        ({"say": 1}, "wrong type"),
        ({"say": "x", "loud": 1}, "loud"),
        ([], "object"),
    ],
)
def test_a_wrong_script_says_where(tmp_path: Path, step: object, words: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"turns": [[{"say": "fine"}, step]]}))
    with pytest.raises(ValueError, match=words) as caught:
        load(path)
    assert "turns[0][1]" in str(caught.value)


def test_an_unknown_script_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="welcome"):
        rehearsal("../../etc/passwd")


def test_the_driver_drops_what_was_journalled() -> None:
    driver = rehearsal()
    started, told = driver.begin(frozenset({"0.1."}), {"ask": Answer("ask", (1,))})
    assert isinstance(started, CliStarted)
    assert isinstance(told, Tell)
    line = b'{"ref":"0.%d.","kind":"wrote","body":{"text":"x"}}'
    assert list(driver.read(line % 1)) == []
    assert list(driver.read(line % 2)) == [Mark(Wrote("x"), "0.2.")]
    assert list(driver.read(b'{"kind":"text_so_far","body":{"text":"y"}}')) == [TextSoFar("y")]
    assert list(driver.read(b'{"ref":"d","kind":"done","body":{"id":"i"}}')) == [Done("i")]
    assert list(driver.read(b'{"ref":"c","kind":"close","body":{"reason":"r","words":"w"}}')) == [Close("r", "w")]


@pytest.mark.parametrize(
    "line", [b"x", b"null", b"{}", b'{"kind":"dance","body":{}}', b'{"kind":"wrote","body":7}', b"\xff"]
)
def test_the_driver_never_raises_over_a_line(line: bytes) -> None:
    (step,) = rehearsal().read(line)
    assert isinstance(step, Other)


def test_a_torn_session_goes_on(tmp_path: Path) -> None:
    first = Memory(tmp_path, "s")
    first.hear("a", "one")
    first.hear("b", "two")
    first.act("a")
    first.act("a")
    first.turn.number = 3
    first.keep_turn()
    first.hear_answer({"ask": "q", "picks": [1]})
    first.hear_answer({"ask": "q", "picks": [0]})
    assert first.keep_out({"ref": "r", "kind": "wrote"})
    with (tmp_path / "s.jsonl").open("ab") as file:
        file.write(b'{"torn')
    second = Memory(tmp_path, "s")
    assert second.fresh() == ["b"]
    assert second.turn.number == 3
    assert second.answers["q"]["picks"] == [1]
    assert not second.keep_out({"ref": "r", "kind": "wrote"})
    assert len(second.printed()) == 1
    assert (tmp_path / "acted.jsonl").read_text().count("\n") == 1


def test_what_a_turn_took_before_the_life_ended_is_not_taken_again(tmp_path: Path) -> None:
    memory = Memory(tmp_path, "s")
    memory.hear("one", "1")
    memory.turn.inputs.append("one")
    memory.keep_turn()  # and killed here, before it was acted on
    assert Memory(tmp_path, "s").fresh() == []


@pytest.mark.parametrize("step", [0, 1])
def test_what_was_taken_is_acted_on_before_what_is_said_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Killed before it was acted on, in the middle of a turn or when only its end was missing."""
    memory = Memory(tmp_path, "s")
    for name in ("one", "two", "three"):
        memory.hear(name, name)
    memory.act("one")
    memory.turn = Turn(number=0, step=step, open=True, inputs=["one", "two"])
    memory.keep_turn()
    next_life = Memory(tmp_path, "s")
    script = Script(turns=(({"say": "working"},),), then=({"end": "enough"},))
    stage = Stage(script, next_life, outbox=tmp_path, pace=0)
    monkeypatch.setattr(Stage, "_listen", _hear_nothing)
    monkeypatch.setattr("agent.rehearsal.stage._print", lambda _: None)
    with pytest.raises(EOFError):
        stage.play()
    assert list(Memory(tmp_path, "s").acted) == ["one", "two", "three"]


def _hear_nothing(_: Stage, seconds: float | None) -> None:
    if seconds is None:
        raise EOFError
