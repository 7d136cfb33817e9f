"""The cursor: whatever a connection does, each durable frame is taken once and in order."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from agent.wire import Beat, Frame, Live, TextSoFar, Wrote
from orchestrator.pipe import sift


def frame(n: int, epoch: str = "a") -> Frame:
    return Frame(n=n, epoch=epoch, at=1.0, report=Wrote(str(n)))


def test_takes_what_comes_next_and_drops_what_is_known() -> None:
    batch = sift([frame(3), frame(4), frame(4), frame(5)], epoch="a", past=(), n=3)
    assert [f.n for f in batch.fresh] == [4, 5]
    assert not batch.behind


def test_a_gap_is_not_jumped_over() -> None:
    batch = sift([frame(4), frame(6), frame(7)], epoch="a", past=(), n=3)
    assert [f.n for f in batch.fresh] == [4]
    assert batch.behind


def test_the_first_epoch_is_taken_and_another_one_means_loss() -> None:
    assert [f.n for f in sift([frame(1), frame(2)], epoch="", past=(), n=0).fresh] == [1, 2]
    batch = sift([frame(4), Beat("b", 2), frame(1, "b")], epoch="a", past=(), n=3)
    assert [f.n for f in batch.fresh] == [4]
    assert batch.lost == "b"


def test_leftovers_of_a_past_epoch_mean_nothing() -> None:
    batch = sift([frame(9, "a"), Beat("a", 9), frame(1, "b")], epoch="b", past=("a",), n=0)
    assert [f.n for f in batch.fresh] == [1]
    assert not batch.lost
    assert not batch.behind


def test_live_frames_pass_and_a_beat_tells_that_something_is_missing() -> None:
    text: Live = TextSoFar("hi")
    batch = sift([text, Beat("a", 7)], epoch="a", past=(), n=5)
    assert batch.live == [text, Beat("a", 7)]
    assert batch.behind


@given(seed=st.integers(0, 2**32), length=st.integers(1, 60))
def test_any_number_of_torn_connections_yield_every_frame_once(seed: int, length: int) -> None:
    """A model of a bad pipe: stale lines first, then a resume from the cursor, cut anywhere, lines left out."""
    dice = random.Random(seed)
    taken: list[int] = []
    for _ in range(10_000):
        if len(taken) == length:
            break
        stale = [frame(dice.randint(1, length)) for _ in range(dice.randint(0, 5))]
        rest = [frame(n) for n in range(len(taken) + 1, length + 1)]
        kept = [f for f in rest[: dice.randint(0, len(rest))] if dice.random() > 0.1]
        batch = sift([*stale, *kept], epoch="a", past=(), n=len(taken))
        taken += [f.n for f in batch.fresh]
    assert taken == list(range(1, length + 1))
