"""What was usual: a value against the same hour of the week, and against the daily course and the hours around it.

Belongs here: the baselines of the weeks before, and the scores of the days after them. Does not belong here: the grid
(`anomalies_grid.py`), what becomes of a score (`anomalies.py`).

Scores are robust z: distance from a median in 1.4826 × MAD (Iglewicz and Hoaglin, How to Detect and Handle Outliers,
1993). They are taken of asinh(value / level), which is linear near zero and logarithmic far from it, so that quantities
that vary by factors, as concentrations and revenues do, have no tail of false alarms, and negative ones no problem.

No tested value trains: baselines come from the days before the week that is tested; what in them was far off itself is
left out once more, unless somebody said it is how things are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from assets_pkg.quality.anomalies_grid import Bools, Floats, Grid, median, rms, robust_scale

FLOOR = 0.05
"""Least robust standard deviation, on the scale of asinh(value / level): about five percent of the level."""
LEAST_DAYS = 14
"""A series with values on fewer days of the look-back has no baseline."""
NEIGHBOURS = 1
"""So many hours on either side lend their values of the weeks before to an hour: four alone make no median."""
AROUND = 6
"""The level at a step is the median of so many steps before and, on the same day, after it, without itself."""
LEAST_AROUND = 4
CLIP = 5.0
"""What was further off than so many robust standard deviations does not train."""
HEAVY = 0.08
"""With a larger share so far off, or with mostly one value, as of what is sold on some days only, the far ones are what
a series is about: all train, and the scale is the root of the mean square."""


@dataclass(frozen=True)
class Judged:
    """Robust z of the tested days, by one baseline."""

    score: Floats
    """Series by tested steps; NaN where nothing can be said."""
    usual: Floats
    """What was usual there, in the unit of the values."""


@dataclass(frozen=True)
class Baselines:
    """What the days before the tested ones say, series by series."""

    grid: Grid
    tested: int
    """First tested step; those before it are the history."""
    level: Floats
    """Per series: the divisor of asinh."""
    y: Floats
    """asinh(value / level) of all steps."""
    trains: Bools
    """Which steps of the history train."""
    slot: Floats
    """Per series and slot of the week, the median of the history."""
    slot_residual: Floats
    """Per step of the history, its distance from its slot's median of the OTHER weeks; NaN where it does not train."""
    slot_scale: Floats
    course: Floats
    """The daily course of all steps, of daily series the weekly one."""
    course_scale: Floats
    """Robust scale of what is left in the history around course and level."""

    @property
    def per_week(self) -> int:
        return 7 * self.grid.per_day

    def back(self, y: Floats) -> Floats:
        """A transformed value in its unit again."""
        return np.sinh(y) * self.level[:, None]


def baselines_of(grid: Grid, tested: int) -> Baselines:
    """Of the grid's steps before `tested`, which are whole weeks."""
    history = np.where(grid.is_sound[:, :tested], grid.value[:, :tested], np.nan)
    level = median(np.where(history == 0, np.nan, np.abs(history)))
    level = np.where(level > 0, level, 1.0)
    y = np.arcsinh(grid.value / level[:, None])
    trains = grid.is_sound[:, :tested] & _has_history(grid, tested)[:, None]
    for _ in range(2):
        train = np.where(trains, y[:, :tested], np.nan)
        slot, residual = _slots(train, 7 * grid.per_day)
        scale, is_off = _scale(residual)
        trains = trains & ~(is_off & ~grid.is_expected[:, :tested])
    course = _course(y, trains, grid.per_day)
    left = np.where(trains, (y - course)[:, :tested], np.nan)
    course_scale, _ = _scale(left - level_around(left, grid.per_day))
    return Baselines(grid, tested, level, y, trains, slot, residual, scale, course, course_scale)


def against_slots(found: Baselines) -> Judged:
    """The tested steps against the same hour of the week."""
    steps = found.y.shape[1] - found.tested
    usual = found.slot[:, np.arange(steps) % found.per_week]
    return Judged((found.y[:, found.tested :] - usual) / found.slot_scale[:, None], found.back(usual))


def against_course(found: Baselines) -> Judged:
    """The tested steps against the daily course, as STL knows it from the history, and the level around them."""
    level = level_around(evened(found), found.grid.per_day)[:, found.tested :]
    usual = level + found.course[:, found.tested :]
    return Judged((found.y[:, found.tested :] - usual) / found.course_scale[:, None], found.back(usual))


def evened(found: Baselines) -> Floats:
    """All steps without their daily course; NaN in incidents and where cleaning let no value pass."""
    return np.where(found.grid.is_sound, found.y - found.course, np.nan)


def level_around(even: Floats, per_day: int) -> Floats:
    """Per step, the median of the steps around it without itself, see `AROUND`. No later day is looked at, so a day's
    level is the same whatever is read behind it."""
    steps = even.shape[1]
    place = np.arange(steps)
    offsets = [n for n in range(-AROUND, min(AROUND, per_day - 1) + 1) if n != 0]
    around = np.full((*even.shape, len(offsets)), np.nan)
    for number, offset in enumerate(offsets):
        source = place + offset
        is_there = (source >= 0) & (source < steps) & ((offset < 0) | (place % per_day + offset < per_day))
        around[:, is_there, number] = even[:, source[is_there]]
    return median(around, least=LEAST_AROUND)


def _scale(residual: Floats) -> tuple[Floats, Bools]:
    """Per series its scale, and which of its residuals are too far off to train."""
    scale = np.maximum(robust_scale(residual, least=LEAST_DAYS), FLOOR)
    with np.errstate(invalid="ignore"):
        is_off = np.abs(residual) > CLIP * scale[:, None]
    is_mostly_one = median(np.abs(residual)) == 0
    is_heavy = is_mostly_one | (is_off.sum(axis=1) > HEAVY * (~np.isnan(residual)).sum(axis=1))
    return np.where(is_heavy, np.maximum(scale, rms(residual)), scale), is_off & ~is_heavy[:, None]


def _has_history(grid: Grid, tested: int) -> Bools:
    """Which series have a sound value on enough days before."""
    days = grid.is_sound[:, :tested].reshape(len(grid.keys), -1, grid.per_day).any(axis=2)
    return days.sum(axis=1) >= LEAST_DAYS


def _slots(train: Floats, per_week: int) -> tuple[Floats, Floats]:
    """Per slot of the week its median, and per step its distance from the median of the other weeks' same slot."""
    series, steps = train.shape
    weeks = steps // per_week
    reach = NEIGHBOURS if per_week > 7 else 0
    shifted = [np.roll(train, -offset, axis=1) for offset in range(-reach, reach + 1)]
    pool = np.stack([one.reshape(series, weeks, per_week) for one in shifted], axis=-1)  # series, week, slot, offset
    least = max(3, weeks // 2)

    def of(chosen: list[int]) -> Floats:
        some = pool[:, chosen].transpose(0, 2, 1, 3).reshape(series, per_week, -1)
        return median(some, least=least)

    every = list(range(weeks))
    usual = np.stack([of([other for other in every if other != week]) for week in every], axis=1)
    return of(every), train - usual.reshape(series, steps)


def _course(y: Floats, trains: Bools, per_day: int) -> Floats:
    """The seasonal part of every step: STL (Cleveland et al., Journal of Official Statistics 6, 1990) of the history
    gives it, and its last period, a day, or of daily series a week, is carried on."""
    course = np.zeros_like(y)
    for number in np.flatnonzero(trains.any(axis=1)):
        history = y[number, : trains.shape[1]]
        course[number] = _seasonal(history, trains[number], per_day if per_day > 1 else 7, y.shape[1])
    return course


def _seasonal(history: Floats, trains: Bools, period: int, steps: int) -> Any:
    """The seasonal part of a series' history, and its last period over and over behind it."""
    from statsmodels.tsa.seasonal import STL

    place = np.arange(len(history))
    whole = np.interp(place, place[trains], history[trains])
    seasonal = STL(whole, period=period, seasonal=2 * (len(history) // period // 2) + 7).fit().seasonal
    return np.concatenate([seasonal, np.resize(seasonal[-period:], steps - len(history))])
