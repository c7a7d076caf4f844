"""Asset checks of the rules: every table of every dataset is judged when it was written, and the verdicts are stored.

`rules_hold` is about the rules of severity ERROR. It blocks: what is downstream waits for its verdict. Where a day of
the run is sound, the check warns and the run goes on, for readers do not see the days that are held back
(`resources/catalog/rule_results.py`): a range is not stopped by one of its days. Where every day of the run is held
back nothing is left to go on with, and the check fails. `rules_hold_warnings` tells of the others and blocks nothing.

Belongs here: what Dagster makes of verdicts. Does not belong here: judging (`judging.py`), rules (`schemas/`).
"""

from collections.abc import Iterable, Iterator
from datetime import date

import dagster as dg
import pandas as pd

from assets_pkg.judging import Judged, judge_and_store, judge_held_again, summary
from assets_pkg.partitions import judged_window
from resources.timescale.resource import TimescaleResource
from schemas.rules import Severity
from schemas.table_rules import references_of, rules_of
from schemas.table_spec import TableSpec

RULES_HOLD = "rules_hold"
RULES_HOLD_WARNINGS = "rules_hold_warnings"
MOST_TOLD = 20
"""Days and rules that a check names."""


def rule_checks(specs: Iterable[TableSpec]) -> list[dg.AssetChecksDefinition]:
    """The two checks of each table."""
    return [_checks_of(spec) for spec in specs]


def _checks_of(spec: TableSpec) -> dg.AssetChecksDefinition:
    key = _key(spec.qualified)
    # The tables it refers to are written first where they are part of the same run.
    others = sorted({table for table, _ in references_of(rules_of(spec))} - {spec.qualified})

    @dg.multi_asset_check(
        name=f"{spec.schema}__{spec.name}_rules",
        specs=[
            dg.AssetCheckSpec(
                RULES_HOLD,
                asset=key,
                blocking=True,
                additional_deps=[_key(table) for table in others],
                description="Fails where a rule of severity ERROR does; such days are held back downstream.",
            ),
            dg.AssetCheckSpec(
                RULES_HOLD_WARNINGS,
                asset=key,
                additional_deps=[_key(table) for table in others],
                description="Warns where a rule of severity WARNING fails, and tells of those of severity INFO.",
            ),
        ],
    )
    def check(context: dg.AssetCheckExecutionContext, timescale: TimescaleResource) -> Iterator[dg.AssetCheckResult]:
        window, run_id = judged_window(context), context.run.run_id
        judge_held_again(timescale, spec, window, run_id=run_id)
        judged = judge_and_store(timescale, spec, window, run_id=run_id)
        yield _errors(spec, judged)
        yield _warnings(spec, judged)

    return check


def _errors(spec: TableSpec, judged: Judged) -> dg.AssetCheckResult:
    of_errors = judged.results[judged.results["severity"] == Severity.ERROR.value]
    goes_on = len(judged.held) < judged.days
    told = f"{len(judged.held)} of {judged.days} day(s) held back: {_listed(judged.held)}"
    return dg.AssetCheckResult(
        asset_key=_key(spec.qualified),
        check_name=RULES_HOLD,
        passed=not judged.held,
        severity=dg.AssetCheckSeverity.WARN if goes_on else dg.AssetCheckSeverity.ERROR,
        description=told if judged.held else None,
        metadata=_metadata(of_errors) | {"days": judged.days, "held_back": [str(day) for day in sorted(judged.held)]},
    )


def _warnings(spec: TableSpec, judged: Judged) -> dg.AssetCheckResult:
    others = judged.results[judged.results["severity"] != Severity.ERROR.value]
    failed = others[(others["severity"] == Severity.WARNING.value) & ~others["passed"].astype(bool)]
    names = sorted(set(failed["rule"]))
    return dg.AssetCheckResult(
        asset_key=_key(spec.qualified),
        check_name=RULES_HOLD_WARNINGS,
        passed=failed.empty,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{', '.join(names[:MOST_TOLD])}; {failed['day'].nunique()} day(s)" if names else None,
        metadata=_metadata(others),
    )


def _metadata(results: pd.DataFrame) -> dict[str, object]:
    """Per rule, over the days of the run."""
    told = summary(results)
    return {
        "rules": len(told),
        "rules_failed": int((told["days_failed"] > 0).sum()) if len(told) else 0,
        "verdicts": dg.MetadataValue.md(str(told.to_markdown(index=False)) if len(told) else "no rows, no verdict"),
    }


def _listed(days: Iterable[date]) -> str:
    found = sorted(days)
    return ", ".join(map(str, found[:MOST_TOLD])) + (f" and {len(found) - MOST_TOLD} more" * (len(found) > MOST_TOLD))


def _key(table: str) -> dg.AssetKey:
    return dg.AssetKey(table.split("."))
