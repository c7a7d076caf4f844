"""Rows of one step of time to one number, as `schemas.file_dataset.Metric` says.

Belongs here: the aggregates. Does not belong here: which rows count, which steps there are (`file_series.py`).
"""

from itertools import pairwise
from math import fsum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from schemas.file_dataset import Metric

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_SMALLER = 2.0**-64


def aggregate(rows: pd.DataFrame, cell: Integers, cells: int, metric: Metric) -> tuple[Floats, Integers]:
    """Value and number of rows behind it for each of `cells` cells, from `rows` of `cell` (ascending), each cell's rows
    from first to last.

    A row in which a column of the metric is missing (or, where they are multiplied, their product is not finite) does
    not count. The value is NaN for a cell in which no row counts, and infinite where a sum exceeds a float. But for
    `last`, the order of a cell's rows changes no bit.

    Raises:
        ValueError: a column to multiply is not numeric.
    """
    if metric.how in ("count", "distinct"):
        counts = rows[list(metric.of)].notna().all(axis=1).to_numpy()
    else:
        product = _product(rows, metric)
        counts = np.isfinite(product)
    cell = cell[counts]
    samples = np.bincount(cell, minlength=cells)
    if metric.how == "count":
        value = samples.astype(np.float64)
    elif metric.how == "distinct":
        value = _distinct(rows.loc[counts, metric.of[0]], cell, cells)
    elif metric.how == "last":
        value = np.zeros(cells)
        stops = np.flatnonzero(np.diff(cell, append=cells))
        value[cell[stops]] = product[counts][stops]
    else:
        value = _sums(product[counts], cell, samples)
        if metric.how == "mean":
            value = value / np.maximum(samples, 1)
    return np.where(samples > 0, value, np.nan), samples


def _product(rows: pd.DataFrame, metric: Metric) -> Floats:
    product = np.ones(len(rows))
    with np.errstate(over="ignore", invalid="ignore"):
        for name in metric.of:
            try:
                product = product * rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
            except (TypeError, ValueError) as error:
                raise ValueError(f"metric {metric.name}: {metric.how} of {name}, which is not numeric") from error
    return product


def _sums(values: Floats, cell: Integers, samples: Integers) -> Floats:
    """The exact sum of each cell's values, rounded once."""
    listed = values.tolist()
    stops = [0, *np.cumsum(samples).tolist()]
    return np.array([_sum(listed[start:stop]) for start, stop in pairwise(stops)], dtype=np.float64)


def _sum(values: list[float]) -> float:
    try:
        return fsum(values)
    except OverflowError:  # on the way, which the order decides: in a smaller unit there is room for the way
        return fsum(value * _SMALLER for value in values) / _SMALLER


def _distinct(values: pd.Series, cell: Integers, cells: int) -> Floats:
    """How many different values each cell has."""
    number, different = pd.factorize(values)
    pairs = np.unique(cell * len(different) + number)
    return np.bincount(pairs // max(len(different), 1), minlength=cells).astype(np.float64)
