"""Figures of runs: how many ended how, what they wrote, how long that took, what sources and APIs gave.

What is counted over time is counted over the last 24 hours, by indexes on the time.

Belongs here: questions to the catalog about work. Does not belong here: the state of data (`figures.py`,
`quality_figures.py`, `feature_figures.py`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta

import sqlalchemy as sa

from resources.catalog.figure import Figure, declared, numbers
from resources.openaq.rate_budget import Rate
from schemas.catalog import FETCH_FAILURES, LOCATIONS
from schemas.catalog_budget import API_BUDGETS, API_REQUESTS
from schemas.catalog_datasets import PIPELINE_RUNS
from schemas.catalog_features import SOURCE_READS
from schemas.catalog_files import FILE_METADATA
from schemas.catalog_runs import ENDS, RUN_SUMMARIES

LATELY = timedelta(hours=24)
KINDS = ("ingestion", "processing", "feature", "quality")
"""Of entries of `catalog.pipeline_runs`; named in the question so that the index on kind and time serves it."""

Budgets = Mapping[str, Sequence[Rate]]
"""Name of a request budget -> what it allows."""


def run_figures(connection: sa.Connection, tables: Collection[str], budgets: Budgets) -> Iterator[Figure]:
    """The figures now, by declared table."""
    yield from _runs(connection)
    yield from _writes(connection, tables)
    yield from _sources(connection, tables)
    yield from _budgets(connection, budgets)


def _runs(connection: sa.Connection) -> Iterator[Figure]:
    runs = RUN_SUMMARIES.c
    query = (
        sa.select(runs.status, sa.func.count(), sa.func.sum(runs.duration_s), sa.func.max(runs.duration_s))
        .where(runs.ended_at > sa.func.now() - LATELY)
        .group_by(runs.status)
    )
    found = {row[0]: row[1:] for row in connection.execute(query)}
    for place, (name, told) in enumerate(
        (
            ("tidemark_runs", "Runs that ended in the last 24 hours"),
            ("tidemark_run_seconds", "Seconds these runs took together"),
            ("tidemark_run_slowest_seconds", "Seconds the longest of them took"),
        )
    ):
        samples = [((status,), float(found.get(status, (0, 0, 0))[place] or 0)) for status in ENDS]
        yield Figure(name, told, ("status",), samples)


def _writes(connection: sa.Connection, tables: Collection[str]) -> Iterator[Figure]:
    runs = PIPELINE_RUNS.c
    name = declared(runs.table_name, tables)
    took = sa.extract("epoch", runs.ended_at - runs.started_at)
    query = (
        sa.select(
            name,
            runs.status,
            sa.func.count().label("n"),
            sa.func.sum(took).label("total_s"),
            sa.func.max(took).label("slowest_s"),
            *(sa.func.sum(runs[column]).label(column) for column in ("rows_read", "rows_written", "rows_quarantined")),
            sa.func.sum(runs.bytes).label("bytes"),
        )
        .where(runs.kind.in_(KINDS), runs.started_at > sa.func.now() - LATELY)
        .group_by(name, runs.status)
        .order_by(name, runs.status)
    )
    rows = connection.execute(query).all()
    for label, told, column in (
        ("tidemark_table_writes", "Writes of the table in the last 24 hours", "n"),
        ("tidemark_table_write_seconds", "Seconds these writes took together", "total_s"),
        ("tidemark_table_write_slowest_seconds", "Seconds the slowest of them took", "slowest_s"),
    ):
        samples = [((row.declared, row.status), float(getattr(row, column) or 0)) for row in rows]
        yield Figure(label, told, ("table", "status"), samples)
    done = [row for row in rows if row.status == "succeeded"]
    for label, told, column in (
        ("tidemark_table_rows_read", "Rows that writes of the last 24 hours had read", "rows_read"),
        ("tidemark_table_rows_written", "Rows these writes left in their slices", "rows_written"),
        ("tidemark_table_rows_quarantined", "Rows these writes put aside", "rows_quarantined"),
        ("tidemark_table_file_bytes", "Bytes of the files these writes read", "bytes"),
    ):
        yield Figure(label, told, ("table",), [((row.declared,), float(getattr(row, column) or 0)) for row in done])


def _sources(connection: sa.Connection, tables: Collection[str]) -> Iterator[Figure]:
    reads, owed, files = SOURCE_READS.c, FETCH_FAILURES.c, FILE_METADATA.c
    outcome = sa.case((reads.error.is_(None), "succeeded"), else_="failed").label("outcome")
    sums = [sa.func.count(), sa.func.sum(reads.records_read), sa.func.sum(reads.bytes_read)]
    query = (
        sa.select(reads.table_name, outcome, *sums, sa.func.sum(reads.duration_s))
        .where(reads.table_name.in_(sorted(tables)), reads.started_at > sa.func.now() - LATELY)
        .group_by(reads.table_name, outcome)
    )
    rows = connection.execute(query).all()
    for place, (name, told) in enumerate(
        (
            ("tidemark_source_reads", "Reads from the table's source in the last 24 hours"),
            ("tidemark_source_records", "Records these reads gave"),
            ("tidemark_source_bytes", "Bytes of the values these reads gave"),
            ("tidemark_source_seconds", "Seconds these reads took together"),
        ),
        start=2,
    ):
        yield Figure(name, told, ("table", "outcome"), [((row[0], row[1]), float(row[place] or 0)) for row in rows])
    units = sa.func.count(owed.unit.distinct())
    missing = numbers(connection, sa.select(owed.table_name, units).group_by(owed.table_name))
    told = "Entities, such as locations, of which the source owes days"
    yield Figure("tidemark_owed_units", told, ("table",), [((t,), missing.get(t, 0.0)) for t in sorted(tables)])
    known = connection.execute(sa.select(sa.func.count()).select_from(LOCATIONS)).scalar_one()
    yield Figure("tidemark_locations", "OpenAQ locations in use", (), [((), float(known))])
    # By the table a file's rows go to: a folder nobody declared may have any name.
    target = declared(files.target_table, tables)
    counted = sa.select(target, files.ingestion_status, sa.func.count()).group_by(target, files.ingestion_status)
    samples = [
        ((row[0], row[1]), float(row[2])) for row in connection.execute(counted.order_by(*counted.selected_columns[:2]))
    ]
    yield Figure("tidemark_files", "Files by what became of them", ("table", "status"), samples)


def _budgets(connection: sa.Connection, budgets: Budgets) -> Iterator[Figure]:
    used, limits = [], []
    for name, rates in sorted(budgets.items()):
        for rate in rates:
            labels = (name, f"{rate.per_s:g}s")
            since = sa.func.now() - timedelta(seconds=rate.per_s)
            mine = sa.and_(
                API_REQUESTS.c.budget == name,
                API_REQUESTS.c.admitted_at > since,
                API_REQUESTS.c.admitted_at <= sa.func.now(),
            )
            number = connection.execute(sa.select(sa.func.count()).where(mine)).scalar_one()
            used.append((labels, float(number)))
            limits.append((labels, float(rate.limit)))
    labels = ("budget", "window")
    yield Figure("tidemark_api_budget_used", "Requests sent in the newest window", labels, used)
    yield Figure("tidemark_api_budget_limit", "Requests a window allows", labels, limits)
    left = sa.func.greatest(0, sa.extract("epoch", API_BUDGETS.c.blocked_until - sa.func.now()))
    query = sa.select(API_BUDGETS.c.budget, left).where(API_BUDGETS.c.budget.in_(sorted(budgets)))
    blocked = numbers(connection, query)
    samples = [((name,), blocked.get(name, 0.0)) for name in sorted(budgets)]
    yield Figure("tidemark_api_blocked_seconds", "Seconds the server still wants silence", ("budget",), samples)
