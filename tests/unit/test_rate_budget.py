"""The arithmetic of sliding windows and the budget of one process."""

import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import ConfigurationError, RateLimited
from resources.openaq.rate_budget import OPENAQ_RATES, LocalRateBudget, Rate

PATIENT_S = 1e9


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def budget_on(clock: Clock, rates: Sequence[Rate], *, margin_s: float = 0.0) -> LocalRateBudget:
    return LocalRateBudget(rates, margin_s=margin_s, clock=clock, sleep=clock.sleep)


def most_in_any_window(stamps: Sequence[float], per_s: float) -> int:
    """The most stamps any half-open window of `per_s` seconds holds."""
    ordered = sorted(stamps)
    return max(sum(start <= other < start + per_s - 1e-6 for other in ordered) for start in ordered)


rates = st.lists(
    st.builds(Rate, st.integers(1, 12), st.floats(0.5, 100.0)),
    min_size=1,
    max_size=3,
    unique_by=lambda rate: rate.per_s,
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("acquire"), st.integers(1, 3)),
        st.tuples(st.just("pause"), st.floats(0.0, 30.0)),
        st.tuples(st.just("penalise"), st.floats(0.0, 30.0)),
    ),
    min_size=1,
    max_size=60,
)


@given(rates, steps)
def test_no_window_ever_holds_more_requests_than_its_limit(rates: list[Rate], steps: list[tuple[str, float]]) -> None:
    clock = Clock()
    budget = budget_on(clock, rates)
    smallest = min(rate.limit for rate in rates)
    sent = []
    for action, amount in steps:
        if action == "acquire":
            n = min(int(amount), smallest)
            budget.acquire(n, deadline_s=PATIENT_S)
            sent += [clock.now] * n
        elif action == "pause":
            clock.now += amount
        else:
            budget.penalise(amount)
    for rate in rates:
        assert not sent or most_in_any_window(sent, rate.per_s) <= rate.limit


@given(rates, st.integers(1, 40))
def test_nobody_waits_longer_than_the_tightest_window_demands(rates: list[Rate], calls: int) -> None:
    clock = Clock()
    budget = budget_on(clock, rates)
    started = clock.now
    for _ in range(calls):
        budget.acquire(deadline_s=PATIENT_S)
    # Each rate alone lets `limit` through at once and the next `limit` a window later; together the waits can add up.
    longest = sum((calls - 1) // rate.limit * rate.per_s for rate in rates)
    assert clock.now - started <= longest + 1e-6


def test_both_windows_of_openaq_count() -> None:
    clock = Clock()
    budget = budget_on(clock, OPENAQ_RATES)
    started = clock.now
    for _ in range(2000):
        budget.acquire(deadline_s=PATIENT_S)
    assert clock.now - started >= 33 * 60.0
    assert budget.remaining()[Rate(2000, 3600.0)] == 0
    budget.acquire(deadline_s=PATIENT_S)
    assert clock.now - started >= 3600.0


def test_a_wait_longer_than_the_deadline_is_refused_and_takes_nothing() -> None:
    clock = Clock()
    rate = Rate(2, 60.0)
    budget = budget_on(clock, [rate])
    budget.acquire(2, deadline_s=0.0)
    with pytest.raises(RateLimited) as refused:
        budget.acquire(deadline_s=59.0)
    assert refused.value.retry_after_s == pytest.approx(60.0)
    assert clock.slept == []
    clock.now += 60.0
    budget.acquire(2, deadline_s=0.0)


def test_a_penalty_makes_everybody_wait_and_shows_as_nothing_remaining() -> None:
    clock = Clock()
    rate = Rate(10, 60.0)
    budget = budget_on(clock, [rate])
    budget.penalise(45.0)
    assert budget.remaining() == {rate: 0}
    budget.acquire(deadline_s=45.0)
    assert clock.slept == [pytest.approx(45.0)]
    assert budget.remaining() == {rate: 9}


def test_a_shorter_penalty_does_not_lift_a_longer_one() -> None:
    clock = Clock()
    budget = budget_on(clock, [Rate(10, 60.0)])
    budget.penalise(45.0)
    budget.penalise(1.0)
    with pytest.raises(RateLimited):
        budget.acquire(deadline_s=44.0)


def test_a_penalty_moves_who_already_waits() -> None:
    clock = Clock()
    budget = budget_on(clock, [Rate(1, 10.0)])
    budget.acquire(deadline_s=0.0)

    def punished_meanwhile(seconds: float) -> None:
        if not clock.slept:
            budget.penalise(100.0)
        clock.sleep(seconds)

    budget._sleep = punished_meanwhile
    started = clock.now
    budget.acquire(deadline_s=200.0)
    assert clock.now - started == pytest.approx(100.0)


def test_who_is_moved_past_the_deadline_gives_up_and_gives_back() -> None:
    clock = Clock()
    budget = budget_on(clock, [Rate(1, 10.0)])
    budget.acquire(deadline_s=0.0)

    def punished_meanwhile(seconds: float) -> None:
        budget.penalise(100.0)
        clock.sleep(seconds)

    budget._sleep = punished_meanwhile
    with pytest.raises(RateLimited):
        budget.acquire(deadline_s=20.0)
    budget._sleep = clock.sleep
    clock.now += 100.0
    budget.acquire(deadline_s=0.0)


@pytest.mark.parametrize("n", [0, -1, 3])
def test_what_never_fits_is_refused(n: int) -> None:
    with pytest.raises(ConfigurationError):
        LocalRateBudget([Rate(2, 60.0)]).acquire(n, deadline_s=1.0)


@pytest.mark.parametrize("bad", [[], [Rate(0, 60.0)], [Rate(5, 0.0)]])
def test_limits_that_make_no_sense_are_refused(bad: list[Rate]) -> None:
    with pytest.raises(ConfigurationError):
        LocalRateBudget(bad)


def test_threads_share_one_budget_and_all_get_through() -> None:
    rates = [Rate(5, 0.1), Rate(20, 0.6)]
    budget = LocalRateBudget(rates, margin_s=0.02)
    sent: list[float] = []

    def work() -> None:
        for _ in range(8):
            budget.acquire(deadline_s=60.0)
            sent.append(time.monotonic())

    _in_threads(work, 5)
    assert len(sent) == 40
    for rate in rates:
        assert most_in_any_window(sent, rate.per_s) <= rate.limit


def test_waiting_is_in_order_of_arrival() -> None:
    clock = Clock()
    budget = budget_on(clock, [Rate(1, 10.0)])
    admitted = []
    for _ in range(5):
        budget.acquire(deadline_s=PATIENT_S)
        admitted.append(clock.now)
    assert all(later - earlier == pytest.approx(10.0) for earlier, later in pairwise(admitted))


def _in_threads(work: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
