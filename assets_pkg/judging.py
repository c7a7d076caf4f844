"""Days of a table, judged by its rules: read, validated, and their verdicts stored.

Belongs here: the order of these steps. Does not belong here: the engine (`quality/validation.py`), statements
(`resources/catalog/`), what Dagster or the command line make of a verdict.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pandas as pd

from assets_pkg.quality.validation import Context, ValidationReport, validate
from assets_pkg.quality.validation_pieces import validate_pieces
from resources.catalog import judged_rows, rule_results
from resources.catalog.judged_rows import Stored
from resources.timescale.resource import TimescaleResource, Transaction
from schemas.rules import Rule
from schemas.table_rules import distributions_of, references_of, rules_of
from schemas.table_spec import TableSpec
from schemas.window import ONE_DAY, Window, day_of, midnight

Verdicts = list[tuple[date, ValidationReport]]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What was found of a window."""

    results: pd.DataFrame
    """One row per day and rule: columns `RESULT_COLUMNS`."""
    held: frozenset[date]
    """Days that are held back."""

    @property
    def days(self) -> int:
        """Days with rows."""
        return int(self.results["day"].nunique())


RESULT_COLUMNS = ("day", "rule", "kind", "severity", "outcome", "passed", "checked", "failed", "message")


def judge_and_store(timescale: TimescaleResource, spec: TableSpec, window: Window, *, run_id: str) -> Judged:
    """Judges every day of the window that has rows, and replaces the verdicts on all of its days.

    Rows are read, judged and their verdicts stored in one transaction per some days, under a lock: whoever judges last
    has seen the newest rows.

    Raises:
        DatabaseUnavailable: the days whose verdicts are stored stay judged.
    """
    table, results, held = judged_rows.stored(timescale, spec), [], set()
    if not table.exists:
        return Judged(results=results_of([]), held=frozenset())
    judged: set[date] = set()
    for days in judged_rows.pieces(timescale, table, window):
        with timescale.transaction() as transaction:
            transaction.execute(rule_results.lock(spec.qualified, days))
            verdicts = _judged(timescale, transaction, table, days)
            found = results_of(verdicts)
            violations = [report.violations.assign(day=day) for day, report in verdicts if len(report.violations)]
            broken = pd.concat(violations, ignore_index=True) if violations else pd.DataFrame()
            held |= rule_results.store(transaction, spec, days, found, broken, run_id=run_id)
        results.append(found)
        judged.update(days)
    _forget(timescale, spec, window, judged, run_id)
    return Judged(results=pd.concat(results, ignore_index=True) if results else results_of([]), held=frozenset(held))


def judge_held_again(timescale: TimescaleResource, spec: TableSpec, outside: Window, *, run_id: str) -> None:
    """Judges the days that are held back and lie outside a window again, where rows stop counting without being
    written: a file replaces its former version, which may have arrived on another day."""
    if spec.event_time is None:
        return
    with timescale.connect() as connection:
        held = rule_results.held_days(connection).get(spec.qualified, set())
    for day in sorted(held - set(outside.days())):
        judge_and_store(timescale, spec, Window.of_days(day, day), run_id=run_id)


def judge(
    timescale: TimescaleResource, spec: TableSpec, window: Window, *, sample: int | None = None
) -> Iterator[tuple[date, ValidationReport]]:
    """The verdicts on the window's days with rows, or on at most `sample` rows of each, without storing any."""
    table = judged_rows.stored(timescale, spec)
    if not table.exists:
        return
    for days in judged_rows.pieces(timescale, table, window):
        with timescale.transaction() as transaction:
            verdicts = _judged(timescale, transaction, table, days, sample=sample)
        yield from verdicts


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Verdicts on days as one row per rule: columns rule, kind, severity, checked, failed, days, days_failed, message
    (of the newest day that failed, or of the newest), worst first."""
    columns = ["rule", "kind", "severity", "checked", "failed", "days", "days_failed", "message"]
    if results.empty:
        return pd.DataFrame(columns=columns)
    ordered = results.assign(is_broken=~results["passed"].astype(bool)).sort_values(["is_broken", "day"], kind="stable")
    groups = ordered.groupby(["rule", "kind", "severity"], sort=False)
    told = groups.agg(
        checked=("checked", "sum"),
        failed=("failed", "sum"),
        days=("day", "nunique"),
        days_failed=("is_broken", "sum"),
        message=("message", "last"),
    ).reset_index()
    return told.sort_values(["days_failed", "failed"], ascending=False, kind="stable")[columns]


def _forget(timescale: TimescaleResource, spec: TableSpec, window: Window, judged: set[date], run_id: str) -> None:
    """A day whose rows are gone has no verdict any more, and holds nothing back."""
    if judged.issuperset(window.days()):
        return
    with timescale.connect() as connection:
        known = set(rule_results.results_of(connection, spec.qualified, window)["day"])
    empty = sorted(known - judged)
    for start in range(0, len(empty), judged_rows.PIECE_DAYS):
        days = empty[start : start + judged_rows.PIECE_DAYS]
        with timescale.transaction() as transaction:
            transaction.execute(rule_results.lock(spec.qualified, days))
            rule_results.store(transaction, spec, days, results_of([]), pd.DataFrame(), run_id=run_id)


def _judged(
    timescale: TimescaleResource,
    transaction: Transaction,
    table: Stored,
    days: Sequence[date],
    *,
    sample: int | None = None,
) -> Verdicts:
    spec, window = table.spec, Window.of_days(days[0], days[-1])
    rules, now = rules_of(spec), datetime.now(UTC)
    before = _before(transaction, table, window, rules)
    known = {
        (name, key): judged_rows.known_keys(timescale, transaction, name, key, window)
        for name, key in references_of(rules)
    }
    verdicts = []
    for day, parts in _parts(transaction, table, days, sample):
        first, *second = itertools.islice(parts, 2)
        context = Context(
            now=now,
            until=midnight(day) + ONE_DAY,
            identity=spec.identity,
            known={pair: of_day[day] for pair, of_day in known.items() if day in of_day},
            before=None if before is None else _earlier(before, spec, day),
            time_column=spec.time_column,
            is_sample=sample is not None and len(first) >= sample,
        )
        if second:
            verdicts.append((day, validate_pieces(itertools.chain([first], second, parts), rules, context)))
        else:
            verdicts.append((day, validate(first, rules, context)))
    return verdicts


def _parts(
    transaction: Transaction, table: Stored, days: Sequence[date], sample: int | None
) -> Iterator[tuple[date, Iterator[pd.DataFrame]]]:
    """Each day with its rows, at least one frame of them; those of a day that is read alone come piece by piece."""
    if sample is not None:
        for day in days:
            yield day, iter([judged_rows.rows_of(transaction, table, Window.of_days(day, day), sample=sample)])
    elif len(days) == 1:
        yield days[0], judged_rows.pieces_of_day(transaction, table, days[0])
    else:
        rows = judged_rows.rows_of(transaction, table, Window.of_days(days[0], days[-1]))
        for day in days:
            yield day, iter([rows[_is_on(rows, table.spec, day)]])


def _before(transaction: Transaction, table: Stored, window: Window, rules: tuple[Rule, ...]) -> pd.DataFrame | None:
    """What the distributions of any of the window's days are compared with."""
    asked = distributions_of(rules)
    stamp = table.spec.time_column
    if not asked or stamp is None:
        return None
    columns = {stamp, *(name for rule in asked for name in rule.needs)}
    reach = max(rule.look_back for rule in asked)
    reference = Window(window.start - reach, max(window.end - ONE_DAY, window.start - reach + timedelta(days=1)))
    return judged_rows.rows_before(transaction, table, reference, sorted(columns))


def _earlier(before: pd.DataFrame, spec: TableSpec, day: date) -> pd.DataFrame:
    """The rows of the days before."""
    stamps = before[spec.time_column or ""]
    start = pd.Timestamp(midnight(day))
    return before[stamps <= start if spec.closed == "right" else stamps < start]


def _is_on(rows: pd.DataFrame, spec: TableSpec, day: date) -> pd.Series:
    return day_of(rows[spec.time_column or ""], spec.closed).eq(pd.Timestamp(midnight(day)))


def results_of(verdicts: Verdicts) -> pd.DataFrame:
    """The verdicts one by one: columns `RESULT_COLUMNS`."""
    told = [
        (
            day,
            one.rule.name,
            one.rule.kind.value,
            one.rule.severity.value,
            one.outcome.value,
            one.passed,
            one.checked,
            one.failed,
            one.message,
        )
        for day, report in verdicts
        for one in report.results
    ]
    return pd.DataFrame(told, columns=list(RESULT_COLUMNS))
