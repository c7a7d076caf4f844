"""Tables on the terminal: what landed, how good it is, what is owed.

Belongs here: queries for people and their layout. Does not belong here: deciding anything.
"""

import sys
from collections.abc import Sequence

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from resources.timescale import sql
from resources.timescale.resource import TimescaleResource
from schemas.catalog import LEDGER
from schemas.tables import AIR_QUALITY_HOURLY, AIR_QUALITY_REPORT, TABLES

LEDGER_COLUMNS = ("read", "loaded", "duplicate", "quarantined", "filtered", "written")
SHOWN_FEATURES = (
    "location_id",
    "datetime_utc",
    "pm25_ugm3",
    "pm25_mean_24h_ugm3",
    "pm25_slope_24h_ugm3_per_h",
    "pm25_lag_24h_ugm3",
    "pm25_coverage_7d_pct",
    "pm25_pm10_ratio",
    "pm25_nowcast_ugm3",
    "aqi",
)


def terminal() -> Console:
    """Where commands print: as wide as the terminal, and wide enough for a table where there is none."""
    return Console() if sys.stdout.isatty() else Console(width=120)


def show_ledger(timescale: TimescaleResource, run_ids: Sequence[str], console: Console) -> None:
    """What the runs read and what became of it, per table."""
    sums = [sa.func.sum(LEDGER.c[name]) for name in LEDGER_COLUMNS]
    query = (
        sa.select(LEDGER.c.table_name, *sums, sa.func.bool_and(LEDGER.c.is_closed))
        .where(LEDGER.c.run_id.in_(list(run_ids)), LEDGER.c.is_current)
        .group_by(LEDGER.c.table_name)
    )
    with timescale.connect() as connection:
        found = {row[0]: row for row in connection.execute(query)}
    table = Table(title="read = loaded + duplicate + quarantined + filtered")
    for name in ("table", *LEDGER_COLUMNS, "ledger"):
        table.add_column(name, justify="left" if name == "table" else "right")
    for qualified in TABLES:
        if row := found.get(qualified):
            table.add_row(qualified, *(f"{value:,}" for value in row[1:-1]), "closed" if row[-1] else "OPEN")
    console.print(table)


def show_scores(timescale: TimescaleResource, console: Console) -> None:
    """Mean quality per location over all days."""
    report = sql.table_of(AIR_QUALITY_REPORT)
    shares = ("score_pct", "completeness_pct", "validity_pct", "uniqueness_pct")
    query = (
        sa.select(report.c.location_id, sa.func.count(), *(sa.func.avg(report.c[name]) for name in shares))
        .group_by(report.c.location_id)
        .order_by(report.c.location_id)
    )
    table = Table(title="Quality, mean over the days")
    for name in ("location", "days", "score", "completeness", "validity", "uniqueness"):
        table.add_column(name, justify="right")
    with timescale.connect() as connection:
        for row in connection.execute(query):
            table.add_row(str(row[0]), f"{row[1]:,}", *("" if value is None else f"{value:.1f} %" for value in row[2:]))
    console.print(table)


def show_features(timescale: TimescaleResource, console: Console) -> None:
    """The newest complete feature row, some of its columns."""
    features = sql.table_of(AIR_QUALITY_HOURLY)
    query = (
        sa.select(*(features.c[name] for name in SHOWN_FEATURES))
        .order_by(features.c.nowcast_aqi.is_(None), features.c.aqi.is_(None), features.c.datetime_utc.desc())
        .limit(1)
    )
    with timescale.connect() as connection:
        row = connection.execute(query).first()
    table = Table(title=f"One row of {AIR_QUALITY_HOURLY.qualified} ({len(AIR_QUALITY_HOURLY.columns)} columns)")
    table.add_column("feature")
    table.add_column("value", justify="right")
    for name, value in zip(SHOWN_FEATURES, row or (), strict=False):
        table.add_row(name, f"{value:.2f}" if isinstance(value, float) else str(value))
    console.print(table)
