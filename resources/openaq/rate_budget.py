"""How many requests may be sent: sliding windows, and the budget of one process.

Belongs here: the arithmetic of windows, what a budget offers, and the budget that lives in one process' memory. Does
not belong here: the budget all processes share (`rate_budget_shared.py`), HTTP.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from resources.errors import ConfigurationError, RateLimited


@dataclass(frozen=True, order=True)
class Rate:
    """At most `limit` requests in any `per_s` seconds."""

    limit: int
    per_s: float


OPENAQ_RATES = (Rate(60, 60.0), Rate(2000, 3600.0))
"""What OpenAQ allows one key: its headers tell of the first, never of the second."""

MARGIN_S = 1.0
"""Windows are watched this much longer than they are: a request reaches the server later than it was admitted."""


def wait_s(
    rates: Sequence[Rate],
    nth_newest: Callable[[int], float | None],
    *,
    n: int,
    blocked_s: float | None,
    margin_s: float,
) -> float:
    """Seconds from now until `n` more requests fit into every window.

    `nth_newest(k)` is the stamp of the k-th newest admitted request (0 is the newest) in seconds relative to now, None
    if there are not so many. Admissions are in order: nobody is admitted before the newest, which keeps waiting fair.
    `blocked_s` is until when the server wants silence, relative to now.
    """
    earliest = [0.0, nth_newest(0) or 0.0, blocked_s or 0.0]
    for rate in rates:
        stamp = nth_newest(rate.limit - n)
        if stamp is not None:
            earliest.append(stamp + rate.per_s + margin_s)
    return max(earliest)


class RateBudget(ABC):
    """A budget of requests in several windows at once."""

    def __init__(self, rates: Sequence[Rate] = OPENAQ_RATES, *, margin_s: float = MARGIN_S) -> None:
        if not rates or any(rate.limit < 1 or rate.per_s <= 0 for rate in rates):
            raise ConfigurationError(f"a rate budget needs limits of at least 1 in more than 0 s, not {list(rates)}")
        self.rates = tuple(rates)
        self.margin_s = margin_s
        self.horizon_s = max(rate.per_s for rate in rates) + margin_s
        """How far back an admitted request still counts."""

    @abstractmethod
    def acquire(self, n: int = 1, *, deadline_s: float) -> None:
        """Wait until `n` requests may be sent, and take them from the budget.

        Raises:
            RateLimited: the wait would be longer than `deadline_s` seconds; nothing is taken.
            DatabaseUnavailable: the shared budget cannot be reached.
        """

    @abstractmethod
    def remaining(self) -> Mapping[Rate, int]:
        """Requests left in each window now; 0 while the server wants silence."""

    @abstractmethod
    def penalise(self, seconds: float) -> None:
        """Nobody sends for `seconds`, not even who was admitted and still waits: the server said 429."""

    def _check(self, n: int) -> None:
        smallest = min(rate.limit for rate in self.rates)
        if not 1 <= n <= smallest:
            raise ConfigurationError(f"{n} requests at once never fit a budget of {smallest}: ask for 1 to {smallest}")

    def _refuse(self, wait: float, deadline_s: float) -> RateLimited:
        return RateLimited(
            f"the request budget is spent: the next request is possible in {wait:.0f} s, longer than the"
            f" {max(deadline_s, 0):.0f} s one may wait; try again then",
            retry_after_s=wait,
        )


class _Admitted:
    """One request's stamp, on the budget's clock; movable while it lies in the future."""

    __slots__ = ("at",)

    def __init__(self, at: float) -> None:
        self.at = at


class LocalRateBudget(RateBudget):
    """A budget of this process alone, for all its threads: where there is no database, as in `tidemark doctor`."""

    def __init__(
        self,
        rates: Sequence[Rate] = OPENAQ_RATES,
        *,
        margin_s: float = MARGIN_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(rates, margin_s=margin_s)
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._admitted: list[_Admitted] = []  # oldest first
        self._blocked_until = 0.0

    def acquire(self, n: int = 1, *, deadline_s: float) -> None:
        self._check(n)
        give_up = self._clock() + deadline_s
        with self._lock:
            now = self._clock()
            self._forget(now)
            wait = wait_s(
                self.rates,
                lambda k: self._admitted[-1 - k].at - now if k < len(self._admitted) else None,
                n=n,
                blocked_s=self._blocked_until - now,
                margin_s=self.margin_s,
            )
            if wait > deadline_s:
                raise self._refuse(wait, deadline_s)
            mine = [_Admitted(now + wait) for _ in range(n)]
            self._admitted.extend(mine)
        while (left := mine[0].at - self._clock()) > 0:
            if mine[0].at > give_up:
                self._give_back(mine)
                raise self._refuse(left, deadline_s)
            self._sleep(left)

    def remaining(self) -> Mapping[Rate, int]:
        with self._lock:
            now = self._clock()
            blocked = self._blocked_until > now
            return {
                rate: 0
                if blocked
                else max(0, rate.limit - sum(entry.at > now - rate.per_s - self.margin_s for entry in self._admitted))
                for rate in self.rates
            }

    def penalise(self, seconds: float) -> None:
        with self._lock:
            now = self._clock()
            self._blocked_until = max(self._blocked_until, now + seconds)
            waiting = [entry for entry in self._admitted if entry.at > now]
            shift = self._blocked_until - min((entry.at for entry in waiting), default=self._blocked_until)
            if shift > 0:
                for entry in waiting:
                    entry.at += shift

    def _forget(self, now: float) -> None:
        self._admitted = [entry for entry in self._admitted if entry.at > now - self.horizon_s]

    def _give_back(self, mine: list[_Admitted]) -> None:
        with self._lock:
            self._admitted = [entry for entry in self._admitted if entry not in mine]
