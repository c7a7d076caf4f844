"""Conditions the database answers: ledger, quality scores, parity, anomalies, drift, slow APIs.

A quality table with `score_pct` beside a day is one of scores, so that a new one needs nothing here.

Belongs here: questions to tables, and their wording. Does not belong here: what Dagster knows (`assets_pkg/alerts/`),
what is read of anomalies and drift (`odd_series.py`).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from resources.alerts.finding import ANOMALIES, API, DEPENDENCY, DRIFT, LEDGER, MOST_NAMED, PARITY, QUALITY, Finding
from resources.alerts.level import Level
from resources.alerts.odd_series import anomalies, drift
from resources.alerts.thresholds import Thresholds
from resources.catalog.api_answers import lately
from resources.circuit.board import dependencies
from resources.timescale import sql
from schemas.catalog import LEDGER as LEDGER_TABLE
from schemas.table_spec import TableSpec
from schemas.tables import FEATURE_PARITY, TABLES

Question = Callable[[sa.Connection, Sequence[TableSpec], Thresholds, datetime], Iterator[Finding]]


def look(
    connection: sa.Connection, limits: Thresholds, now: datetime, specs: Mapping[str, TableSpec] = TABLES
) -> list[Finding]:
    """What is wrong now, by the conditions `LOOKED_AT`."""
    present = _present(connection, specs)
    return [one for question in _QUESTIONS.values() for one in question(connection, present, limits, now)]


def _present(connection: sa.Connection, specs: Mapping[str, TableSpec]) -> list[TableSpec]:
    tables = sa.table("tables", sa.column("table_schema"), sa.column("table_name"), schema="information_schema")
    query = sa.select(tables.c.table_name).where(tables.c.table_schema == "quality")
    there = set(connection.execute(query).scalars())
    return [spec for spec in specs.values() if spec.schema == "quality" and spec.name in there]


def _ledger(connection: sa.Connection, _: Sequence[TableSpec], __: Thresholds, ___: datetime) -> Iterator[Finding]:
    day = LEDGER_TABLE.c.day
    query = (
        sa.select(LEDGER_TABLE.c.table_name, sa.func.count().label("slices"), sa.func.min(day), sa.func.max(day))
        .where(LEDGER_TABLE.c.is_current, sa.not_(LEDGER_TABLE.c.is_closed))
        .group_by(LEDGER_TABLE.c.table_name)
    )
    for name, slices, first, last in connection.execute(query):
        yield Finding(
            condition=LEDGER,
            subject=name,
            level=Level.ERROR,
            title=f"The ledger of {name} is not closed",
            body=f"{slices} slice(s) from {first} to {last} (UTC) do not account for every row read; they are not "
            "visible downstream. Somebody changed the ledger or the table by hand: materialise these days again.",
            asset=name,
            count=slices,
        )


def _scores(
    connection: sa.Connection, present: Sequence[TableSpec], limits: Thresholds, now: datetime
) -> Iterator[Finding]:
    for spec in present:
        if "score_pct" not in spec.columns or not spec.time_column:
            continue
        table = sql.table_of(spec)
        stamp, score = table.c[spec.time_column], table.c["score_pct"]
        where = [
            stamp >= now - timedelta(days=limits.look_back_days),
            stamp <= now - timedelta(days=1, hours=limits.settled_h),
            score < limits.score_pct,
        ]
        keys = [table.c[name] for name in spec.entities]
        rows = _worst(connection, [stamp, score, *keys], where, score)
        if not rows:
            continue
        worst = "; ".join(", ".join([f"{row[1]:.1f} % on {row[0]:%Y-%m-%d}", *_named(keys, row[2:])]) for row in rows)
        yield Finding(
            condition=QUALITY,
            subject=spec.qualified,
            level=Level.WARNING,
            title=f"{spec.qualified}: quality below {limits.score_pct:g} %",
            body=f"{rows[0].total} score(s) of the last {limits.look_back_days} days are below {limits.score_pct:g} %. "
            f"The lowest: {worst}. The asset {spec.schema}/{spec.name} shows which dimension is low.",
            asset=spec.qualified,
            count=rows[0].total,
        )


def _parity(
    connection: sa.Connection, present: Sequence[TableSpec], limits: Thresholds, now: datetime
) -> Iterator[Finding]:
    if FEATURE_PARITY not in present:
        return
    table = sql.table_of(FEATURE_PARITY)
    newest = (
        sa.select(table)
        .ext(distinct_on(table.c.view))
        .where(table.c.day >= now - timedelta(days=limits.look_back_days))
        .order_by(table.c.view, table.c.day.desc())
        .subquery()
    )
    for row in connection.execute(sa.select(newest).where(sa.not_(newest.c.is_equal)).order_by(newest.c.view)):
        yield Finding(
            condition=PARITY,
            subject=row.view,
            level=Level.ERROR,
            title=f"Feature view {row.view}: what is served is not what its table says",
            body=f"Of {row.keys_sampled} keys, {row.keys_different} differ and {row.keys_missing} are missing in the "
            f"{row.online_store} online store; {row.keys_overdue} wait too long. Looked at "
            f"{row.checked_at:%Y-%m-%d %H:%M} UTC. The view is written again by itself; at once: "
            "tidemark feast rebuild.",
            asset=FEATURE_PARITY.qualified,
            count=max(1, row.keys_different + row.keys_missing + row.keys_overdue),
        )


def _answers(connection: sa.Connection, _: Sequence[TableSpec], limits: Thresholds, now: datetime) -> Iterator[Finding]:
    for api, answers, total_s, slowest_s in connection.execute(lately(now)):
        if slowest_s <= limits.api_s:
            continue
        yield Finding(
            condition=API,
            subject=api,
            level=Level.WARNING,
            title=f"{api} takes longer than {limits.api_s:g} s to answer",
            body=f"The slowest of {answers} answer(s) since the last full hour took {slowest_s:.1f} s, their mean is "
            f"{total_s / float(answers):.1f} s. Nothing is lost: what fails is asked for again.",
        )


def _dependencies(
    connection: sa.Connection, _: Sequence[TableSpec], limits: Thresholds, now: datetime
) -> Iterator[Finding]:
    for one in dependencies(connection):
        if one.opened_at is None or one.opened_at > now - timedelta(seconds=limits.circuit_s):
            continue
        yield Finding(
            condition=DEPENDENCY,
            subject=one.name,
            level=Level.ERROR,
            title=f"{one.name} is out of order",
            body=f"Since {one.opened_at:%Y-%m-%d %H:%M} UTC nobody asks it but for one trial at a time; what is "
            f"skipped is caught up when it answers. The last failure: {one.last_error}",
        )


def _worst(
    connection: sa.Connection,
    columns: Sequence[sa.ColumnElement[Any]],
    where: Collection[sa.ColumnElement[bool]],
    order: sa.ColumnElement[Any],
) -> Sequence[Any]:
    """The first rows in an order; `total` of each is how many there are."""
    query = sa.select(*columns, sa.func.count().over().label("total")).where(*where).order_by(order).limit(MOST_NAMED)
    rows: Sequence[Any] = connection.execute(query).all()
    return rows


def _named(keys: Sequence[sa.Column[Any]], values: Sequence[Any]) -> list[str]:
    return [f"{key.name} {value}" for key, value in zip(keys, values, strict=False)]


_QUESTIONS: Mapping[str, Question] = {
    LEDGER: _ledger,
    QUALITY: _scores,
    PARITY: _parity,
    ANOMALIES: anomalies,
    DRIFT: drift,
    API: _answers,
    DEPENDENCY: _dependencies,
}

LOOKED_AT = frozenset(_QUESTIONS)
"""The conditions `look` answers."""
