"""Which rows break a rule that compares rows with each other: repeated keys, stale groups, stuck values, distributions.

Belongs here: one function per class of such rules, over all rows at once. Does not belong here: rules on single rows
(`rule_cells.py`), verdicts (`validation.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from schemas.rules import Distribution, Freshness, Repeats, Uniqueness

Positions = NDArray[np.int64]
NOTHING: Positions = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class GroupFinding:
    """What was found of all rows together."""

    broken: Positions = field(default_factory=lambda: NOTHING)
    message: str = ""
    is_undecided: bool = False
    """Whether there was too little to tell anything."""


def repeated(rule: Uniqueness, rows: pd.DataFrame) -> GroupFinding:
    """All rows of a key but the first."""
    keys = rows[list(rule.columns)]
    packed = _packed(keys)
    if packed is None:
        return GroupFinding(broken=np.flatnonzero(keys.duplicated().to_numpy()))
    # Sorting plain numbers takes a fraction of the time of a hash table of them, and few rows are left to look at.
    ordered = np.sort(packed)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return GroupFinding()
    some = np.flatnonzero(pd.Series(packed).isin(twice).to_numpy())
    return GroupFinding(broken=some[pd.Series(packed[some]).duplicated().to_numpy()])


def stale(rule: Freshness, rows: pd.DataFrame, until: pd.Timestamp) -> GroupFinding:
    """The newest row of each group that is older than allowed at `until`."""
    (name,) = rule.columns
    stamps = rows[name].dropna() if rows[name].hasnans else rows[name]
    if stamps.empty:
        return GroupFinding(message="no row has a stamp", is_undecided=True)
    if rule.by:
        newest = stamps.groupby([rows[by] for by in rule.by], sort=False).idxmax()
    else:
        newest = pd.Series([stamps.idxmax()])
    ages = until - stamps.loc[newest]
    broken = ages[ages > rule.max_age]
    message = f"the newest row is {_hours(ages.max())} old" if not rule.by else f"{len(broken)} of {len(ages)} groups"
    return GroupFinding(broken=np.sort(broken.index.to_numpy(dtype=np.int64)), message=message)


def stuck(rule: Repeats, rows: pd.DataFrame) -> GroupFinding:
    """Rows of runs of equal values longer than allowed; rows without a value end a run."""
    (name,) = rule.columns
    group = rows.groupby(list(rule.by), sort=False, observed=True, dropna=False).ngroup().to_numpy()
    order = np.lexsort([*(pd.factorize(rows[by], sort=True)[0] for by in reversed(rule.ordered_by)), group])
    values = rows[name].to_numpy(dtype=np.float64, na_value=np.nan)[order]
    starts = np.ones(len(rows), dtype=bool)
    starts[1:] = (group[order][1:] != group[order][:-1]) | (values[1:] != values[:-1])
    run = np.cumsum(starts) - 1
    is_long = np.bincount(run, minlength=1)[run] > rule.at_most
    return GroupFinding(broken=np.sort(order[is_long]), message=f"{len(np.unique(run[is_long]))} run(s)")


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How one group differs from what it was."""

    group: tuple[object, ...]
    ks: float
    scale: float
    p_value: float

    def is_large(self, rule: Distribution) -> bool:
        """Whether the difference itself is one to tell of."""
        is_scaled = rule.max_scale is not None and abs(np.log(self.scale)) > np.log(rule.max_scale)
        return self.ks > rule.max_ks or bool(is_scaled)


def shifted(rule: Distribution, rows: pd.DataFrame, before: pd.DataFrame | None) -> GroupFinding:
    """The rows of groups whose values are not distributed as they were before."""
    if before is None or before.empty:
        return GroupFinding(message="there is nothing to compare with", is_undecided=True)
    now_of, before_of = dict(_groups(rule, rows)), dict(_groups(rule, before))
    shifts = [
        _shift(group, now, before_of[group])
        for group, now in now_of.items()
        if group in before_of and min(len(now), len(before_of[group])) >= rule.least_rows
    ]
    if not shifts:
        return GroupFinding(message=f"no group has {rule.least_rows} values now and before", is_undecided=True)
    moved = _moved(rule, shifts) if any(one.is_large(rule) for one in shifts) else []
    broken = np.concatenate([now_of[one.group].index.to_numpy(dtype=np.int64) for one in moved] or [NOTHING])
    told = [f"{_named(rule, one)}: KS {one.ks:.2f}, median x {one.scale:.3g}" for one in moved[:3]]
    return GroupFinding(
        broken=np.sort(broken),
        message=f"{len(moved)} of {len(shifts)} groups moved" + (f" ({'; '.join(told)})" if told else ""),
    )


def _moved(rule: Distribution, shifts: list[Shift]) -> list[Shift]:
    """Those that are large and, of so many that were looked at, no chance."""
    from scipy.stats import false_discovery_control  # takes a second, and most days have no large shift

    adjusted = false_discovery_control([one.p_value for one in shifts])
    return [one for one, p in zip(shifts, adjusted, strict=True) if p < rule.alpha and one.is_large(rule)]


def _groups(rule: Distribution, rows: pd.DataFrame) -> Iterator[tuple[tuple[object, ...], pd.Series]]:
    (name,) = rule.columns
    if not rule.by:
        yield (), rows[name].dropna()
        return
    for group, values in rows[name].dropna().groupby([rows[by] for by in rule.by], sort=True, observed=True):
        yield tuple(group) if isinstance(group, tuple) else (group,), values


def _shift(group: tuple[object, ...], now: pd.Series, before: pd.Series) -> Shift:
    new, old = (np.sort(values.to_numpy(dtype=np.float64)) for values in (now, before))
    ks, p_value = _kolmogorov_smirnov(new, old)
    median, former = float(np.median(new)), float(np.median(old))
    scale = median / former if median > 0 and former > 0 else 1.0
    return Shift(group=group, ks=ks, scale=scale, p_value=p_value)


def _kolmogorov_smirnov(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[float, float]:
    """The two-sample statistic of sorted values and its p-value by the limiting distribution (Smirnov 1939), which
    takes a hundredth of the time of `scipy.stats.ks_2samp`: there is one per sensor and day.

    The shares differ most where the smaller sample steps: at one of its values, or just before it.
    """
    from scipy.special import kolmogorov  # not while definitions load

    few, many = sorted((first, second), key=len)
    at, before = (
        [np.searchsorted(one, few, side=side) / len(one) for one in (few, many)] for side in ("right", "left")
    )
    statistic = float(max((at[0] - at[1]).max(), (before[1] - before[0]).max()))
    size = len(first) * len(second) / (len(first) + len(second))
    return statistic, float(kolmogorov(np.sqrt(size) * statistic))


def _packed(keys: pd.DataFrame) -> NDArray[np.int64] | None:
    """Keys of whole numbers, instants and texts as one number each; None: they do not fit, or have gaps."""
    packed, room = np.zeros(len(keys), dtype=np.int64), 1
    for name in keys.columns:
        column = keys[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype) and not column.hasnans:
            numbers = column.array.asi8
        elif column.dtype == np.int64:
            numbers = column.to_numpy()
        elif isinstance(column.dtype, pd.StringDtype):
            numbers = pd.factorize(column)[0].astype(np.int64)
            if (numbers < 0).any():
                return None
        else:
            return None
        if not len(numbers):
            return None
        low, high = int(numbers.min()), int(numbers.max())
        room *= high - low + 1
        if room >= 2**63:
            return None
        packed = packed * (high - low + 1) + (numbers - low)
    return packed


def _named(rule: Distribution, one: Shift) -> str:
    return ", ".join(f"{by} {value}" for by, value in zip(rule.by, one.group, strict=True)) or "all rows"


def _hours(age: pd.Timedelta) -> str:
    return f"{age / pd.Timedelta(hours=1):.1f} h"
