"""What TimescaleDB adds to a table, as its `TableSpec` declares: hypertable, compression, aggregates, retention.

Belongs here: hypertables and the policies of raw rows, and running all of it. Does not belong here: the tables' own DDL
(`sql.py`, `tables.py`), the aggregates themselves (`continuous_aggregates.py`), what a server can do
(`capabilities.py`).
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from resources.errors import ConfigurationError
from resources.timescale.capabilities import Capabilities
from resources.timescale.continuous_aggregates import (
    aggregate_steps,
    refresh_since,
    refuse_rebuild,
    warn_of_narrow_refresh,
)
from resources.timescale.sql import lock, set_local, table_of
from resources.timescale.steps import (
    ONE,
    Statement,
    Step,
    about,
    call,
    configured,
    information,
    interval,
    jobs,
    regclass,
    run,
)
from schemas.table_spec import TableSpec
from schemas.window import Window

LATE_ROWS = timedelta(days=30)
"""How long raw rows below an aggregate are kept at the least, so that rows that come this late still reach it."""

_CHUNKS = information("chunks", sa.column("range_start", sa.DateTime(timezone=True)))
_COMPRESSION = information("compression_settings", "attname", "segmentby_column_index", "orderby_column_index")
_DIMENSIONS = information("dimensions", "column_name", sa.column("time_interval", sa.Interval))


def apply(engine: sa.Engine, specs: Iterable[TableSpec], capabilities: Capabilities) -> None:
    """Brings the existing tables to what their specs declare, as far as the server can; changes only what differs.

    Compression and retention that a spec no longer declares end; aggregates it no longer declares stay. What the server
    cannot do is skipped: `capabilities.describe()` says so. One process at a time per table.

    Raises:
        ConfigurationError: see `check`; or there is no such table; or an aggregate was declared anew whose raw rows
            are gone.
    """
    for spec in specs:
        check(spec)
        if capabilities.timescaledb is None or spec.time_column is None:
            continue
        retention = retention_steps(spec, capabilities)
        with engine.begin() as connection:
            connection.execute(lock([f"{spec.qualified}/ddl"]))
            if not sa.inspect(connection).has_table(spec.name, schema=spec.schema):
                raise ConfigurationError(f"there is no table {spec.qualified} to apply policies to: create it first")
            for statement in hypertable_statements(spec):
                connection.execute(statement)
            if capabilities.has_policies:
                refuse_rebuild(connection, spec)
                warn_of_narrow_refresh(connection, spec)
            run(connection, policy_steps(spec, capabilities))
            oldest: datetime | None = None
            if spec.retain and any(step.is_due(connection) for step in retention):
                oldest = connection.execute(_oldest_chunk(spec)).scalar_one()
        if oldest is not None:
            # The last chance of rows that retention is about to drop. Not before the oldest: what was dropped earlier
            # lives on in the aggregates only, and a refresh would erase it there (timescaledb issue 2198).
            refresh_since(engine, spec, Window(oldest, max(oldest + spec.chunk, datetime.now(UTC))), oldest)
        with engine.begin() as connection:
            connection.execute(lock([f"{spec.qualified}/ddl"]))
            run(connection, retention)


def check(spec: TableSpec) -> None:
    """Whether what the spec declares can be kept.

    Raises:
        ConfigurationError: it needs a time column, or raw rows would be dropped while an aggregate still has to follow
            their changes.
    """
    if spec.time_column is None and (spec.compress_after or spec.retain or spec.aggregates):
        raise ConfigurationError(f"{spec.qualified}: compression, retention and aggregates need a time column")
    if spec.retain is None or not spec.aggregates:
        return
    # A refresh spans at least two whole buckets, and leaves out the one that is still open.
    needed = max(LATE_ROWS, *(3 * aggregate.bucket for aggregate in spec.aggregates))
    if spec.retain < needed:
        raise ConfigurationError(
            f"{spec.qualified}: raw rows are dropped after {spec.retain}, but its aggregates "
            f"({', '.join(aggregate.name for aggregate in spec.aggregates)}) are refreshed from rows up to {needed} "
            f"old: set retain to {needed} or more, or to None"
        )


def hypertable_statements(spec: TableSpec) -> list[sa.Select[Any]]:
    """Makes the existing table a hypertable, rows included, and sets the width of its future chunks.

    Its indexes are those of the table's own DDL, the same on plain PostgreSQL. Nothing for a table without time.
    """
    if spec.time_column is None:
        return []
    width = interval(spec.chunk)
    # The three: create_default_indexes, if_not_exists, migrate_data.
    made = sa.func.create_hypertable(
        regclass(spec.schema, spec.name), sa.func.by_range(spec.time_column, width), False, True, True
    )
    target = regclass(_DIMENSIONS.c.hypertable_schema, _DIMENSIONS.c.hypertable_name)
    set_width = sa.func.set_chunk_time_interval(target, width).table_valued("done").lateral()
    is_other_width = sa.and_(_DIMENSIONS.c.column_name == spec.time_column, _DIMENSIONS.c.time_interval != width)
    return [
        call(made),
        call(_DIMENSIONS.join(set_width, sa.true())).where(about(_DIMENSIONS, spec.schema, spec.name), is_other_width),
    ]


def policy_steps(spec: TableSpec, capabilities: Capabilities) -> list[Step]:
    """Compression, continuous aggregates and their refresh policies; nothing where the licence has none.

    Retention comes apart (`retention_steps`), because aggregates must be right before it may drop anything.

    Raises:
        ConfigurationError: see `check`.
    """
    check(spec)
    if not capabilities.has_policies or spec.time_column is None:
        return []
    settings = [_compression_settings(spec, spec.time_column)] if spec.compress_after else []
    return [
        *settings,
        *_policy(spec, "compression", "compress_after", spec.compress_after),
        *(step for aggregate in spec.aggregates for step in aggregate_steps(spec, aggregate)),
    ]


def retention_steps(spec: TableSpec, capabilities: Capabilities) -> list[Step]:
    """The retention policy as declared. Whoever runs it refreshes the aggregates first, as `apply` does.

    Raises:
        ConfigurationError: see `check`.
    """
    check(spec)
    return _policy(spec, "retention", "drop_after", spec.retain) if capabilities.has_policies else []


def write_settings(spec: TableSpec, capabilities: Capabilities) -> list[sa.Select[Any]]:
    """What a transaction that replaces rows of the table sets first, for itself only.

    TimescaleDB stops a transaction that touches 100,000 rows of compressed chunks; a slice may hold more.
    """
    if not capabilities.has_policies or spec.compress_after is None:
        return []
    return [set_local("timescaledb.max_tuples_decompressed_per_dml_transaction", "0")]


def _compression_settings(spec: TableSpec, time_column: str) -> Step:
    segment = [spec.unit] if spec.unit else []
    # Time first, so that a slice touches few batches; the rest of the key lets them be searched for duplicates.
    order = [time_column, *(name for name in spec.key if name not in {time_column, *segment})]
    settings = Statement(
        "ALTER TABLE",
        table_of(spec),
        "SET (timescaledb.compress, timescaledb.compress_segmentby =",
        sa.literal(_name_list(segment)),
        ", timescaledb.compress_orderby =",
        sa.literal(_name_list(order)),
        ")",
    )
    # The statement would take a lock that waits for every writer, so it runs only where something differs.
    as_declared = (
        sa.select(ONE)
        .where(about(_COMPRESSION, spec.schema, spec.name))
        .having(
            _names_by(_COMPRESSION.c.segmentby_column_index) == _texts(segment),
            _names_by(_COMPRESSION.c.orderby_column_index) == _texts(order),
        )
    )
    return Step(settings, unless=as_declared)


def _policy(spec: TableSpec, kind: str, setting: str, age: timedelta | None) -> list[Step]:
    """The table's policy of a kind, with `setting` at `age`; none when that is None."""
    table = regclass(spec.schema, spec.name)
    existing = jobs(spec.schema, spec.name, kind)
    remove = call(getattr(sa.func, f"remove_{kind}_policy")(table, True))
    if age is None:
        return [Step(remove, unless=sa.select(ONE).where(~existing.exists()))]
    as_declared = existing.where(configured(setting) == interval(age))
    add = call(getattr(sa.func, f"add_{kind}_policy")(table, interval(age)))
    return [Step(remove, unless=as_declared), Step(add, unless=as_declared)]


def _oldest_chunk(spec: TableSpec) -> sa.Select[Any]:
    return sa.select(sa.func.min(_CHUNKS.c.range_start)).where(about(_CHUNKS, spec.schema, spec.name))


def _names_by(index: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    names = postgresql.aggregate_order_by(sa.cast(_COMPRESSION.c.attname, sa.Text), index)
    return sa.func.coalesce(sa.func.array_agg(names).filter(index.is_not(None)), _texts([]))


def _texts(values: list[str]) -> sa.ColumnElement[Any]:
    return sa.cast(postgresql.array(values), sa.ARRAY(sa.Text))


def _name_list(names: list[str]) -> str:
    """Names as TimescaleDB reads them out of a setting's text."""
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)
