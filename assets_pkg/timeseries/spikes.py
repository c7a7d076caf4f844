"""Values far from their neighbours in time, for one or two hours.

Does not belong here: long excursions (those are episodes, not errors), ranges (`screening.py`).
"""

import numpy as np
from numpy.typing import NDArray

from assets_pkg.timeseries.grid import median_around, median_of_present, taken
from assets_pkg.timeseries.units import normal_unit
from schemas.datasets import Measure

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NEIGHBOURS_H = 5
"""The level at an hour is the median of so many hours on either side, without itself: no two-hour spike moves it."""

LEAST_NEIGHBOURS = 6

SCALE_REACH_H = 17
"""How far around to look for the usual distance from the level. What decides about one hour reaches no further than
`SCALE_REACH_H + NEIGHBOURS_H + LONGEST_H` = 24 h, the context cleaning is given."""

LEAST_DISTANCES = 12

LONGEST_H = 2
"""Longer excursions are not spikes."""

RETURN_WITHIN_H = 3
"""How far beyond a spike the hour may lie that shows the level again, over missing hours."""

TIMES_SCALE = 8.0
"""Distance from the level in robust standard deviations (1.4826 x MAD). High: plumes are real."""

STEP_SHARE = 0.8
"""Share of its distance from the level by which a spike rises above the hours right before and after it. A morning
peak has shoulders, an error has none."""

FLOOR = {"pm25": 25.0, "pm10": 50.0, "o3": 50.0, "no2": 50.0, "no": 75.0, "so2": 100.0, "co": 2000.0}
"""Distance from the level below which nothing is a spike, µg/m³: traffic peaks of an hour or two that were seen at
roadside stations stay below it."""

FLOOR_SHARE = 0.05
"""The same for other measures, as a share of the valid range."""

PAST_H = 12
LEAST_PAST = 6

MAD_TO_SIGMA = 1.4826


def floor_of(measure: Measure) -> float:
    """The smallest distance from the level that can be a spike, in the measure's unit."""
    if measure.name in FLOOR and normal_unit(measure.unit) == "ug/m3":
        return FLOOR[measure.name]
    low, high = measure.valid
    return FLOOR_SHARE * (high - low)


def is_spike(value: Floats, floor: Floats) -> Bools:
    """Which hours are spikes: further from the median of their neighbours than `floor` (one per series) and than
    `TIMES_SCALE` robust standard deviations of such distances, for at most `LONGEST_H` hours, and back at once: the
    nearest measured hours before and after are both there and lie `STEP_SHARE` of the distance away. The newest hours
    are therefore never spikes until a later hour is there.
    """
    distance = value - median_around(value, NEIGHBOURS_H, itself=False, at_least=LEAST_NEIGHBOURS)
    far = np.abs(distance) > floor[:, None]
    if not far.any():
        return far
    around = np.array([n for n in range(-SCALE_REACH_H, SCALE_REACH_H + 1) if n != 0])
    scale = MAD_TO_SIGMA * median_of_present(np.abs(taken(distance, far, around)), at_least=LEAST_DISTANCES)
    far[far] = np.abs(distance[far]) > TIMES_SCALE * scale
    direction = np.where(far, np.sign(distance), 0.0)
    spikes = np.zeros(value.shape, dtype=np.bool_)
    if far.any():
        spikes[far] = _stand_alone(taken(value, far, _FLANKS), taken(direction, far, _FLANKS), np.abs(distance[far]))
    return spikes


def leaps(value: Floats, floor: Floats, cells: Bools) -> Bools:
    """Which of `cells` are further from the median of the `PAST_H` hours before than `floor` and than `TIMES_SCALE`
    robust standard deviations of those hours: a spike, as far as one can tell without the future."""
    suspects = cells & ~np.isnan(value)
    if suspects.any():
        past = taken(value, suspects, np.arange(-PAST_H, 0))
        level = median_of_present(past, at_least=LEAST_PAST)
        scale = MAD_TO_SIGMA * median_of_present(np.abs(past - level[:, None]), at_least=LEAST_PAST)
        least = np.broadcast_to(floor[:, None], value.shape)[suspects]
        suspects[suspects] = np.abs(value[suspects] - level) > np.maximum(least, TIMES_SCALE * scale)
    return suspects


_FLANK_REACH_H = LONGEST_H - 1 + RETURN_WITHIN_H
_FLANKS = np.arange(-_FLANK_REACH_H, _FLANK_REACH_H + 1)


def _stand_alone(value: Floats, direction: Floats, distance: Floats) -> Bools:
    """Whether the excursion in the middle of each row is short and steep on both sides.

    Columns are the hours `_FLANKS` around it; `direction` is +1 or -1 where an hour is far from the level, else 0;
    `distance` is the middle's.
    """
    middle = _FLANK_REACH_H
    each = np.arange(len(value))
    same = direction == direction[:, [middle]]
    length = np.ones(len(value), dtype=np.int64)
    is_steep = np.ones(len(value), dtype=np.bool_)
    for side in (-1, 1):
        reached = np.cumprod([same[:, middle + side * step] for step in range(1, LONGEST_H + 1)], axis=0).sum(axis=0)
        length += reached
        beyond = np.full(len(value), np.nan)
        for step in range(RETURN_WITHIN_H, 0, -1):
            hour = value[each, middle + side * (np.minimum(reached, LONGEST_H - 1) + step)]
            beyond = np.where(np.isnan(hour), beyond, hour)
        is_steep &= (value[:, middle] - beyond) * direction[:, middle] >= STEP_SHARE * distance  # NaN: never back
    return (length <= LONGEST_H) & is_steep
