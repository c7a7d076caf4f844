"""`tidemark incident`: what people know of odd series.

Belongs here: checking what is said, telling what it changes, the layout of the list. Does not belong here: statements
(`resources/catalog/incidents.py`), arguments (`incident_arguments.py`), what a baseline makes of it.
"""

import getpass
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from rich.markup import escape
from rich.table import Table

from assets_pkg.commands.tables import terminal
from resources.catalog import incidents
from resources.catalog.incidents import NewIncident
from resources.errors import ConfigurationError
from resources.timescale import sql
from resources.wiring import Settings, build_timescale
from schemas.anomalies import Kind, WatchedSeries
from schemas.table_spec import TableSpec
from schemas.tables import TABLES, WATCHED

OF_THEIR_OWN = (Kind.LEVEL_SHIFT, Kind.GAP, Kind.STUCK)
"""What is expected of these explains no odd value; an odd value is expected whichever detector tells it."""
SHOWN = 20
"""Anomalies that the list shows."""


def add_incident(
    chosen: Settings,
    *,
    dataset: str,
    entity: Mapping[str, str],
    metric: str | None,
    kind: str | None,
    first: datetime,
    last: datetime,
    note: str,
    by: str | None,
    is_expected: bool,
) -> int:
    """Notes a period of some series; 0.

    Raises:
        ConfigurationError: there is no such dataset, entity or metric, or the period ends before it begins.
    """
    watched, table = _watched(dataset)
    if unknown := sorted(set(entity) - set(watched.entities)):
        told = f"series of {dataset} are about {', '.join(watched.entities)}"
        raise ConfigurationError(f"{told}, not about {', '.join(unknown)}")
    if last < first:
        raise ConfigurationError(f"the period ends, at {last:%Y-%m-%d %H:%M}, before it begins: turn --from and --to")
    with build_timescale(chosen).connect() as connection:
        _require_series(connection, watched, entity, metric)
        incident = NewIncident(
            dataset=dataset,
            entity=entity,
            metric=metric,
            kind=kind,
            started_at=first,
            ended_at=last,
            is_expected=is_expected,
            note=note,
            created_by=by or getpass.getuser(),
        )
        number = incidents.add(connection, incident, watched, table)
    trains = "baselines learn from its rows" if is_expected else "its rows train no baseline"
    terminal().print(f"Incident {number} is noted: {trains}. Days it bears on are judged again by themselves.")
    return 0


def expect_anomaly(chosen: Settings, anomaly_id: str, *, note: str, by: str | None) -> int:
    """Marks an anomaly as expected; 0.

    Raises:
        ConfigurationError: no table has an anomaly of that id.
    """
    with build_timescale(chosen).connect() as connection:
        for dataset in WATCHED:
            watched, table = _watched(dataset)
            if (found := _found(connection, table, anomaly_id)) is None:
                continue
            metrics = found.metric.split(", ")
            incident = NewIncident(
                dataset=dataset,
                entity=json.loads(found.entity),
                metric=metrics[0] if len(metrics) == 1 else None,
                kind=found.kind if Kind(found.kind) in OF_THEIR_OWN else None,
                started_at=found.started_at,
                ended_at=found.ended_at,
                is_expected=True,
                note=note,
                created_by=by or getpass.getuser(),
            )
            number = incidents.add(connection, incident, watched, table)
            what = f"{found.kind} of {found.metric}, {found.started_at:%Y-%m-%d %H:%M} to {found.ended_at:%m-%d %H:%M}"
            terminal().print(
                f"Expected from now on, as incident {number}: {what}. Baselines learn from its rows, and the days it "
                f"bears on are judged again by themselves. Back: tidemark incident remove {number}",
                highlight=False,
            )
            return 0
    raise ConfigurationError(f"no anomaly has the id {anomaly_id}: tidemark incident list shows the newest ones")


def list_incidents(chosen: Settings, dataset: str | None) -> int:
    """Prints the incidents, and the newest anomalies that nobody explained; 0."""
    if dataset is not None:
        _watched(dataset)
    console, names = terminal(), [dataset] if dataset else list(WATCHED)
    with build_timescale(chosen).connect() as connection:
        known = incidents.of(connection, names)
        open_ones = [row for name in names for row in _unexplained(connection, _watched(name)[1])]
    if known:
        console.print(_incidents_table(known))
    else:
        console.print("No incident is noted.")
    open_ones.sort(key=lambda row: (row.day, row.score), reverse=True)
    if open_ones:
        console.print(_anomalies_table(open_ones[:SHOWN]))
    else:
        console.print("No anomaly waits for an explanation.")
    return 0


def remove_incident(chosen: Settings, incident_id: int) -> int:
    """Forgets an incident; 0.

    Raises:
        ConfigurationError: there is none of that number.
    """
    with build_timescale(chosen).connect() as connection:
        is_gone = incidents.remove(connection, incident_id, {name: _watched(name) for name in WATCHED})
    if not is_gone:
        raise ConfigurationError(f"there is no incident {incident_id}: tidemark incident list shows them")
    terminal().print(f"Incident {incident_id} is forgotten. Days it bore on are judged again by themselves.")
    return 0


def _watched(dataset: str) -> tuple[WatchedSeries, TableSpec]:
    if dataset not in WATCHED:
        raise ConfigurationError(f"{dataset!r} has no series; datasets that have some are {', '.join(WATCHED)}")
    watched = WATCHED[dataset]
    return watched, TABLES[f"quality.{watched.table.name}_anomalies"]


def _require_series(
    connection: sa.Connection, watched: WatchedSeries, entity: Mapping[str, str], metric: str | None
) -> None:
    """
    Raises:
        ConfigurationError: the table has no such series: a slip of the pen would explain nothing, silently.
    """
    table, spec = sql.table_of(watched.table), watched.table
    wanted = {**entity, **({watched.metric: metric} if metric else {})}
    is_there = sa.inspect(connection).has_table(spec.name, schema=spec.schema)
    terms = [sa.cast(table.c[name], sa.Text) == value for name, value in wanted.items()]
    if not is_there or (terms and not connection.execute(sa.select(sa.exists().where(*terms))).scalar_one()):
        told = ", ".join(f"{name} {value}" for name, value in wanted.items()) or "any series"
        raise ConfigurationError(f"{spec.qualified} has no rows of {told}: look at how they are spelled there")


def _found(connection: sa.Connection, table: TableSpec, anomaly_id: str) -> Any:
    """The anomaly over all days it lasted; None if the table has none of that id."""
    if not sa.inspect(connection).has_table(table.name, schema=table.schema):
        return None
    rows = sql.table_of(table)
    names = [rows.c[name] for name in ("entity", "metric", "kind", "started_at")]
    query = sa.select(*names, sa.func.max(rows.c.ended_at).label("ended_at"))
    return connection.execute(query.where(rows.c.anomaly_id == anomaly_id).group_by(*names)).one_or_none()


def _unexplained(connection: sa.Connection, table: TableSpec) -> list[sa.Row[Any]]:
    if not sa.inspect(connection).has_table(table.name, schema=table.schema):
        return []
    rows = sql.table_of(table)
    is_news = (~rows.c.is_expected, rows.c.incident_id.is_(None))
    query = sa.select(rows).where(*is_news).order_by(rows.c.day.desc(), rows.c.score.desc())
    return list(connection.execute(query.limit(SHOWN)).all())


def _incidents_table(known: list[sa.Row[Any]]) -> Table:
    table = Table(title="Incidents")
    for name in ("number", "dataset", "entity", "metric", "kind", "from", "to", "", "note", "by"):
        table.add_column(name, overflow="fold")
    for row in known:
        entity = ", ".join(f"{name} {value}" for name, value in row.entity.items()) or "any"
        told = (row.dataset, entity, row.metric or "any", row.kind or "any", *_period(row))
        state = "expected" if row.is_expected else "known"
        table.add_row(str(row.incident_id), *map(escape, (*told, state, row.note, row.created_by)))
    return table


def _anomalies_table(rows: list[sa.Row[Any]]) -> Table:
    table = Table(title="Newest anomalies nobody explained: tidemark incident expect ID --note WHY")
    for name in ("id", "day", "kind", "entity", "metric", "from", "to", "score"):
        table.add_column(name, overflow="fold", justify="right" if name == "score" else "left")
    for row in rows:
        entity = ", ".join(f"{name} {value}" for name, value in json.loads(row.entity).items())
        told = (row.anomaly_id, f"{row.day:%Y-%m-%d}", row.kind, entity, row.metric, *_period(row), f"{row.score:.1f}")
        table.add_row(*map(escape, told))
    return table


def _period(row: Any) -> tuple[str, str]:
    return f"{row.started_at:%Y-%m-%d %H:%M}", f"{row.ended_at:%Y-%m-%d %H:%M}"
