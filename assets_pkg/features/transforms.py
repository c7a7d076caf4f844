"""Clean hourly series -> hourly features, one row per location and hour, computed as of that hour.

Belongs here: which features there are and when they are null. Does not belong here: how a window's statistic is
computed (`rolling.py`), the index (`aqi.py`), NowCast (`nowcast.py`), I/O.

When a feature is null
- `<p>_ugm3`, lags: no valid value in that hour.
- min, max: no value in the window.
- mean, std, slope, and what rests on a mean: values in fewer than 75 % of the window's hours (3 h: 2, 8 h: 6, 24 h: 18,
  7 d: 126). 75 % is EPA's rule for averages (40 CFR 50); for 3 h it would be all three, so 2 of 3 as NowCast asks.
- imputed share, exceedances: no value in the window. Coverage is never null.
- ratios: a mean is null, the upper one is negative, or the lower one is not positive.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assets_pkg.features.aqi import nowcast_sub_index, sub_index
from assets_pkg.features.cycles import cycles
from assets_pkg.features.grid import HOUR, HourlyGrid, hour_stamps, hourly_grid, hours_between, instants
from assets_pkg.features.nowcast import hourly_nowcast
from assets_pkg.features.rolling import (
    Moments,
    rolling_count,
    rolling_extreme,
    rolling_max,
    rolling_min,
    rolling_moments,
)
from schemas.base import columns_of, empty
from schemas.features import (
    AQI_POLLUTANTS,
    EXCEEDANCE_UGM3,
    LAGS_H,
    NOWCAST_POLLUTANTS,
    POLLUTANTS,
    WINDOWS_H,
    AirQualityHourly,
)
from schemas.tables import LOOK_BACK
from schemas.window import Window

Array = NDArray[np.float64]
Columns = dict[str, Array]

LEAST_HOURS = {3: 2, 8: 6, 24: 18, 168: 126}
"""Window length in hours -> hours with a value that a mean, std or slope needs. Indices of o3 and co rest on 8 h."""

_RATIOS = (
    ("pm25_pm10_ratio", "pm25_mean_24h_ugm3", "pm10_mean_24h_ugm3"),
    ("no2_o3_ratio", "no2_mean_24h_ugm3", "o3_mean_24h_ugm3"),
)

_CYCLES = ("hour_sin", "hour_cos", "week_sin", "week_cos")
_OTHER_COLUMNS = {"location_id", "datetime_utc", *_CYCLES, "known_at"}
_WHOLE = ("_exceedance_24h_h", "aqi")

_LOOK_BACK_H = LOOK_BACK // HOUR

_BLOCK_HOURS = 8 * 1024
"""Hours of the grid worked on at once, over all locations: what fits a core's cache. No result depends on it."""


def hourly_features(series: pd.DataFrame, *, window: Window, timezones: Mapping[int, str | None]) -> pd.DataFrame:
    """The features of every location and UTC hour END in (window.start, window.end] that `series` has a row for.

    Args:
        series: shape of `schemas.timeseries.AirQuality`, in any order, from `LOOK_BACK` before the window's start to
            its end; other rows are ignored. Values that are not valid are not used. Where a location has several
            sensors of a parameter, an hour's value is the mean over them, and imputed if all of them were.
        window: closed on the right.
        timezones: location -> IANA zone for the daily and weekly cycles; None, or no entry, is UTC.

    Returns:
        Exactly `schemas.features.AirQualityHourly`, ordered by location and hour. A row rests on the rows of its own
        hour and the 168 h before, and is bit for bit the same whichever window asks for it. `known_at` is the newest
        of these rows, valid or not: a row that turned out invalid shapes the features as well.

    Raises:
        ValueError: a stamp is not on the hour, a value is not in µg/m³, or a zone does not exist.
    """
    hours = hours_between(window.start, window.end)
    grid = hourly_grid(series, POLLUTANTS, hours_between(window.start - LOOK_BACK, window.end))
    location_of_row, hour_of_row = np.nonzero(grid.has_row[:, _LOOK_BACK_H:])
    if not len(hour_of_row):
        return empty(AirQualityHourly)
    columns = {
        "location_id": grid.location_ids[location_of_row],
        "datetime_utc": hour_stamps(hours[hour_of_row]),
        **_local_cycles(grid.location_ids, hours, timezones, location_of_row, hour_of_row),
        **_features(grid),
        "known_at": instants(_newest(grid.known_at_us, len(hours))[location_of_row, hour_of_row]),
    }
    # Already the model's dtypes (a test holds it to that), so that `conform` would only copy, three times over.
    return pd.DataFrame({name: columns[name] for name in columns_of(AirQualityHourly)}, copy=False)


def _newest(known_at_us: NDArray[np.int64], hours: int) -> NDArray[np.int64]:
    """The newest `known_at` of the hour and the 168 before, which is as far as the longest lag sees."""
    span = _LOOK_BACK_H + 1
    newest: NDArray[np.int64] = rolling_extreme(known_at_us, (span,), hours, np.maximum)[span]
    return newest


def _local_cycles(
    location_ids: NDArray[np.int64],
    hours: NDArray[np.int64],
    timezones: Mapping[int, str | None],
    location_of_row: NDArray[np.int64],
    hour_of_row: NDArray[np.int64],
) -> Columns:
    zone_of_location = [timezones.get(location) for location in location_ids.tolist()]
    zones = list(dict.fromkeys(zone_of_location))
    zone_of_row = np.array([zones.index(zone) for zone in zone_of_location], dtype="int64")[location_of_row]
    by_zone = [cycles(hours, zone) for zone in zones]
    return {name: np.stack([columns[name] for columns in by_zone])[zone_of_row, hour_of_row] for name in _CYCLES}


def _features(grid: HourlyGrid) -> dict[str, Array | pd.arrays.IntegerArray]:
    """Every feature that rests on values: column -> one number per row of the result."""
    has_row = grid.has_row[:, _LOOK_BACK_H:]
    rows_before = np.concatenate([[0], np.cumsum(has_row)])
    names = [name for name in columns_of(AirQualityHourly) if name not in _OTHER_COLUMNS]
    table = np.empty((len(names), rows_before[-1]))
    for locations, piece in _blocks(*has_row.shape):
        is_row = has_row[locations, piece]
        first_cell = locations.start * has_row.shape[1] + piece.start
        rows = slice(rows_before[first_cell], rows_before[first_cell + is_row.size])
        back = slice(piece.start, piece.stop + _LOOK_BACK_H)
        block = _block(grid.values[:, locations, back], grid.is_imputed[:, locations, back])
        for name, column in zip(names, table, strict=True):
            column[rows] = block[name][is_row] if name in block else np.nan
    return {
        name: _whole_numbers(column) if name.endswith(_WHOLE) else column
        for name, column in zip(names, table, strict=True)
    }


def _whole_numbers(column: Array) -> pd.arrays.IntegerArray:
    is_missing = np.isnan(column)
    return pd.arrays.IntegerArray(np.where(is_missing, 0.0, column).astype("int64"), is_missing)


def _blocks(locations: int, hours: int) -> Iterator[tuple[slice, slice]]:
    """(locations, hours) tiled: some locations over all hours, or, where hours are many, a part of one location's."""
    if hours + _LOOK_BACK_H <= _BLOCK_HOURS:
        step = _BLOCK_HOURS // (hours + _LOOK_BACK_H)
        for first in range(0, locations, step):
            yield slice(first, min(first + step, locations)), slice(0, hours)
    else:
        step = _BLOCK_HOURS - _LOOK_BACK_H
        for location in range(locations):
            for first in range(0, hours, step):
                yield slice(location, location + 1), slice(first, min(first + step, hours))


def _block(values: Array, is_imputed: NDArray[np.bool_]) -> Columns:
    """The features of some locations and hours, but for those that are null throughout: column -> (location, hour).

    `values` and `is_imputed` are (pollutant, location, look-back and hour).
    """
    columns: Columns = {}
    for n, name in enumerate(POLLUTANTS):
        columns |= _pollutant(name, values[n], is_imputed[n])
    for ratio, upper, lower in _RATIOS:
        if upper in columns and lower in columns:
            columns[ratio] = _ratio(columns[upper], columns[lower])
    for total, parts in (("aqi", AQI_POLLUTANTS), ("nowcast_aqi", NOWCAST_POLLUTANTS)):
        if indices := [columns[f"{name}_{total}"] for name in parts if f"{name}_{total}" in columns]:
            columns[total] = np.fmax.reduce(indices)
    return columns


def _pollutant(name: str, values: Array, is_imputed: NDArray[np.bool_]) -> Columns:
    """The features of one pollutant, `values` being (location, look-back and hour)."""
    hours = values.shape[-1] - _LOOK_BACK_H
    if np.isnan(values).all():
        return {f"{name}_coverage_{window}_pct": np.zeros((len(values), hours)) for window in WINDOWS_H}
    hour = values[:, _LOOK_BACK_H:]
    columns = {f"{name}_ugm3": hour}
    for lag in LAGS_H:
        columns[f"{name}_lag_{lag}h_ugm3"] = values[:, _LOOK_BACK_H - lag : values.shape[-1] - lag]
    moments = rolling_moments(values, LEAST_HOURS, hours)
    mean = {length: np.where(_is_enough(moment), moment.mean, np.nan) for length, moment in moments.items()}
    lengths = WINDOWS_H.values()
    lowest, highest = rolling_min(values, lengths, hours), rolling_max(values, lengths, hours)
    imputed = rolling_count(is_imputed, lengths, hours)
    for window, length in WINDOWS_H.items():
        moment = moments[length]
        is_enough, is_any = _is_enough(moment), moment.present > 0
        columns |= {
            f"{name}_mean_{window}_ugm3": mean[length],
            f"{name}_min_{window}_ugm3": np.where(is_any, lowest[length], np.nan),
            f"{name}_max_{window}_ugm3": np.where(is_any, highest[length], np.nan),
            f"{name}_std_{window}_ugm3": np.where(is_enough, moment.std(), np.nan),
            f"{name}_slope_{window}_ugm3_per_h": np.where(is_enough, moment.slope_per_h(), np.nan),
            f"{name}_coverage_{window}_pct": moment.present * 100.0 / length,
            f"{name}_imputed_{window}_pct": imputed[length] * 100.0 / np.where(is_any, moment.present, np.nan),
        }
    above = rolling_count(values > EXCEEDANCE_UGM3[name], (24,), hours)[24]
    columns[f"{name}_exceedance_24h_h"] = np.where(columns[f"{name}_coverage_24h_pct"] > 0, above, np.nan)
    if name in AQI_POLLUTANTS:
        columns[f"{name}_aqi"] = sub_index(name, hour_ugm3=hour, mean_8h_ugm3=mean[8], mean_24h_ugm3=mean[24])
    if name in NOWCAST_POLLUTANTS:
        columns[f"{name}_nowcast_ugm3"] = nowcast = hourly_nowcast(name, values, hours)
        columns[f"{name}_nowcast_aqi"] = nowcast_sub_index(name, nowcast)
    return columns


def _is_enough(moment: Moments) -> NDArray[np.bool_]:
    return moment.present >= LEAST_HOURS[moment.hours]


def _ratio(upper: Array, lower: Array) -> Array:
    is_defined = (upper >= 0) & (lower > 0)
    return np.where(is_defined, upper, np.nan) / np.where(is_defined, lower, 1.0)
