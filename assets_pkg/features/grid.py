"""The long series laid out as a regular hourly grid, location by location.

Belongs here: which rows count, several sensors of one parameter brought to one value per hour. Does not belong here:
statistics.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from schemas.datasets import OPENAQ

HOUR = timedelta(hours=1)
_HOUR_US = 3_600_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NEVER = np.iinfo("int64").min
"""`known_at` of an hour without a row: earlier than anything."""


@dataclass(frozen=True)
class HourlyGrid:
    """One value per parameter, location and hour. Hours are numbered by their END, in hours since 1970-01-01 UTC."""

    location_ids: NDArray[np.int64]
    """Ascending."""
    hours: NDArray[np.int64]
    """Consecutive."""
    values: NDArray[np.float64]
    """(parameter, location, hour): mean over the valid sensors, NaN where there is none."""
    is_imputed: NDArray[np.bool_]
    """(parameter, location, hour): whether every value behind the hour was imputed."""
    has_row: NDArray[np.bool_]
    """(location, hour): whether the series has a row, of whatever parameter, valid or not."""
    known_at_us: NDArray[np.int64]
    """(location, hour): newest `known_at` of these rows in microseconds since 1970-01-01 UTC; `NEVER` without one."""


def hours_between(start: datetime, end: datetime) -> NDArray[np.int64]:
    """The hours that END in (start, end], in hours since 1970-01-01 UTC."""
    return np.arange((start - _EPOCH) // HOUR + 1, (end - _EPOCH) // HOUR + 1, dtype="int64")


def hour_stamps(hours: NDArray[np.int64]) -> pd.DatetimeIndex:
    """The instants at which `hours` end, UTC, microseconds."""
    return _utc(hours * _HOUR_US)


def instants(microseconds: NDArray[np.int64]) -> pd.DatetimeIndex:
    """Microseconds since 1970-01-01 UTC as instants."""
    return _utc(microseconds)


def hourly_grid(series: pd.DataFrame, parameters: tuple[str, ...], hours: NDArray[np.int64]) -> HourlyGrid:
    """The rows of `series` (shape of `schemas.timeseries.AirQuality`) that end in `hours`, in whatever order they come.

    Raises:
        ValueError: a stamp is not on the hour, or a value is in another unit than the parameter's canonical one.
    """
    stamps_us = _microseconds(series["datetime_utc"])
    hour_of_row = stamps_us // _HOUR_US
    if off_hour := np.flatnonzero(hour_of_row * _HOUR_US != stamps_us)[:1].tolist():
        stamp = series["datetime_utc"].iloc[off_hour[0]]
        raise ValueError(f"the series is not on the hourly grid: {stamp} is no full hour; clean it before")
    at = hour_of_row - hours[0]
    inside = (at >= 0) & (at < len(hours))
    if not inside.all():
        series, at = series[inside], at[inside]
    _check_units(series, parameters)

    location_of_row, location_ids = pd.factorize(series["location_id"].to_numpy(), sort=True)
    cell = location_of_row * len(hours) + at
    shape = (len(location_ids), len(hours))
    has_row = np.zeros(shape, dtype=bool)
    has_row.reshape(-1)[cell] = True
    known_at_us = np.full(shape, NEVER)
    np.maximum.at(known_at_us.reshape(-1), cell, _microseconds(series["known_at"]))

    values, is_imputed = _mean_over_sensors(series, cell, parameters, shape)
    return HourlyGrid(location_ids, hours, values, is_imputed, has_row, known_at_us)


def _mean_over_sensors(
    series: pd.DataFrame, cell: NDArray[np.int64], parameters: tuple[str, ...], shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    parameter = _codes(series["parameter"], parameters)
    value = series["value"].to_numpy()
    is_used = (parameter >= 0) & series["is_valid"].to_numpy() & np.isfinite(value)
    used = np.flatnonzero(is_used)
    cell = parameter[used] * (shape[0] * shape[1]) + cell[used]
    size = len(parameters) * shape[0] * shape[1]
    count = np.bincount(cell, minlength=size)
    if count.size and count.max() > 1:
        # A sum of more than two depends on its order: sensors are added by ascending id.
        order = np.argsort(series["sensors_id"].to_numpy()[used], kind="stable")
        used, cell = used[order], cell[order]
    total = np.bincount(cell, weights=value[used], minlength=size)
    is_present = count > 0
    mean = np.where(is_present, total / np.maximum(count, 1), np.nan)
    imputed = np.bincount(cell[series["is_imputed"].to_numpy()[used]], minlength=size)
    full = (len(parameters), *shape)
    return mean.reshape(full), (is_present & (imputed == count)).reshape(full)


def _check_units(series: pd.DataFrame, parameters: tuple[str, ...]) -> None:
    pairs = series[["parameter", "unit"]].drop_duplicates()
    for name, unit in zip(pairs["parameter"], pairs["unit"], strict=True):
        if name in parameters and unit != OPENAQ.measures[name].unit:
            raise ValueError(f"{name} comes in {unit!r}, features need {OPENAQ.measures[name].unit}; convert it before")


def _codes(names: pd.Series, known: tuple[str, ...]) -> NDArray[np.int64]:
    """The position of each name in `known`; -1 for any other."""
    code, found = pd.factorize(names)
    position = {name: n for n, name in enumerate(known)}
    return np.array([*(position.get(name, -1) for name in found), -1], dtype="int64")[code]


def _microseconds(stamps: pd.Series) -> NDArray[np.int64]:
    return stamps.to_numpy(dtype="datetime64[us]").view("int64")


def _utc(microseconds: NDArray[np.int64]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(microseconds.view("datetime64[us]")).tz_localize("UTC")
