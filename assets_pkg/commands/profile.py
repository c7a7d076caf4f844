"""`tidemark profile`: what the columns of a table held on a day, and what changed between two days.

Belongs here: the questions and their layout. Does not belong here: computing and comparing (`resources/profiling/`).
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa
from rich.markup import escape
from rich.table import Table

from assets_pkg.commands.tables import terminal
from resources.errors import ConfigurationError
from resources.landing.names import escaped
from resources.profiling import profile_store
from resources.profiling.profile_changes import changes
from resources.profiling.profiles import profiles
from resources.timescale.resource import TimescaleResource
from resources.wiring import Settings, build_timescale
from schemas.table_spec import TableSpec
from schemas.tables import TABLES
from schemas.window import Window

HEADS = ("column", "kind", "null", "distinct", "min", "p05", "median", "p95", "max", "mean ± std", "most common")
"""What `profile_in_words` tells, in order."""

TERMINAL_HEADS = tuple(name for name in HEADS if name not in ("p05", "p95"))
MOST_ON_TERMINAL = 3
"""Common values that fit a line there."""

WHOLE_UP_TO = 1e12
"""Whole numbers up to it are told to the last digit: many are identifiers."""

ORIGINS = frozenset({"source_id", "line_no"})

VALUE_SHOWN = 24
"""Characters of a value in a list."""


def show_profile(chosen: Settings, *, table: str, day: date) -> int:
    """Prints the profile of each column of the table on the UTC day; 0.

    Raises:
        ConfigurationError: there is no such table, or it has no rows on that day.
    """
    spec, timescale = _spec(table), build_timescale(chosen)
    found = profile_of(timescale, spec, day)
    terminal().print(_columns(found, f"{spec.qualified} on {day} (UTC): {found['rows'].max():,} rows"))
    return 0


def diff_profiles(chosen: Settings, *, table: str, days: tuple[date, date]) -> int:
    """Prints what changed from the first day to the second, the largest change first; 0.

    Raises:
        ConfigurationError: there is no such table, or it has no rows on one of the days.
    """
    spec, timescale = _spec(table), build_timescale(chosen)
    before, after = (_content(profile_of(timescale, spec, day), spec) for day in days)
    found = changes(before, after)
    if found.empty:
        terminal().print(f"{spec.qualified} has the same profile on {days[0]} and {days[1]}.")
        return 0
    shown = Table(title=f"{spec.qualified}: from {days[0]} to {days[1]} (UTC)")
    for name in ("column", "what", str(days[0]), str(days[1]), "change"):
        shown.add_column(name, justify="left" if name in ("column", "what") else "right", overflow="fold")
    for row in found.to_dict("records"):
        told = (row["column_name"] or "(table)", row["what"], row["before"], row["after"])
        shown.add_row(*(escape(escaped(str(one))) for one in told), f"{100 * row['change']:.1f} %")
    terminal().print(shown)
    return 0


def profile_of(timescale: TimescaleResource, spec: TableSpec, day: date) -> pd.DataFrame:
    """The table's profiles of the day: those that its quality asset kept, or computed now.

    Raises:
        ConfigurationError: it has no rows on that day.
    """
    with timescale.connect() as connection:
        found = profile_store.kept(connection, spec.qualified, [day])
        if found.empty and sa.inspect(connection).has_table(spec.name, schema=spec.schema):
            found = profiles(connection, spec, Window.of_days(day, day))
        if found.empty:
            known = profile_store.days_of(connection, spec.qualified)
            span = f"; there are profiles of {known[0]} to {known[-1]}" if known else ""
            raise ConfigurationError(f"{spec.qualified} has no rows on {day} (UTC){span}")
    return found


def _content(found: pd.DataFrame, spec: TableSpec) -> pd.DataFrame:
    """Without columns that differ from day to day by what they are: where a row came from, and when."""
    apart = {*spec.origin, *ORIGINS, spec.known_at}
    return found[~found["column_name"].isin(apart)]


def _spec(table: str) -> TableSpec:
    if table in TABLES and TABLES[table].time_column:
        return TABLES[table]
    named = [spec for spec in TABLES.values() if spec.name == table and spec.time_column]
    if len(named) != 1:
        likely = [name for name in TABLES if table.rpartition(".")[2] in name] or list(TABLES)
        raise ConfigurationError(f"there is no table {table!r}; there are {', '.join(likely)}")
    return named[0]


def _columns(found: pd.DataFrame, title: str) -> Table:
    shown = Table(title=title)
    for name in TERMINAL_HEADS:
        is_text = name in ("column", "kind", "most common")
        shown.add_column(name, justify="left" if is_text else "right", no_wrap=name == "column", overflow="fold")
    for row in found.to_dict("records"):
        told = dict(zip(HEADS, profile_in_words({**row, "common": row["common"][:MOST_ON_TERMINAL]}), strict=True))
        shown.add_row(*(escape(escaped(told[name])) for name in TERMINAL_HEADS))
    return shown


def profile_in_words(row: Mapping[Any, Any]) -> Sequence[str]:
    """One column's profile, under `HEADS`; of text the mean length, of booleans the share of true ones, in place of
    mean and standard deviation."""
    rows, nulls = int(str(row["rows"])), int(str(row["nulls"]))
    spread = ""
    if row["kind"] == "boolean":
        spread = "" if pd.isna(row["true_pct"]) else f"{row['true_pct']:.1f} % true"
    elif row["kind"] == "text":
        spread = "" if pd.isna(row["length_mean"]) else f"{row['length_mean']:.1f} characters"
    elif not pd.isna(row["mean"]):
        spread = number(row["mean"]) + ("" if pd.isna(row["std"]) else f" ± {number(row['std'])}")
    odd = [f"{row[what]} {word}" for what, word in (("nans", "NaN"), ("infinities", "infinite")) if row[what]]
    common = [f"{_end(value)} ({count:,})" for value, count in row["common"]]
    return (
        str(row["column_name"]),
        str(row["kind"]),
        f"{100 * nulls / rows:.1f} %" if nulls else "none",
        f"{row['distinct_values']:,}",
        _end(row["minimum"]),
        *(number(row[name]) for name in ("p05", "p50", "p95")),
        _end(row["maximum"]),
        ", ".join((spread, *odd)) if odd else spread,
        ", ".join(common),
    )


def number(value: Any) -> str:
    """A number as people read it; empty if there is none."""
    if pd.isna(value):
        return ""
    return f"{int(value)}" if float(value).is_integer() and abs(value) < WHOLE_UP_TO else f"{float(value):.5g}"


def _end(value: object) -> str:
    """A minimum or maximum as kept, shortened: a number as `number` tells it, an instant to seconds."""
    if value is None:
        return ""
    text = str(value)
    try:
        return number(float(text))
    except ValueError:
        return text.partition("+00:00")[0].partition(".")[0].replace("T", " ")[:VALUE_SHOWN]
