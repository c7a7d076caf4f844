"""Incidents: periods of series that people explained, and what that makes stale.

Belongs here: statements on `catalog.incidents`, and on what of the tables of anomalies is judged again. Does not belong
here: what an incident does to a baseline (`assets_pkg/quality/`), the command line.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa

from resources.catalog import dirty_days
from resources.catalog.rows import storable
from schemas.anomalies import WatchedSeries
from schemas.catalog import LEDGER
from schemas.catalog_incidents import INCIDENTS
from schemas.table_spec import TableSpec
from schemas.window import ONE_DAY


@dataclass(frozen=True, kw_only=True)
class NewIncident:
    """What somebody says of a period."""

    dataset: str
    entity: Mapping[str, object]
    """Entity columns it is about; those left out: any."""
    metric: str | None = None
    kind: str | None = None
    """Kind of anomaly it explains; None: any."""
    started_at: datetime
    """Aware, as is `ended_at`; both belong to it."""
    ended_at: datetime
    is_expected: bool
    note: str
    created_by: str


def add(connection: sa.Connection, incident: NewIncident, watched: WatchedSeries, table: TableSpec) -> int:
    """Notes the incident and marks the days that have to be judged again; its id."""
    values = {name: _storable(value) for name, value in vars(incident).items()}
    number = connection.execute(sa.insert(INCIDENTS).values(**values).returning(INCIDENTS.c.incident_id)).scalar_one()
    _judge_again(connection, table, watched, incident.started_at, incident.ended_at)
    return int(number)


def remove(connection: sa.Connection, incident_id: int, tables: Mapping[str, tuple[WatchedSeries, TableSpec]]) -> bool:
    """Forgets the incident and marks the days as `add` does; False if there is none. `tables`: by dataset, its series
    and their table of anomalies."""
    removed = connection.execute(
        sa.delete(INCIDENTS).where(INCIDENTS.c.incident_id == incident_id).returning(*INCIDENTS.c)
    ).one_or_none()
    if removed is None:
        return False
    if removed.dataset in tables:
        watched, table = tables[removed.dataset]
        _judge_again(connection, table, watched, removed.started_at, removed.ended_at)
    return True


def of(connection: sa.Connection, datasets: Iterable[str]) -> list[sa.Row[Any]]:
    """The incidents of the datasets, the newest period first."""
    query = sa.select(INCIDENTS).where(INCIDENTS.c.dataset.in_(list(datasets)))
    return list(connection.execute(query.order_by(INCIDENTS.c.started_at.desc(), INCIDENTS.c.incident_id)))


def _judge_again(
    connection: sa.Connection, table: TableSpec, watched: WatchedSeries, started_at: datetime, ended_at: datetime
) -> None:
    """Marks the days of the period and those whose baseline reaches back to it, as far as they were judged before."""
    first = started_at.astimezone(UTC).date() - ONE_DAY
    last = ended_at.astimezone(UTC).date() + watched.reach
    judged = sa.select(LEDGER.c.day).where(
        LEDGER.c.is_current, LEDGER.c.table_name == table.qualified, LEDGER.c.day.between(first, last)
    )
    days: list[date] = list(connection.execute(judged.distinct()).scalars())
    if days:
        connection.execute(dirty_days.mark([(table.qualified, day) for day in days], by="catalog.incidents"))


def _storable(value: object) -> object:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(key)): _storable(one) for key, one in value.items()}
    return value
