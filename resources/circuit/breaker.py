"""Circuit breakers: who has failed again and again is left alone for a while, then tried once.

Belongs here: the states, the rules between them, and states kept in one process' memory. Does not belong here: states
shared by all processes (`shared.py`), what counts as a failure (the caller says, or `guard.py`).

The breaker is asked before a call and told afterwards, instead of wrapping the call: several threads call at once, and
while it is half open exactly one of them, in one process, makes the trial.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from resources.errors import CircuitOpen


@dataclass(frozen=True, kw_only=True)
class CircuitPolicy:
    """When a breaker opens and when it lets a trial through."""

    fail_max: int
    """So many failures in a row open it."""
    reset_s: float
    """So long it stays open before one trial is let through; so long a trial may take before another one is."""


DEFAULT_POLICY = CircuitPolicy(fail_max=5, reset_s=60.0)


@dataclass(frozen=True, kw_only=True)
class CircuitState:
    """One breaker's state; `retry_at` is in seconds on the clock of its store."""

    state: Literal["closed", "open", "half_open"] = "closed"
    failures: int = 0
    retry_at: float | None = None
    opened_at: float | None = None
    """Since when it has not been closed."""
    last_error: str | None = None

    def may_try(self, now: float) -> bool:
        """Whether a trial is due: open for long enough, or the last trial never came back."""
        return self.state != "closed" and (self.retry_at is None or self.retry_at <= now)

    def on_trial(self, now: float, policy: CircuitPolicy) -> "CircuitState":
        return replace(self, state="half_open", retry_at=now + policy.reset_s)

    def after_failure(self, now: float, policy: CircuitPolicy, reason: str, *, was_trial: bool) -> "CircuitState":
        failures = self.failures + 1
        told = replace(self, failures=failures, last_error=reason)
        if was_trial or (self.state == "closed" and failures >= policy.fail_max):
            return replace(told, state="open", retry_at=now + policy.reset_s, opened_at=self.opened_at or now)
        return told

    def after_success(self, *, was_trial: bool) -> "CircuitState":
        # Who was let in before it opened says nothing about now: only the trial closes it.
        if self.state == "closed" or was_trial:
            return CircuitState(last_error=self.last_error)
        return self


Transition = Callable[[CircuitState, float], CircuitState]
"""The next state, from the state and the time now."""


class CircuitStore(ABC):
    """Where the states of breakers are kept, by name."""

    @abstractmethod
    def read(self, name: str) -> tuple[CircuitState, float]:
        """The state and the store's time now, in seconds."""

    @abstractmethod
    def change(self, name: str, transition: Transition) -> CircuitState:
        """Apply `transition`; no other change of `name` comes between reading and writing."""


class LocalCircuitStore(CircuitStore):
    """States of this process alone."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._states: dict[str, CircuitState] = {}

    def read(self, name: str) -> tuple[CircuitState, float]:
        with self._lock:
            return self._states.get(name, CircuitState()), self._clock()

    def change(self, name: str, transition: Transition) -> CircuitState:
        with self._lock:
            self._states[name] = transition(self._states.get(name, CircuitState()), self._clock())
            return self._states[name]


@dataclass(frozen=True)
class Admission:
    """Leave to make one call; hand it back with the outcome."""

    is_trial: bool
    had_failures: bool


class CircuitBreaker:
    """The breaker of one dependency."""

    def __init__(self, name: str, policy: CircuitPolicy, store: CircuitStore) -> None:
        self.name = name
        self._policy = policy
        self._store = store

    def admit(self) -> Admission:
        """Leave to call the dependency now.

        Raises:
            CircuitOpen: it failed too often, and it is not yet time (or somebody else's turn) to try again.
        """
        state, now = self._store.read(self.name)
        if state.state == "closed":
            return Admission(is_trial=False, had_failures=state.failures > 0)
        if state.may_try(now) and self._won_trial():
            return Admission(is_trial=True, had_failures=True)
        raise CircuitOpen(self._refusal(state, now))

    def left_alone(self) -> str | None:
        """Why nobody may call it now, in a sentence; None: it is closed, or a trial is due. Claims nothing.

        Raises:
            DatabaseUnavailable: the shared state cannot be read.
        """
        state, now = self._store.read(self.name)
        return None if state.state == "closed" or state.may_try(now) else self._refusal(state, now)

    def is_closed(self) -> bool:
        """Whether everybody may call it. Raises as `left_alone`."""
        return self._store.read(self.name)[0].state == "closed"

    def succeeded(self, admission: Admission) -> None:
        """The dependency answered."""
        if admission.is_trial or admission.had_failures:
            self._store.change(self.name, lambda state, _: state.after_success(was_trial=admission.is_trial))

    def failed(self, admission: Admission, reason: str) -> None:
        """The dependency did not answer, or answered that it is out of order; `reason` holds no secret."""
        self._store.change(
            self.name,
            lambda state, now: state.after_failure(now, self._policy, reason, was_trial=admission.is_trial),
        )

    def unused(self, admission: Admission) -> None:
        """The call was not made after all, so that the trial is anybody's again."""
        if admission.is_trial:
            self._store.change(self.name, lambda state, now: replace(state, state="open", retry_at=now))

    def _refusal(self, state: CircuitState, now: float) -> str:
        wait = max(0.0, (state.retry_at or now) - now)
        return (
            f"{self.name} failed {state.failures} times in a row and is left alone for another {wait:.0f} s; the last"
            f" failure was: {state.last_error}"
        )

    def _won_trial(self) -> bool:
        won = False

        def claim(state: CircuitState, now: float) -> CircuitState:
            nonlocal won
            won = state.may_try(now)
            return state.on_trial(now, self._policy) if won else state

        self._store.change(self.name, claim)
        return won
