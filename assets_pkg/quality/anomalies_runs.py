"""Runs of steps: no value for longer than usual, or the same value more often in a row than chance allows.

Belongs here: how runs are measured, and when one is too long. Does not belong here: what becomes of them
(`anomalies.py`).
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from assets_pkg.quality.anomalies_grid import Bools, Floats, Grid

GAP_AFTER = timedelta(hours=4)
"""A shorter gap is none: up to three hours are carried over. At least two steps."""
USUAL_GAPS = 8
"""A series with so many gaps in its look-back has them as a habit, and only those are told that are longer …"""
HABIT = 2.0
"""… than so many times their median."""
ACTIVE_FOR = timedelta(days=7)
"""A series without a value for longer is given up, and missed no more."""
LEAST_SHARE = 0.5
"""A series with values in fewer of the steps of its look-back has another cadence: its gaps are no news."""

STUCK_AFTER = 6
"""Fewer equal values in a row are nothing."""
CHANCE = 1e-3
"""Of a run as long to come about in the look-back by chance."""


@dataclass(frozen=True)
class Runs:
    """Per series, the run of a day that is too long and the longest there: `start` and `stop` (excluded) are steps of
    the grid, `length` its steps up to the end of the day, `least` the length from which on a run is told."""

    series: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    least: Floats

    @property
    def score(self) -> Floats:
        return (self.stop - self.start) / self.least


def gaps_of(grid: Grid, day: int, tested: int) -> Runs:
    """Gaps of the day (number in the grid) of series that were active before.

    The day ends, for all series, with the last value that any of them has on it: what nobody has may still come. What
    is missing behind it is told on the next day that has values.
    """
    per_day = grid.per_day
    is_missing = np.isnan(grid.value)
    end = _frontier(grid, day)
    begin = day * per_day
    if end <= begin:
        return _none()
    # What the day before could not tell, since it was silent as a whole, is told with this day.
    told_from = min(begin, _frontier(grid, day - 1)) if day else begin
    least = gap_least(grid, tested)
    active = ACTIVE_FOR // grid.cadence
    found = []
    for series in np.flatnonzero(is_missing[:, told_from:end].any(axis=1) & ~np.isnan(least)):
        for start, stop in runs_of(is_missing[series, :end]):
            if stop > told_from and start and least[series] <= stop - start <= active:
                found.append((series, start, stop, least[series]))
    return _runs(found)


def gap_least(grid: Grid, tested: int) -> Floats:
    """Per series, from which length on a gap is told; NaN where none is."""
    least = float(max(2, -(-GAP_AFTER // grid.cadence)))
    is_missing = np.isnan(grid.value[:, :tested])
    found = np.full(len(grid.keys), least)
    for series in np.flatnonzero(is_missing.any(axis=1)):
        lengths = [stop - start for start, stop in runs_of(is_missing[series]) if start]
        if len(lengths) >= USUAL_GAPS:
            found[series] = max(least, np.floor(HABIT * np.median(lengths)) + 1)
    # The look-back begins with the first value: a series that is new has not been missing before.
    there = ~is_missing
    first = np.where(there.any(axis=1), there.argmax(axis=1), tested)
    share = there.sum(axis=1) / np.maximum(tested - first, 1)
    return np.where(share >= LEAST_SHARE, found, np.nan)


def stuck_of(grid: Grid, day: int, tested: int) -> Runs:
    """Runs of equal values that reach into the day and are longer than chance allows: with p the share of values of
    the look-back that equal the one before, a run of L somewhere in n values has a chance below n p^(L-1)."""
    end, begin = (day + 1) * grid.per_day, day * grid.per_day
    value = grid.value[:, :end]
    same = np.zeros(value.shape, dtype=np.bool_)
    same[:, 1:] = value[:, 1:] == value[:, :-1]  # NaN equals nothing
    least = stuck_least(grid, same[:, :tested], tested)
    found = []
    for series in np.flatnonzero(same[:, begin:].any(axis=1)):
        for start, stop in runs_of(same[series]):
            if stop > begin and stop - start + 1 >= least[series]:
                found.append((series, start - 1, stop, least[series]))
    return _runs(found)


def stuck_least(grid: Grid, same: Bools, tested: int) -> Floats:
    """Per series, from which length on a run of equal values is told; infinite where all are equal, or none known."""
    sound = grid.is_sound[:, :tested]
    pairs = np.zeros(sound.shape, dtype=np.bool_)
    pairs[:, 1:] = sound[:, 1:] & sound[:, :-1]
    count = pairs.sum(axis=1)
    share = np.where(count, (same & pairs).sum(axis=1) / np.maximum(count, 1), 1.0)
    with np.errstate(divide="ignore"):
        length = 1 + np.log(CHANCE / np.maximum(count, 1)) / np.log(np.clip(share, 1e-6, 1.0))
    return np.where(share < 1, np.maximum(np.ceil(length), STUCK_AFTER), np.inf)


def runs_of(mask: Bools) -> list[tuple[int, int]]:
    """Start and stop (excluded) of every run of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False].astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _frontier(grid: Grid, day: int) -> int:
    """The step behind the last value that any series has up to the end of the day."""
    there = np.flatnonzero((~np.isnan(grid.value[:, : (day + 1) * grid.per_day])).any(axis=0))
    return int(there[-1]) + 1 if len(there) else 0


def _runs(found: list[tuple[int, int, int, float]]) -> Runs:
    columns = list(zip(*found, strict=True)) or [(), (), (), ()]
    series, start, stop = (np.array(column, dtype=np.int64) for column in columns[:3])
    return Runs(series, start, stop, np.array(columns[3], dtype=np.float64))


def _none() -> Runs:
    return _runs([])
