"""Profiles of columns, computed by the database: exact, in two passes over a window, per UTC day.

The first pass takes every aggregate that needs no groups (counts, extremes, moments, quantiles), of all columns at
once. The second groups each column by value, for the number of different values and the most common ones.

Belongs here: the statements, and their rows as a frame. Does not belong here: keeping profiles (`profile_store.py`),
comparing them (`assets_pkg/quality/profile_changes.py`).
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import cache
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, array

from resources.timescale import sql
from schemas.base import dtypes_of
from schemas.catalog_profiles import COLUMN_PROFILES, MOST_COMMON, QUANTILES
from schemas.table_spec import TableSpec
from schemas.window import ONE_DAY, Window, midnight

PROFILE_COLUMNS = [column.name for column in COLUMN_PROFILES.c]

COLUMNS_PER_PASS = 60
"""A statement may return 1,664 values a row, and planning takes longer than reading when it is near that."""

BEYOND_MOMENTS = 1e100
"""The square of a greater value need not fit a double, and PostgreSQL then gives up the whole statement."""

WORK_MEM = "64MB"
"""Memory a sort or a hash of a profile may take before it goes to disk."""

TEXT_KEPT = 200
"""Characters of a value that are kept."""

_FRAME_TYPES: dict[type, Any] = {
    sa.BigInteger: "Int64",
    sa.Integer: "int64",
    sa.Double: "float64",
    sa.Text: None,
    sa.Date: None,
    JSONB: None,
}

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


def kinds_of(spec: TableSpec) -> dict[str, str]:
    """The kind of each column of the table, in order."""
    return {name: kind_of(dtype) for name, dtype in dtypes_of(spec.model).items()}


def profiles(connection: sa.Connection, spec: TableSpec, window: Window) -> pd.DataFrame:
    """The profile of each column on each UTC day of the window that has rows: `PROFILE_COLUMNS`, by day and position.

    Minimum, maximum, mean, standard deviation and quantiles are those of the finite values; NaN and infinities are
    counted. A quantile is the smallest value with at least that share of the values not above it (percentile_disc).
    Common values are at most `MOST_COMMON` that occur more than once, the most frequent first, those that occur equally
    often in the order of their text.
    """
    connection.execute(sql.set_local("work_mem", WORK_MEM))
    connection.execute(sql.set_local("timezone", "UTC"))
    kinds = kinds_of(spec)
    rows: dict[tuple[date, str], dict[str, Any]] = {}
    for names in _batches(list(kinds)):
        for found in connection.execute(_aggregates(spec, window, names, kinds)).mappings():
            for name in names:
                rows[found["day"], name] = _profile(spec, found, name, kinds)
        for day, name, distinct, common in connection.execute(_values(spec, window, names, kinds)):
            rows[day, name]["distinct_values"] = distinct
            rows[day, name]["common"] = common or []
    ordered = sorted(rows.values(), key=lambda row: (row["day"], row["position"]))
    return framed(ordered)


def framed(rows: Iterable[Any]) -> pd.DataFrame:
    """Profiles as a frame whose types do not depend on which values are missing."""
    frame = pd.DataFrame(rows, columns=PROFILE_COLUMNS)
    types = {column.name: _FRAME_TYPES[type(column.type)] for column in COLUMN_PROFILES.c}
    return frame.astype({name: dtype for name, dtype in types.items() if dtype})


def _batches(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), COLUMNS_PER_PASS):
        yield names[start : start + COLUMNS_PER_PASS]


def _aggregates(
    spec: TableSpec, window: Window, names: Sequence[str], kinds: dict[str, str]
) -> sa.Select[tuple[Any, ...]]:
    """Per day, `rows` and each column's aggregates, labelled `<position>_<what>`."""
    table = sql.table_of(spec)
    wanted = [
        aggregate.label(f"{spec.columns.index(name)}_{what}")
        for name in names
        for what, aggregate in _of_column(table.c[name], kinds[name])
    ]
    day = _day(spec, window)
    query = sa.select(day.label("day"), sa.func.count().label("rows"), *wanted).where(_inside(spec, window))
    return query.having(sa.func.count() > 0) if _is_one_day(window) else query.group_by(day)


def _of_column(column: sa.Column[Any], kind: str) -> Iterator[tuple[str, sa.ColumnElement[Any]]]:
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


def _of_numbers(column: sa.Column[Any], kind: str) -> Iterator[tuple[str, sa.ColumnElement[Any]]]:
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


def _profile(spec: TableSpec, found: sa.RowMapping, name: str, kinds: dict[str, str]) -> dict[str, Any]:
    """One column's profile from its row of aggregates."""
    position = spec.columns.index(name)

    def told(what: str) -> Any:
        return found.get(f"{position}_{what}")

    quantiles = told("quantiles") or [None] * len(QUANTILES)
    values = told("values")
    return {
        "table_name": spec.qualified,
        "day": found["day"],
        "column_name": name,
        "position": position + 1,
        "kind": kinds[name],
        "rows": found["rows"],
        "nulls": found["rows"] - values,
        "nans": told("nans") or 0,
        "infinities": told("infinities") or 0,
        "distinct_values": 0,
        "minimum": _text(told("minimum")),
        "maximum": _text(told("maximum")),
        "mean": told("mean"),
        "std": told("std"),
        **dict(zip(QUANTILES, quantiles, strict=True)),
        **{what: told(what) for what in ("length_min", "length_mean", "length_max")},
        "true_pct": 100.0 * told("true") / values if kinds[name] == "boolean" and values else None,
        "common": [],
    }


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _values(
    spec: TableSpec, window: Window, names: Sequence[str], kinds: dict[str, str]
) -> sa.CompoundSelect[tuple[Any, ...]]:
    """Per day and column: number of different values, and `[text, count]` of the most common, as JSON."""
    return sa.union_all(*(_values_of(spec, window, name, kinds[name]) for name in names))


def _values_of(spec: TableSpec, window: Window, name: str, kind: str) -> sa.Select[tuple[Any, ...]]:
    column: sa.ColumnElement[Any] = sql.table_of(spec).c[name]
    # Equal bytes are equal text in every collation that is deterministic, and comparing bytes is several times faster.
    column = sa.collate(column, "C") if kind == "text" else column
    by = [column] if _is_one_day(window) else [_day(spec, window), column]
    counted = (
        sa.select(_day(spec, window).label("day"), column.label("value"), sa.func.count().label("n"))
        .where(_inside(spec, window), column.is_not(None))
        .group_by(*by)
        .cte(f"counted_{spec.columns.index(name)}")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    text = sa.collate(sa.cast(counted.c.value, sa.Text), "C")
    place = sa.func.row_number().over(partition_by=counted.c.day, order_by=[counted.c.n.desc(), text])
    # Of most columns with many values none occurs twice: only those that do are put in order.
    repeated = (
        sa.select(counted.c.day, text.label("text"), counted.c.n, place.label("place"))
        .where(counted.c.n > 1)
        .subquery(f"repeated_{spec.columns.index(name)}")
    )
    pair = sa.func.jsonb_build_array(sa.func.left(repeated.c.text, TEXT_KEPT), repeated.c.n)
    common = (
        sa.select(repeated.c.day, sa.func.jsonb_agg(pair).aggregate_order_by(repeated.c.place).label("common"))
        .where(repeated.c.place <= MOST_COMMON)
        .group_by(repeated.c.day)
        .subquery(f"common_{spec.columns.index(name)}")
    )
    distinct = (
        sa.select(counted.c.day, sa.func.count().label("n"))
        .group_by(counted.c.day)
        .subquery(f"distinct_{spec.columns.index(name)}")
    )
    joined = distinct.outerjoin(common, distinct.c.day == common.c.day)
    return sa.select(distinct.c.day, sa.literal(name, sa.Text), distinct.c.n, common.c.common).select_from(joined)


@cache
def _day(spec: TableSpec, window: Window) -> sa.ColumnElement[Any]:
    """The day of a row; the same expression each time, so that what is selected is what is grouped by."""
    return sa.literal(window.start.date(), sa.Date) if _is_one_day(window) else sql.utc_day(spec)


def _is_one_day(window: Window) -> bool:
    """Rows of a single day are not put in order by their day first."""
    return window.end - window.start == ONE_DAY and window.start == midnight(window.start.date())


def _inside(spec: TableSpec, window: Window) -> sa.ColumnElement[bool]:
    return sql.in_window(sql.table_of(spec).c[spec.time_column or ""], window, spec.closed)
