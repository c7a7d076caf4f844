"""What reading a file told of it, in the words of the catalog.

Belongs here: from a prepared file to `Findings`. Does not belong here: finding it out, writing it down.
"""

from collections.abc import Iterator

from resources.catalog.file_findings import BadCell, ColumnFacts, Findings, Metric
from resources.landing.preparation import Prepared


def findings_of(found: Prepared, schema_version_id: int, seconds: float) -> Findings:
    """Columns, measures of quality, lines that are no rows, and cells put aside."""
    return Findings(
        row_count=found.rows,
        rejected_rows=found.rejected,
        lines=found.table.lines,
        schema_version_id=schema_version_id,
        event_days=found.event_days,
        reader_facts={"format": found.table.format, **found.table.facts, "notes": list(found.planned.notes)},
        processing_duration_seconds=seconds,
        columns=_columns(found),
        metrics=_metrics(found),
        skipped=found.table.skipped,
        bad_cells=_bad_cells(found),
    )


def _columns(found: Prepared) -> list[ColumnFacts]:
    originals = {column.name: column for column in found.planned.columns}
    confidence = {guess.column: guess.confidence for guess in found.guesses}
    source = {plan.name: plan.source for plan in found.planned.plans}
    return [
        ColumnFacts(
            column_name=one.name,
            original_name=originals[one.name].original,
            column_type=one.kind.value,
            convention=originals[one.name].convention,
            confidence=confidence.get(source.get(one.name) or ""),
            null_count=one.nulls,
            unique_count=one.distinct,
            unique_is_exact=one.distinct_is_exact,
            min_value=one.minimum,
            max_value=one.maximum,
            mean=one.mean,
            sample_values=one.samples,
            bad_count=one.bad,
        )
        for one in found.profiles
    ]


def _metrics(found: Prepared) -> list[Metric]:
    cells = sum(one.values + one.nulls for one in found.profiles)
    given = sum(one.values for one in found.profiles)
    return [
        Metric(metric_name="completeness_pct", metric_value=_share(given, cells), metric_type="percent"),
        Metric(metric_name="validity_pct", metric_value=_share(found.rows, found.read), metric_type="percent"),
        Metric(
            metric_name="uniqueness_pct", metric_value=_share(found.distinct_keys, found.rows), metric_type="percent"
        ),
        Metric(metric_name="rows_read", metric_value=found.read, metric_type="count"),
        Metric(metric_name="rows_rejected", metric_value=found.rejected, metric_type="count"),
        Metric(metric_name="bad_cells", metric_value=sum(one.bad for one in found.profiles), metric_type="count"),
    ]


def _share(part: int | None, whole: int) -> float | None:
    return 100.0 * part / whole if whole and part is not None else None


def _bad_cells(found: Prepared) -> Iterator[BadCell]:
    for line_no, column, raw, rule, reason in found.bad_cells():
        yield BadCell(line_no=line_no, column_name=column, raw=raw, rule=rule, reason=reason)
