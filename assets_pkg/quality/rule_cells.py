"""Which cells break a rule that can be judged row by row: vectorised, one batch of rows at a time.

Belongs here: one function per class of rule, from rows in their model's types to the positions that break it. Does not
belong here: rules that compare rows with each other (`rule_groups.py`), verdicts (`validation.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import singledispatch

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from schemas.rules import (
    Categorical,
    Combination,
    Completeness,
    Contract,
    Forbidden,
    NotInFuture,
    Ordered,
    Range,
    RangeBy,
    Reference,
    Rule,
    SumOf,
)

Positions = NDArray[np.int64]
Cells = Iterator[tuple[tuple[str, ...], Positions]]
"""Columns, and the rows whose cells there break the rule."""

Known = Mapping[tuple[str, str], pd.Index]
"""Per table and column, the values that are known."""


@singledispatch
def broken_cells(rule: Rule, rows: pd.DataFrame, known: Known, now: pd.Timestamp) -> Cells:
    """The cells of `rows` (on a RangeIndex) that break the rule."""
    raise TypeError(f"no way is known to judge a {type(rule).__name__} row by row")


@broken_cells.register
def _(rule: Range, rows: pd.DataFrame, known: Known, now: pd.Timestamp) -> Cells:
    """Numbers are compared as one block of all columns: wide tables have more than a hundred. A check of Pandera, which
    says the same, takes a millisecond a column however few the rows are."""
    numbers = [name for name in rule.columns if pd.api.types.is_float_dtype(rows[name].dtype)]
    if numbers:
        values = rows[numbers].to_numpy(dtype=np.float64, na_value=np.nan)
        broken = np.zeros(values.shape, dtype=bool)
        if rule.minimum is not None:
            broken |= values < rule.minimum if rule.is_minimum_included else values <= rule.minimum
        if rule.maximum is not None:
            broken |= values > rule.maximum if rule.is_maximum_included else values >= rule.maximum
        yield from _by_column(numbers, broken)
    for name in (name for name in rule.columns if name not in numbers):
        found = np.zeros(len(rows), dtype=bool)
        for check in rule.checks():
            found[_breaking(check, rows[name])] = True
        yield (name,), np.flatnonzero(found)


@broken_cells.register
def _(rule: Completeness, rows: pd.DataFrame, known: Known, now: pd.Timestamp) -> Cells:
    yield from _by_column(rule.columns, rows[list(rule.columns)].isna().to_numpy(dtype=bool))


@broken_cells.register
def _(rule: Categorical, rows: pd.DataFrame, known: Known, now: pd.Timestamp) -> Cells:
    check = rule.check()
    for name in rule.columns:
        if rule.separator is None:
            yield (name,), _breaking(check, rows[name])
        else:
            yield (name,), _with_others(rows[name], rule.separator, pd.Index(rule.allowed))


@broken_cells.register
def _(rule: Reference, rows: pd.DataFrame, known: Known, now: pd.Timestamp) -> Cells:
    values = known[rule.table, rule.key]
    for name in rule.columns:
        if rule.separator is None:
            cells = rows[name]
            yield (name,), np.flatnonzero((cells.notna() & ~cells.isin(values)).to_numpy(dtype=bool))
        else:
            yield (name,), _with_others(rows[name], rule.separator, values)


@broken_cells.register
def _(rule: RangeBy, rows: pd.DataFrame, known: Known, now: pd.Timestamp) -> Cells:
    numbers, names = _groups(rows, rule.by)
    bounds = dict(rule.bounds)
    of_group = np.array([bounds.get(name, (-np.inf, np.inf)) for name in names], dtype=np.float64).reshape(-1, 2)
    low, high = of_group[numbers, 0], of_group[numbers, 1]
    for name in rule.columns:
        values = rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
        yield (name,), np.flatnonzero((values < low) | (values > high))


@broken_cells.register
def _(rule: Combination, rows: pd.DataFrame, known: Known, now: pd.Timestamp) -> Cells:
    numbers, names = _groups(rows, rule.columns)
    listed = set(rule.values)
    is_broken = [(name in listed) != rule.is_allowed and not any(map(pd.isna, name)) for name in names]
    yield rule.columns, np.flatnonzero(np.array(is_broken, dtype=bool)[numbers])


@broken_cells.register
def _(rule: Forbidden, rows: pd.DataFrame, known: Known, now: pd.Timestamp) -> Cells:
    for name in rule.columns:
        values = rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
        broken = np.zeros(len(rows), dtype=bool)
        for forbidden in rule.values:
            broken |= np.abs(values - forbidden) <= rule.tolerance * abs(forbidden)
        yield (name,), np.flatnonzero(broken)


@broken_cells.register
def _(rule: NotInFuture, rows: pd.DataFrame, known: Known, now: pd.Timestamp) -> Cells:
    for name in rule.columns:
        yield (name,), np.flatnonzero((rows[name] > now + rule.tolerance).fillna(False).to_numpy(dtype=bool))


@broken_cells.register
def _(rule: Ordered, rows: pd.DataFrame, known: Known, now: pd.Timestamp) -> Cells:
    for first, second in zip(rule.columns, rule.columns[1:], strict=False):
        later = rows[second] if rule.tolerance is None else rows[second] + rule.tolerance
        yield (first, second), np.flatnonzero((later < rows[first]).fillna(False).to_numpy(dtype=bool))


@broken_cells.register
def _(rule: SumOf, rows: pd.DataFrame, known: Known, now: pd.Timestamp) -> Cells:
    total, *parts = (rows[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in rule.columns)
    differs = np.abs(total - np.sum(parts, axis=0)) > rule.tolerance * np.maximum(1.0, np.abs(total))
    yield rule.columns, np.flatnonzero(differs)


@broken_cells.register
def _(rule: Contract, rows: pd.DataFrame, known: Known, now: pd.Timestamp) -> Cells:
    if not rule.is_of_frame:
        for name in rule.columns:
            yield (name,), _breaking(rule.check, rows[name])
        return
    verdict = rule.check(rows[list(rule.columns)]).check_output
    if isinstance(verdict, pd.DataFrame):
        verdict = verdict.all(axis=1)
    holds = verdict.to_numpy(dtype=bool) if isinstance(verdict, pd.Series) else np.full(len(rows), bool(verdict))
    yield rule.columns, np.flatnonzero(~holds)


def _by_column(columns: Sequence[str], broken: NDArray[np.bool_]) -> Cells:
    if not broken.any():
        return
    for place in np.flatnonzero(broken.any(axis=0)):
        yield (columns[place],), np.flatnonzero(broken[:, place])


def _groups(rows: pd.DataFrame, by: Sequence[str]) -> tuple[Positions, list[tuple[object, ...]]]:
    """Per row the number of its group, and per group the values that name it."""
    if len(by) == 1:
        codes, values = pd.factorize(rows[by[0]], use_na_sentinel=False)
        return codes.astype(np.int64), [(value,) for value in values]
    numbers = rows.groupby(list(by), sort=False, observed=True, dropna=False).ngroup().to_numpy()
    first = ~pd.Series(numbers).duplicated().to_numpy()
    return numbers, list(rows[list(by)][first].itertuples(index=False, name=None))


def _breaking(check: pa.Check, cells: pd.Series) -> Positions:
    """The cells that break a Pandera check, read by index: it leaves out those without a value."""
    holds = check(cells).check_output
    return holds.index[~holds.to_numpy(dtype=bool)].to_numpy(dtype=np.int64)


def _with_others(cells: pd.Series, separator: str, allowed: pd.Index) -> Positions:
    """Rows in which a part of the text is not among `allowed`. Texts repeat: each is taken apart once."""
    numbers, texts = pd.factorize(cells)
    known = set(allowed)
    is_bad = np.array([not known.issuperset(str(text).split(separator)) for text in texts] + [False], dtype=bool)
    return np.flatnonzero(is_bad[numbers])  # a cell without a value has the number -1: the last
