"""The request budget that all processes share through PostgreSQL.

Belongs here: admission under one advisory lock, on the database's clock. Does not belong here: the arithmetic of
windows (`rate_budget.py`), the tables (`schemas/catalog_budget.py`).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.openaq.rate_budget import MARGIN_S, OPENAQ_RATES, Rate, RateBudget, wait_s
from resources.timescale.shared_state import shared_state
from schemas.catalog_budget import API_BUDGETS, API_REQUESTS


class SharedRateBudget(RateBudget):
    """One budget for every process that names it, in the database behind `engine`.

    A request is admitted in advance: its row is stamped with the instant it may be sent, and its owner sleeps until
    then, outside of any transaction. So nobody polls, waiting is in order of arrival, and in no window are there more
    stamps than its limit. All instants are the database's: skew between machines does not matter. A process killed
    while it waits wastes what it was admitted.
    """

    def __init__(
        self,
        engine: sa.Engine,
        rates: Sequence[Rate] = OPENAQ_RATES,
        *,
        name: str = "openaq",
        margin_s: float = MARGIN_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(rates, margin_s=margin_s)
        self.name = name
        # A later statement must see what the process that held the lock before us committed.
        self._engine = engine.execution_options(isolation_level="READ COMMITTED")
        self._clock = clock
        self._sleep = sleep

    def acquire(self, n: int = 1, *, deadline_s: float) -> None:
        self._check(n)
        give_up = self._clock() + deadline_s
        with self._alone() as connection:
            self._forget(connection)
            wait = self._wait(connection, n)
            if wait > deadline_s:
                raise self._refuse(wait, deadline_s)
            ids = self._admit(connection, n, wait)
        while wait > 0:
            self._sleep(wait)
            # A 429 may have moved us while we slept.
            wait = self._left(ids)
            if self._clock() + wait > give_up and wait > 0:
                self._give_back(ids)
                raise self._refuse(wait, deadline_s)

    def remaining(self) -> Mapping[Rate, int]:
        table = API_REQUESTS.c
        with self._transaction() as connection:
            blocked = self._blocked_s(connection) > 0
            left = {}
            for rate in self.rates:
                since = sa.func.clock_timestamp() - sa.func.make_interval(0, 0, 0, 0, 0, 0, rate.per_s + self.margin_s)
                query = sa.select(sa.func.count()).where(table.budget == self.name, table.admitted_at > since)
                used = connection.execute(query).scalar_one()
                left[rate] = 0 if blocked else max(0, rate.limit - used)
        return left

    def penalise(self, seconds: float) -> None:
        table = API_REQUESTS.c
        with self._alone() as connection:
            until = _from_now(seconds)
            block = insert(API_BUDGETS).values(budget=self.name, blocked_until=until)
            later = sa.func.greatest(API_BUDGETS.c.blocked_until, block.excluded.blocked_until)
            connection.execute(
                block.on_conflict_do_update(index_elements=[API_BUDGETS.c.budget], set_={"blocked_until": later})
            )
            waiting = sa.and_(table.budget == self.name, table.admitted_at > sa.func.clock_timestamp())
            first = connection.execute(sa.select(_seconds_to(sa.func.min(table.admitted_at))).where(waiting)).scalar()
            blocked = self._blocked_s(connection)
            if first is not None and blocked > first:
                shift = sa.func.make_interval(0, 0, 0, 0, 0, 0, blocked - float(first))
                connection.execute(sa.update(API_REQUESTS).where(waiting).values(admitted_at=table.admitted_at + shift))

    def _wait(self, connection: sa.Connection, n: int) -> float:
        table = API_REQUESTS.c
        offsets = sorted({0, *(rate.limit - n for rate in self.rates)})
        stamps = [
            sa.select(_seconds_to(table.admitted_at))
            .where(table.budget == self.name)
            .order_by(table.admitted_at.desc())
            .offset(offset)
            .limit(1)
            .scalar_subquery()
            for offset in offsets
        ]
        *ages, blocked = connection.execute(sa.select(*stamps, self._blocked().scalar_subquery())).one()
        found = dict(zip(offsets, ages, strict=True))
        return wait_s(
            self.rates,
            lambda k: None if found[k] is None else float(found[k]),
            n=n,
            blocked_s=None if blocked is None else float(blocked),
            margin_s=self.margin_s,
        )

    def _admit(self, connection: sa.Connection, n: int, wait: float) -> list[int]:
        # One stamp for all n rows: clock_timestamp() would differ from row to row.
        stamp = sa.func.statement_timestamp() + sa.func.make_interval(0, 0, 0, 0, 0, 0, wait)
        rows = [{"budget": self.name, "admitted_at": stamp}] * n
        statement = sa.insert(API_REQUESTS).values(rows).returning(API_REQUESTS.c.request_id)
        return [row.request_id for row in connection.execute(statement)]

    def _left(self, ids: list[int]) -> float:
        """Seconds until the admitted requests may be sent."""
        latest = sa.select(_seconds_to(sa.func.max(API_REQUESTS.c.admitted_at))).where(
            API_REQUESTS.c.request_id.in_(ids)
        )
        with self._transaction() as connection:
            return max(0.0, float(connection.execute(latest).scalar() or 0.0))

    def _give_back(self, ids: list[int]) -> None:
        with self._transaction() as connection:
            connection.execute(sa.delete(API_REQUESTS).where(API_REQUESTS.c.request_id.in_(ids)))

    def _forget(self, connection: sa.Connection) -> None:
        # A stamp further ahead than any window can only be left over from a clock that was set back.
        table = API_REQUESTS.c
        useless = sa.not_(table.admitted_at.between(_from_now(-self.horizon_s), _from_now(2 * self.horizon_s)))
        connection.execute(sa.delete(API_REQUESTS).where(table.budget == self.name, useless))

    def _blocked(self) -> sa.Select[Any]:
        return sa.select(_seconds_to(API_BUDGETS.c.blocked_until)).where(API_BUDGETS.c.budget == self.name)

    def _blocked_s(self, connection: sa.Connection) -> float:
        return float(connection.execute(self._blocked()).scalar() or 0.0)

    @contextmanager
    def _alone(self) -> Iterator[sa.Connection]:
        """A transaction in which no other process touches this budget."""
        with self._transaction() as connection:
            key = sa.func.hashtextextended(f"tidemark.rate_budget/{self.name}", 0)
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
            yield connection

    def _transaction(self) -> AbstractContextManager[sa.Connection]:
        return shared_state(self._engine, f"shared request budget {self.name!r}")


def _from_now(seconds: float) -> sa.ColumnElement[Any]:
    return sa.func.clock_timestamp() + sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def _seconds_to(stamp: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.func.extract("epoch", stamp - sa.func.clock_timestamp())
