"""Circuit breakers: when they open, who makes the trial, when they close."""

import pytest

from resources.circuit.breaker import CircuitBreaker, CircuitPolicy, LocalCircuitStore
from resources.errors import CircuitOpen

POLICY = CircuitPolicy(fail_max=3, reset_s=60.0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("somewhere", POLICY, LocalCircuitStore(clock=clock))


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.failed(breaker.admit(), "it broke")


def test_opens_after_so_many_failures_in_a_row(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.succeeded(breaker.admit())
    fail(breaker, 2)
    breaker.admit()
    fail(breaker, 1)
    with pytest.raises(CircuitOpen, match=r"somewhere failed 3 times.*60 s.*it broke"):
        breaker.admit()


def test_lets_exactly_one_trial_through_when_the_time_is_up(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 60
    assert breaker.admit().is_trial
    with pytest.raises(CircuitOpen):
        breaker.admit()


def test_closes_when_the_trial_succeeds(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 60
    breaker.succeeded(breaker.admit())
    assert not breaker.admit().is_trial
    fail(breaker, 2)
    breaker.admit()


def test_opens_again_when_the_trial_fails(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 60
    fail(breaker, 1)
    clock.now += 59
    with pytest.raises(CircuitOpen):
        breaker.admit()
    clock.now += 1
    assert breaker.admit().is_trial


def test_a_trial_that_never_comes_back_does_not_block_for_ever(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 60
    breaker.admit()
    clock.now += 60
    assert breaker.admit().is_trial


def test_a_trial_that_was_not_made_is_anybodys_again(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 60
    breaker.unused(breaker.admit())
    assert breaker.admit().is_trial


def test_a_late_success_from_before_does_not_close_it(breaker: CircuitBreaker) -> None:
    early = breaker.admit()
    fail(breaker, 3)
    breaker.succeeded(early)
    with pytest.raises(CircuitOpen):
        breaker.admit()


def test_a_late_failure_from_before_does_not_prolong_it(breaker: CircuitBreaker, clock: Clock) -> None:
    early = breaker.admit()
    fail(breaker, 3)
    clock.now += 59
    breaker.failed(early, "late")
    clock.now += 1
    assert breaker.admit().is_trial


def test_breakers_of_other_names_are_not_affected(clock: Clock) -> None:
    store = LocalCircuitStore(clock=clock)
    fail(CircuitBreaker("a", POLICY, store), 3)
    CircuitBreaker("b", POLICY, store).admit()
    with pytest.raises(CircuitOpen):
        CircuitBreaker("a", POLICY, store).admit()
