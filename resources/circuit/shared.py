"""States of circuit breakers that all processes share through PostgreSQL.

Belongs here: reading and changing `catalog.circuits`. Does not belong here: the rules between states (`breaker.py`).
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.catalog.rows import storable
from resources.circuit.breaker import CircuitState, CircuitStore, Transition
from resources.timescale.shared_state import shared_state
from schemas.catalog_budget import CIRCUITS

LONGEST_ERROR = 2000
NAMED = "state of circuit breakers"


class SharedCircuitStore(CircuitStore):
    """States in the database behind `engine`, on the database's clock (seconds since 1970)."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine.execution_options(isolation_level="READ COMMITTED")

    def read(self, name: str) -> tuple[CircuitState, float]:
        now = sa.select(sa.func.clock_timestamp().label("now")).subquery()
        found = now.outerjoin(CIRCUITS, CIRCUITS.c.name == name)
        with shared_state(self._engine, NAMED) as connection:
            row = connection.execute(sa.select(now.c.now, CIRCUITS).select_from(found)).one()
        return _state(row), row.now.timestamp()

    def change(self, name: str, transition: Transition) -> CircuitState:
        with shared_state(self._engine, NAMED) as connection:
            connection.execute(insert(CIRCUITS).values(name=name, state="closed", failures=0).on_conflict_do_nothing())
            row = connection.execute(sa.select(CIRCUITS).where(CIRCUITS.c.name == name).with_for_update()).one()
            # Asked after the row is ours: waiting for it may have taken long.
            now = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
            before = _state(row)
            after = transition(before, now.timestamp())
            if after != before:
                values: dict[str, Any] = {"state": after.state, "failures": after.failures, "changed_at": now}
                values |= {"retry_at": _instant(after.retry_at), "opened_at": _instant(after.opened_at)}
                values["last_error"] = storable(after.last_error or "")[:LONGEST_ERROR] or None
                connection.execute(sa.update(CIRCUITS).where(CIRCUITS.c.name == name).values(values))
        return after


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _state(row: sa.Row[Any]) -> CircuitState:
    if row.state is None:
        return CircuitState()
    return CircuitState(
        state=row.state,
        failures=row.failures,
        retry_at=None if row.retry_at is None else row.retry_at.timestamp(),
        opened_at=None if row.opened_at is None else row.opened_at.timestamp(),
        last_error=row.last_error,
    )
