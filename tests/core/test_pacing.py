"""The budget of a place: never more than it bears, the first lane always has its reserve, a cool-off is kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.nouns import Lane, Pace
from orchestrator.pacing import SLOW_SECONDS, Budget

GROUP = Pace(burst=20, per=60.0, reserve=5, edit_every=3.0)


def test_the_reserve_is_for_the_first_lane() -> None:
    budget = Budget(GROUP)
    for _ in range(15):
        assert budget.wait(Lane.LIVE, 0.0) == 0.0
        budget.spend(0.0, live=True)
    assert budget.wait(Lane.LIVE, 1.0) == 59.0
    assert budget.wait(Lane.ALERT, 1.0) == 59.0
    for _ in range(5):
        assert budget.wait(Lane.FIRST, 1.0) == 0.0
        budget.spend(1.0)
    assert budget.wait(Lane.FIRST, 2.0) == 58.0


def test_what_others_have_used_is_not_left_again_but_a_little_always_is() -> None:
    budget = Budget(GROUP)
    for _ in range(5):
        budget.spend(0.0)
    for _ in range(14):
        assert budget.wait(Lane.LIVE, 1.0) == 0.0
        budget.spend(1.0, live=True)
    assert budget.wait(Lane.LIVE, 2.0) == 58.0, "one is left"
    assert budget.wait(Lane.FIRST, 2.0) == 0.0
    budget.spend(2.0)
    assert budget.share(3.0) == 60.0 / 13


def test_a_request_counts_from_its_answer() -> None:
    budget = Budget(Pace(burst=1, per=10.0))
    budget.spend(0.0)
    budget.answered(4.0)
    assert budget.wait(Lane.FIRST, 9.0) == 5.0


def test_a_closed_place_lets_nothing_out_and_stays_slow_for_a_while() -> None:
    budget = Budget(GROUP)
    budget.close(30.0, 100.0)
    assert budget.wait(Lane.FIRST, 101.0) == 29.0
    assert budget.wait(Lane.FIRST, 130.0) == 0.0
    assert budget.slowed(131.0) > 0
    assert budget.edit_every(131.0) == 9.0
    assert budget.slowed(130.0 + SLOW_SECONDS) == 0.0
    assert budget.edit_every(130.0 + SLOW_SECONDS) == 3.0


@given(st.integers(1, 30), st.floats(0.5, 90), st.integers(0, 40), st.lists(st.tuples(st.floats(0, 20), st.booleans())))
def test_no_window_holds_more_than_the_burst(
    burst: int, per: float, reserve: int, wishes: list[tuple[float, bool]]
) -> None:
    reserve = min(reserve, burst - 1)
    budget = Budget(Pace(burst=burst, per=per, reserve=reserve))
    now, sent = 0.0, []
    for pause, first in wishes:
        now += pause
        lane = Lane.FIRST if first else Lane.LIVE
        wait = budget.wait(lane, now)
        now += wait + (1e-6 if wait else 0.0)
        assert budget.wait(lane, now) == 0.0, "what it said to wait was enough"
        budget.spend(now, live=not first)
        sent.append(now)
    for at in sent:
        assert sum(at <= other < at + per for other in sent) <= burst
