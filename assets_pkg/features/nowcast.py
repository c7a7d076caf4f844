"""US EPA NowCast: what a 24 h (PM) or 8 h (ozone) average would be, judged from the last few hours.

Source: EPA, "Transitioning to a new NowCast method" (PM) and AirNow's account of the ozone method.

Belongs here: hourly values -> NowCast concentration, not truncated (the index truncates). Does not belong here: the
index (`aqi.py`).
"""

import numpy as np
from numpy.typing import NDArray

from assets_pkg.features.aqi import ppb_per_ugm3
from assets_pkg.features.rolling import rolling_max, rolling_min

Array = NDArray[np.float64]

PM_HOURS = 12
RECENT_HOURS = 3
_RECENT_NEEDED = 2
_LEAST_WEIGHT = 0.5

_SURROGATE_SLOPE = 0.85
_SURROGATE_OFFSET_PPB = 4.5


def hourly_nowcast(pollutant: str, values_ugm3: Array, hours: int) -> Array:
    """NowCast of `pollutant` for the last `hours` hours of `values_ugm3`, µg/m³; see the two functions below.

    Raises:
        ValueError: the pollutant has no NowCast.
    """
    match pollutant:
        case "pm25" | "pm10":
            return pm_nowcast(values_ugm3, hours)
        case "o3":
            return o3_nowcast(values_ugm3, hours)
    raise ValueError(f"there is no NowCast of {pollutant!r}")


def pm_nowcast(values: Array, hours: int) -> Array:
    """NowCast of particulate matter for the last `hours` hours of `values`.

    Shape (..., hours + at least 11), oldest hour first, NaN where missing; the result is (..., hours) in the unit of
    `values`. The mean of the last 12 hours, each weighed by w to the power of its age, w = max(min / max, 0.5); missing
    hours are left out. NaN unless 2 of the newest 3 hours are there. Negative hours count as 0.
    """
    values = np.maximum(values, 0.0)[..., -(hours + PM_HOURS - 1) :]
    present = np.isfinite(values)
    lowest = rolling_min(values, (PM_HOURS,), hours)[PM_HOURS]
    highest = rolling_max(values, (PM_HOURS,), hours)[PM_HOURS]
    # Where all hours are 0 any weight gives 0; where none is there the result is NaN.
    has_range = highest > 0
    weight = np.maximum(np.where(has_range, lowest, 1.0) / np.where(has_range, highest, 1.0), _LEAST_WEIGHT)
    filled, counted = np.where(present, values, 0.0), present.astype("float64")
    weighted, weights = np.zeros_like(weight), np.zeros_like(weight)
    for first in range(PM_HOURS):  # oldest hour first: Horner's rule, so that no power is taken
        weighted = weighted * weight + filled[..., first : first + hours]
        weights = weights * weight + counted[..., first : first + hours]
    newest = sum(counted[..., PM_HOURS - 1 - age : PM_HOURS - 1 - age + hours] for age in range(RECENT_HOURS))
    is_valid = newest >= _RECENT_NEEDED
    return np.where(is_valid, weighted / np.where(is_valid, weights, 1.0), np.nan)


def o3_nowcast(values_ugm3: Array, hours: int) -> Array:
    """NowCast of ozone for the last `hours` hours of `values_ugm3`: the surrogate of the 8 h mean, µg/m³.

    Shape (..., hours + at least 2), oldest hour first, NaN where missing; the result is (..., hours).
    0.85 x + 4.5 ppb, x the newest of the last 3 hours; NaN where all three are missing. EPA's first choice is a
    partial-least-squares fit over the last two weeks, with this surrogate where the fit fails its criteria; that fit is
    not implemented, it is the surrogate throughout. Negative hours count as 0.
    """
    values = np.maximum(values_ugm3, 0.0)
    stop = values.shape[-1]
    newest = values[..., stop - hours :]
    for age in range(1, RECENT_HOURS):
        older = values[..., stop - hours - age : stop - age]
        newest = np.where(np.isnan(newest), older, newest)
    return _SURROGATE_SLOPE * newest + _SURROGATE_OFFSET_PPB / ppb_per_ugm3("o3")
