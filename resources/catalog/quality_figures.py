"""Figures of data quality: scores and dimensions, verdicts on rules, anomalies, drift.

Labels are declared tables, dimensions, severities, kinds. Each question goes to the newest day by an index.

Belongs here: questions to the quality tables and the catalog. Does not belong here: how a score is computed, when one
is worth an alert (`resources/alerts/`).
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from resources.alerts.thresholds import DEFAULTS
from resources.catalog.figure import Figure, numbers
from resources.timescale import sql
from schemas.anomalies import Kind, anomaly_table
from schemas.catalog_rules import ERROR, RULE_RESULTS
from schemas.feature_drift import Verdict
from schemas.quality_dimensions import Dimension
from schemas.quality_tables import LayerQuality
from schemas.rules import Severity
from schemas.tables import FEATURE_DRIFT, QUALITIES, SERVED, TABLES, WATCHED

SETTLED = timedelta(days=1, hours=DEFAULTS.settled_h)
"""A day's score counts so long after the day began."""

LOOK_BACK = timedelta(days=DEFAULTS.look_back_days)
OUTCOMES = ("passed", "failed", "not enough data")
_OF_TABLE = ("dataset", "layer", "table")


def quality_figures(connection: sa.Connection) -> Iterator[Figure]:
    """The figures now; a table that is not there yet has none."""
    there = _present(connection)
    yield from _scores(connection, [one for one in QUALITIES if one.spec.qualified in there])
    yield from _rules(connection)
    yield _anomalies(connection, there)
    yield _drift(connection, there)


def _present(connection: sa.Connection) -> set[str]:
    """Which quality tables are there, as `schema.name`."""
    tables = sa.table("tables", sa.column("table_schema"), sa.column("table_name"), schema="information_schema")
    names = connection.execute(sa.select(tables.c.table_name).where(tables.c.table_schema == "quality")).scalars()
    return {f"quality.{name}" for name in names}


def _scores(connection: sa.Connection, there: Sequence[LayerQuality]) -> Iterator[Figure]:
    columns = [f"{one.value}_pct" for one in Dimension]
    questions = [_newest(quality, judged.table, columns) for quality in there for judged in quality.judged]
    rows = connection.execute(sa.union_all(*questions)).all() if questions else []
    scores = [(_of(row), row.score_pct) for row in rows if row.score_pct is not None]
    told = "Quality score of the table's newest settled day, percent"
    yield Figure("tidemark_quality_score_pct", told, _OF_TABLE, scores)
    measured = [
        ((*_of(row), one.value), value)
        for row in rows
        for one, column in zip(Dimension, columns, strict=True)
        if (value := getattr(row, column)) is not None
    ]
    told = "Quality dimension of that day, percent; one that is not measured is left out"
    yield Figure("tidemark_quality_dimension_pct", told, (*_OF_TABLE, "dimension"), measured)
    days = [(_of(row), row.day.timestamp()) for row in rows]
    yield Figure("tidemark_quality_day_timestamp_seconds", "Start of that day, seconds since 1970", _OF_TABLE, days)


def _of(row: sa.Row[Any]) -> tuple[str, ...]:
    return row.dataset, row.layer, row.table_name


def _newest(quality: LayerQuality, table_name: str, columns: Sequence[str]) -> sa.Select[Any]:
    table = sql.table_of(quality.spec)
    newest = (
        sa.select(table.c.table_name, table.c.day, table.c.score_pct, *(table.c[name] for name in columns))
        .where(table.c.table_name == table_name, table.c.day <= sa.func.now() - SETTLED)
        .order_by(table.c.day.desc())
        .limit(1)
        .subquery()
    )
    return sa.select(sa.literal(quality.dataset).label("dataset"), sa.literal(quality.layer).label("layer"), newest)


def _rules(connection: sa.Connection) -> Iterator[Figure]:
    results = RULE_RESULTS.c
    newest = newest_days(RULE_RESULTS, TABLES)
    joined = RULE_RESULTS.join(newest, sa.and_(results.table_name == newest.c.name, results.day == newest.c.day))
    by = (results.table_name, results.severity, results.outcome)
    counted = connection.execute(sa.select(*by, sa.func.count()).select_from(joined).group_by(*by)).all()
    found = {tuple(row[:3]): float(row[3]) for row in counted}
    judged = sorted({row[0] for row in counted})
    samples = [
        ((table, severity.value, outcome), found.get((table, severity.value, outcome), 0.0))
        for table in judged
        for severity in Severity
        for outcome in OUTCOMES
    ]
    told = "Rules by their verdict on the newest judged day of the table"
    yield Figure("tidemark_rules", told, ("table", "severity", "outcome"), samples)
    held = sa.select(results.table_name, sa.func.count(results.day.distinct()))
    held = held.where(results.severity == ERROR, sa.not_(results.passed)).group_by(results.table_name)
    held_days = numbers(connection, held)
    told = "Days of the table that a failed rule holds back"
    yield Figure(
        "tidemark_held_days", told, ("table",), [((name,), held_days.get(name, 0.0)) for name in sorted(TABLES)]
    )


def newest_days(table: sa.Table, names: Collection[str]) -> sa.Subquery:
    """`name` and `day`: per name the newest day of it in a table whose key begins with table_name and day."""
    named = sa.func.unnest(sa.literal(sorted(names), sa.ARRAY(sa.Text))).table_valued("name").render_derived()
    newest = sa.select(sa.func.max(table.c.day)).where(table.c.table_name == named.c.name).scalar_subquery()
    return sa.select(named.c.name, newest.label("day")).subquery()


def _anomalies(connection: sa.Connection, there: Collection[str]) -> Figure:
    samples: list[tuple[tuple[str, ...], float]] = []
    for dataset, watched in sorted(WATCHED.items()):
        spec = anomaly_table(watched)
        if spec.qualified not in there:
            continue
        table = sql.table_of(spec)
        query = (
            sa.select(table.c.kind, sa.func.count(table.c.anomaly_id.distinct()))
            .where(table.c.day >= sa.func.now() - LOOK_BACK, table.c.is_expected.is_not(sa.true()))
            .group_by(table.c.kind)
        )
        counted = numbers(connection, query)
        samples += [((dataset, kind.value), counted.get(kind.value, 0.0)) for kind in Kind]
    told = f"Anomalies of the last {LOOK_BACK.days} days that nobody marked as expected"
    return Figure("tidemark_anomalies", told, ("dataset", "kind"), samples)


def _drift(connection: sa.Connection, there: Collection[str]) -> Figure:
    samples: list[tuple[tuple[str, ...], float]] = []
    if FEATURE_DRIFT.qualified in there:
        table = sql.table_of(FEATURE_DRIFT)
        newest = sa.select(sa.func.max(table.c.day)).scalar_subquery()
        by = (table.c.view, table.c.verdict)
        query = sa.select(*by, sa.func.count()).where(table.c.day == newest).group_by(*by)
        found = {(row[0], row[1]): float(row[2]) for row in connection.execute(query)}
        samples = [((view, one.value), found.get((view, one.value), 0.0)) for view in sorted(SERVED) for one in Verdict]
    told = "Features by their verdict when drift was looked for last"
    return Figure("tidemark_drift_features", told, ("view", "verdict"), samples)
