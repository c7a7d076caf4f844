"""Tables and statements, composed with SQLAlchemy Core from a `TableSpec`; nothing here talks to a server.

Belongs here: DDL, lock, delete and select of a slice, and how a statement is rendered for the Arrow driver. Does not
belong here: connections, TimescaleDB's policies (`policies.py`).
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from hashlib import blake2b
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from resources.errors import ContractBroken
from resources.timescale.table_slice import Part, TableSlice
from schemas.base import dtypes_of
from schemas.table_spec import TableSpec
from schemas.window import Window

ARROW_DIALECT = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
"""PostgreSQL with `$1` placeholders, as the Arrow driver binds them."""

LONGEST_NAME = 63
"""Bytes of UTF-8 that PostgreSQL keeps of a name; it cuts longer ones silently, so two tables could become one."""

TICK = timedelta(microseconds=1)
"""The resolution of timestamptz: a bucket closed on the right is one closed on the left, moved by a tick."""


@cache
def table_of(spec: TableSpec) -> sa.Table:
    """The table as SQLAlchemy knows it: columns from the model, with its descriptions as comments.

    Raises:
        ContractBroken: a name is longer than PostgreSQL keeps.
    """
    for name in (spec.schema, spec.name, *spec.columns):
        if len(name.encode()) > LONGEST_NAME:
            raise ContractBroken(
                f"{spec.qualified}: PostgreSQL keeps {LONGEST_NAME} bytes of a name, {name!r} is longer"
            )
    columns = spec.model.to_schema().columns
    table = sa.Table(
        spec.name,
        sa.MetaData(),
        *(
            sa.Column(
                name,
                sql_type(dtype),
                nullable=columns[name].nullable,
                autoincrement=False,
                comment=columns[name].description,
            )
            for name, dtype in dtypes_of(spec.model).items()
        ),
        sa.PrimaryKeyConstraint(*spec.key),
        schema=spec.schema,
        comment=spec.model.__doc__,
    )
    if spec.time_column and spec.key[0] != spec.time_column:
        sa.Index(_index_name(spec, spec.time_column), table.c[spec.time_column])
    if spec.event_time:
        sa.Index(_index_name(spec, spec.event_time), table.c[spec.event_time])
    for name in spec.indexes:
        sa.Index(_index_name(spec, name), table.c[name])
    if spec.has_rivals:
        sa.Index(_index_name(spec, "fact"), *(table.c[name] for name in spec.fact_key))
    return table


def _index_name(spec: TableSpec, column: str) -> str:
    name = f"{spec.name}_{column}_idx"
    if len(name.encode()) <= LONGEST_NAME:
        return name
    return f"{blake2b(name.encode(), digest_size=16).hexdigest()}_idx"


def sql_type(dtype: object) -> sa.types.TypeEngine[Any]:
    """PostgreSQL's type for a pandas dtype; the one Arrow writes and reads without loss.

    Raises:
        TypeError: the dtype has no exact counterpart.
    """
    if isinstance(dtype, pd.DatetimeTZDtype):
        return sa.DateTime(timezone=True)
    if pd.api.types.is_bool_dtype(dtype):  # type: ignore[arg-type]
        return sa.Boolean()
    if pd.api.types.is_integer_dtype(dtype):  # type: ignore[arg-type]
        return sa.BigInteger()
    if pd.api.types.is_float_dtype(dtype):  # type: ignore[arg-type]
        return sa.Double()
    if pd.api.types.is_string_dtype(dtype):  # type: ignore[arg-type]
        return sa.Text()
    raise TypeError(f"no PostgreSQL type is declared for pandas dtype {dtype!r}")


def lock(names: Sequence[str], *, shared: bool = False) -> sa.Select[tuple[int]]:
    """Takes the named locks until the transaction ends, in the order given; holders of a `shared` one do not exclude
    each other."""
    name = sa.func.unnest(sa.literal(list(names), sa.ARRAY(sa.Text))).table_valued("name").render_derived()
    take = sa.func.pg_advisory_xact_lock_shared if shared else sa.func.pg_advisory_xact_lock
    taken = take(sa.func.hashtextextended(name.c.name, 0)).table_valued("taken").lateral()
    return sa.select(sa.literal_column("1")).select_from(name.join(taken, sa.true()))


def lock_slice(table_slice: TableSlice) -> list[sa.Select[tuple[int]]]:
    """Keeps other writers away from the slice until the transaction ends: its days, or else the whole table.

    Whoever locks days shares the table's own lock: writers of other days go on, a writer of the whole table waits.
    """
    whole, days = [f"{table_slice.spec.qualified}/all"], table_slice.lock_names()
    return [lock(whole, shared=True), lock(days)] if days else [lock(whole)]


def set_local(name: str, value: str) -> sa.Select[tuple[int]]:
    """Sets a parameter of the server until the transaction ends."""
    done = sa.func.set_config(name, value, True).table_valued("done")
    return sa.select(sa.literal_column("1")).select_from(done)


def delete(table_slice: TableSlice) -> sa.Delete:
    """Removes the slice's rows."""
    table = table_of(table_slice.spec)
    return sa.delete(table).where(_condition(table_slice))


def select(table_slice: TableSlice, *, ordered: bool = True) -> sa.Select[tuple[object, ...]]:
    """The slice's rows, in the order of the table's key."""
    table = table_of(table_slice.spec)
    columns = [table.c[name] for name in table_slice.columns or table_slice.spec.columns]
    rows = sa.select(*columns).where(_condition(table_slice))
    return rows.order_by(*(table.c[name] for name in table_slice.spec.key)) if ordered else rows


def counts(table_slice: TableSlice) -> sa.Select[Any]:
    """How many rows the slice has (`rows`) on each UTC day (`day`; NULL for a table without a time column)."""
    spec = table_slice.spec
    day = utc_day(spec) if spec.time_column else sa.null()
    query = sa.select(day.label("day"), sa.func.count().label("rows")).select_from(table_of(spec))
    return query.where(_condition(table_slice)).group_by(sa.text("1"))


def utc_day(spec: TableSpec, table: sa.FromClause | None = None) -> sa.ColumnElement[Any]:
    """The UTC day, as a date, in whose slice a row of the table (or of a subquery with its time column) lies."""
    stamp = (table_of(spec) if table is None else table).c[spec.time_column or ""]
    moment = stamp - sa.literal(TICK, sa.Interval) if spec.closed == "right" else stamp
    return sa.cast(sa.func.timezone("UTC", moment), sa.Date)


def about(spec: TableSpec, window: Window) -> sa.ColumnElement[bool]:
    """Rows whose event time lies in the window (closed left), and those that tell the same facts of another time."""
    table = table_of(spec)
    stamp = spec.event_time or ""
    inside = in_window(table.c[stamp], window, "left")
    if not spec.has_rivals:
        return inside
    others = table.alias("others")
    same = (others.c[name] == table.c[name] for name in spec.fact_key)
    return sa.or_(inside, sa.exists().where(*same, in_window(others.c[stamp], window, "left")))


def rival_days(table_slice: TableSlice) -> sa.Select[Any]:
    """UTC days (`day`) of rows outside the slice that tell the same facts as rows in it."""
    spec = table_slice.spec
    table = table_of(spec)
    mine = select(table_slice, ordered=False).subquery("mine")
    same = (table.c[name] == mine.c[name] for name in spec.fact_key)
    day = sa.cast(sa.func.timezone("UTC", table.c[spec.event_time or ""]), sa.Date).label("day")
    return sa.select(day).distinct().where(sa.exists().where(*same))


def in_window(column: sa.ColumnElement[object], window: Window, closed: str) -> sa.ColumnElement[bool]:
    """Whether `column` lies in the window, which is closed on the given side."""
    if closed == "right":
        return sa.and_(column > _instant(window.start), column <= _instant(window.end))
    return sa.and_(column >= _instant(window.start), column < _instant(window.end))


def render(statement: sa.Executable) -> tuple[str, tuple[object, ...]]:
    """Text with `$n` placeholders and the values to bind, for the Arrow driver."""
    compiled = statement.compile(dialect=ARROW_DIALECT)  # type: ignore[attr-defined]
    names = getattr(compiled, "positiontup", None) or ()  # DDL binds nothing
    return str(compiled), tuple(compiled.params[name] for name in names)


def _condition(table_slice: TableSlice) -> sa.ColumnElement[bool]:
    return sa.or_(sa.false(), *(_part_condition(table_slice.spec, part) for part in table_slice.parts))


def _part_condition(spec: TableSpec, part: Part) -> sa.ColumnElement[bool]:
    table = table_of(spec)
    terms: list[sa.ColumnElement[bool]] = []
    if part.window and spec.time_column:
        terms.append(in_window(table.c[spec.time_column], part.window, spec.closed))
    for name, values in part.among:
        terms.append(table.c[name] == sa.any_(sa.literal(list(values), sa.ARRAY(table.c[name].type))))
    return sa.and_(*terms) if terms else sa.true()


def _instant(moment: object) -> sa.ColumnElement[object]:
    return sa.literal(moment, sa.DateTime(timezone=True))
