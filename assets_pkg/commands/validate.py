"""`tidemark validate`: the verdict of every rule on a file or on days of a table, as a table and as a JSON report.

Belongs here: what is judged, and showing it. Does not belong here: judging (`assets_pkg/judging.py`,
`assets_pkg/judged_file.py`), rules (`schemas/`).
"""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from assets_pkg.commands.tables import terminal
from assets_pkg.judged_file import judged_file
from assets_pkg.judging import Verdicts, judge, results_of, summary
from assets_pkg.quality.validation import Outcome, ValidationReport
from resources.errors import ConfigurationError
from resources.landing.names import escaped
from resources.wiring import Settings, build_timescale, landing_resource
from schemas.declared_files import file_datasets
from schemas.table_spec import TableSpec
from schemas.window import Window

EXAMPLES = 3
"""Failing rows shown per rule."""
SHOWN = 100
"""Characters of a value."""
COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}


def validate_table(
    chosen: Settings,
    *,
    spec: TableSpec,
    first: date | None,
    last: date | None,
    sample: int | None,
    report_to: Path | None,
) -> int:
    """Judges days of a table, without storing the verdicts; 1 where a rule of severity ERROR fails.

    Raises:
        ConfigurationError: the days end before they begin.
    """
    today = datetime.now(UTC).date()
    begin, end = first or spec.first_day or date(2016, 1, 1), last or today
    if end < begin:
        raise ConfigurationError(f"{begin} to {end} holds no day: --to is before --from")
    verdicts = list(judge(build_timescale(chosen), spec, Window.of_days(begin, end), sample=sample))
    if not verdicts:
        terminal().print(f"{spec.qualified} has no rows from {begin} to {end}: nothing was judged.", highlight=False)
        return 0
    return _told(spec.qualified, verdicts, sample, report_to)


def validate_file(
    chosen: Settings, *, path: Path, dataset_name: str | None, sample: int | None, report_to: Path | None
) -> int:
    """Judges a file as it would be loaded; 1 where a rule of severity ERROR fails.

    Raises:
        ConfigurationError: there is no such file, or nobody declared its dataset.
    """
    if not path.is_file():
        raise ConfigurationError(f"{path} is neither a file nor a table; tables: tidemark status")
    name = dataset_name or path.resolve().parent.name
    if name not in file_datasets():
        raise ConfigurationError(
            f"{name!r} is no declared dataset of files ({', '.join(sorted(file_datasets()))}): say which with --dataset"
        )
    report = judged_file(landing_resource(chosen), path, file_datasets()[name], sample=sample)
    return _told(escaped(path.name), [(datetime.now(UTC).date(), report)], sample, report_to)


def _told(what: str, verdicts: Verdicts, sample: int | None, report_to: Path | None) -> int:
    console, reports = terminal(), [report for _, report in verdicts]
    rows = sum(report.rows for report in reports)
    drawn = f", a sample of at most {sample:,} a day" if sample else ""
    table = Table(title=f"{what}: {rows:,} rows of {len(verdicts):,} day(s){drawn}")
    for column in ("rule", "kind", "severity", "verdict", "checked", "failed", "what was found"):
        table.add_column(column, justify="right" if column in ("checked", "failed") else "left", overflow="fold")
    results = results_of(verdicts)
    outcomes = results.groupby("rule")["outcome"].agg(set)
    for row in summary(results).itertuples():
        verdict = _outcome(outcomes[row.rule])
        if row.days_failed and len(verdicts) > 1:
            verdict += f" on {row.days_failed} day(s)"
        colour = COLOURS[row.severity] if row.days_failed else "dim"
        cells = (row.rule, row.kind, row.severity, verdict, f"{row.checked:,}", f"{row.failed:,}", row.message)
        table.add_row(*(escape(str(cell)) for cell in cells), style=colour)
    console.print(table)
    for example in _examples(reports):
        console.print(f"  {escape(example)}", style="dim", highlight=False)
    if report_to:
        report_to.write_text(json.dumps(_report(what, verdicts, sample), ensure_ascii=False, indent=1), "utf-8")
        console.print(f"Report with every failing row: {report_to}", highlight=False, markup=False)
    return int(any(report.is_blocking for report in reports))


def _outcome(found: set[str]) -> str:
    """The worst verdict of several days that says something."""
    return next(one.value for one in (Outcome.FAILED, Outcome.PASSED, Outcome.NOT_ENOUGH_DATA) if one.value in found)


def _examples(reports: Sequence[ValidationReport]) -> list[str]:
    found = [report.violations for report in reports if len(report.violations)]
    if not found:
        return []
    first = pd.concat(found, ignore_index=True).groupby("rule", sort=False).head(EXAMPLES)
    return [
        f"{row.rule}: {row.column_name} {escaped(str(row.value)[:SHOWN])} in {escaped(str(row.row_key)[:SHOWN])}"
        for row in first.itertuples()
    ]


def _report(what: str, verdicts: Verdicts, sample: int | None) -> dict[str, Any]:
    """The whole of it, for programs."""
    return {
        "what": what,
        "judged_at": datetime.now(UTC).isoformat(),
        "rows": sum(report.rows for _, report in verdicts),
        "sample": sample,
        "is_blocking": any(report.is_blocking for _, report in verdicts),
        "days": [
            {
                "day": day.isoformat(),
                "rows": report.rows,
                "is_blocking": report.is_blocking,
                "rules": [
                    {
                        "rule": one.rule.name,
                        "kind": one.rule.kind.value,
                        "severity": one.rule.severity.value,
                        "description": one.rule.description,
                        "columns": list(one.rule.columns),
                        "unit": one.rule.unit,
                        "parameters": {name: str(value) for name, value in one.rule.parameters.items()},
                        "tolerated_pct": one.rule.tolerated_pct,
                        "outcome": one.outcome.value,
                        "passed": one.passed,
                        "checked": one.checked,
                        "failed": one.failed,
                        "message": one.message,
                    }
                    for one in report.results
                ],
                "violations": json.loads(report.violations.to_json(orient="records", force_ascii=False)),
            }
            for day, report in verdicts
        ],
    }
