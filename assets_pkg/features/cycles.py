"""The daily and the weekly cycle as points on a circle.

Belongs here: local time -> sine and cosine. Does not belong here: which zone a location is in.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from math import cos, pi, sin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from assets_pkg.features.grid import HOUR, hour_stamps

_MINUTES_PER_DAY = 24 * 60
_MINUTES_PER_WEEK = 7 * _MINUTES_PER_DAY
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


def cycles(hours: NDArray[np.int64], zone: str | None) -> dict[str, NDArray[np.float64]]:
    """Column -> sine or cosine of the local hour of day and hour of week of each hour.

    `hours` as in `HourlyGrid.hours`. The hour from 00:00 to 01:00 local time is hour 0 of the day, on a Monday also of
    the week: the local time of the hour's START counts. A zone 5 h 45 min off UTC has hours of day like 5.75. `zone` is
    an IANA name; None is UTC.

    Raises:
        ValueError: there is no such zone.
    """
    starts = hour_stamps(hours) - HOUR
    if zone is not None:
        try:
            starts = starts.tz_convert(ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{zone!r} is no IANA time zone") from error
    wall_clock_us = starts.tz_localize(None).to_numpy().view("int64")
    minute = wall_clock_us // 60_000_000 - int(_MONDAY.timestamp()) // 60
    return {
        f"{name}_{function.__name__}": _by_minute(function, period)[minute % period]
        for name, period in (("hour", _MINUTES_PER_DAY), ("week", _MINUTES_PER_WEEK))
        for function in (sin, cos)
    }


@cache
def _by_minute(function: Callable[[float], float], period: int) -> NDArray[np.float64]:
    """The function at every minute of a period: one time of day gives one number, wherever in an array it stands."""
    return np.array([function(2 * pi * minute / period) for minute in range(period)])
