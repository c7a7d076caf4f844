"""Continuous aggregates: which stamp falls into which bucket, how they are declared, filled and kept right.

Belongs here: the view, its refresh policy, refreshing a window. Does not belong here: when raw rows are dropped or
compressed (`policies.py`).

An aggregate is a view in its table's schema with the columns `by`, the time column, `<value>_mean`, `<value>_min`,
`<value>_max` and `<value>_count`. It is closed like its table and stamped so that a stamp lies in the same partition
day as the rows behind it: over a table with `closed="right"` a row stamped t aggregates `t - bucket < stamp <= t` (its
stamp is the END of the bucket, and midnight ends the day before); with `closed="left"` it aggregates
`t <= stamp < t + bucket`. Buckets are aligned to Monday 2000-01-03 00:00 UTC, hence to UTC days.

Reading an aggregate adds rows newer than its newest refreshed bucket on the fly. Changes of older rows show after a
refresh: within `REFRESH_EVERY` by policy, at once by `refresh`.
"""

import hashlib
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from resources.errors import ConfigurationError
from resources.timescale.capabilities import Capabilities
from resources.timescale.sql import TICK, table_of
from resources.timescale.steps import ONE, Statement, Step, call, configured, interval, jobs, regclass
from schemas.table_spec import Aggregate, TableSpec
from schemas.window import Window

REFRESH_EVERY = timedelta(hours=1)

BUCKET_ORIGIN = datetime(2000, 1, 3, tzinfo=UTC)
"""What `time_bucket` aligns buckets to; TimescaleDB's documentation of time_bucket(), argument `origin`."""

logger = logging.getLogger(__name__)


def refresh(engine: sa.Engine, spec: TableSpec, window: Window, capabilities: Capabilities) -> None:
    """Makes the table's aggregates right for `window` now, after its rows were replaced; a no-op without aggregates."""
    if capabilities.has_policies:
        since = datetime.now(UTC) - spec.retain if spec.retain else None
        refresh_since(engine, spec, window, since)


def refresh_since(engine: sa.Engine, spec: TableSpec, window: Window, since: datetime | None) -> None:
    """Runs `refresh_statements`, each outside a transaction, as they must be."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in refresh_statements(spec, window, since=since):
            connection.execute(statement)


def refresh_statements(spec: TableSpec, window: Window, *, since: datetime | None = None) -> list[sa.TextClause]:
    """One CALL per aggregate that recomputes every bucket `window` touches; each must run outside a transaction.

    Buckets that begin before `since`, the time from which raw rows are whole, are left as they are: where raw rows
    were dropped, a refresh would erase their aggregates (timescaledb issue 2198).
    """
    tick = TICK if spec.closed == "right" else timedelta(0)
    calls = []
    for aggregate in spec.aggregates:
        start = _border(window.start, aggregate.bucket)
        if since is not None:
            start = max(start, _border(since, aggregate.bucket, up=True))
        end = _border(window.end, aggregate.bucket, up=True)
        if start < end:
            statement = sa.text(
                "CALL refresh_continuous_aggregate(CAST(format('%I.%I', CAST(:schema AS text), CAST(:name AS text))"
                " AS regclass), CAST(:first AS timestamptz), CAST(:last AS timestamptz))"
            )
            names = {"schema": spec.schema, "name": aggregate.name}
            calls.append(statement.bindparams(**names, first=start + tick, last=end + tick))
    return calls


def aggregate_steps(spec: TableSpec, aggregate: Aggregate) -> list[Step]:
    """Creates the view and its refresh policy; a view that was declared differently is dropped and made anew."""
    view = sa.table(aggregate.name, schema=spec.schema)
    options = "WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS"
    drop = Statement("DROP MATERIALIZED VIEW IF EXISTS", view)
    # WITH NO DATA, for a view with data cannot be made inside a transaction; the policy fills it.
    create = Statement("CREATE MATERIALIZED VIEW", view, options, _query(spec, aggregate), "WITH NO DATA")
    comment = Statement("COMMENT ON VIEW", view, "IS", sa.literal(_declaration(spec, aggregate)))
    as_declared = sa.select(ONE).where(_comment(spec, aggregate) == _declaration(spec, aggregate))

    # Late rows of any age are followed, unless raw rows are dropped: then a refresh must not reach where they were. A
    # window that is narrower already stays so when retention is lifted or lengthened: what it dropped is not back.
    named = regclass(spec.schema, aggregate.name)
    refreshed = jobs(spec.schema, aggregate.name, "refresh_continuous_aggregate")
    narrow_enough = refreshed.where(configured("start_offset") <= interval(spec.retain)) if spec.retain else refreshed
    reach = interval(spec.retain) if spec.retain else sa.cast(sa.null(), sa.Interval)
    every = interval(min(aggregate.bucket, REFRESH_EVERY))
    add = sa.func.add_continuous_aggregate_policy(named, reach, interval(aggregate.bucket), every)
    return [
        *(Step(statement, unless=as_declared) for statement in (drop, create, comment)),
        Step(call(sa.func.remove_continuous_aggregate_policy(named, True)), unless=narrow_enough),
        Step(call(add), unless=narrow_enough),
    ]


def refuse_rebuild(connection: sa.Connection, spec: TableSpec) -> None:
    """Stops a changed declaration from dropping a view whose raw rows are gone.

    Raises:
        ConfigurationError: such a view was declared anew.
    """
    for aggregate in spec.aggregates if spec.retain else ():
        comment = connection.scalar(sa.select(_comment(spec, aggregate)))
        if comment is not None and comment != _declaration(spec, aggregate):
            raise ConfigurationError(
                f"{spec.schema}.{aggregate.name} was declared differently, and the raw rows to rebuild it from are "
                f"kept for {spec.retain} only: give the new aggregate another name, or drop the old view first"
            )


def warn_of_narrow_refresh(connection: sa.Connection, spec: TableSpec) -> None:
    """Says which aggregates reach back less far than declared, because retention was lifted or lengthened."""
    for aggregate in spec.aggregates:
        narrow = jobs(spec.schema, aggregate.name, "refresh_continuous_aggregate").where(
            configured("start_offset") < interval(spec.retain)
            if spec.retain
            else configured("start_offset").is_not(None)
        )
        if connection.execute(narrow).first():
            logger.warning(
                "%s.%s holds periods whose raw rows were dropped, so its policy keeps refreshing only as far back as "
                "raw rows used to be kept; refresh older windows yourself once their rows are loaded again",
                spec.schema,
                aggregate.name,
            )


def _query(spec: TableSpec, aggregate: Aggregate) -> sa.Select[Any]:
    if spec.time_column is None:
        raise ConfigurationError(f"{spec.qualified}: {aggregate.name} needs a time column to aggregate by")
    columns = table_of(spec).c
    time, value, width = columns[spec.time_column], columns[aggregate.value_column], interval(aggregate.bucket)
    bucket: sa.ColumnElement[Any] = sa.func.time_bucket(width, time)
    stamp = bucket
    if spec.closed == "right":
        # TimescaleDB takes only the bare time column as argument, so the buckets move, not the stamps.
        bucket = sa.func.time_bucket(width, time, interval(TICK))
        stamp = bucket + interval(aggregate.bucket - TICK)
    by = [columns[name] for name in aggregate.by]
    query = sa.select(
        *by,
        stamp.label(spec.time_column),
        sa.func.avg(value).label(f"{aggregate.value_column}_mean"),
        sa.func.min(value).label(f"{aggregate.value_column}_min"),
        sa.func.max(value).label(f"{aggregate.value_column}_max"),
        sa.func.count(value).label(f"{aggregate.value_column}_count"),
    ).group_by(*by, bucket)
    return query.where(columns[aggregate.where]) if aggregate.where else query


def _declaration(spec: TableSpec, aggregate: Aggregate) -> str:
    """The view's comment: what it holds, and a fingerprint of the query that says so."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    query = _query(spec, aggregate).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    fingerprint = hashlib.sha256(" ".join(str(query).split()).encode()).hexdigest()[:16]
    side = "END" if spec.closed == "right" else "START"
    rows = f" where {aggregate.where}" if aggregate.where else ""
    return (
        f"Mean, min, max, count of {spec.qualified}.{aggregate.value_column}{rows} by {', '.join(aggregate.by)} in "
        f"buckets of {aggregate.bucket}; stamped with the bucket's {side}. Declaration {fingerprint}"
    )


def _comment(spec: TableSpec, aggregate: Aggregate) -> sa.ColumnElement[str]:
    oid = sa.func.to_regclass(sa.func.format("%I.%I", spec.schema, aggregate.name))
    return sa.func.obj_description(sa.cast(oid, postgresql.OID), "pg_class", type_=sa.Text)


def _border(moment: datetime, bucket: timedelta, *, up: bool = False) -> datetime:
    """The last border of a bucket that is not after `moment`, or with `up` the first that is not before it."""
    past = (moment - BUCKET_ORIGIN) % bucket
    return moment + (bucket - past) if up and past else moment - past
