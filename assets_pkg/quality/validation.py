"""The one engine that judges rows by rules: the asset checks, the quality tables, the API and the command line ask it.

`validate` is a pure function of rows, rules and a context: the same rows get the same verdict whoever asks. Rows are
brought to their types first, cell by cell, on an index of their own; then every rule is judged by itself, so that what
breaks one hides nothing from another, and every row that breaks it is told.

Belongs here: the verdict on each rule, and the report. Does not belong here: which rows break which rule
(`rule_cells.py`, `rule_groups.py`), reading rows and storing verdicts (`assets_pkg/judging.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets_pkg.quality.conversion import Converted, Positions, converted
from assets_pkg.quality.rule_cells import broken_cells
from assets_pkg.quality.rule_groups import GroupFinding, repeated, shifted, stale, stuck
from assets_pkg.quality.violations import Broken, no_violations, taken, violations_of
from schemas.rules import (
    Categorical,
    Completeness,
    Contract,
    Distribution,
    Forbidden,
    Freshness,
    NotInFuture,
    Range,
    RangeBy,
    Reference,
    Repeats,
    Rule,
    Schema,
    Severity,
    Uniqueness,
)

BATCH_ROWS = 1_000_000
"""Rows that a rule on single rows looks at together: what it makes of them is in memory beside them."""


EACH_COLUMN = (Range, RangeBy, Completeness, Categorical, Reference, Forbidden, NotInFuture)
"""Rules that look at one column after the other."""


class Outcome(StrEnum):
    """The verdict on one rule."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ENOUGH_DATA = "not enough data"
    """Neither: there were too few rows, or nothing to compare them with."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a rule may have to know beside the rows."""

    now: datetime
    until: datetime | None = None
    """END of the window the rows are of; freshness counts back from it, or from now where it is still to come."""
    identity: tuple[str, ...] = ()
    """Columns that name a row."""
    known: Mapping[tuple[str, str], pd.Index] = field(default_factory=dict)
    """Per table and column, the values of the same day; a pair that is absent is not known."""
    before: pd.DataFrame | None = None
    """Rows before those judged: the reference of distributions. Each rule takes those of its own look-back."""
    time_column: str | None = None
    """Column by which `before` is cut."""
    is_sample: bool = False
    """Whether the rows are some of those there are: which is the newest and what follows what cannot be told then."""


@dataclass(frozen=True, kw_only=True)
class RuleResult:
    """The verdict on one rule."""

    rule: Rule
    outcome: Outcome
    checked: int
    """Rows the rule is about."""
    failed: int
    """Rows that break it; some may be tolerated."""
    message: str

    @property
    def passed(self) -> bool:
        """Whether it did not fail: a rule without a verdict blocks nothing."""
        return self.outcome is not Outcome.FAILED

    @property
    def is_blocking(self) -> bool:
        """Whether what is downstream has to wait."""
        return not self.passed and self.rule.severity is Severity.ERROR


@dataclass(frozen=True, kw_only=True)
class ValidationReport:
    """The verdicts on all rules, and every row that broke one that failed."""

    results: tuple[RuleResult, ...]
    violations: pd.DataFrame
    """One row per broken cell of a rule that failed: see `violations.COLUMNS`."""
    rows: int

    @property
    def is_blocking(self) -> bool:
        """Whether a rule of severity ERROR failed."""
        return any(one.is_blocking for one in self.results)

    def failed(self, *severities: Severity) -> list[RuleResult]:
        """The rules of these severities (none given: of all) that failed."""
        return [one for one in self.results if not one.passed and one.rule.severity in (severities or Severity)]

    def of(self, name: str) -> RuleResult:
        """The verdict on the rule of that name.

        Raises:
            KeyError: there is none.
        """
        return {one.rule.name: one for one in self.results}[name]


def validate(frame: pd.DataFrame, rules: Sequence[Rule], context: Context) -> ValidationReport:
    """Judges the rows by every rule; the order of the results is that of the rules."""
    models = [rule.model for rule in rules if isinstance(rule, Schema)]
    if models:
        found = converted(frame, models[0])
    else:
        found = Converted(rows=frame.reset_index(drop=True), misfits={}, missing=(), unknown=(), is_ordered=True)
    results, told = [], []
    for rule in rules:
        result, broken = _judged(rule, frame, found, context)
        results.append(result)
        if not result.passed:
            source = frame.reset_index(drop=True) if isinstance(rule, Schema) else found.rows
            told += [violations_of(one, source, found.rows, rule, context.identity) for one in broken]
    return ValidationReport(
        results=tuple(results),
        violations=pd.concat(told, ignore_index=True) if told else no_violations(),
        rows=len(frame),
    )


def _judged(rule: Rule, frame: pd.DataFrame, found: Converted, context: Context) -> tuple[RuleResult, list[Broken]]:
    if isinstance(rule, Schema):
        return _schema_judged(rule, found)
    rule = _without_absent(rule, found.rows)
    if absent := [name for name in rule.needs if name not in found.rows.columns]:
        return _undecided(rule, 0, f"there is no column {', '.join(absent)}"), []
    if context.is_sample and isinstance(rule, Freshness | Repeats):
        return _undecided(rule, len(found.rows), "a sample cannot tell"), []
    asked = _asked(rule, found.rows)
    checked = len(found.rows) if asked is None else int(asked.sum())
    if checked < rule.least_rows:
        return _undecided(rule, checked, f"{checked:,} rows of the {rule.least_rows:,} it takes"), []
    if isinstance(rule, Reference) and not len(context.known.get((rule.table, rule.key), ())):
        return _undecided(rule, checked, f"{rule.table} has no rows of the day"), []
    if (together := _together(rule, found.rows, asked, context)) is not None:
        if together.is_undecided:
            return _undecided(rule, checked, together.message), []
        broken = [Broken(columns=rule.columns, positions=together.broken)]
        return _result(rule, checked, broken, len(found.rows), together.message), broken
    broken = list(_one_by_one(rule, found, asked, context))
    return _result(rule, checked, broken, len(found.rows)), broken


def _schema_judged(rule: Schema, found: Converted) -> tuple[RuleResult, list[Broken]]:
    """Fails as a whole where columns are missing, unknown or out of order, and by cell where types are wrong."""
    broken = [Broken(columns=(name,), positions=positions) for name, positions in found.misfits.items()]
    told = [f"missing: {', '.join(found.missing)}"] if found.missing else []
    told += [f"unknown: {', '.join(found.unknown)}"] if found.unknown else []
    told += [] if found.is_ordered else ["in another order"]
    result = _result(rule, len(found.rows), broken, len(found.rows))
    if not told:
        return result, broken
    broken += [Broken(columns=(name,), positions=None) for name in (*found.missing, *found.unknown)]
    message = "; ".join([*(f"columns {one}" for one in told), *([result.message] if result.failed else [])])
    return RuleResult(
        rule=rule,
        outcome=Outcome.FAILED,
        checked=result.checked,
        failed=len(found.rows) if found.missing else result.failed,
        message=message,
    ), broken


def _without_absent(rule: Rule, rows: pd.DataFrame) -> Rule:
    """A rule on each of several columns is asked of those that are there."""
    there = tuple(name for name in rule.columns if name in rows.columns)
    return replace(rule, columns=there) if there and isinstance(rule, EACH_COLUMN) else rule


def _asked(rule: Rule, rows: pd.DataFrame) -> NDArray[np.bool_] | None:
    """Which rows the rule is about; None: all."""
    asked: NDArray[np.bool_] | None = None
    for name, values in rule.when:
        among = rows[name].isin(list(values)).to_numpy(dtype=bool)
        asked = among if asked is None else asked & among
    return asked


def _together(rule: Rule, rows: pd.DataFrame, asked: NDArray[np.bool_] | None, context: Context) -> GroupFinding | None:
    """The finding of a rule that compares rows with each other; None: the rule does not."""
    if not isinstance(rule, Uniqueness | Freshness | Repeats | Distribution):
        return None
    positions = None if asked is None else np.flatnonzero(asked)
    some = rows if positions is None else taken(rows, rule.needs, positions)
    if isinstance(rule, Uniqueness):
        finding = repeated(rule, some)
    elif isinstance(rule, Freshness):
        until = min(context.until or context.now, context.now)
        finding = stale(rule, some, pd.Timestamp(until))
    elif isinstance(rule, Repeats):
        finding = stuck(rule, some)
    else:
        finding = shifted(rule, some, _before(rule, context))
    if positions is None:
        return finding
    return GroupFinding(broken=positions[finding.broken], message=finding.message, is_undecided=finding.is_undecided)


def _before(rule: Distribution, context: Context) -> pd.DataFrame | None:
    """The rows of the rule's look-back; of those it is about only."""
    rows = context.before
    if rows is None or any(name not in rows.columns for name in rule.needs):
        return None
    if context.time_column and context.until and context.time_column in rows:
        rows = rows[rows[context.time_column] >= pd.Timestamp(context.until) - rule.look_back - pd.Timedelta(days=1)]
    asked = _asked(rule, rows)
    return rows if asked is None else rows[asked]


def _one_by_one(rule: Rule, found: Converted, asked: NDArray[np.bool_] | None, context: Context) -> Iterator[Broken]:
    """What breaks the rule, batch by batch; a check of the whole frame sees all of it."""
    rows, now = found.rows, pd.Timestamp(context.now)
    size = max(len(rows), 1) if isinstance(rule, Contract) and rule.is_of_frame else BATCH_ROWS
    parts: dict[tuple[str, ...], list[Positions]] = {}
    for start in range(0, len(rows), size):
        batch = _slice(rows, rule.needs, start, start + size)
        for columns, positions in broken_cells(rule, batch, context.known, now):
            parts.setdefault(columns, []).append(positions + start)
    for columns, several in parts.items():
        positions = np.concatenate(several)
        if asked is not None:
            positions = positions[asked[positions]]
        if isinstance(rule, Completeness):
            # What was there and is of another type is told by the schema, and is not missing.
            positions = np.setdiff1d(positions, found.misfits.get(columns[0], positions[:0]), assume_unique=True)
        yield Broken(columns=columns, positions=positions)


def _slice(rows: pd.DataFrame, columns: Sequence[str], start: int, stop: int) -> pd.DataFrame:
    """Some columns of some rows, counted from 0 again, without a copy."""
    cells = {name: rows[name].array[start:stop] for name in columns}
    return pd.DataFrame(cells, copy=False)


def _result(rule: Rule, checked: int, broken: Sequence[Broken], rows: int, message: str = "") -> RuleResult:
    is_broken = np.zeros(rows, dtype=bool)
    for one in broken:
        if one.positions is not None:
            is_broken[one.positions] = True
    return counted(rule, checked, int(is_broken.sum()), message)


def counted(rule: Rule, checked: int, failed: int, message: str = "") -> RuleResult:
    """The verdict on a rule that so many of the rows asked about break."""
    is_too_many = failed * 100 > rule.tolerated_pct * checked
    told = f"{failed:,} of {checked:,} rows"
    if rule.tolerated_pct:
        told += f", tolerated up to {rule.tolerated_pct:g} %"
    return RuleResult(
        rule=rule,
        outcome=Outcome.FAILED if failed and is_too_many else Outcome.PASSED,
        checked=checked,
        failed=failed,
        message=f"{told}; {message}" if message else told,
    )


def _undecided(rule: Rule, checked: int, message: str) -> RuleResult:
    return RuleResult(rule=rule, outcome=Outcome.NOT_ENOUGH_DATA, checked=checked, failed=0, message=message)
