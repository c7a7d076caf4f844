"""What was found in a file, written in the transaction of its rows.

Belongs here: statements on `catalog.column_metadata`, `data_quality_metrics`, `skipped_lines`, `bad_cells`, and what
`catalog.file_metadata` says of the content. Does not belong here: finding it out (`resources/landing/`), rows put aside
(`ledger.py`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from math import isfinite

import sqlalchemy as sa

from resources.catalog.files import moved
from resources.catalog.rows import relation, selected
from resources.landing.text_table import Skipped
from schemas.catalog_files import BAD_CELLS, COLUMN_METADATA, DATA_QUALITY_METRICS, FILE_METADATA, SKIPPED_LINES, Status

ROWS_PER_STATEMENT = 10_000
CHARACTERS_PER_STATEMENT = 4_000_000


@dataclass(frozen=True, kw_only=True)
class ColumnFacts:
    """What one column of a file holds; names as in `catalog.column_metadata`."""

    column_name: str
    original_name: str
    column_type: str
    convention: Mapping[str, object]
    confidence: float | None
    """Share of the values that fit the type; None: nothing to go by."""
    null_count: int
    unique_count: int | None
    unique_is_exact: bool
    min_value: str | None
    max_value: str | None
    mean: float | None
    sample_values: Sequence[object]
    bad_count: int


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One measure of a file's quality; None (or no finite number) where it cannot be computed."""

    metric_name: str
    metric_value: float | None
    metric_type: str


@dataclass(frozen=True, kw_only=True)
class BadCell:
    """A cell put aside while its row was loaded."""

    line_no: int
    column_name: str
    raw: str
    rule: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that loading a file told of it."""

    row_count: int
    """Rows loaded."""
    rejected_rows: int
    """Rows put aside."""
    lines: int
    schema_version_id: int
    event_days: Collection[date]
    """UTC days the rows are about."""
    reader_facts: Mapping[str, object]
    processing_duration_seconds: float
    columns: Sequence[ColumnFacts]
    metrics: Sequence[Metric]
    skipped: Sequence[Skipped]
    bad_cells: Iterable[BadCell]


def finish(file_id: int, findings: Findings, *, run_id: str) -> Iterator[sa.Executable]:
    """The validated file is loaded, and what was found in it replaces what was found before.

    For the transaction of the rows. If the file is in another state by then, the database refuses the first statement.
    """
    yield moved(file_id, Status.LOADED, run_id=run_id)
    yield _facts(file_id, findings)
    tables: tuple[tuple[sa.Table, Iterable[Mapping[str, object]]], ...] = (
        (COLUMN_METADATA, (asdict(one) | {"mean": _finite(one.mean)} for one in findings.columns)),
        (DATA_QUALITY_METRICS, (asdict(one) | {"metric_value": _finite(one.metric_value)} for one in findings.metrics)),
        (SKIPPED_LINES, map(asdict, findings.skipped)),
        (BAD_CELLS, map(asdict, findings.bad_cells)),
    )
    for table, rows in tables:
        yield sa.delete(table).where(table.c.file_metadata_id == file_id)
        names = [column.name for column in table.c]
        for batch in _batches({"file_metadata_id": file_id, **row} for row in rows):
            yield sa.insert(table).from_select(names, selected(table, names, batch))


def _facts(file_id: int, findings: Findings) -> sa.Update:
    facts: dict[str, object] = {
        "row_count": findings.row_count,
        "rejected_rows": findings.rejected_rows,
        "skipped_lines": sum(one.line_count for one in findings.skipped),
        "lines": findings.lines,
        "column_count": len(findings.columns),
        "columns_info": [
            {"name": one.column_name, "original": one.original_name, "type": one.column_type}
            for one in findings.columns
        ],
        "reader_facts": dict(findings.reader_facts),
        "schema_version_id": findings.schema_version_id,
        "event_days": [day.isoformat() for day in sorted(set(findings.event_days))],
        "processing_duration_seconds": findings.processing_duration_seconds,
    }
    given = relation([FILE_METADATA.c[name] for name in facts], [facts])
    return sa.update(FILE_METADATA).where(FILE_METADATA.c.id == file_id).values({name: given.c[name] for name in facts})


def _batches(rows: Iterable[Mapping[str, object]]) -> Iterator[list[Mapping[str, object]]]:
    """The rows in lists that one statement holds without much memory."""
    batch: list[Mapping[str, object]] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += sum(len(value) for value in row.values() if isinstance(value, str))
        if len(batch) >= ROWS_PER_STATEMENT or characters >= CHARACTERS_PER_STATEMENT:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
