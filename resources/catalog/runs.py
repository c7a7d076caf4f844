"""What the catalog says of datasets, of what comes from what, and of who ran: noted by every write.

Belongs here: statements on `catalog.metadata_datasets`, `catalog.metadata_lineage` and `catalog.pipeline_runs`. Does
not belong here: files and their columns (`files.py`, `registry.py`), counts of rows per day (`ledger.py`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.catalog.rows import selected, storable
from schemas.catalog import LEDGER
from schemas.catalog_datasets import METADATA_DATASETS, METADATA_LINEAGE, PIPELINE_RUNS
from schemas.catalog_files import FILE_METADATA

KINDS = {"staging": "ingestion", "timeseries": "processing", "features": "feature", "quality": "quality"}
"""Layer -> kind of run."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """A dataset in words."""

    dataset: str
    description: str
    source_kind: str
    mode: str | None
    tables: Sequence[str]
    is_declared: bool


@dataclass(frozen=True, kw_only=True)
class PipelineRun:
    """One table filled by one run."""

    table_name: str
    run_id: str
    first_day: date | None
    last_day: date | None
    started_at: datetime
    error: str | None = None


def describe(one: Described, *, schema_version: int | None = None) -> sa.Executable:
    """Notes the dataset; what people added (owner, tags) stays."""
    fresh: dict[str, object] = {
        "description": one.description,
        "source_kind": one.source_kind,
        "mode": one.mode,
        "tables": list(one.tables),
        "is_declared": one.is_declared,
    }
    if schema_version is not None:
        fresh["current_schema_version"] = schema_version
    names = ["dataset", *fresh]
    row = {"dataset": one.dataset, **fresh}
    statement = insert(METADATA_DATASETS).from_select(names, selected(METADATA_DATASETS, names, [row]))
    updated = {name: statement.excluded[name] for name in fresh} | {"changed_at": sa.func.now()}
    differs = sa.or_(*(METADATA_DATASETS.c[name].is_distinct_from(statement.excluded[name]) for name in fresh))
    return statement.on_conflict_do_update(index_elements=["dataset"], set_=updated, where=differs)


def draw(edges: Iterable[tuple[str, str]], *, kind: str, dataset: str, run_id: str) -> sa.Executable:
    """Notes that of each pair the second comes from the first."""
    names = ["source", "destination", "kind", "dataset", "run_id"]
    rows = [
        {"source": source, "destination": destination, "kind": kind, "dataset": dataset, "run_id": run_id}
        for source, destination in sorted(set(edges))
    ]
    statement = insert(METADATA_LINEAGE).from_select(names, selected(METADATA_LINEAGE, names, rows))
    return statement.on_conflict_do_nothing(index_elements=["source", "destination"])


def ran(run: PipelineRun) -> sa.Insert:
    """Notes that a run filled a table, or why it did not; the rows are those of the ledger entries it wrote."""
    mine = sa.and_(LEDGER.c.run_id == run.run_id, LEDGER.c.table_name == run.table_name)
    size = sa.func.sum(FILE_METADATA.c.file_size_bytes)
    values = {
        "kind": KINDS[run.table_name.partition(".")[0]],
        "table_name": run.table_name,
        "run_id": run.run_id,
        "first_day": run.first_day,
        "last_day": run.last_day,
        **{
            f"rows_{name}": sa.select(sa.func.coalesce(sa.func.sum(LEDGER.c[column]), 0)).where(mine).scalar_subquery()
            for name, column in (("read", "read"), ("written", "written"), ("quarantined", "quarantined"))
        },
        "bytes": sa.select(size)
        .where(FILE_METADATA.c.run_id == run.run_id, FILE_METADATA.c.target_table == run.table_name)
        .scalar_subquery(),
        "started_at": run.started_at,
        "ended_at": sa.func.clock_timestamp(),
        "status": "failed" if run.error else "succeeded",
        "error": storable(run.error) if run.error else None,
    }
    return sa.insert(PIPELINE_RUNS).values(**values)
