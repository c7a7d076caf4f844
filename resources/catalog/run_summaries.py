"""One row per run that ended: Dagster says when and how, the catalog says what came of it.

Belongs here: statements on `catalog.run_summaries`. Does not belong here: which runs have ended
(`assets_pkg/finished_runs.py`), where summaries are sent (`resources/tracking.py`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from importlib.metadata import version
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.catalog.rows import storable
from schemas.catalog_datasets import PIPELINE_RUNS
from schemas.catalog_features import SOURCE_READS
from schemas.catalog_rules import RULE_RESULTS
from schemas.catalog_runs import RUN_SUMMARIES
from schemas.tables import TABLES


@dataclass(frozen=True, kw_only=True)
class EndedRun:
    """What Dagster knows of a run that ended."""

    run_id: str
    job: str
    status: str
    """One of `schemas.catalog_runs.ENDS`."""
    tables: Collection[str]
    """`schema.table` of the assets it was to fill, as far as that is known beforehand."""
    first_day: date | None
    last_day: date | None
    started_at: datetime
    ended_at: datetime
    error: str | None


def summarise(connection: sa.Connection, run: EndedRun) -> None:
    """Keeps the run's summary; the one that is there is replaced, and what the tracking server was told stays."""
    writes = connection.execute(sa.select(PIPELINE_RUNS).where(PIPELINE_RUNS.c.run_id == run.run_id)).all()
    done = [one for one in writes if one.status == "succeeded"]
    tables = sorted({*run.tables, *(one.table_name for one in writes)})
    judged, passed = _verdicts(connection, run, tables)
    features = {one.table_name for one in done if one.kind == "feature"} & TABLES.keys()
    values: dict[str, Any] = {
        "run_id": run.run_id,
        "job": run.job,
        "status": run.status,
        "datasets": sorted({TABLES[name].dataset for name in tables if name in TABLES}),
        "tables": tables,
        "first_day": run.first_day,
        "last_day": run.last_day,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "duration_s": (run.ended_at - run.started_at).total_seconds(),
        "rows_read": _sum(done, "rows_read"),
        "rows_written": _sum(done, "rows_written"),
        "rows_quarantined": _sum(done, "rows_quarantined"),
        "bytes": _sum(done, "bytes") + _source_bytes(connection, run, tables),
        "records_ingested": _sum([one for one in done if one.kind == "ingestion"], "rows_written"),
        "rules_judged": judged,
        "rules_passed": passed,
        "feature_count": sum(len(TABLES[name].features) for name in features),
        "code_version": version("tidemark"),
        "error": storable(run.error) if run.error else None,
    }
    statement = insert(RUN_SUMMARIES).values(**values)
    connection.execute(statement.on_conflict_do_update(index_elements=["run_id"], set_=values))


def untracked(connection: sa.Connection, most: int) -> Sequence[sa.Row[Any]]:
    """Summaries the tracking server has not taken, the oldest first."""
    query = sa.select(RUN_SUMMARIES).where(RUN_SUMMARIES.c.tracked_at.is_(None))
    return connection.execute(query.order_by(RUN_SUMMARIES.c.ended_at).limit(most)).all()


def tracked(connection: sa.Connection, run_id: str) -> None:
    """Notes that the tracking server took the summary."""
    mine = RUN_SUMMARIES.c.run_id == run_id
    connection.execute(sa.update(RUN_SUMMARIES).where(mine).values(tracked_at=sa.func.now()))


def newest(connection: sa.Connection, most: int) -> Sequence[sa.Row[Any]]:
    """The summaries of the runs that ended last, the newest first."""
    return connection.execute(sa.select(RUN_SUMMARIES).order_by(RUN_SUMMARIES.c.ended_at.desc()).limit(most)).all()


def _verdicts(connection: sa.Connection, run: EndedRun, tables: Collection[str]) -> tuple[int, int]:
    """Verdicts of the run that say something, and those that passed. One replaced by a later run's is not counted."""
    results = RULE_RESULTS.c
    mine = [results.table_name.in_(tables), results.run_id == run.run_id, results.outcome != "not enough data"]
    if run.first_day and run.last_day and not any(TABLES[name].by_arrival for name in tables if name in TABLES):
        mine.append(results.day.between(run.first_day, run.last_day))
    query = sa.select(sa.func.count(), sa.func.count().filter(results.passed)).where(*mine)
    judged, passed = connection.execute(query).one()
    return int(judged), int(passed)


def _source_bytes(connection: sa.Connection, run: EndedRun, tables: Collection[str]) -> int:
    reads = SOURCE_READS.c
    mine = [reads.table_name.in_(tables), reads.started_at >= run.started_at, reads.run_id == run.run_id]
    return int(
        connection.execute(sa.select(sa.func.coalesce(sa.func.sum(reads.bytes_read), 0)).where(*mine)).scalar_one()
    )


def _sum(rows: Sequence[sa.Row[Any]], column: str) -> int:
    return sum(getattr(row, column) or 0 for row in rows)
