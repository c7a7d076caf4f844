"""Scaling and imputing on read: features come out of the store as they are, and models get them as they need them.

Belongs here: pure functions of rows and parameters. Does not belong here: how the parameters come about (they are the
table `features.feature_scaling`), reading them (`feature_parameters.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, get_args

import pandas as pd

from resources.errors import ConfigurationError

Missing = Literal["impute", "drop", "zero", "keep"]
POLICIES: tuple[Missing, ...] = get_args(Missing)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Of one feature, over the rows it was fitted to; all three None where it had no value in them."""

    minimum: float | None
    maximum: float | None
    median: float | None


def imputed(frame: pd.DataFrame, policy: Missing, parameters: Mapping[str, Parameters]) -> pd.DataFrame:
    """The frame of features under a policy for what is missing; the rows that are left keep their index labels.

    `impute`: the feature's median of the time it was fitted to, so nothing of other rows of this frame. `zero`: 0,
    False or "". `drop`: rows with any missing feature go. `keep`: nothing changes. Infinite values count as missing.

    Raises:
        ConfigurationError: a feature is to be imputed and has no median.
    """
    frame = frame.assign(**{name: _finite(frame[name]) for name in frame.columns if _is_float(frame[name])})
    if policy == "keep":
        return frame
    if policy == "drop":
        return frame[frame.notna().all(axis=1)]
    filled = {}
    for name in frame.columns:
        if policy == "zero":
            filled[name] = frame[name].fillna(_zero_of(frame[name]))
        elif is_number(frame[name]):
            numbers = frame[name].astype("float64")
            filled[name] = numbers.fillna(_median_of(name, parameters)) if numbers.hasnans else numbers
        elif frame[name].isna().any():
            raise ConfigurationError(f"{name} is no number, it has no median: leave it out, or use drop, zero or keep")
        else:
            filled[name] = frame[name]
    return pd.DataFrame(filled, index=frame.index, columns=frame.columns)


def scaled(frame: pd.DataFrame, parameters: Mapping[str, Parameters]) -> pd.DataFrame:
    """Numeric features in [0, 1] as (value - minimum) / (maximum - minimum), clipped where a value lies outside; a
    constant feature is 0. What is missing stays missing; text and booleans stay as they are.

    Raises:
        ConfigurationError: a numeric feature has no parameters.
    """
    columns = {name: _scaled(frame[name], parameters) if is_number(frame[name]) else frame[name] for name in frame}
    return pd.DataFrame(columns, index=frame.index, columns=frame.columns)


def is_number(column: pd.Series) -> bool:
    """Whether a column has values that can be scaled."""
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def _scaled(column: pd.Series, parameters: Mapping[str, Parameters]) -> pd.Series:
    numbers = _finite(column.astype("float64"))
    if column.name not in parameters:
        raise ConfigurationError(f"{column.name} has no scaling parameters: materialize features/feature_scaling first")
    known = parameters[str(column.name)]
    low, high = known.minimum, known.maximum
    if low is None or high is None or not (isfinite(low) and isfinite(high)) or high <= low:
        return numbers.where(numbers.isna(), 0.0)
    # Halves first: the difference of two huge numbers would be infinite.
    return ((numbers.clip(low, high) / 2 - low / 2) / (high / 2 - low / 2)).clip(0.0, 1.0)


def _median_of(name: str, parameters: Mapping[str, Parameters]) -> float:
    median = parameters[name].median if name in parameters else None
    if median is None or not isfinite(median):
        raise ConfigurationError(
            f"{name} has missing values and no median to put in their place: materialize features/feature_scaling "
            "first, or use drop, zero or keep"
        )
    return median


def _zero_of(column: pd.Series) -> Any:
    if is_number(column):
        return 0
    if pd.api.types.is_bool_dtype(column.dtype):
        return False
    return pd.Timestamp(0, tz="UTC") if pd.api.types.is_datetime64_any_dtype(column.dtype) else ""


def _is_float(column: pd.Series) -> bool:
    return bool(pd.api.types.is_float_dtype(column.dtype))


def _finite(column: pd.Series) -> pd.Series:
    return column.where(column.abs() != float("inf"))
