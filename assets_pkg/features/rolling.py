"""Statistics over look-back windows of a regular hourly grid, bit for bit the same however time is cut.

A running sum carries rounding from wherever it began, so that a day computed alone differs in the last digits from the
same day computed in a year. Here the statistic of 2 n hours is merged from those of its two halves (n = 1, 2, 4, ...),
and a window of any length from a few of these: every number rests on its own window's hours alone, combined in one
fixed order by operations that IEEE 754 defines exactly. It costs log2(window) passes over the grid, and the merge is
that of Chan, Golub and LeVeque (1979): a spread small against its mean keeps its digits, a constant's is exactly 0.

Arrays have time as their last axis, oldest hour first, NaN where missing. Results are for the windows that end with the
last `hours` hours, one per hour; before these, `values` reaches back as far as the longest window sees.

Does not belong here: which windows, how complete they must be.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Moments(NamedTuple):
    """Moments of value and time over windows of `hours` hours; hours without a value are left out.

    Time is hours relative to the window's newest hour, so 0 or negative. Where a window holds no value, all are 0.
    """

    hours: int
    present: Array
    """Hours with a value."""
    mean: Array
    time_mean: Array
    squares: Array
    """Sum of the squared distances of the values from their mean."""
    time_squares: Array
    products: Array
    """Sum of the products of both distances."""

    def std(self) -> Array:
        """Sample standard deviation (n - 1); NaN for fewer than two values."""
        return np.sqrt(self.squares / np.where(self.present > 1, self.present - 1, np.nan))

    def slope_per_h(self) -> Array:
        """Least-squares slope of value over time; NaN for fewer than two values."""
        return self.products / np.where(self.time_squares > 0, self.time_squares, np.nan)


def rolling_moments(values: Array, lengths: Iterable[int], hours: int) -> dict[int, Moments]:
    """The moments of `values` over windows of each of `lengths` hours."""
    lengths = tuple(lengths)
    is_present = np.isfinite(values)
    zero = np.zeros_like(values)
    doubled = [Moments(1, is_present.astype("float64"), np.where(is_present, values, 0.0), zero, zero, zero, zero)]
    while doubled[-1].hours * 2 <= max(lengths):
        part = doubled[-1]
        doubled.append(_merged(part, part, part.mean.shape[-1] - part.hours))
    moments = {}
    for length in lengths:
        newest, *older = (part for part in doubled if part.hours & length)
        windows = Moments(newest.hours, *(part[..., -hours:] for part in newest[1:]))
        moments[length] = reduce(lambda newer, older: _merged(newer, older, hours), older, windows)
    return moments


def rolling_count(is_counted: NDArray[np.bool_], lengths: Iterable[int], hours: int) -> dict[int, NDArray[np.int64]]:
    """How many hours are true in windows of each of `lengths` hours. Whole numbers, so a running sum is exact."""
    total = np.zeros((*is_counted.shape[:-1], is_counted.shape[-1] + 1), dtype="int64")
    np.cumsum(is_counted, axis=-1, out=total[..., 1:])
    stop = total.shape[-1]
    return {n: total[..., stop - hours :] - total[..., stop - hours - n : stop - n] for n in lengths}


def rolling_min(values: Array, lengths: Iterable[int], hours: int) -> dict[int, Array]:
    """The smallest value over windows of each of `lengths` hours; inf where a window holds none."""
    return rolling_extreme(np.where(np.isnan(values), np.inf, values), lengths, hours, np.minimum)


def rolling_max(values: Array, lengths: Iterable[int], hours: int) -> dict[int, Array]:
    """The largest value over windows of each of `lengths` hours; -inf where a window holds none."""
    return rolling_extreme(np.where(np.isnan(values), -np.inf, values), lengths, hours, np.maximum)


def rolling_extreme(
    values: NDArray[Any], lengths: Iterable[int], hours: int, extreme: Callable[..., Any]
) -> dict[int, Any]:
    """`extreme` (`np.minimum` or `np.maximum`) of `values`, none missing, over windows of each of `lengths` hours."""
    lengths = tuple(lengths)
    doubled = {1: values}
    reach = 1
    while reach * 2 <= max(lengths):
        doubled[2 * reach] = extreme(doubled[reach][..., :-reach], doubled[reach][..., reach:])
        reach *= 2
    windows = {}
    for length in lengths:
        # Two windows that overlap cover any length between: an extreme may see an hour twice.
        part = doubled[1 << (length.bit_length() - 1)]
        stop = values.shape[-1] - length + 1
        windows[length] = extreme(part[..., -hours:], part[..., stop - hours : stop])
    return windows


def _merged(newer: Moments, older: Moments, windows: int) -> Moments:
    """The moments of the last `windows` windows made of one of `older` and, right after it, one of `newer`."""
    stop = older.mean.shape[-1] - newer.hours
    n_new, mean_new, time_new, squares_new, time_squares_new, products_new = (
        part[..., -windows:] for part in newer[1:]
    )
    n_old, mean_old, time_old, squares_old, time_squares_old, products_old = (
        part[..., stop - windows : stop] for part in older[1:]
    )
    present = n_new + n_old
    share_old = n_old / np.maximum(present, 1.0)
    weight = n_new * share_old
    step = mean_old - mean_new
    time_step = (time_old - newer.hours) - time_new
    weighted_step, weighted_time_step = step * weight, time_step * weight
    return Moments(
        hours=newer.hours + older.hours,
        present=present,
        mean=mean_new + step * share_old,
        time_mean=time_new + time_step * share_old,
        squares=(squares_new + squares_old) + weighted_step * step,
        time_squares=(time_squares_new + time_squares_old) + weighted_time_step * time_step,
        products=(products_new + products_old) + weighted_step * time_step,
    )
