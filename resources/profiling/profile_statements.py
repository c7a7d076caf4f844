"""The statements that profiles of columns come from.

A narrow table is read once for the aggregates of all its columns, and once per column for its values. A wide one is
turned into cells first, (day, column, value), so that a statement does not grow with the number of columns: planning a
thousand aggregates takes longer than computing them.

Belongs here: composing. Does not belong here: running them, and what a profile is made into (`profiles.py`).
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import array

from resources.timescale import sql
from schemas.base import dtypes_of
from schemas.catalog_profiles import MOST_COMMON, QUANTILES
from schemas.table_spec import TableSpec
from schemas.window import ONE_DAY, Window, midnight

WIDE = 40
"""Columns from which on a table is profiled as cells."""

BEYOND_MOMENTS = 1e100
"""The square of a greater value need not fit a double, and PostgreSQL then gives up the whole statement."""

TEXT_KEPT = 200
"""Characters of a value that are kept."""

_BIGGEST = "Infinity"


def kind_of(dtype: object) -> str:
    """What a column of this pandas dtype is called in profiles."""
    if isinstance(dtype, pd.DatetimeTZDtype):
        return "timestamp"
    if pd.api.types.is_bool_dtype(dtype):  # type: ignore[arg-type]
        return "boolean"
    if pd.api.types.is_integer_dtype(dtype):  # type: ignore[arg-type]
        return "integer"
    return "number" if pd.api.types.is_float_dtype(dtype) else "text"  # type: ignore[arg-type]


@cache
def kinds_of(spec: TableSpec) -> dict[str, str]:
    """The kind of each column of the table, in order."""
    return {name: kind_of(dtype) for name, dtype in dtypes_of(spec.model).items()}


def aggregates_of_columns(spec: TableSpec, window: Window) -> sa.Select[tuple[Any, ...]]:
    """Of a narrow table, per day: `rows`, and each column's aggregates, labelled `<position>_<what>`."""
    table, kinds = sql.table_of(spec), kinds_of(spec)
    wanted = [
        aggregate.label(f"{position}_{what}")
        for position, name in enumerate(spec.columns, 1)
        for what, aggregate in _of_column(table.c[name], kinds[name])
    ]
    day = _day(spec, window)
    query = sa.select(day.label("day"), sa.func.count().label("rows"), *wanted).where(_inside(spec, window))
    return query.having(sa.func.count() > 0) if _is_one_day(window) else query.group_by(day)


def aggregates_of_cells(spec: TableSpec, window: Window) -> Iterator[sa.Select[tuple[Any, ...]]]:
    """Of a wide table, per day and `position` of a column: `rows` and its aggregates; a statement per kind."""
    for kind, cells in _cells(spec, window):
        day, position, value = cells.c.day, cells.c.position, cells.c.value
        wanted = (aggregate.label(what) for what, aggregate in _of_column(value, kind))
        yield sa.select(day, position, sa.func.count().label("rows"), *wanted).group_by(day, position)


def values_of(spec: TableSpec, window: Window) -> sa.CompoundSelect[tuple[Any, ...]]:
    """Per day and `position` of a column: number of different values, `[text, count]` of the most common as JSON."""
    return sa.union_all(*(_values(cells, kind, n) for n, (kind, cells) in enumerate(_cells(spec, window))))


def is_wide(spec: TableSpec) -> bool:
    """Whether the table is profiled as cells."""
    return len(spec.columns) >= WIDE


def _cells(spec: TableSpec, window: Window) -> Iterator[tuple[str, sa.Subquery]]:
    """The cells of the window, `day`, `position` of the column and `value`: all of a kind, or each column's."""
    table, kinds, day = sql.table_of(spec), kinds_of(spec), _day(spec, window)
    by_kind: dict[str, list[int]] = {}
    for position, kind in enumerate(kinds.values(), 1):
        by_kind.setdefault(kind if is_wide(spec) else f"{kind} {position}", []).append(position)
    for number, (kind, positions) in enumerate(by_kind.items()):
        columns = {position: table.c[spec.columns[position - 1]] for position in positions}
        if len(columns) == 1:
            ((only, column),) = columns.items()
            query = sa.select(
                _day(spec, window).label("day"), sa.literal(only).label("position"), column.label("value")
            )
        else:
            value = sa.column("value", next(iter(columns.values())).type)
            each = sa.values(sa.column("position", sa.Integer), value, name=f"each_{number}").data(
                list(columns.items())
            )
            turned = each.lateral()
            query = sa.select(day.label("day"), turned.c.position, turned.c.value)
            query = query.select_from(table.join(turned, sa.true()))
        yield kind.split(" ")[0], query.where(_inside(spec, window)).subquery(f"cells_{number}")


def _of_column(column: sa.ColumnElement[Any], kind: str) -> Iterator[tuple[str, sa.ColumnElement[Any]]]:
    yield "values", sa.func.count(column)
    if kind == "boolean":
        yield "true", sa.func.count().filter(column)
    elif kind == "text":
        plain = sa.collate(column, "C")
        yield "minimum", sa.func.left(sa.func.min(plain), TEXT_KEPT)
        yield "maximum", sa.func.left(sa.func.max(plain), TEXT_KEPT)
        length = sa.func.length(column)
        yield from (("length_min", sa.func.min(length)), ("length_max", sa.func.max(length)))
        yield "length_mean", sa.cast(sa.func.avg(length), sa.Double)
    elif kind == "timestamp":
        yield from (("minimum", sa.func.min(column)), ("maximum", sa.func.max(column)))
    else:
        yield from _of_numbers(column, kind)


def _of_numbers(column: sa.ColumnElement[Any], kind: str) -> Iterator[tuple[str, sa.ColumnElement[Any]]]:
    number: sa.ColumnElement[Any] = sa.cast(column, sa.Double) if kind == "integer" else column
    is_finite: sa.ColumnElement[bool] = column.is_not(None)
    if kind == "number":
        biggest = sa.cast(sa.literal(_BIGGEST, sa.Text), sa.Double)
        is_finite = sa.and_(column < biggest, column > -biggest)  # PostgreSQL orders NaN behind infinity
        yield "nans", sa.func.count().filter(column > biggest)
        yield "infinities", sa.func.count().filter(sa.or_(column == biggest, column == -biggest))
    yield "minimum", sa.func.min(column).filter(is_finite)
    yield "maximum", sa.func.max(column).filter(is_finite)
    size = sa.func.abs(number)
    has_moments = sa.func.coalesce(sa.func.max(size).filter(is_finite), 0.0) <= BEYOND_MOMENTS
    small = sa.and_(is_finite, size <= BEYOND_MOMENTS)
    for what, moment in (("mean", sa.func.avg(number)), ("std", sa.func.stddev_samp(number))):
        yield what, sa.case((has_moments, moment.filter(small)), else_=None)
    shares = array([sa.literal(share, sa.Double) for share in QUANTILES.values()])
    yield "quantiles", sa.func.percentile_disc(shares).within_group(number).filter(is_finite)


def _values(cells: sa.Subquery, kind: str, number: int) -> sa.Select[tuple[Any, ...]]:
    value: sa.ColumnElement[Any] = cells.c.value
    # Equal bytes are equal text in every collation that is deterministic, and comparing bytes is several times faster.
    value = sa.collate(value, "C") if kind == "text" else value
    by = [cells.c.day, cells.c.position]
    counted = (
        sa.select(*by, value.label("value"), sa.func.count().label("n"))
        .where(cells.c.value.is_not(None))
        .group_by(*by, value)
        .cte(f"counted_{number}")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    by = [counted.c.day, counted.c.position]
    text = sa.collate(sa.cast(counted.c.value, sa.Text), "C")
    place = sa.func.row_number().over(partition_by=by, order_by=[counted.c.n.desc(), text])
    # Of most columns with many values none occurs twice: only those that do are put in order.
    repeated = (
        sa.select(*by, text.label("text"), counted.c.n, place.label("place"))
        .where(counted.c.n > 1)
        .subquery(f"repeated_{number}")
    )
    pair = sa.func.jsonb_build_array(sa.func.left(repeated.c.text, TEXT_KEPT), repeated.c.n)
    common = (
        sa.select(
            repeated.c.day,
            repeated.c.position,
            sa.func.jsonb_agg(pair).aggregate_order_by(repeated.c.place).label("common"),
        )
        .where(repeated.c.place <= MOST_COMMON)
        .group_by(repeated.c.day, repeated.c.position)
        .subquery(f"common_{number}")
    )
    distinct = sa.select(*by, sa.func.count().label("n")).group_by(*by).subquery(f"distinct_{number}")
    same = sa.and_(distinct.c.day == common.c.day, distinct.c.position == common.c.position)
    return sa.select(distinct.c.day, distinct.c.position, distinct.c.n, common.c.common).select_from(
        distinct.outerjoin(common, same)
    )


@cache
def _day(spec: TableSpec, window: Window) -> sa.ColumnElement[Any]:
    """The day of a row; the same expression each time, so that what is selected is what is grouped by."""
    return sa.literal(window.start.date(), sa.Date) if _is_one_day(window) else sql.utc_day(spec)


def _is_one_day(window: Window) -> bool:
    """Rows of a single day are not put in order by their day first."""
    return window.end - window.start == ONE_DAY and window.start == midnight(window.start.date())


def _inside(spec: TableSpec, window: Window) -> sa.ColumnElement[bool]:
    return sql.in_window(sql.table_of(spec).c[spec.time_column or ""], window, spec.closed)
