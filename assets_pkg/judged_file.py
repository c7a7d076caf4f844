"""A file, judged by the rules of the table it would be loaded into, and by what its reader puts aside.

Belongs here: reading a file without loading it, and the verdict. Does not belong here: the readers
(`resources/landing/`), the engine (`quality/validation.py`), printing.
"""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa

from assets_pkg.quality.validation import Context, Outcome, RuleResult, ValidationReport, validate
from assets_pkg.quality.violations import COLUMNS
from resources.errors import CorruptSource, RejectedFile
from resources.landing.preparation import Declaration, Prepared, prepared
from resources.landing.resource import LandingResource
from resources.timescale.arrow import from_arrow
from schemas.file_dataset import FileDataset, Mode
from schemas.file_tables import tables_of
from schemas.rules import Readable, Severity
from schemas.table_rules import rules_of

SEED = 0
NOT_LOADED = 1
"""`source_id` of rows that are no file of the catalog."""


def judged_file(
    landing: LandingResource, path: Path, dataset: FileDataset, *, sample: int | None = None
) -> ValidationReport:
    """The verdict on a file as it would be loaded now: that of its reader first, then those of the staging rules on the
    rows the reader gives. A file that is refused as a whole fails one rule of severity ERROR."""
    spec, now = tables_of(dataset.name).staging, datetime.now(UTC)
    declaration = Declaration(name=dataset.name, spec=spec, dataset=dataset)
    try:
        with landing.scratch() as work_dir, prepared(path, declaration, now, work_dir, landing.limits) as found:
            rows = _rows(found, now)
            read = [_rejects(found, dataset), _cells(found)]
    except (RejectedFile, CorruptSource) as error:
        return _refused(str(error))
    is_sample = sample is not None and sample < len(rows)
    if is_sample:
        rows = rows.sample(sample, random_state=SEED).sort_index()
    report = validate(rows, rules_of(spec), Context(now=now, until=now, identity=("line_no",), is_sample=is_sample))
    violations = [frame for _, frame in read if len(frame)] + [report.violations] * bool(len(report.violations))
    told = pd.concat(violations, ignore_index=True) if violations else report.violations
    return replace(
        report,
        results=(*(result for result, _ in read), *report.results),
        violations=told.assign(source_id=pd.array([None] * len(told), dtype="Int64")),
    )


def _rows(found: Prepared, now: datetime) -> pd.DataFrame:
    batches = list(found.batches(NOT_LOADED, now))
    if not batches:
        return pd.DataFrame({name: pd.Series(dtype="object") for name in found.spec.columns})
    return from_arrow(pa.Table.from_batches(batches), found.spec.model)


def _rejects(found: Prepared, dataset: FileDataset) -> tuple[RuleResult, pd.DataFrame]:
    rule = Readable(
        name="rows_are_readable",
        columns=("line",),
        severity=Severity.ERROR if dataset.mode is Mode.FREEZE else Severity.WARNING,
        description="the reader puts no row aside",
    )
    told = [row for batch in found.rejects() for row in batch.to_pylist()]
    rows = [(one["line_no"], one["rule"], f"{one['reason']}: {one['raw']}") for one in told]
    return _result(rule, found.read, len(rows)), _violations(rule, rows)


def _cells(found: Prepared) -> tuple[RuleResult, pd.DataFrame]:
    rule = Readable(
        name="cells_are_readable",
        columns=("line",),
        severity=Severity.WARNING,
        description="the reader loads no row without a cell of it",
    )
    rows = [(line, column, f"{reason}: {raw}") for line, column, raw, _, reason in found.bad_cells()]
    return _result(rule, found.rows, len({line for line, *_ in rows})), _violations(rule, rows)


def _result(rule: Readable, checked: int, failed: int) -> RuleResult:
    return RuleResult(
        rule=rule,
        outcome=Outcome.FAILED if failed else Outcome.PASSED,
        checked=checked,
        failed=failed,
        message=f"{failed:,} of {checked:,} rows",
    )


def _violations(rule: Readable, rows: list[tuple[int, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "rule": rule.name,
            "severity": rule.severity.value,
            "column_name": [column for _, column, _ in rows],
            "row_key": [f'{{"line_no":{line}}}' for line, *_ in rows],
            "value": [value for *_, value in rows],
            "source_id": pd.array([None] * len(rows), dtype="Int64"),
            "line_no": pd.array([line for line, *_ in rows], dtype="Int64"),
            "position": pd.array([None] * len(rows), dtype="Int64"),
        },
        columns=list(COLUMNS),
    )


def _refused(why: str) -> ValidationReport:
    rule = Readable(name="file_is_readable", columns=("file",), description="the file can be read as what it is")
    result = RuleResult(rule=rule, outcome=Outcome.FAILED, checked=0, failed=0, message=why)
    return ValidationReport(results=(result,), violations=_violations(rule, []), rows=0)
