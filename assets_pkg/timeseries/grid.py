"""Raw rows at irregular stamps, brought to one cell per series and hour.

Belongs here: `Grid` and how an hour's value, samples and coverage come about. Does not belong here: rules that compare
hours.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from assets_pkg.timeseries.flags import Bits, as_bits
from schemas.timeseries import Flag

HOUR_US = 3_600_000_000
HOUR_S = 3600.0

COVERED_PCT = 75.0
"""Below this share an hour is partial: three quarters, the completeness air quality rules ask of averages
(40 CFR 50 and 58)."""

USUAL_REACH_H = 24
"""How far around an hour to look for a sensor's usual number of samples per hour."""

BLOCK_CELLS = 1 << 18
"""So many cells at most are unfolded into windows at once, to bound memory."""


@dataclass(frozen=True)
class Grid:
    """Series by hours. Every matrix has one row per series and one column per hour, the first stamped `first_hour`
    (hours since 1970 UTC, an hour is named by its END).

    A measurement whose period ends at t belongs to the hour ceil(t): the half-hourly one ending 00:30 and the hourly
    one ending 00:30 (zones at :30 or :45) both to 01:00.
    """

    first_hour: int
    location_id: NDArray[np.int64]
    sensors_id: NDArray[np.int64]
    measure: NDArray[np.int64]
    value: NDArray[np.float64]
    """Mean of the hour's measurements that are not missing, canonical unit; NaN without any."""
    received: NDArray[np.float64]
    """The same in the unit as received."""
    rows: NDArray[np.int64]
    """Raw rows that belong to the hour, missing values included."""
    samples: NDArray[np.int64]
    """Measurements behind `value`."""
    coverage_pct: NDArray[np.float64]
    bits: Bits
    last_row: NDArray[np.int64]
    """Position of the hour's last raw row in the frame the grid was built from; -1 without any."""
    known_us: NDArray[np.int64]
    """When the newest raw row of the hour became known; 0 without any."""


def hour_of(end_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """The hour (since 1970 UTC, named by its END) each stamp belongs to: its ceiling."""
    return -(-end_us // HOUR_US)


def hourly(rows: pd.DataFrame, first_hour: int, hours: int) -> Grid:
    """The grid of `rows`, which are loaded rows of `screening.screen`, in its order, all within the given hours.

    Coverage is the sum of the periods measured where all of them are told; else the samples relative to the usual
    number of the sensor's rows per hour (median of the hours with rows within a day around). Never above 100.
    """
    identity = rows[["location_id", "sensors_id", "measure"]].to_numpy(dtype=np.int64)
    starts = _starts(identity)
    series = np.cumsum(starts) - 1
    keys = identity[starts]
    shape = (len(keys), hours)
    cell = series * hours + hour_of(rows["end_us"].to_numpy()) - first_hour

    first = np.flatnonzero(_starts(cell[:, None]))
    occupied = cell[first]
    last_row = np.full(shape, -1, dtype=np.int64)
    last_row.flat[occupied] = np.append(first[1:], len(rows))[: len(first)] - 1
    known_us = np.zeros(shape, dtype=np.int64)
    bits = np.zeros(shape, dtype=np.uint16)
    if len(rows):
        known_us.flat[occupied] = np.maximum.reduceat(rows["known_us"].to_numpy(), first)
        bits.flat[occupied] = np.bitwise_or.reduceat(rows["bits"].to_numpy(), first)
    count = np.bincount(cell, minlength=shape[0] * hours).reshape(shape)

    measured = rows["value"].notna().to_numpy()
    cell, present = cell[measured], rows.loc[measured]
    samples = np.bincount(cell, minlength=shape[0] * hours).reshape(shape)
    seconds = np.bincount(cell, weights=present["interval_s"], minlength=shape[0] * hours).reshape(shape)
    share = np.where(np.isnan(seconds), samples / _usual(count), seconds / HOUR_S)
    coverage = np.clip(100.0 * share, 0.0, 100.0)
    bits |= as_bits(Flag.PARTIAL, (samples > 0) & (coverage < COVERED_PCT))
    return Grid(
        first_hour=first_hour,
        location_id=keys[:, 0],
        sensors_id=keys[:, 1],
        measure=keys[:, 2],
        value=_means(present["value"].to_numpy(), cell, shape),
        received=_means(present["received"].to_numpy(), cell, shape),
        rows=count,
        samples=samples,
        coverage_pct=coverage,
        bits=bits,
        last_row=last_row,
        known_us=known_us,
    )


def median_around(matrix: NDArray[np.float64], reach: int, *, itself: bool, at_least: int) -> NDArray[np.float64]:
    """Median of the present values from `reach` hours before to `reach` hours after each cell, along its row; NaN where
    fewer than `at_least` are present. With `itself=False` the cell's own value is left out.

    Exact for any cell whatever else the matrix holds: no running sums.
    """
    offsets = np.array([n for n in range(2 * reach + 1) if itself or n != reach])
    result = np.empty(matrix.shape)
    step = max(1, BLOCK_CELLS // max(1, matrix.shape[1]))
    for top in range(0, len(matrix), step):
        padded = np.pad(matrix[top : top + step], ((0, 0), (reach, reach)), constant_values=np.nan)
        around = sliding_window_view(padded, 2 * reach + 1, axis=1)[..., offsets]
        result[top : top + step] = median_of_present(around, at_least=at_least)
    return result


def taken(matrix: NDArray[np.float64], cells: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """The values at `offsets` hours from each of the `cells`, one row per cell; NaN beyond the matrix."""
    reach = int(np.abs(offsets).max())
    padded = np.pad(matrix, ((0, 0), (reach, reach)), constant_values=np.nan)
    series, hour = np.nonzero(cells)
    values: NDArray[np.float64] = padded[series[:, None], hour[:, None] + reach + offsets]
    return values


def median_of_present(values: NDArray[np.float64], *, at_least: int) -> NDArray[np.float64]:
    """Median along the last axis of what is not NaN; NaN where that is fewer than `at_least` (one or more) values."""
    ascending = np.sort(values, axis=-1)  # NaN last
    present = np.count_nonzero(~np.isnan(values), axis=-1)[..., None]
    low = np.take_along_axis(ascending, np.maximum(present - 1, 0) // 2, axis=-1)
    high = np.take_along_axis(ascending, np.minimum(present // 2, values.shape[-1] - 1), axis=-1)
    return np.where(present >= at_least, low / 2 + high / 2, np.nan)[..., 0]


def _starts(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where a row of `keys` differs from the one before."""
    starts = np.ones(len(keys), dtype=np.bool_)
    starts[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    return starts


def _usual(count: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each hour's usual number of rows: the median over the hours with rows, a day to either side; at least 1."""
    usual = np.ones(count.shape)
    often = (count > 1).any(axis=1)
    if often.any():
        counts = np.where(count[often] > 0, count[often].astype(np.float64), np.nan)
        usual[often] = median_around(counts, USUAL_REACH_H, itself=True, at_least=1)
    return np.fmax(usual, 1.0)


def _means(values: NDArray[np.float64], cell: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Mean per cell, exact where all values are equal; NaN without any."""
    means = np.full(shape, np.nan)
    if len(values):
        first = np.flatnonzero(_starts(cell[:, None]))
        occupied = cell[first]
        size = np.diff(np.append(first, len(values)))
        sums = np.bincount(cell, weights=values, minlength=shape[0] * shape[1])[occupied]
        means.flat[occupied] = np.clip(
            sums / size, np.minimum.reduceat(values, first), np.maximum.reduceat(values, first)
        )
    return means
