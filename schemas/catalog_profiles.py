"""The catalog's table of column profiles: what each column of a table held on a day.

Belongs here: the SQLAlchemy table, and which quantiles are kept. Does not belong here: how a profile is computed or
read (`resources/profiling/`).
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from schemas.catalog_rules import METADATA as METADATA

QUANTILES = {"p01": 0.01, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
"""Column of the profile and the share of the values that are not greater."""

MOST_COMMON = 5
"""Values that are kept with their counts."""


def _count(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0", comment=comment)


def _number(name: str, comment: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, comment=comment)


COLUMN_PROFILES = sa.Table(
    "column_profiles",
    METADATA,
    sa.Column("table_name", sa.Text, primary_key=True, comment="schema.table"),
    sa.Column("day", sa.Date, primary_key=True, comment="UTC day of the partition"),
    sa.Column("column_name", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False, comment="of the column in its table, from 1"),
    sa.Column("kind", sa.Text, nullable=False, comment="number, integer, boolean, timestamp or text"),
    _count("rows", "rows of the partition"),
    _count("nulls", "rows without a value"),
    _count("nans", "values that are no number (NaN)"),
    _count("infinities", "values that are infinite"),
    _count("distinct_values", "different values, null left out"),
    sa.Column("minimum", sa.Text, comment="smallest finite value, earliest instant (ISO 8601, UTC), first text"),
    sa.Column("maximum", sa.Text, comment="largest finite value, latest instant, last text, code point by code point"),
    _number("mean", "of the finite values; NULL where one is beyond 1e100"),
    _number("std", "sample standard deviation of the finite values; NULL of fewer than two"),
    *(_number(name, f"smallest finite value with {share:.0%} not above it") for name, share in QUANTILES.items()),
    sa.Column("length_min", sa.BigInteger, comment="characters of the shortest text"),
    _number("length_mean", "characters of a text, mean"),
    sa.Column("length_max", sa.BigInteger, comment="characters of the longest text"),
    _number("true_pct", "true among the values of a boolean, percent"),
    sa.Column("common", JSONB, nullable=False, comment="[value, count] of the values that occur most, more than once"),
    comment="What each column of a table held on a day.",
)
