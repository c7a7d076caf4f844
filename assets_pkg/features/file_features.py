"""Series of a dataset of files -> features, one row per combination of entities and step, as of the end of that step.

Belongs here: which features there are and when they are null. Does not belong here: how a window's statistic is
computed (`rolling.py`; its hours are steps here), I/O.

Every number rests on valid values only. Null is
- the value, lag, minimum, maximum or mean of no value,
- the standard deviation or slope of fewer than two,
- a change or share with one side missing, or against zero,
- and any of these that exceeds a float.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import cos, pi, sin

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets_pkg.features.rolling import rolling_extreme, rolling_max, rolling_min, rolling_moments
from schemas.base import conform, empty
from schemas.file_dataset import FileDataset, Metric
from schemas.file_tables import tables_of
from schemas.window import ONE_DAY, Window

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Columns = dict[str, Floats]

DAYS_PER_YEAR = 365.2425

_BLOCK_CELLS = 1 << 16
"""So many cells of the grid, or one combination's, are worked on at once, to bound memory. No result depends on it."""

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
_NEVER = np.iinfo(np.int64).min
"""`known_at` of a step without a row: earlier than anything."""


def features_of(series: pd.DataFrame, dataset: FileDataset, window: Window) -> pd.DataFrame:
    """The features of every combination of entities and step START in the window (closed left) that has a row of any
    metric.

    The last n steps are the step itself and the n - 1 before it; a lag of n is n steps before. Slopes are per step. The
    change is against the size of the former value, so that more is positive even if that is negative. The share is that
    of the sum over all combinations with a valid value in the step; where some are negative it may leave 0 to 100.
    Cycles are those of the step's start, UTC: time since midnight in a day, time since Monday 00:00 in a week, and
    number of the day (1 is 1 January) in `DAYS_PER_YEAR`.

    Args:
        series: the dataset's series, in any order, from `schemas.file_tables.look_back` before the window's start to
            its end; other rows, and metrics the dataset does not declare, are ignored.

    Returns:
        The model `tables_of(dataset.name).features.model`, ordered by its key. A row rests on nothing after its step
        and is bit for bit the same whichever window asks for it. `known_at` is the newest of what it rests on: the
        combination's rows as far back as the longest window or lag sees, valid or not, and all rows of the step.

    Raises:
        ValueError: a stamp does not start a step, or a value is in another unit than the metric is declared in.
    """
    model = tables_of(dataset.name).features.model
    grid = _grid_of(series, dataset, window)
    combination, step = np.nonzero(grid.has_row)
    if not len(step):
        return empty(model)
    columns: Columns = {}
    known_us = np.empty(len(step), dtype=np.int64)
    for block in grid.blocks():
        rows = slice(*np.searchsorted(combination, (block.start, block.stop)))
        cells = combination[rows] - block.start, step[rows]
        known_us[rows] = grid.newest_us(block)[cells]
        for metric in dataset.metrics:
            values = grid.values(block, metric)
            for name, matrix in _features(metric, values, grid.totals[metric.name], dataset).items():
                number = matrix[cells]
                columns.setdefault(name, np.empty(len(step)))[rows] = np.where(np.isfinite(number), number, np.nan)
    return conform(
        pd.DataFrame(
            {
                **{name: grid.combinations[name].array.take(combination) for name in dataset.entities},
                "datetime_utc": _utc(grid.starts_us[step]),
                **{name: cycle[step] for name, cycle in _cycles(grid.starts_us).items()},
                **columns,
                "known_at": _utc(known_us),
            }
        ),
        model,
    )


def _features(metric: Metric, values: Floats, totals: Floats, dataset: FileDataset) -> Columns:
    """Column -> (combination, step) of the features of one metric, not finite where they are null; `values` has the
    look-back in front of the steps, `totals` one sum per step."""
    name, steps = metric.name, len(totals)
    back = values.shape[1] - steps
    value = values[:, back:]
    columns = {name: value}
    with np.errstate(over="ignore", invalid="ignore"):
        if dataset.windows:
            moments = rolling_moments(values, dataset.windows, steps)
            lowest = rolling_min(values, dataset.windows, steps)
            highest = rolling_max(values, dataset.windows, steps)
        for length in dataset.windows:
            moment = moments[length]
            columns |= {
                f"{name}_mean_{length}": np.where(moment.present > 0, moment.mean, np.nan),
                f"{name}_min_{length}": lowest[length],
                f"{name}_max_{length}": highest[length],
                f"{name}_std_{length}": moment.std(),
                f"{name}_slope_{length}": moment.slope_per_h(),
                f"{name}_coverage_{length}_pct": moment.present * 100.0 / length,
            }
        for lag in dataset.lags:
            former = values[:, back - lag : back - lag + steps]
            columns[f"{name}_lag_{lag}"] = former
            columns[f"{name}_change_{lag}_pct"] = _percent(value - former, np.abs(former))
        columns[f"{name}_share_pct"] = _percent(value, totals)
    return columns


def _percent(part: Floats, whole: Floats) -> Floats:
    return 100.0 * part / np.where((whole != 0) & np.isfinite(whole), whole, np.nan)


def _cycles(starts_us: Integers) -> Columns:
    """Each by `math`, which gives one instant one number wherever in an array it stands."""
    stamps = [_EPOCH + int(start_us) * _MICROSECOND for start_us in starts_us]
    turns = {
        "day": [(stamp - _EPOCH) % ONE_DAY / ONE_DAY for stamp in stamps],
        "week": [(stamp - _MONDAY) % (7 * ONE_DAY) / (7 * ONE_DAY) for stamp in stamps],
        "year": [stamp.timetuple().tm_yday / DAYS_PER_YEAR for stamp in stamps],
    }
    return {
        f"{name}_{function.__name__}": np.array([function(2 * pi * turn) for turn in turned])
        for name, turned in turns.items()
        for function in (sin, cos)
    }


@dataclass(frozen=True)
class _Grid:
    """The series as combinations of entities by steps: sparse, and dense a block of combinations at a time."""

    combinations: pd.DataFrame
    """The entity columns, in order."""
    starts_us: Integers
    """Start of each step of the window, microseconds since 1970-01-01 UTC."""
    back: int
    """So many steps before these are in the grid, too."""
    has_row: NDArray[np.bool_]
    """(combination, step of the window)"""
    totals: Columns
    """Metric -> sum over the combinations, per step of the window."""
    newest_of_step_us: Integers
    """Newest `known_at` of any row, per step of the window."""
    rows: pd.DataFrame
    """Rows by `combination`, ascending: `at` (column of the grid), `metric`, `value` (NaN if not valid), `known_us`."""

    def blocks(self) -> Iterator[slice]:
        """The combinations, so many at a time as go into memory."""
        size = max(_BLOCK_CELLS // (self.back + len(self.starts_us)), 1)
        for first in range(0, len(self.combinations), size):
            yield slice(first, min(first + size, len(self.combinations)))

    def values(self, block: slice, metric: Metric) -> Floats:
        """(combination of the block, look-back and steps); NaN where there is no valid value."""
        rows = self._of(block)
        rows = rows[(rows["metric"] == metric.name).to_numpy()]
        values = np.full(self._shape(block), np.nan)
        values[rows["combination"] - block.start, rows["at"]] = rows["value"]
        return values

    def newest_us(self, block: slice) -> Integers:
        """(combination of the block, step): newest `known_at` of the rows that the features rest on."""
        rows, newest = self._of(block), np.full(self._shape(block), _NEVER)
        np.maximum.at(newest, (rows["combination"] - block.start, rows["at"]), rows["known_us"])
        span, steps = self.back + 1, len(self.starts_us)
        seen: Integers = rolling_extreme(newest, (span,), steps, np.maximum)[span]
        return np.maximum(seen, self.newest_of_step_us)

    def _of(self, block: slice) -> pd.DataFrame:
        return self.rows.iloc[slice(*np.searchsorted(self.rows["combination"], (block.start, block.stop)))]

    def _shape(self, block: slice) -> tuple[int, int]:
        return block.stop - block.start, self.back + len(self.starts_us)


def _grid_of(series: pd.DataFrame, dataset: FileDataset, window: Window) -> _Grid:
    step_us = dataset.cadence // _MICROSECOND
    first, stop = (-(-((bound - _EPOCH) // _MICROSECOND) // step_us) for bound in (window.start, window.end))
    back = max((*(length - 1 for length in dataset.windows), *dataset.lags))
    steps = stop - first

    units = {metric.name: metric.unit for metric in dataset.metrics}
    stamp_us = _microseconds(series["datetime_utc"])
    at = stamp_us // step_us - (first - back)
    kept = np.flatnonzero((at >= 0) & (at < back + steps) & series["metric"].isin(list(units)).to_numpy())
    series, stamp_us, at = series.iloc[kept], stamp_us[kept], at[kept]
    _check(series, dataset, stamp_us % step_us != 0, units)

    entities = list(dataset.entities)
    number = series.groupby(entities, sort=True).ngroup().to_numpy().astype(np.int64)
    combinations = series[entities].iloc[np.unique(number, return_index=True)[1]]
    value = series["value"].to_numpy()
    rows = pd.DataFrame(
        {
            "combination": number,
            "at": at,
            "metric": series["metric"].array,
            "value": np.where(series["is_valid"].to_numpy() & np.isfinite(value), value, np.nan),
            "known_us": _microseconds(series["known_at"]),
        }
    ).sort_values("combination", kind="stable", ignore_index=True)

    inside = rows[rows["at"] >= back]
    step = inside["at"].to_numpy() - back
    has_row = np.zeros((len(combinations), steps), dtype=np.bool_)
    has_row[inside["combination"], step] = True
    newest_us = np.full(steps, _NEVER)
    np.maximum.at(newest_us, step, inside["known_us"])
    totals = {name: np.zeros(steps) for name in units}
    for name, total in totals.items():
        # Added one by one in the order of combinations: others in the grid, without a value here, change no bit.
        used = ((inside["metric"] == name) & inside["value"].notna()).to_numpy()
        np.add.at(total, step[used], inside["value"].to_numpy()[used])
    starts_us = np.arange(first, stop, dtype=np.int64) * step_us
    return _Grid(combinations, starts_us, back, has_row, totals, newest_us, rows)


def _check(series: pd.DataFrame, dataset: FileDataset, is_off: NDArray[np.bool_], units: dict[str, str]) -> None:
    if is_off.any():
        stamp = series["datetime_utc"][is_off].iloc[0]
        raise ValueError(f"{dataset.name}: {stamp} starts no step of {dataset.cadence}; make the series again")
    pairs = series[["metric", "unit"]].drop_duplicates()
    for name, unit in zip(pairs["metric"], pairs["unit"], strict=True):
        if unit != units[name]:
            raise ValueError(
                f"{dataset.name}: {name} is in {unit!r}, declared in {units[name]!r}; make the series again"
            )


def _microseconds(stamps: pd.Series) -> Integers:
    return stamps.to_numpy(dtype="datetime64[us]").view(np.int64)


def _utc(microseconds: Integers) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(microseconds.view("datetime64[us]")).tz_localize("UTC")
