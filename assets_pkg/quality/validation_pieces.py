"""Rows judged piece by piece: the verdict on all of them, with no more than a piece of them in memory.

Rules on single rows are asked of each piece, and what they say is added up. Rules that compare rows with each other,
and those that need a number of rows at least, are asked once, of the columns they need.

Belongs here: taking rules apart and putting verdicts together. Does not belong here: the verdict on a rule
(`validation.py`), reading the pieces (`resources/catalog/judged_rows.py`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from assets_pkg.quality.conversion import converted
from assets_pkg.quality.validation import Context, Outcome, RuleResult, ValidationReport, counted, validate
from assets_pkg.quality.violations import no_violations
from schemas.rules import Contract, Distribution, Freshness, Repeats, Rule, Schema, Uniqueness

ORIGIN = ("source_id", "line_no")


def validate_pieces(pieces: Iterable[pd.DataFrame], rules: Sequence[Rule], context: Context) -> ValidationReport:
    """What `validate` says of all pieces together; each has the same columns, and they follow each other in order."""
    by_row = [replace(rule, tolerated_pct=0.0) for rule in rules if not _is_about_all(rule)]
    about_all = [rule for rule in rules if _is_about_all(rule)]
    model = next((rule.model for rule in rules if isinstance(rule, Schema)), None)
    needed = {name for rule in about_all for name in rule.needs} | {*context.identity, *ORIGIN}
    reports: list[ValidationReport] = []
    kept: list[pd.DataFrame] = []
    texts: dict[object, object] = {}
    rows = 0
    for piece in pieces:
        report = validate(piece, by_row, context)
        moved = report.violations.assign(position=report.violations["position"] + rows)
        if reports:  # columns that are missing or unknown are so in every piece
            moved = moved[moved["position"].notna()]
        reports.append(replace(report, violations=moved))
        if about_all:
            typed = piece if model is None else converted(piece, model).rows
            kept.append(_kept(typed, [name for name in typed.columns if name in needed], texts))
        rows += len(piece)
    if len(reports) == 0:
        return validate(pd.DataFrame(), rules, context)
    whole = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(index=pd.RangeIndex(rows))
    compared = validate(whole, about_all, context)
    results = tuple(
        compared.of(rule.name) if _is_about_all(rule) else _added_up(rule, [one.of(rule.name) for one in reports])
        for rule in rules
    )
    return ValidationReport(
        results=results,
        violations=_of_failed(results, [*(one.violations for one in reports), compared.violations]),
        rows=rows,
    )


def _kept(piece: pd.DataFrame, columns: Sequence[str], texts: dict[object, object]) -> pd.DataFrame:
    """Some columns, without a hold on the others; a text that comes again is kept once."""
    cells = {}
    for name in columns:
        if pd.api.types.is_numeric_dtype(piece[name].dtype) or isinstance(piece[name].dtype, pd.DatetimeTZDtype):
            cells[name] = piece[name].copy().array
        else:
            once = [None if cell is None else texts.setdefault(cell, cell) for cell in piece[name].tolist()]
            cells[name] = pd.Series(once, dtype=object).array
    return pd.DataFrame(cells, index=pd.RangeIndex(len(piece)), copy=False)


def _is_about_all(rule: Rule) -> bool:
    if isinstance(rule, Uniqueness | Freshness | Repeats | Distribution) or rule.least_rows > 1:
        return True
    return isinstance(rule, Contract) and rule.is_of_frame


def _added_up(rule: Rule, found: Sequence[RuleResult]) -> RuleResult:
    """One verdict from those on the pieces, which tolerate nothing."""
    rule = replace(found[0].rule, tolerated_pct=rule.tolerated_pct)
    decided = [one for one in found if one.outcome is not Outcome.NOT_ENOUGH_DATA]
    if not decided:
        return replace(found[0], rule=rule, checked=sum(one.checked for one in found))
    checked, failed = (sum(getattr(one, name) for one in decided) for name in ("checked", "failed"))
    if isinstance(rule, Schema) and not found[0].passed and "columns " in found[0].message:
        return replace(found[0], rule=rule, checked=checked, failed=failed)
    return counted(rule, checked, failed)


def _of_failed(results: Sequence[RuleResult], told: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The broken cells of the rules that failed, in the order of rules, then of rows."""
    place = {one.rule.name: number for number, one in enumerate(results) if not one.passed}
    kept = [one[one["rule"].isin(list(place))] for one in told]
    kept = [one for one in kept if len(one)]
    if not kept:
        return no_violations()
    every = pd.concat(kept, ignore_index=True)
    order = every.assign(_place=every["rule"].map(place)).sort_values(
        ["_place", "column_name", "position"], kind="stable", na_position="first"
    )
    return every.loc[order.index].reset_index(drop=True)
