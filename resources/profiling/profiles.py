"""Profiles of columns, computed by the database: exact, per UTC day of a window.

Belongs here: running the statements, and their rows as a frame. Does not belong here: the statements
(`profile_statements.py`), keeping profiles (`profile_store.py`), comparing them (`profile_changes.py`).
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from resources.profiling.profile_statements import (
    aggregates_of_cells,
    aggregates_of_columns,
    is_wide,
    kinds_of,
    values_of,
)
from resources.timescale import sql
from schemas.catalog_profiles import COLUMN_PROFILES, QUANTILES
from schemas.table_spec import TableSpec
from schemas.window import Window

PROFILE_COLUMNS = [column.name for column in COLUMN_PROFILES.c]

WORK_MEM = "64MB"
"""Memory a sort or a hash of a profile may take before it goes to disk."""

_FRAME_TYPES: dict[type, Any] = {
    sa.BigInteger: "Int64",
    sa.Integer: "int64",
    sa.Double: "float64",
    sa.Text: None,
    sa.Date: None,
    JSONB: None,
}


def profiles(connection: sa.Connection, spec: TableSpec, window: Window) -> pd.DataFrame:
    """The profile of each column on each UTC day of the window that has rows: `PROFILE_COLUMNS`, by day and position.

    Minimum, maximum, mean, standard deviation and quantiles are those of the finite values; NaN and infinities are
    counted. A quantile is the smallest value with at least that share of the values not above it (percentile_disc).
    Common values are at most `MOST_COMMON` that occur more than once, the most frequent first, those that occur equally
    often in the order of their text.
    """
    connection.execute(sql.set_local("work_mem", WORK_MEM))
    connection.execute(sql.set_local("timezone", "UTC"))
    rows: dict[tuple[date, int], dict[str, Any]] = {
        (day, position): _profile(spec, day, position, told)
        for day, position, told in _aggregates(connection, spec, window)
    }
    for day, position, distinct, common in connection.execute(values_of(spec, window)):
        rows[day, position] |= {"distinct_values": distinct, "common": common or []}
    return framed(row for _, row in sorted(rows.items()))


def framed(rows: Iterable[Any]) -> pd.DataFrame:
    """Profiles as a frame whose types do not depend on which values are missing."""
    frame = pd.DataFrame(rows, columns=PROFILE_COLUMNS)
    types = {column.name: _FRAME_TYPES[type(column.type)] for column in COLUMN_PROFILES.c}
    return frame.astype({name: dtype for name, dtype in types.items() if dtype})


def _aggregates(
    connection: sa.Connection, spec: TableSpec, window: Window
) -> Iterator[tuple[date, int, Mapping[str, Any]]]:
    """Day, position of the column, and what is told of it."""
    if is_wide(spec):
        for statement in aggregates_of_cells(spec, window):
            for found in connection.execute(statement).mappings():
                yield found["day"], found["position"], {str(what): value for what, value in found.items()}
        return
    for found in connection.execute(aggregates_of_columns(spec, window)).mappings():
        told: dict[int, dict[str, Any]] = {
            position: {"rows": found["rows"]} for position, _ in enumerate(spec.columns, 1)
        }
        for label, value in found.items():
            position, _, what = label.partition("_")
            if what:
                told[int(position)][what] = value
        for number, one in told.items():
            yield found["day"], number, one


def _profile(spec: TableSpec, day: date, position: int, told: Mapping[str, Any]) -> dict[str, Any]:
    """One column's profile from its aggregates."""
    name = spec.columns[position - 1]
    kind = kinds_of(spec)[name]
    return {
        "table_name": spec.qualified,
        "day": day,
        "column_name": name,
        "position": position,
        "kind": kind,
        "rows": told["rows"],
        "nulls": told["rows"] - told["values"],
        "nans": told.get("nans", 0),
        "infinities": told.get("infinities", 0),
        "distinct_values": 0,
        "minimum": _text(told.get("minimum")),
        "maximum": _text(told.get("maximum")),
        "mean": told.get("mean"),
        "std": told.get("std"),
        **dict(zip(QUANTILES, told.get("quantiles") or [None] * len(QUANTILES), strict=True)),
        **{what: told.get(what) for what in ("length_min", "length_mean", "length_max")},
        "true_pct": 100.0 * told["true"] / told["values"] if kind == "boolean" and told["values"] else None,
        "common": [],
    }


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
