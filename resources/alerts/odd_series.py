"""Anomalies and drift as alerts: what nobody has explained, told once per place and per view.

All that is odd at a place (a location, a product: `WatchedSeries.together`) is one alert as long as it goes on, however
many sensors, kinds and days it has: what happens later while it is open is counted, what happens after it was over is
told anew. Feature drift is a state: what the newest day of a view says.

Belongs here: questions to the tables of anomalies and of drift, and their wording. Does not belong here: how either is
found (`assets_pkg/quality/`), other conditions (`conditions.py`).
"""

import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by

from resources.alerts.finding import ANOMALIES, DRIFT, MOST_NAMED, Finding
from resources.alerts.level import Level
from resources.alerts.thresholds import Thresholds
from resources.timescale import sql
from schemas.anomalies import WatchedSeries, anomaly_table
from schemas.catalog import LEDGER
from schemas.feature_drift import Verdict
from schemas.table_spec import TableSpec
from schemas.tables import FEATURE_DRIFT, WATCHED
from schemas.window import ONE_DAY, midnight

OVER_AFTER = timedelta(days=3)
"""A place is well again when the newest days that were judged, so many, have nothing odd. Longer than one quiet day,
which may be chance, and than most late rows take; what is found of older days is shown and not told."""


def anomalies(
    connection: sa.Connection, present: Sequence[TableSpec], limits: Thresholds, now: datetime
) -> Iterator[Finding]:
    """A finding per place with anomalies that are neither expected nor explained by an incident."""
    for watched in WATCHED.values():
        spec = anomaly_table(watched)
        if spec.qualified not in {one.qualified for one in present}:
            continue
        places: dict[str, list[Any]] = {}
        for row in connection.execute(_unexplained(spec, _since(connection, spec, limits, now))):
            places.setdefault(_place(row.entity, watched), []).append(row)
        for place, rows in sorted(places.items()):
            yield _finding(spec, place, rows)


def drift(
    connection: sa.Connection, present: Sequence[TableSpec], limits: Thresholds, now: datetime
) -> Iterator[Finding]:
    """A finding per feature view of which features drift on the newest day."""
    if FEATURE_DRIFT not in present:
        return
    table = sql.table_of(FEATURE_DRIFT)
    newest = (
        sa.select(table.c.view, sa.func.max(table.c.day).label("day"))
        .where(table.c.day.between(now - timedelta(days=limits.look_back_days), now))
        .group_by(table.c.view)
        .subquery()
    )
    query = (
        sa.select(
            table.c.view,
            table.c.day,
            sa.func.count().label("number"),
            sa.func.array_agg(aggregate_order_by(table.c.feature, table.c.rank, table.c.feature)).label("features"),
        )
        .join(newest, sa.and_(newest.c.view == table.c.view, newest.c.day == table.c.day))
        .where(table.c.verdict == Verdict.DRIFT.value)
        .group_by(table.c.view, table.c.day)
        .order_by(table.c.view)
    )
    for row in connection.execute(query):
        named = ", ".join(row.features[:MOST_NAMED])
        yield Finding(
            condition=DRIFT,
            subject=f"{FEATURE_DRIFT.qualified}/{row.view}",
            level=Level.WARNING,
            title=f"Feature view {row.view}: {row.number} feature(s) drift",
            body=f"As of {row.day:%Y-%m-%d}, against the same weekdays of the weeks before. What to look at first: "
            f"{named}. The asset {FEATURE_DRIFT.schema}/{FEATURE_DRIFT.name} shows how far they moved.",
            asset=FEATURE_DRIFT.qualified,
            count=row.number,
        )


def _since(connection: sa.Connection, spec: TableSpec, limits: Thresholds, now: datetime) -> datetime:
    """Start of the first day whose anomalies are news."""
    judged = sa.select(sa.func.max(LEDGER.c.day)).where(
        LEDGER.c.is_current, LEDGER.c.table_name == spec.qualified, LEDGER.c.day <= now.date()
    )
    newest: date | None = connection.execute(judged).scalar()
    oldest = now - timedelta(days=limits.look_back_days)
    return oldest if newest is None else max(oldest, midnight(newest) + ONE_DAY - OVER_AFTER)


def _unexplained(spec: TableSpec, since: datetime) -> sa.Select[Any]:
    """One row per anomaly, however many days it lasts; the worst first."""
    table = sql.table_of(spec)
    columns = [table.c[name] for name in ("anomaly_id", "entity", "metric", "kind")]
    score = sa.func.max(table.c.score).label("score")
    return (
        sa.select(*columns, sa.func.min(table.c.started_at).label("started_at"), score)
        .where(table.c.day >= since, sa.not_(table.c.is_expected), table.c.incident_id.is_(None))
        .group_by(*columns)
        .order_by(score.desc(), table.c.anomaly_id)
    )


def _place(entity: str, watched: WatchedSeries) -> str:
    known = json.loads(entity)
    return ", ".join(f"{name} {known[name]}" for name in watched.together)


def _finding(spec: TableSpec, place: str, rows: Sequence[Any]) -> Finding:
    kinds = ", ".join(sorted({row.kind.replace("_", " ") for row in rows}))
    named = "\n".join(
        f"- {row.anomaly_id}: {row.kind.replace('_', ' ')} of {row.metric} since {row.started_at:%Y-%m-%d %H:%M} UTC"
        for row in rows[:MOST_NAMED]
    )
    more = f"\n- and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
    return Finding(
        condition=ANOMALIES,
        subject=f"{spec.qualified}/{place}",
        level=Level.WARNING,
        title=f"{spec.qualified}: {place}, {kinds}",
        body=f"{len(rows)} anomalies nobody has explained:\n{named}{more}\nIf one is how things are: tidemark incident "
        "expect <id>; if it is known what happened: tidemark incident add.",
        asset=spec.qualified,
        count=len(rows),
    )
